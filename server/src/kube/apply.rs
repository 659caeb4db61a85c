//! Applying a set of objects.
//!
//! It goes through what is not applied yet again and again, with growing pauses: an object that must wait does not hold
//! up the others, but for namespaces and CustomResourceDefinitions, without which the others make no sense.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use serde_json::Value;

use super::{
    FIELD_MANAGER, Kube, KubeError,
    discovery::Unknown,
    objects::{Object, Objects, Rank, group},
    verdict::{Verdict, Wait, judge},
    wire::{Ask, parameter},
};
use crate::handoff::ObjectReference;

/// How long a refusal may be one of an API server that has just started.
const SOON: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause that an API server is believed.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// Whether it is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Apply,
    DryRun,
}

/// What has become of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    /// With the namespace that it is in.
    pub(crate) object: ObjectReference,
    pub(crate) result: AppliedResult,
    /// Why it waits; in a dry run, what cannot be checked. Empty otherwise.
    pub(crate) message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AppliedResult {
    /// It was not there before.
    Created,
    /// It was there and was changed.
    Configured,
    /// It was there as demanded.
    Unchanged,
    /// It is tried again.
    Waiting,
}

/// Why a set is not applied, and will not be. What was applied before that stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// The API server finds fault with the object.
    #[error("the API server refuses {object} ({field}): {message}")]
    Refused {
        object: Box<ObjectReference>,
        field: String,
        message: String,
    },
    /// Nobody serves such a kind.
    #[error(
        "the API server knows no {} of {} ({field}); correct apiVersion or kind, or add the CustomResourceDefinition",
        object.kind,
        object.api_version
    )]
    UnknownKind {
        object: Box<ObjectReference>,
        field: String,
    },
    /// In a dry run: neither in the cluster nor in the set.
    #[error("the namespace {} of {object} ({field}) is not there; add it to the manifests", object.namespace)]
    NoNamespace {
        object: Box<ObjectReference>,
        field: String,
    },
    /// Fields belong to another manager, and are not taken from it.
    #[error(
        "{object} has fields of other field managers: {}; remove them from the manifest, or give them up there",
        Conflicts(conflicts)
    )]
    Conflict {
        object: Box<ObjectReference>,
        conflicts: Vec<Conflict>,
    },
    /// The credentials do not suffice.
    #[error("the credentials do not suffice for {object}: {message}")]
    Forbidden {
        object: Box<ObjectReference>,
        message: String,
    },
    /// The API server does not know who asks.
    #[error("the API server does not take the kubeconfig's credentials: {message}")]
    Unauthenticated { message: String },
    /// It is another API server than the kubeconfig's.
    #[error("the API server's certificate does not match the kubeconfig")]
    Untrusted(#[source] KubeError),
}

/// A field that another manager has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub(crate) field: String,
    pub(crate) manager: String,
}

struct Conflicts<'a>(&'a [Conflict]);

impl fmt::Display for Conflicts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Conflict { field, manager }) in self.0.iter().take(5).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{field} of {manager}")?;
        }
        match self.0.len().saturating_sub(5) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// An object that is not applied yet.
struct Pending {
    object: Object,
    /// What has become of a CustomResourceDefinition that is applied, but not served yet.
    applied: Option<AppliedResult>,
    /// Since when it is refused for what may pass soon.
    refused_since: Option<Instant>,
    /// What was last told.
    told: String,
}

/// What an attempt came to.
enum Attempt {
    Done(AppliedResult, String),
    /// Applied, but not of use yet.
    Serving(AppliedResult, &'static str),
    Failed(Verdict),
}

pub(super) async fn run(
    kube: &Kube,
    objects: Objects,
    mode: Mode,
    mut on: impl FnMut(&Applied),
) -> Result<Vec<Applied>, ApplyError> {
    let set = Set {
        kube,
        mode,
        namespaces: objects.namespaces(),
        defined: objects.defined(),
    };
    let mut done = Vec::with_capacity(objects.len());
    let mut pending: Vec<Pending> = objects
        .into_vec()
        .into_iter()
        .map(|object| Pending {
            object,
            applied: None,
            refused_since: None,
            told: String::new(),
        })
        .collect();
    let mut pauses = pauses();
    loop {
        let before = pending.len();
        let asked = set.pass(&mut pending, &mut done, &mut on).await?;
        if pending.is_empty() {
            return Ok(done);
        }
        if pending.len() < before {
            pauses = self::pauses();
        }
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        tokio::time::sleep(pause.max(asked.unwrap_or_default().min(LONGEST_ASKED))).await;
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build()
}

/// What is applied, and how.
struct Set<'a> {
    kube: &'a Kube,
    mode: Mode,
    namespaces: BTreeSet<String>,
    defined: BTreeSet<(String, String)>,
}

impl Set<'_> {
    /// Tries each object once, and leaves those that must wait. Returns the pause that the API server asks for.
    async fn pass(
        &self,
        pending: &mut Vec<Pending>,
        done: &mut Vec<Applied>,
        on: &mut impl FnMut(&Applied),
    ) -> Result<Option<Duration>, ApplyError> {
        let mut asked = None;
        let mut index = 0;
        while let Some(first) = pending.first().map(|it| it.object.rank)
            && let Some(it) = pending.get_mut(index)
        {
            if first <= Rank::Definition && it.object.rank > first {
                break;
            }
            let attempt = self.attempt(it).await;
            let reference = self.reference(&it.object);
            let wait = match attempt {
                Attempt::Done(result, message) => {
                    let applied = Applied {
                        object: reference,
                        result,
                        message,
                    };
                    on(&applied);
                    done.push(applied);
                    pending.remove(index);
                    continue;
                }
                Attempt::Serving(result, why) => {
                    it.applied = Some(result);
                    Wait::of_object(why)
                }
                Attempt::Failed(Verdict::Never(error)) => return Err(error),
                Attempt::Failed(Verdict::Soon(wait, error)) => {
                    let since = *it.refused_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= SOON {
                        return Err(error);
                    }
                    wait
                }
                Attempt::Failed(Verdict::Later(wait)) => {
                    it.refused_since = None;
                    wait
                }
            };
            asked = asked.max(wait.pause);
            if it.told != wait.why {
                it.told.clone_from(&wait.why);
                on(&Applied {
                    object: reference,
                    result: AppliedResult::Waiting,
                    message: wait.why,
                });
            }
            if wait.of_server {
                break;
            }
            index += 1;
        }
        Ok(asked)
    }

    /// The object with its namespace, as far as that is known without asking.
    fn reference(&self, object: &Object) -> ObjectReference {
        let discovery = &self.kube.discovery;
        let ObjectReference {
            api_version, kind, ..
        } = &object.reference;
        match discovery.remembered(api_version, kind) {
            Some(place) => self.kube.namespaced(&object.reference, place.namespaced),
            None => object.reference.clone(),
        }
    }

    async fn attempt(&self, it: &Pending) -> Attempt {
        let object = &it.object;
        match self.try_once(it).await {
            Ok(attempt) => attempt,
            Err(error) => {
                if error.is_not_found() {
                    self.kube.discovery.forget(&object.reference.api_version);
                }
                Attempt::Failed(judge(object, error))
            }
        }
    }

    async fn try_once(&self, it: &Pending) -> Result<Attempt, KubeError> {
        let (kube, object) = (self.kube, &it.object);
        let ObjectReference {
            api_version, kind, ..
        } = &object.reference;
        let place = match kube.discovery.find(&kube.wire, api_version, kind).await? {
            Ok(place) => place,
            Err(unknown) => return Ok(self.unknown_kind(object, unknown)),
        };
        let reference = kube.namespaced(&object.reference, place.namespaced);
        let path = place.path(&reference);
        if let Some(result) = it.applied {
            return self.served(&path, result).await;
        }
        let before = match kube.get_optional(&path).await {
            Ok(before) => before,
            // Who may apply but not read gets a result all the same.
            Err(error) if error.refusal().is_some_and(|it| it.code == 403) => Some(Value::Null),
            Err(error) => return Err(error),
        };
        let mut query = format!(
            "{path}?{}&fieldValidation=Strict",
            parameter("fieldManager", FIELD_MANAGER)
        );
        if self.mode == Mode::DryRun {
            query.push_str("&dryRun=All");
        }
        let answer = match kube.wire.send(&Ask::apply(&query, object.to_json())).await {
            Ok(answer) => answer,
            Err(error) if self.mode == Mode::DryRun && error.is_not_found() => {
                return Ok(self.unchecked_namespace(object, &reference, error));
            }
            Err(error) => return Err(error),
        };
        let after: Value = answer.json()?;
        let result = match before {
            None => AppliedResult::Created,
            Some(_) if answer.status.as_u16() == 201 => AppliedResult::Created,
            Some(before) if is_same(&before, &after) => AppliedResult::Unchanged,
            Some(_) => AppliedResult::Configured,
        };
        if object.rank == Rank::Definition && self.mode == Mode::Apply {
            return self.served(&path, result).await;
        }
        Ok(Attempt::Done(result, String::new()))
    }

    /// Whether a CustomResourceDefinition is established.
    async fn served(&self, path: &str, result: AppliedResult) -> Result<Attempt, KubeError> {
        let answer = self.kube.wire.send(&Ask::get(path)).await?;
        let definition: Value = answer.json()?;
        let is = |condition: &str, status: &str| {
            definition["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|it| it["type"] == condition && it["status"] == status)
        };
        Ok(if is("Established", "True") {
            Attempt::Done(result, String::new())
        } else if is("NamesAccepted", "False") {
            Attempt::Serving(
                result,
                "its names are taken by another CustomResourceDefinition",
            )
        } else {
            Attempt::Serving(result, "it is applied, but not served yet")
        })
    }

    fn unknown_kind(&self, object: &Object, unknown: Unknown) -> Attempt {
        let ObjectReference {
            api_version, kind, ..
        } = &object.reference;
        let defined = self
            .defined
            .contains(&(group(api_version).to_owned(), kind.clone()));
        match (self.mode, defined, unknown) {
            (Mode::DryRun, true, _) => Attempt::Done(
                AppliedResult::Created,
                "not checked: its CustomResourceDefinition comes with the same set".to_owned(),
            ),
            (Mode::DryRun, false, _) | (_, _, Unknown::ForGood) => {
                Attempt::Failed(Verdict::Never(ApplyError::UnknownKind {
                    object: Box::new(object.reference.clone()),
                    field: object.field().to_owned(),
                }))
            }
            (Mode::Apply, _, Unknown::Yet) => Attempt::Failed(Verdict::Later(Wait::of_object(
                format!("the API server does not know {kind} of {api_version} yet"),
            ))),
        }
    }

    /// A dry run that found no namespace.
    fn unchecked_namespace(
        &self,
        object: &Object,
        reference: &ObjectReference,
        error: KubeError,
    ) -> Attempt {
        let about_namespace = error
            .refusal()
            .is_some_and(|refusal| refusal.about == "namespaces");
        if !about_namespace {
            return Attempt::Failed(judge(object, error));
        }
        if self.namespaces.contains(&reference.namespace) {
            let message = format!(
                "not checked: the namespace {} comes with the same set",
                reference.namespace
            );
            return Attempt::Done(AppliedResult::Created, message);
        }
        Attempt::Failed(Verdict::Never(ApplyError::NoNamespace {
            object: Box::new(reference.clone()),
            field: object.field().to_owned(),
        }))
    }
}

/// Whether nothing has changed. The resourceVersion does not tell: an API server may write an object anew only to note
/// when it was last applied, and a dry run gives none.
fn is_same(before: &Value, after: &Value) -> bool {
    demanded(before) == demanded(after)
}

/// An object without what others write, or every request changes.
fn demanded(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(field);
        }
    }
    object
}
