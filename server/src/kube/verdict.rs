//! What a failed attempt to apply an object means: to try again, for how long, or not at all.

use std::time::Duration;

use super::{
    apply::{ApplyError, Conflict},
    error::{Cause, KubeError, Refusal, shortened},
    objects::Object,
};
use crate::error::chain;

/// What to do after a failed attempt.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It may succeed later: for as long as the caller waits.
    Later(Wait),
    /// It may succeed soon: an API server that has just started does not know yet who may do what, and what steers
    /// connections may have led to one that is not ready. When it does not, the error is final.
    Soon(Wait, ApplyError),
    /// Final.
    Never(ApplyError),
}

/// What is waited for.
#[derive(Debug)]
pub(super) struct Wait {
    /// For people.
    pub(super) why: String,
    /// What the API server asks for.
    pub(super) pause: Option<Duration>,
    /// Whether the API server as a whole is concerned, so that there is no use in trying another object.
    pub(super) of_server: bool,
}

impl Wait {
    pub(super) fn of_object(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            pause: None,
            of_server: false,
        }
    }

    fn of_server(why: String) -> Self {
        Self {
            why,
            pause: None,
            of_server: true,
        }
    }
}

/// Judges a failed attempt.
pub(super) fn judge(object: &Object, error: KubeError) -> Verdict {
    match error {
        KubeError::Refused(refusal) => judge_refusal(object, &refusal),
        error if error.is_untrusted() => {
            Verdict::Soon(Wait::of_server(chain(&error)), ApplyError::Untrusted(error))
        }
        error => Verdict::Later(Wait::of_server(chain(&error))),
    }
}

fn judge_refusal(object: &Object, refusal: &Refusal) -> Verdict {
    let said = said(object, refusal);
    let reference = || Box::new(object.reference.clone());
    let refused = || {
        Verdict::Never(ApplyError::Refused {
            object: reference(),
            field: object.field().to_owned(),
            message: said.clone(),
        })
    };
    let later = |of_server| {
        Verdict::Later(Wait {
            why: format!("the API server answered {}: {said}", refusal.code),
            pause: refusal.retry_after,
            of_server,
        })
    };
    match refusal.code {
        401 => Verdict::Soon(
            Wait::of_server(format!("the API server does not know the user: {said}")),
            ApplyError::Unauthenticated { message: said },
        ),
        403 if has_cause(refusal, "NamespaceTerminating") => later(false),
        // Admission refuses in the same words, but for the user.
        403 if !refusal.message.contains("is forbidden: User ") && awaits(&refusal.message) => {
            later(false)
        }
        403 => Verdict::Soon(
            Wait::of_object(format!("it may not be applied: {said}")),
            ApplyError::Forbidden {
                object: reference(),
                message: said,
            },
        ),
        404 if refusal.about == "namespaces" => {
            let namespace = &object.reference.namespace;
            let why = match namespace.as_str() {
                "" => "its namespace is not there yet".to_owned(),
                name => format!("the namespace {name} is not there yet"),
            };
            Verdict::Later(Wait::of_object(why))
        }
        404 => Verdict::Later(Wait::of_object("its kind is not served any more")),
        409 if has_cause(refusal, "FieldManagerConflict") => Verdict::Never(ApplyError::Conflict {
            object: reference(),
            conflicts: conflicts(refusal),
        }),
        500 if is_fault_of_object(&refusal.message) => refused(),
        429 | 502..=504 => later(!is_webhook(refusal)),
        // Somebody else has changed or made it at the same time; webhooks that are not up.
        408 | 409 | 500..=599 => later(false),
        _ => refused(),
    }
}

/// What admission waits for: a service account that the controller manager has not made, a priority class that comes
/// with the same set, informers that have not heard of anything.
fn awaits(message: &str) -> bool {
    [
        "error looking up service account",
        "no PriorityClass with name",
        "not yet ready to handle request",
        "being terminated",
        "caches not synchronized",
        "status unknown for quota",
    ]
    .iter()
    .any(|it| message.contains(it))
}

/// Whether the object cannot be decoded as its kind, or not be brought into the stored version: the API server takes
/// these for faults of its own. A webhook that converts versions may be up later.
fn is_fault_of_object(message: &str) -> bool {
    let converts = message.contains("failed to convert new")
        || message.contains("failed to convert to unversioned");
    message.contains("failed to create typed patch object")
        || message.contains("illegal base64 data")
        || (converts && !message.contains("webhook"))
}

fn is_webhook(refusal: &Refusal) -> bool {
    refusal.message.contains("webhook")
}

fn has_cause(refusal: &Refusal, reason: &str) -> bool {
    refusal.causes.iter().any(|cause| cause.reason == reason)
}

/// What the API server said, without the values of a Secret, which its messages may quote.
fn said(object: &Object, refusal: &Refusal) -> String {
    let is_of_webhook = refusal.message.contains("failed calling webhook");
    if object.is_secret() && matches!(refusal.code, 400 | 409 | 422 | 500) && !is_of_webhook {
        let fields: Vec<_> = refusal
            .causes
            .iter()
            .map(|cause| format!("{} ({})", shortened(&cause.field), shortened(&cause.reason)))
            .collect();
        let reason = match refusal.reason.as_str() {
            "" => "it finds a fault".to_owned(),
            reason => shortened(reason),
        };
        return match fields.as_slice() {
            [] => {
                format!(
                    "{reason}; its message is not shown, since it may quote the Secret's values"
                )
            }
            fields => format!("{reason}: {}", fields.join(", ")),
        };
    }
    shortened(&refusal.message)
}

/// Each conflict as the API server tells it: `conflict with "kubectl" using apps/v1`.
fn conflicts(refusal: &Refusal) -> Vec<Conflict> {
    let causes = refusal.causes.iter();
    causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|Cause { field, message, .. }| Conflict {
            field: shortened(field.trim_start_matches('.')),
            manager: message
                .split('"')
                .nth(1)
                .map_or_else(|| shortened(message), shortened),
        })
        .collect()
}
