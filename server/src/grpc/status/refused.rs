//! Why the node refused a change, or could not show what was asked for.

use std::io;

use seedpod_manifest::{BundleName, PodKey};
use tonic::Status;

use super::{BUNDLE, Fault, Reason, handoff, not_found, shutting_down, violations};
use crate::{
    error::chain,
    node::{ChangeError, ConfirmError, HistoryError, InjectError, RemoveError, RollbackError},
};

const POD: &str = "seedpod.dev/Pod";
const OBJECT: &str = "seedpod.dev/Object";
const FILE: &str = "seedpod.dev/StaticPodFile";

/// The status of an injection into `bundle` that was refused.
pub(in super::super) fn inject(error: &InjectError, bundle: &BundleName) -> Status {
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
        InjectError::ImmutableObject { object, field } => {
            let description = format!(
                "{object} is immutable, and the active revision has it with other content; give it \
                 another name and refer to that, or remove the bundle first"
            );
            Fault::field(Reason::ImmutableObject, field, description)
                .meta("object", object)
                .resource(OBJECT, object)
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
        InjectError::RequestIdReused { id } => id_reused(id),
        InjectError::HandingOver(error) => handoff::under_way(error),
        InjectError::TrialOfStandby { name } => handoff::standby(name),
        InjectError::Change(error) => change(error),
    }
}

fn taken(reason: Reason, field: &str, description: String, pod: &PodKey) -> Fault {
    Fault::field(reason, field, description)
        .meta("pod", pod)
        .resource(POD, pod)
}

/// The status of a removal that was refused.
pub(in super::super) fn remove(error: &RemoveError, bundle: &BundleName) -> Status {
    match error {
        RemoveError::NotFound { name } => not_found(name),
        RemoveError::StaleRevision { expected, actual } => stale(bundle, *expected, *actual),
        RemoveError::HandingOver(error) => handoff::under_way(error),
        RemoveError::Change(error) => change(error),
    }
}

/// The status of a rollback of `bundle` that was refused.
pub(in super::super) fn rollback(error: &RollbackError, bundle: &BundleName) -> Status {
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
pub(in super::super) fn history(error: &HistoryError, bundle: &BundleName) -> Status {
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
pub(in super::super) fn confirm(
    error: &ConfirmError,
    bundle: &BundleName,
    revision: u64,
) -> Status {
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

/// The id of another request.
pub(super) fn id_reused(id: &str) -> Status {
    let description = format!(
        "{id:?} was used for another request; use a new id for each request, and the same one only \
         to repeat a request as it was"
    );
    Fault::field(Reason::RequestIdReused, "request_id", description).into()
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

pub(in super::super) fn change(error: &ChangeError) -> Status {
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
