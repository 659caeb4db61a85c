//! Who changed what, or saw what may be secret: one line for each attempt, whatever came of it, with target `audit`. Never contents.

use tonic::{Extensions, Status};
use tracing::info;

use super::{reason::code_name, status::reason_of};
use crate::{access::Identity, node::Bundle};

/// The client of a request, as far as audit tells of it.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) who: String,
    from: String,
    serial: String,
}

/// Who made the request.
pub(super) fn caller(extensions: &Extensions) -> Caller {
    match extensions.get::<Identity>() {
        Some(identity) => Caller {
            who: identity.name.clone(),
            from: identity.peer.to_string(),
            serial: identity.serial.clone().unwrap_or_default(),
        },
        // Not to be reached over the daemon's own sockets: `authorize` lets nobody in without an identity.
        None => Caller {
            who: "unknown".into(),
            from: "unknown".into(),
            serial: String::new(),
        },
    }
}

/// What a change came to.
pub(super) enum Outcome<'a> {
    /// There is a new revision, or the bundle is gone.
    Changed(&'a Bundle),
    /// All was as wanted before.
    Unchanged(Option<&'a Bundle>),
    /// A repeated request got the answer of the first one.
    Replayed(&'a Bundle),
    /// What may be secret was shown.
    Shown(&'a Bundle),
    /// A handoff was started or aborted: this one.
    Handoff(&'a str),
    /// The node was changed, and no bundle in particular.
    Done,
    Refused(&'a Status),
}

/// Writes the line.
pub(super) fn record(caller: &Caller, method: &'static str, bundle: &str, outcome: &Outcome<'_>) {
    let (result, of, status) = match outcome {
        Outcome::Changed(of) => ("changed", Some(*of), None),
        Outcome::Unchanged(of) => ("unchanged", *of, None),
        Outcome::Replayed(of) => ("replayed", Some(*of), None),
        Outcome::Shown(of) => ("shown", Some(*of), None),
        Outcome::Handoff(_) | Outcome::Done => ("changed", None, None),
        Outcome::Refused(status) => ("refused", None, Some(*status)),
    };
    let handoff = match outcome {
        Outcome::Handoff(id) => Some(*id),
        _ => None,
    };
    info!(
        target: "audit",
        who = caller.who,
        from = caller.from,
        certificate_serial = caller.serial,
        method,
        // A name that was refused may be anything, of any length.
        bundle = bundle.chars().take(63).collect::<String>(),
        revision = of.map(|bundle| bundle.revision),
        digest = of.map(|bundle| bundle.digest.as_str()),
        handoff,
        result,
        code = status.map_or("OK", |status| code_name(status.code())),
        reason = status.map(reason_of),
        "{method} {result}"
    );
}

/// Writes the line of an attempt to apply objects: how many, and what came of them. `status` is how it ended.
pub(super) fn record_objects(
    caller: &Caller,
    method: &'static str,
    objects: usize,
    counts: &ObjectCounts,
    status: Result<(), &Status>,
) {
    let result = match status {
        Ok(()) => "applied",
        Err(status) if status.code() == tonic::Code::Cancelled => "cancelled",
        Err(_) => "refused",
    };
    info!(
        target: "audit",
        who = caller.who,
        from = caller.from,
        certificate_serial = caller.serial,
        method,
        objects,
        created = counts.created,
        configured = counts.configured,
        unchanged = counts.unchanged,
        result,
        code = status.map_or_else(|status| code_name(status.code()), |()| "OK"),
        reason = status.err().map(reason_of),
        "{method} {result}"
    );
}

/// How many objects came to what.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct ObjectCounts {
    pub(super) created: usize,
    pub(super) configured: usize,
    pub(super) unchanged: usize,
}
