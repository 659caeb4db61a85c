//! Errors as gRPC statuses: the right code, exactly one ErrorInfo, and where it stands in the request.
//!
//! `refused` has those of the node's own refusals, `handoff` those that have to do with its handoff.

mod handoff;
mod refused;

use std::{collections::HashMap, fmt, ops::RangeInclusive, time::Duration};

use seedpod_manifest::{BundleName, NameError, Violation};
use seedpod_proto::ERROR_DOMAIN;
use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

pub(super) use self::{
    handoff::{abort_handoff, no_handoff, start_handoff},
    refused::{change, confirm, history, inject, remove, rollback},
};
use super::reason::Reason;
use crate::{error::chain, events::WatchError, kube::KubeconfigError, runtime_cri::RuntimeError};

const BUNDLE: &str = "seedpod.dev/Bundle";

// A status travels in HTTP/2 trailers, which clients limit: grpc-java and the C core to 8 KiB of header list, hyper to
// 16 KiB; beyond that the client sees a broken stream and no error at all. So that 8 KiB are never reached: the details
// (base64, 4/3 of this, with a copy of the message in them), the message (percent-encoded), and some 300 bytes of others.
const MAX_DETAILS: usize = 4_400;
const MAX_ENCODED_MESSAGE: usize = 1_400;

/// The longest text of one field in the details, in bytes.
const MAX_TEXT: usize = 400;

/// How many violations are tried to fit in. Many more than ever do.
const MAX_VIOLATIONS: usize = 64;

/// How long a call goes on that may say so and does not, and what it may say.
const TIMEOUT: Duration = Duration::from_secs(2 * 60);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60 * 60);

/// How long a client should wait for the next daemon when this one is on its way out.
const RESTART: Duration = Duration::from_secs(2);

/// An error in the making. Boxed, since most calls have none.
#[derive(Debug)]
pub(super) struct Fault(Box<Parts>);

#[derive(Debug)]
struct Parts {
    reason: Reason,
    message: String,
    metadata: HashMap<String, String>,
    violations: Vec<FieldViolation>,
    retry: Option<Duration>,
    /// Type and name.
    resource: Option<(&'static str, String)>,
}

impl Fault {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            reason,
            message: message.into(),
            metadata: HashMap::new(),
            violations: Vec::new(),
            retry: None,
            resource: None,
        }))
    }

    /// A fault of one field of the request. The message names the field.
    pub(super) fn field(reason: Reason, field: &str, description: impl Into<String>) -> Self {
        let description = description.into();
        Self::new(reason, format!("{field}: {description}")).at(field, description)
    }

    /// Where in the request it stands.
    pub(super) fn at(mut self, field: &str, description: impl Into<String>) -> Self {
        self.0
            .violations
            .push(violation(field, self.0.reason.as_str(), description));
        self
    }

    /// Adds the faults that were found besides. The reason stays that of the first one.
    pub(super) fn and(mut self, others: impl IntoIterator<Item = Self>) -> Self {
        self.0
            .violations
            .extend(others.into_iter().flat_map(|other| other.0.violations));
        self
    }

    pub(super) fn meta(mut self, key: &str, value: &dyn fmt::Display) -> Self {
        self.0
            .metadata
            .insert(key.to_owned(), cut(value.to_string(), MAX_TEXT));
        self
    }

    pub(super) fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry = Some(after);
        self
    }

    pub(super) fn resource(mut self, kind: &'static str, name: &dyn fmt::Display) -> Self {
        self.0.resource = Some((kind, cut(name.to_string(), MAX_TEXT)));
        self
    }
}

fn violation(field: &str, reason: &str, description: impl Into<String>) -> FieldViolation {
    FieldViolation {
        field: cut(field.to_owned(), MAX_TEXT),
        description: cut(description.into(), MAX_TEXT),
        reason: reason.to_owned(),
        localized_message: None,
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let Parts {
            reason,
            message,
            mut metadata,
            mut violations,
            retry,
            resource,
        } = *fault.0;
        let total = violations.len();
        violations.truncate(MAX_VIOLATIONS);
        loop {
            let left_out = total - violations.len();
            let mut message = message.clone();
            if left_out > 0 {
                message = format!("{message}; {left_out} of {total} faults are left out here");
                metadata.insert("violations".to_owned(), total.to_string());
                metadata.insert("violations_left_out".to_owned(), left_out.to_string());
            }
            let mut details =
                ErrorDetails::with_error_info(reason.as_str(), ERROR_DOMAIN, metadata.clone());
            if !violations.is_empty() {
                details.set_bad_request(violations.clone());
            }
            if let Some(retry) = retry {
                details.set_retry_info(Some(retry));
            }
            if let Some((kind, name)) = &resource {
                details.set_resource_info(*kind, name.as_str(), "", message_cut(&message));
            }
            let status = Self::with_error_details(reason.code(), message_cut(&message), details);
            if status.details().len() <= MAX_DETAILS || violations.is_empty() {
                return status;
            }
            // A quarter at a time, so that even the largest takes a few rounds only.
            violations.truncate(violations.len() - violations.len().div_ceil(4));
        }
    }
}

/// Shortens a text to so many bytes.
fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// Shortens a message so that it fits percent-encoded.
fn message_cut(message: &str) -> String {
    // What gRPC does not encode; it may encode less than this says, never more.
    let encoded = |c: char| match c {
        c if c.is_ascii_alphanumeric() || ".,:;/-_()[]=".contains(c) => 1,
        c => 3 * c.len_utf8(),
    };
    let mut length = 0;
    for (at, c) in message.char_indices() {
        length += encoded(c);
        if length > MAX_ENCODED_MESSAGE {
            return format!("{}…", &message[..at]);
        }
    }
    message.to_owned()
}

/// The status of manifests with faults.
pub(super) fn violations(violations: &[Violation]) -> Status {
    let Some(first) = violations.first() else {
        return Fault::new(
            Reason::Internal,
            "the manifests were refused without a fault",
        )
        .into();
    };
    let count = match violations.len() {
        1 => "the manifests have a fault".to_owned(),
        many => format!("the manifests have {many} faults, the first"),
    };
    let message = format!("{count} at {}: {}", first.field, described(first));
    let mut fault =
        Fault::new(Reason::InvalidManifest, message).meta("first_reason", &first.reason);
    fault.0.violations.extend(
        violations
            .iter()
            .map(|fault| violation(&fault.field, fault.reason.as_str(), described(fault))),
    );
    fault.into()
}

/// The description with the place.
fn described(fault: &Violation) -> String {
    match fault.position {
        Some(at) => {
            let place = format!(" (line {}, column {})", at.line, at.column);
            cut(fault.description.clone(), MAX_TEXT - place.len()) + &place
        }
        None => fault.description.clone(),
    }
}

/// A bundle's name as in the request's field `field`.
pub(super) fn bundle_name(field: &str, given: &str) -> Result<BundleName, Fault> {
    given.parse().map_err(|error: NameError| {
        let description = if given.is_empty() {
            "a bundle name is required: lower-case letters, digits and \"-\"".to_owned()
        } else {
            error.to_string()
        };
        Fault::field(Reason::InvalidBundleName, field, description)
    })
}

/// What is wrong with the kubeconfig in a request's field `field`. No value of it is told.
pub(super) fn kubeconfig_fault(field: &str, error: &KubeconfigError) -> Fault {
    let field = match error.field.as_str() {
        "" => field.to_owned(),
        inner => format!("{field}.{inner}"),
    };
    Fault::field(Reason::InvalidKubeconfig, &field, error.problem.as_str())
}

/// How long a call may go on that says so in its field `timeout`.
pub(super) fn timeout(given: Option<prost_types::Duration>) -> Result<Duration, Fault> {
    let Some(given) = given else {
        return Ok(TIMEOUT);
    };
    Duration::try_from(given)
        .ok()
        .filter(|given| TIMEOUTS.contains(given))
        .ok_or_else(|| {
            let description = "it must be between 1 s and 1 hour, or left out for 2 minutes";
            Fault::field(Reason::InvalidTimeout, "timeout", description)
        })
}

/// There is no such bundle.
pub(super) fn not_found(name: &BundleName) -> Status {
    let message = format!("there is no bundle {name} on this node; ListBundles tells which are");
    Fault::new(Reason::BundleNotFound, message)
        .meta("bundle", name)
        .resource(BUNDLE, name)
        .into()
}

/// A fault of the daemon itself.
pub(super) fn internal(what: &str) -> Status {
    Fault::new(
        Reason::Internal,
        format!("{what}; please report this with the daemon's log"),
    )
    .into()
}

/// Why events are not sent, or no longer.
pub(super) fn watch_events(error: &WatchError) -> Status {
    let message = chain(error);
    match error {
        WatchError::Gone { after, oldest } => Fault::new(
            Reason::EventsGone,
            format!("{message}; begin again without after_sequence, or at {}", oldest - 1),
        )
        .meta("after_sequence", after)
        .meta("oldest_sequence", oldest),
        WatchError::NotReached { after, newest } => Fault::new(
            Reason::SequenceNotReached,
            format!(
                "{message}; it is of another node or of an earlier state directory: begin again without after_sequence"
            ),
        )
        .meta("after_sequence", after)
        .meta("newest_sequence", newest),
        WatchError::NotOpen(_) => Fault::new(
            Reason::EventsUnavailable,
            format!("{message}; look at the disk of the state directory"),
        )
        .retry_after(RESTART),
        WatchError::Unreadable { from, to, .. } => Fault::new(
            Reason::EventsUnreadable,
            format!("{message}; look at the disk, or go on without them after {to}"),
        )
        .meta("after_sequence", &(from - 1))
        .meta("unreadable_until", to),
        WatchError::Ended => return shutting_down(),
    }
    .into()
}

/// The status of a call that cannot do without the runtime, which is away.
pub(super) fn runtime_away(error: &RuntimeError) -> Status {
    let cause = error.root_cause();
    let message = format!(
        "the container runtime does not answer ({cause}), so that it is not known which images the \
         node has; nothing has changed; start it and try again"
    );
    Fault::new(Reason::RuntimeUnreachable, message)
        .meta("cause", &cause)
        .retry_after(RESTART)
        .into()
}

/// The daemon is on its way out.
pub(super) fn shutting_down() -> Status {
    let message = "the daemon is shutting down; try again when it is back";
    Fault::new(Reason::ShuttingDown, message)
        .retry_after(RESTART)
        .into()
}

/// The reason in a status that this daemon made. Empty in another.
pub(super) fn reason_of(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
