//! Why a handoff was not started or aborted, or why something else waits for it.

use seedpod_manifest::BundleName;
use tonic::Status;

use super::{
    BUNDLE, Fault, Reason, not_found,
    refused::{change, id_reused},
};
use crate::{
    handoff::Record,
    node::{AbortHandoffError, HandingOver, StartHandoffError},
};

const HANDOFF: &str = "seedpod.dev/Handoff";

/// The status of a handoff that was not started.
pub(in super::super) fn start_handoff(error: &StartHandoffError) -> Status {
    match error {
        StartHandoffError::NotFound { name } => not_found(name),
        StartHandoffError::OnTrial { name, revision } => {
            let message = format!(
                "revision {revision} of bundle {name} is on trial; wait until it is ready or \
                 confirm it, and start the handoff then"
            );
            of_bundle(Reason::BundleOnTrial, message, name).into()
        }
        StartHandoffError::NotReady {
            name,
            revision,
            pod,
        } => {
            let what = match pod {
                Some(pod) => format!("pod {pod} of bundle {name} is not ready now"),
                None => format!("not all pods of revision {revision} of bundle {name} were ready"),
            };
            let message = format!(
                "{what}; ListPods tells why, and a handoff begins with an injected control plane \
                 that works"
            );
            of_bundle(Reason::BundleNotReady, message, name).into()
        }
        StartHandoffError::NoPod {
            component,
            pod,
            name,
        } => {
            let field = format!("components[{component}].injected_pod");
            let description =
                format!("bundle {name} has no pod {pod}; ListPods tells which it has");
            Fault::field(Reason::InvalidHandoff, &field, description)
                .meta("bundle", name)
                .into()
        }
        StartHandoffError::UnderWay(record) => {
            let message = format!(
                "a handoff of bundle {} is under way on this node; wait for its end with \
                 WatchHandoff, or abort it",
                record.spec.bundle
            );
            of_handoff(Reason::HandoffExists, message, record).into()
        }
        StartHandoffError::HandedOver(record) => {
            let message = format!(
                "this node is handed over already: bundle {} is standby. To hand over once more, \
                 remove that bundle and inject it anew",
                record.spec.bundle
            );
            of_handoff(Reason::HandedOver, message, record).into()
        }
        StartHandoffError::RequestIdReused { id } => id_reused(id),
        StartHandoffError::NoRuntime => {
            let message = "a handoff needs to know what runs, and this daemon has no container \
                           runtime to ask; set containerRuntimeEndpoint in its configuration";
            Fault::new(Reason::RuntimeNotConfigured, message).into()
        }
        StartHandoffError::Change(error) => change(error),
    }
}

/// The status of a handoff that was not aborted.
pub(in super::super) fn abort_handoff(error: &AbortHandoffError) -> Status {
    match error {
        AbortHandoffError::NotFound { id } => no_handoff(id.as_deref()),
        AbortHandoffError::HandedOver(record) => {
            let message = format!(
                "this node is handed over, and there is no way back from that; bundle {} is \
                 standby, for the time that no API server answers",
                record.spec.bundle
            );
            of_handoff(Reason::HandedOver, message, record).into()
        }
        AbortHandoffError::Change(error) => change(error),
    }
}

/// There is no handoff, or not this one.
pub(in super::super) fn no_handoff(id: Option<&str>) -> Status {
    let message = match id {
        Some(id) => {
            format!("the handoff of this node is not {id}; GetHandoff tells which one it is")
        }
        None => "there was no handoff on this node; StartHandoff begins one".to_owned(),
    };
    Fault::new(Reason::HandoffNotFound, message).into()
}

/// A change of a bundle that has to wait for its handoff.
pub(super) fn under_way(error: &HandingOver) -> Status {
    let HandingOver { name, record } = error;
    let message = format!(
        "bundle {name} is being handed over to the cluster's own control plane, or back, and stays \
         as it is until that is over; wait for it with WatchHandoff, or abort it with AbortHandoff"
    );
    of_handoff(Reason::HandoffUnderWay, message, record).into()
}

/// A trial of a bundle whose pods are not projected.
pub(super) fn standby(name: &BundleName) -> Status {
    let message = format!(
        "bundle {name} is standby: its pods do not run, so that a trial of it could never end well; \
         inject it without a trial"
    );
    of_bundle(Reason::BundleIsStandby, message, name).into()
}

fn of_bundle(reason: Reason, message: String, name: &BundleName) -> Fault {
    Fault::new(reason, message)
        .meta("bundle", name)
        .resource(BUNDLE, name)
}

fn of_handoff(reason: Reason, message: String, record: &Record) -> Fault {
    Fault::new(reason, message)
        .meta("bundle", &record.spec.bundle)
        .meta("handoff", &record.id)
        .resource(HANDOFF, &record.id)
}
