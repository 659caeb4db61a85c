//! What an injection does to the committed state: pure, but for a look at the static pod directory.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use seedpod_manifest::{
    BundleName, HostPort, Pod, PodKey, Position, Reason, Stamp, Violation, render, unrender,
};

use super::{
    Bundle, BundlePod, Change, ChangeError, ChangeKind, Inject, InjectError, Injected, State,
    StoredWarning,
};
use crate::{
    projection::{Directory, ForeignFile},
    store::{Draft, StoreId, bundle_digest},
};

/// An injection that fits the node.
#[derive(Debug)]
pub(super) struct Plan {
    old: Option<Arc<Bundle>>,
    new: Bundle,
    /// Ordered by pod, with what came before.
    changes: Vec<(PodKey, ChangeKind)>,
    warnings: Vec<StoredWarning>,
}

/// Holds an injection against the state and the static pod directory.
pub(super) fn plan(
    state: &State,
    directory: &Directory,
    id: &StoreId,
    inject: Inject,
) -> Result<Plan, InjectError> {
    let foreign = directory
        .foreign(state, id)
        .map_err(ChangeError::StaticPodDirectory)?;
    plan_beside(state, &foreign, id, inject)
}

fn plan_beside(
    state: &State,
    foreign: &[ForeignFile],
    id: &StoreId,
    inject: Inject,
) -> Result<Plan, InjectError> {
    let Inject {
        bundle: name,
        checked,
        expected_revision,
        request: _,
    } = inject;
    let old = state.bundles.get(&name).cloned();
    let actual = old.as_ref().map_or(0, |bundle| bundle.revision);
    if let Some(expected) = expected_revision.filter(|expected| *expected != actual) {
        return Err(InjectError::StaleRevision { expected, actual });
    }
    check_names(state, foreign, &name, &checked.pods)?;
    check_host_ports(state, foreign, &name, &checked.pods)?;

    let revision = state.next_revision(&name);
    let before: BTreeMap<&PodKey, &BundlePod> = old
        .iter()
        .flat_map(|bundle| &bundle.pods)
        .map(|pod| (&pod.key, pod))
        .collect();
    let mut changes: BTreeMap<PodKey, ChangeKind> = before
        .keys()
        .map(|key| ((*key).clone(), ChangeKind::Removed))
        .collect();
    let mut pods = Vec::with_capacity(checked.pods.len());
    for pod in &checked.pods {
        let key = pod.key();
        let digest = pod.digest().to_string();
        let (kind, pod) = match before.get(key) {
            Some(same) if same.digest == digest => (ChangeKind::Unchanged, (*same).clone()),
            Some(_) => (
                ChangeKind::Replaced,
                stamped(id, &name, revision, pod, digest),
            ),
            None => (ChangeKind::Added, stamped(id, &name, revision, pod, digest)),
        };
        changes.insert(key.clone(), kind);
        pods.push(pod);
    }
    let now = Timestamp::now();
    let new = Bundle {
        digest: bundle_digest(pods.iter().map(|pod| (&pod.key, pod.digest.as_str()))),
        revision,
        create_time: old.as_ref().map_or(now, |bundle| bundle.create_time),
        update_time: now,
        pods,
        name,
    };
    let changes = changes.into_iter().collect();
    Ok(Plan {
        old,
        new,
        changes,
        warnings: checked.warnings.iter().map(Into::into).collect(),
    })
}

fn stamped(
    id: &StoreId,
    bundle: &BundleName,
    revision: u64,
    pod: &Pod,
    digest: String,
) -> BundlePod {
    let uid = id.pod_uid(bundle.as_str(), revision, pod.key(), &digest);
    let rendered = render(
        pod,
        &Stamp {
            bundle,
            revision,
            uid: &uid,
        },
    );
    BundlePod {
        file: pod.key().file_name(),
        key: pod.key().clone(),
        host_ports: pod.host_ports().to_vec(),
        wave: pod.wave(),
        rendered: rendered.into(),
        uid,
        digest,
        revision,
    }
}

impl Plan {
    /// The bundle as it is already, when nothing changes.
    pub(super) fn unchanged(&self) -> Option<&Arc<Bundle>> {
        let all = self
            .changes
            .iter()
            .all(|(_, kind)| *kind == ChangeKind::Unchanged);
        self.old.as_ref().filter(|_| all)
    }

    pub(super) fn warnings(&self) -> &[StoredWarning] {
        &self.warnings
    }

    pub(super) fn changes(&self) -> Vec<Change> {
        let change = |(pod, kind): &(PodKey, ChangeKind)| Change {
            pod: pod.clone(),
            kind: *kind,
            diff: String::new(),
        };
        self.changes.iter().map(change).collect()
    }

    /// What carrying it out would answer, with diffs.
    pub(super) fn preview(self) -> Injected {
        let mut changes = self.changes();
        for change in &mut changes {
            let find = |bundle: &Bundle| {
                let pod = bundle.pods.iter().find(|pod| pod.key == change.pod)?;
                unrender(&pod.rendered)
            };
            if change.kind != ChangeKind::Unchanged {
                let old = self.old.as_deref().and_then(find);
                change.diff = seedpod_manifest::diff(old.as_ref(), find(&self.new).as_ref());
            }
        }
        let bundle = self
            .unchanged()
            .map_or_else(|| Arc::new(self.new.clone()), Arc::clone);
        Injected {
            bundle,
            changes,
            warnings: self.warnings,
            replayed: false,
        }
    }

    /// For the store.
    pub(super) fn draft(self, request: Option<super::RequestId>) -> Draft {
        let changes = self.changes();
        Draft {
            bundle: self.new,
            removed: false,
            request,
            changes,
            warnings: self.warnings,
        }
    }
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
        let field = || format!("{}.metadata.name", pod.origin());
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
            Some(host_port_conflict(
                pod.origin(),
                pod.position(),
                port,
                owner,
            ))
        })
        .collect();
    if violations.is_empty() {
        Ok(())
    } else {
        Err(InjectError::Violations(violations))
    }
}

fn host_port_conflict(
    origin: &str,
    position: Option<Position>,
    port: &HostPort,
    owner: &str,
) -> Violation {
    Violation {
        field: format!("{origin}.{}", port.field),
        reason: Reason::HostPortConflict,
        description: format!(
            "port {} of the host is taken by {owner}; choose another port, or remove that pod first",
            port.port
        ),
        position,
    }
}
