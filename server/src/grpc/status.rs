//! Errors as gRPC statuses: the right code, exactly one ErrorInfo, and where it stands in the request.

use std::{collections::HashMap, fmt, io, time::Duration};

use seedpod_manifest::{BundleName, NameError, PodKey, Violation};
use seedpod_proto::ERROR_DOMAIN;
use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::reason::Reason;
use crate::{
    error::chain,
    events::WatchError,
    node::{ChangeError, ConfirmError, HistoryError, InjectError, RemoveError, RollbackError},
    runtime_cri::RuntimeError,
};

// A status travels in HTTP/2 trailers, which clients limit: grpc-java and the C core to 8 KiB of header list, hyper to
// 16 KiB; beyond that the client sees a broken stream and no error at all. So that 8 KiB are never reached: the details
// (base64, 4/3 of this, with a copy of the message in them), the message (percent-encoded), and some 300 bytes of others.
const MAX_DETAILS: usize = 4_400;
const MAX_ENCODED_MESSAGE: usize = 1_400;

/// The longest text of one field in the details, in bytes.
const MAX_TEXT: usize = 400;

/// How many violations are tried to fit in. Many more than ever do.
const MAX_VIOLATIONS: usize = 64;

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
    fn at(mut self, field: &str, description: impl Into<String>) -> Self {
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

const BUNDLE: &str = "seedpod.dev/Bundle";
const POD: &str = "seedpod.dev/Pod";
const FILE: &str = "seedpod.dev/StaticPodFile";

/// The status of an injection into `bundle` that was refused.
pub(super) fn inject(error: &InjectError, bundle: &BundleName) -> Status {
    match error {
        InjectError::Violations(found) => violations(found),
        InjectError::ForeignPod { pod, file, field } => {
            let description = format!(
                "pod {pod} is in the file {file} already, which Seedpod does not own; remove that \
                 file from the static pod directory, or give the pod another name"
            );
            taken(Reason::ForeignPod, field, description, pod)
                .meta("file", file)
                .into()
        }
        InjectError::ForeignFile { pod, file, field } => {
            let description = format!(
                "the file {file} of pod {pod} exists already, and Seedpod does not own it; remove \
                 it from the static pod directory, or give the pod another name"
            );
            taken(Reason::ForeignFile, field, description, pod)
                .meta("file", file)
                .resource(FILE, file)
                .into()
        }
        InjectError::OtherBundle { pod, owner, field } => {
            let description = format!(
                "pod {pod} belongs to bundle {owner}; remove it there first, or give the pod \
                 another name"
            );
            taken(Reason::PodInOtherBundle, field, description, pod)
                .meta("other_bundle", owner)
                .into()
        }
        InjectError::Reserved { pod, owner, field } => {
            let description = format!(
                "pod {pod} is kept for bundle {owner}, which goes back to it if its trial fails; \
                 wait until the trial is over, or give the pod another name"
            );
            taken(Reason::PodInOtherBundle, field, description, pod)
                .meta("other_bundle", owner)
                .into()
        }
        InjectError::NoRuntime { needed_for } => {
            let message = format!(
                "{needed_for} needs to know what runs, and this daemon has no container runtime \
                 to ask; set containerRuntimeEndpoint in its configuration"
            );
            Fault::new(Reason::RuntimeNotConfigured, message).into()
        }
        InjectError::StaleRevision { expected, actual } => stale(bundle, *expected, *actual),
        InjectError::RequestIdReused { id } => {
            let description = format!(
                "{id:?} was used for another request; use a new id for each request, and the same \
                 one only to repeat a request as it was"
            );
            Fault::field(Reason::RequestIdReused, "request_id", description).into()
        }
        InjectError::Change(error) => change(error),
    }
}

fn taken(reason: Reason, field: &str, description: String, pod: &PodKey) -> Fault {
    Fault::field(reason, field, description)
        .meta("pod", pod)
        .resource(POD, pod)
}

/// The status of a removal that was refused.
pub(super) fn remove(error: &RemoveError, bundle: &BundleName) -> Status {
    match error {
        RemoveError::NotFound { name } => not_found(name),
        RemoveError::StaleRevision { expected, actual } => stale(bundle, *expected, *actual),
        RemoveError::Change(error) => change(error),
    }
}

/// The status of a rollback of `bundle` that was refused.
pub(super) fn rollback(error: &RollbackError, bundle: &BundleName) -> Status {
    match error {
        RollbackError::History(error) => history(error, bundle),
        RollbackError::NothingBefore => {
            let message = format!(
                "bundle {bundle} has no revision before the active one to go back to; inject what \
                 is wanted, or remove the bundle"
            );
            Fault::new(Reason::NoEarlierRevision, message)
                .meta("bundle", bundle)
                .resource(BUNDLE, bundle)
                .into()
        }
        RollbackError::Removal { revision } => {
            let description = format!(
                "revision {revision} of bundle {bundle} is a removal and has no pods; name another \
                 one, or use RemoveBundle"
            );
            Fault::field(Reason::RevisionIsRemoval, "to_revision", description)
                .meta("bundle", bundle)
                .meta("revision", revision)
                .resource(BUNDLE, bundle)
                .into()
        }
        RollbackError::Inject(error) => inject(error, bundle),
    }
}

/// The status of old revisions of `bundle` that cannot be shown.
pub(super) fn history(error: &HistoryError, bundle: &BundleName) -> Status {
    match error {
        HistoryError::NoBundle { name } => not_found(name),
        HistoryError::NotKept { revision } => {
            let message = format!(
                "revision {revision} of bundle {bundle} is not kept, or never was; ListRevisions \
                 tells which are"
            );
            Fault::new(Reason::RevisionNotFound, message)
                .meta("bundle", bundle)
                .meta("revision", revision)
                .resource(BUNDLE, bundle)
                .into()
        }
        HistoryError::Change(error) => change(error),
    }
}

/// The status of a confirmation of this revision that was refused.
pub(super) fn confirm(error: &ConfirmError, bundle: &BundleName, revision: u64) -> Status {
    match error {
        ConfirmError::NotFound { name } => not_found(name),
        ConfirmError::NotActive { active } => {
            let message = format!(
                "revision {revision} of bundle {bundle} is not the active one, which is {active}; \
                 ListRevisions tells what became of it"
            );
            Fault::new(Reason::StaleRevision, message)
                .meta("bundle", bundle)
                .meta("expected_revision", &revision)
                .meta("actual_revision", active)
                .resource(BUNDLE, bundle)
                .into()
        }
        ConfirmError::NoTrial => {
            let message = format!(
                "revision {revision} of bundle {bundle} was not injected as a trial, and stays \
                 without being confirmed"
            );
            Fault::new(Reason::NotOnTrial, message)
                .meta("bundle", bundle)
                .meta("revision", &revision)
                .resource(BUNDLE, bundle)
                .into()
        }
        ConfirmError::Change(error) => change(error),
    }
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

fn stale(bundle: &BundleName, expected: u64, actual: u64) -> Status {
    let is = match actual {
        0 => format!("there is no bundle {bundle}"),
        actual => format!("the active revision of bundle {bundle} is {actual}"),
    };
    let message = format!(
        "expected_revision is {expected}, but {is}; read the bundle again, and decide anew"
    );
    Fault::new(Reason::StaleRevision, message)
        .meta("bundle", bundle)
        .meta("expected_revision", &expected)
        .meta("actual_revision", &actual)
        .resource(BUNDLE, bundle)
        .into()
}

/// The daemon is on its way out.
pub(super) fn shutting_down() -> Status {
    let message = "the daemon is shutting down; try again when it is back";
    Fault::new(Reason::ShuttingDown, message)
        .retry_after(RESTART)
        .into()
}

fn change(error: &ChangeError) -> Status {
    let failed = |reason, remedy: &str, source: &io::Error| {
        let message = format!("{}; nothing has changed; {remedy}", chain(error));
        Fault::new(reason, message).meta("cause", source)
    };
    match error {
        ChangeError::Busy { retry_after } => {
            let message = "too many changes are waiting on this node; try again in a moment";
            Fault::new(Reason::Busy, message).retry_after(*retry_after)
        }
        ChangeError::ShuttingDown => return shutting_down(),
        ChangeError::DiskFull(source) => {
            let remedy = "make room on its file system (GetNode tells the path) and try again";
            failed(Reason::DiskFull, remedy, source)
        }
        ChangeError::Disk(source) => {
            let remedy = "look at the disk behind it (GetNode tells the path)";
            failed(Reason::StateDirectoryFailed, remedy, source)
        }
        ChangeError::StaticPodDirectory(source) => {
            let remedy = "make it readable (GetNode tells the path) and try again";
            failed(Reason::StaticPodDirectoryFailed, remedy, source)
        }
    }
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
