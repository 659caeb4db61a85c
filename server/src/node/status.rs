//! How far each pod has come, from what is committed, what is projected and what runs. Pure.
//!
//! [`entries`] tells which pods there are to speak of; [`Entry::status`] judges one. They are apart so that a caller
//! can take one page of entries, ask the runtime for the details of these alone, and judge then.

mod containers;
mod spec;

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use seedpod_manifest::{BundleName, NodeName, PodKey};

use super::{BundlePod, PodProjection, ProjectionPhase, State, pod_name, sandboxes_of};
use crate::runtime_cri::{ContainerDetails, ContainerState, Sandbox};
use spec::Spec;

/// What is known of the runtime.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RuntimeView<'a> {
    /// There is none to ask.
    NotConfigured,
    /// It did not answer, for this reason.
    Away(&'a str),
    /// This is what it lists.
    Seen(&'a [Sandbox]),
}

/// How far a pod has come. See `PodState` in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PodState {
    Committed,
    Projected,
    Starting,
    Running,
    Failed,
    Replacing,
    Removing,
    Unknown,
}

impl PodState {
    /// The state as in the API, without the prefix: a label of metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "COMMITTED",
            Self::Projected => "PROJECTED",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Failed => "FAILED",
            Self::Replacing => "REPLACING",
            Self::Removing => "REMOVING",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// A pod and what runs for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodStatus {
    pub(crate) bundle: BundleName,
    pub(crate) key: PodKey,
    pub(crate) node_pod_name: String,
    /// Of the demanded content; when nothing is demanded, of what is stopping.
    pub(crate) uid: String,
    /// That brought the demanded content; 0 when nothing is demanded.
    pub(crate) revision: u64,
    pub(crate) state: PodState,
    /// A sentence for people.
    pub(crate) message: String,
    /// Of the sandbox, when it runs; 0 otherwise.
    pub(crate) running_revision: u64,
    /// The sandbox that the containers are of. Empty when there is none.
    pub(crate) sandbox_id: String,
    /// Ordered as in the manifest.
    pub(crate) containers: Vec<ContainerStatus>,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerStatus {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) state: ContainerState,
    pub(crate) restart_count: u32,
    /// As in the manifest, where that is known.
    pub(crate) image: String,
    pub(crate) start_time: Option<Timestamp>,
    /// 0 unless it has ended.
    pub(crate) exit_code: i32,
    pub(crate) reason: String,
}

/// A pod to speak of: one that is demanded, or one that is being removed.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    pub(crate) bundle: BundleName,
    pub(crate) key: PodKey,
    wanted: Option<&'a BundlePod>,
    projection: Option<&'a PodProjection>,
}

/// All pods to speak of, ordered by bundle, namespace and name; only those of bundle `only`, when it is given.
///
/// A pod that is no longer demanded stays until it stops. That is taken from the runtime and not from the projection
/// alone, which forgets it when the daemon restarts.
pub(crate) fn entries<'a>(
    state: &'a State,
    projections: &'a [PodProjection],
    view: RuntimeView<'a>,
    node: &NodeName,
    only: Option<&BundleName>,
) -> Vec<Entry<'a>> {
    let asked = |bundle: &BundleName| only.is_none_or(|only| only == bundle);
    // With the uid: an earlier content of the same pod may still be projected, and is another one's business.
    let projected: HashMap<(&BundleName, &PodKey, &str), &PodProjection> = projections
        .iter()
        .map(|projection| {
            (
                (&projection.bundle, &projection.key, projection.uid.as_str()),
                projection,
            )
        })
        .collect();
    let mut entries = BTreeMap::new();
    for bundle in state.bundles.values().filter(|bundle| asked(&bundle.name)) {
        for pod in &bundle.pods {
            let projection = projected
                .get(&(&bundle.name, &pod.key, pod.uid.as_str()))
                .copied();
            entries.insert(
                (bundle.name.clone(), pod.key.clone()),
                (Some(pod), projection),
            );
        }
    }
    for projection in projections {
        if projection.phase == ProjectionPhase::Removing && asked(&projection.bundle) {
            entries
                .entry((projection.bundle.clone(), projection.key.clone()))
                .or_insert((None, Some(projection)));
        }
    }
    if let RuntimeView::Seen(sandboxes) = view {
        for sandbox in sandboxes.iter().filter(|sandbox| sandbox.is_live()) {
            if let Some((bundle, key)) = owner_of(sandbox, node)
                && asked(&bundle)
            {
                entries.entry((bundle, key)).or_insert((None, None));
            }
        }
    }
    entries
        .into_iter()
        .map(|((bundle, key), (wanted, projection))| Entry {
            bundle,
            key,
            wanted,
            projection,
        })
        .collect()
}

/// The bundle and pod that a sandbox says it is of. `None` when it is not one of Seedpod's on this node.
fn owner_of(sandbox: &Sandbox, node: &NodeName) -> Option<(BundleName, PodKey)> {
    let bundle = sandbox.bundle.as_deref()?.parse().ok()?;
    let name = pod_name(&sandbox.name, node)?;
    Some((
        bundle,
        PodKey {
            namespace: sandbox.namespace.clone(),
            name: name.to_owned(),
        },
    ))
}

/// What the runtime has under a pod's name.
#[derive(Clone, Copy, Default)]
struct Found<'a> {
    /// The newest of the demanded content, running or not.
    own: Option<&'a Sandbox>,
    /// The newest running one of another content.
    other: Option<&'a Sandbox>,
}

impl<'a> Found<'a> {
    /// The one to show: what runs before what has ended, and the demanded content before another.
    fn shown(self) -> Option<&'a Sandbox> {
        self.own
            .filter(|own| own.is_live())
            .or(self.other)
            .or(self.own)
    }
}

impl Entry<'_> {
    /// The containers whose details [`Self::status`] wants, and their sandbox when it runs.
    pub(crate) fn sandbox<'s>(
        &self,
        view: RuntimeView<'s>,
        node: &NodeName,
    ) -> Option<&'s Sandbox> {
        self.find(view, node).shown()
    }

    fn find<'s>(&self, view: RuntimeView<'s>, node: &NodeName) -> Found<'s> {
        let RuntimeView::Seen(sandboxes) = view else {
            return Found::default();
        };
        let mut found = Found::default();
        for sandbox in sandboxes_of(sandboxes, &self.key, node) {
            let slot = if let Some(pod) = self.wanted {
                if sandbox.uid == pod.uid {
                    &mut found.own
                } else if sandbox.is_live() {
                    &mut found.other
                } else {
                    continue;
                }
            } else if sandbox.is_live() && self.is_removed(sandbox) {
                &mut found.other
            } else {
                continue;
            };
            if slot.is_none_or(|newest| newest.created_at < sandbox.created_at) {
                *slot = Some(sandbox);
            }
        }
        found
    }

    /// Whether a sandbox is of the content that is being removed: another bundle may have the name by now.
    fn is_removed(&self, sandbox: &Sandbox) -> bool {
        sandbox.bundle.as_deref() == Some(self.bundle.as_str())
            || self
                .projection
                .is_some_and(|projection| projection.uid == sandbox.uid)
    }

    /// Judges the pod. `details` are those of the containers of [`Self::sandbox`], by id, as far as they could be had.
    pub(crate) fn status(
        &self,
        view: RuntimeView<'_>,
        node: &NodeName,
        details: &HashMap<String, ContainerDetails>,
    ) -> PodStatus {
        let found = self.find(view, node);
        let spec = self
            .wanted
            .map_or_else(Spec::default, |pod| Spec::read(&pod.rendered));
        let (state, message) = match self.wanted {
            Some(pod) => self.wanted_state(pod, view, found, &spec, details),
            None => self.removed_state(view, found),
        };
        let error = self
            .projection
            .filter(|_| state != PodState::Running)
            .and_then(|projection| projection.error.clone());
        let shown = found.shown();
        PodStatus {
            bundle: self.bundle.clone(),
            key: self.key.clone(),
            node_pod_name: format!("{}-{node}", self.key.name),
            uid: match (self.wanted, shown, self.projection) {
                (Some(pod), _, _) => pod.uid.clone(),
                (None, Some(sandbox), _) => sandbox.uid.clone(),
                (None, None, Some(projection)) => projection.uid.clone(),
                (None, None, None) => String::new(),
            },
            revision: self.wanted.map_or(0, |pod| pod.revision),
            state,
            message: error.unwrap_or(message),
            running_revision: shown
                .filter(|sandbox| sandbox.is_live())
                .and_then(|sandbox| sandbox.revision)
                .unwrap_or(0),
            sandbox_id: shown.map_or_else(String::new, |sandbox| sandbox.id.clone()),
            containers: shown.map_or_else(Vec::new, |sandbox| {
                containers::list(sandbox, &spec, details)
            }),
        }
    }

    /// How far a demanded pod has come.
    fn wanted_state(
        &self,
        pod: &BundlePod,
        view: RuntimeView<'_>,
        found: Found<'_>,
        spec: &Spec,
        details: &HashMap<String, ContainerDetails>,
    ) -> (PodState, String) {
        // None: the projection has not seen the commit yet.
        let is_written = self
            .projection
            .is_some_and(|projection| projection.phase != ProjectionPhase::Pending);
        if let RuntimeView::Seen(_) = view {
            if let Some(old) = older(pod, found) {
                if is_written || found.own.is_some() {
                    return (PodState::Replacing, replacing(pod, old));
                }
            } else if let Some(own) = found.own {
                return containers::judge(own, spec, details);
            }
        }
        if !is_written {
            let message = "the pod is committed, and its file is about to be written";
            return (PodState::Committed, message.to_owned());
        }
        match view {
            RuntimeView::Seen(_) => (
                PodState::Projected,
                "the file is in the static pod directory, and the kubelet has not started the pod \
                 yet"
                .to_owned(),
            ),
            RuntimeView::Away(_) | RuntimeView::NotConfigured => (
                PodState::Unknown,
                format!(
                    "the file is in the static pod directory; whether the pod runs is not known: {}",
                    ignorance(view)
                ),
            ),
        }
    }

    /// How far the removal has come.
    fn removed_state(&self, view: RuntimeView<'_>, found: Found<'_>) -> (PodState, String) {
        match (view, found.other) {
            (RuntimeView::Seen(_), Some(_)) => (
                PodState::Removing,
                "the pod is no longer in the bundle and is being stopped; it has its grace period"
                    .to_owned(),
            ),
            (RuntimeView::Seen(_), None) => (
                PodState::Removing,
                "the pod is no longer in the bundle, and nothing of it runs any more".to_owned(),
            ),
            (RuntimeView::Away(_) | RuntimeView::NotConfigured, _) => (
                PodState::Unknown,
                format!(
                    "the pod is no longer in the bundle; whether it still runs is not known: {}",
                    ignorance(view)
                ),
            ),
        }
    }
}

/// The sandbox of an earlier content that still runs. It may have the demanded uid: on a kubelet that would not start
/// another one, a replacement keeps the uid, and only the revision tells them apart.
fn older<'a>(pod: &BundlePod, found: Found<'a>) -> Option<&'a Sandbox> {
    found.other.or_else(|| {
        found.own.filter(|own| {
            own.is_live()
                && own
                    .revision
                    .is_some_and(|revision| revision != pod.revision)
        })
    })
}

fn replacing(pod: &BundlePod, old: &Sandbox) -> String {
    let old = old.revision.map_or_else(
        || "a pod that is not Seedpod's".to_owned(),
        |revision| format!("revision {revision}"),
    );
    format!(
        "{old} still runs under this name and is being stopped for revision {}",
        pod.revision
    )
}

/// Why the runtime is not known.
fn ignorance(view: RuntimeView<'_>) -> String {
    match view {
        RuntimeView::NotConfigured => "no containerRuntimeEndpoint is configured".to_owned(),
        RuntimeView::Away(cause) => format!("the container runtime does not answer ({cause})"),
        RuntimeView::Seen(_) => String::new(),
    }
}

#[cfg(test)]
mod tests;
