//! Whether what is wanted has a place on this node: nothing of it may be somebody else's.

use std::sync::Arc;

use seedpod_manifest::{
    BundleName, HostPort, ObjectSummary, Objects, Pod, Position, Reason, Unsatisfied, Violation,
};

use super::{ROLLBACK_FIELD, Surroundings};
use crate::{
    node::{Bundle, BundlePod, ChangeError, InjectError, State},
    projection::ForeignFile,
};

/// Refuses pods that have no place on this node.
pub(super) fn check(
    around: &Surroundings<'_>,
    name: &BundleName,
    pods: &[Pod],
) -> Result<(), InjectError> {
    let first = pods.first().map(Pod::wave);
    if !around.has_runtime && pods.iter().any(|pod| Some(pod.wave()) != first) {
        let needed_for = "a bundle with several waves, which waits until one is ready,";
        return Err(InjectError::NoRuntime { needed_for });
    }
    let foreign = around
        .directory
        .foreign(around.state, &around.place.id)
        .map_err(ChangeError::StaticPodDirectory)?;
    check_names(around.state, &foreign, name, pods)?;
    check_host_ports(around.state, &foreign, name, pods)
}

/// Refuses other content for an object of the active revision that is immutable, as the API server does. Its labels and
/// annotations may change.
pub(super) fn check_immutable(
    active: Option<&Bundle>,
    wanted: &Objects,
    summaries: &[ObjectSummary],
) -> Result<(), InjectError> {
    let active = active.iter().flat_map(|bundle| &bundle.objects);
    for old in active.map(|object| &object.summary) {
        let Some(new) = summaries.iter().find(|new| new.key == old.key) else {
            continue;
        };
        let same = new.immutable && new.keys == old.keys && new.object_type == old.object_type;
        if old.immutable && !same {
            let field = wanted.get(&new.key).map_or("", |object| object.origin());
            return Err(InjectError::ImmutableObject {
                object: new.key.clone(),
                field: field.to_owned(),
            });
        }
    }
    Ok(())
}

/// What was checked already does not hold.
pub(super) fn unsatisfied(pod: &Pod, error: &Unsatisfied) -> InjectError {
    InjectError::Violations(vec![Violation {
        field: field_of(pod, &error.field),
        reason: Reason::UnknownObject,
        description: error.to_string(),
        position: pod.position(),
    }])
}

/// Refuses pods and files that are somebody else's.
fn check_names(
    state: &State,
    foreign: &[ForeignFile],
    name: &BundleName,
    pods: &[Pod],
) -> Result<(), InjectError> {
    for pod in pods {
        let key = pod.key();
        let field = || field_of(pod, "metadata.name");
        let other = |(bundle, theirs): &(&Arc<Bundle>, &BundlePod)| {
            bundle.name != *name && theirs.key == *key
        };
        if let Some((bundle, _)) = state.pods().find(other) {
            let owner = bundle.name.clone();
            return Err(InjectError::OtherBundle {
                pod: key.clone(),
                owner,
                field: field(),
            });
        }
        let reserved = |(bundle, theirs): &(&Arc<Bundle>, &BundlePod)| {
            bundle.name != *name && theirs.key == *key
        };
        if let Some((bundle, _)) = state.reserved().find(reserved) {
            return Err(InjectError::Reserved {
                pod: key.clone(),
                owner: bundle.name.clone(),
                field: field(),
            });
        }
        let file = key.file_name();
        for foreign in foreign {
            if foreign.file == file {
                return Err(InjectError::ForeignFile {
                    pod: key.clone(),
                    file,
                    field: field(),
                });
            }
            if foreign
                .pod
                .as_ref()
                .is_some_and(|theirs| theirs.key == *key)
            {
                let file = foreign.file.clone();
                return Err(InjectError::ForeignPod {
                    pod: key.clone(),
                    file,
                    field: field(),
                });
            }
        }
    }
    Ok(())
}

/// Refuses ports of the host that another bundle or a foreign pod has: the kubelet would not start the pod, and would
/// not try again when the port becomes free.
fn check_host_ports(
    state: &State,
    foreign: &[ForeignFile],
    name: &BundleName,
    pods: &[Pod],
) -> Result<(), InjectError> {
    let bundles = state.pods().filter(|(bundle, _)| bundle.name != *name);
    let mut taken: Vec<(String, &HostPort)> = bundles
        .flat_map(|(bundle, pod)| {
            let owner = format!("pod {} of bundle {}", pod.key, bundle.name);
            pod.host_ports.iter().map(move |port| (owner.clone(), port))
        })
        .collect();
    let reserved = state.reserved().filter(|(bundle, _)| bundle.name != *name);
    for (bundle, pod) in reserved {
        let owner = format!(
            "pod {} of bundle {}, which goes back to it if its trial fails",
            pod.key, bundle.name
        );
        taken.extend(pod.host_ports.iter().map(|port| (owner.clone(), port)));
    }
    for foreign in foreign {
        let Some(pod) = &foreign.pod else { continue };
        let owner = format!("pod {} in the foreign file {}", pod.key, foreign.file);
        taken.extend(pod.host_ports.iter().map(|port| (owner.clone(), port)));
    }
    let violations: Vec<Violation> = pods
        .iter()
        .flat_map(|pod| pod.host_ports().iter().map(move |port| (pod, port)))
        .filter_map(|(pod, port)| {
            let (owner, _) = taken
                .iter()
                .find(|(_, theirs)| theirs.conflicts_with(port))?;
            let field = field_of(pod, &port.field);
            Some(host_port_conflict(field, pod.position(), port, owner))
        })
        .collect();
    if violations.is_empty() {
        Ok(())
    } else {
        Err(InjectError::Violations(violations))
    }
}

/// The field of the request that a pod's field comes from.
fn field_of(pod: &Pod, field: &str) -> String {
    match pod.origin() {
        // From an old revision.
        "" => ROLLBACK_FIELD.to_owned(),
        origin => format!("{origin}.{field}"),
    }
}

fn host_port_conflict(
    field: String,
    position: Option<Position>,
    port: &HostPort,
    owner: &str,
) -> Violation {
    Violation {
        field,
        reason: Reason::HostPortConflict,
        description: format!(
            "port {} of the host is taken by {owner}; choose another port, or remove that pod first",
            port.port
        ),
        position,
    }
}
