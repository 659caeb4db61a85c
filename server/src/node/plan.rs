//! What an injection does to the committed state: pure, but for a look at the static pod directory.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use seedpod_manifest::{
    BundleName, DigestKey, HostPort, Materials, NodeName, Objects, Pod, PodKey, Position, Reason,
    Side, Stamp, Violation, render,
};

use super::{
    Bundle, BundlePod, Change, ChangeError, ChangeKind, HistoryError, Inject, InjectError,
    Injected, Rollback, RollbackError, State, StoredWarning, Terms, Trial, clock::BootTime,
};
use crate::{
    projection::{Directory, ForeignFile},
    store::{Came, Draft, Origin, Reader, StoreId, bundle_digest},
};

/// The field that is at fault when a pod of an old revision does not fit.
const ROLLBACK_FIELD: &str = "to_revision";

/// What does not change while the daemon runs, and goes into each pod.
#[derive(Debug)]
pub(crate) struct Place {
    pub(super) id: Arc<StoreId>,
    /// Of the digests of what is secret.
    pub(super) digest_key: DigestKey,
    pub(super) node: NodeName,
    /// Where pods' volumes are put.
    pub(super) volumes_directory: PathBuf,
}

/// What a change is held against.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) state: &'a State,
    pub(super) directory: &'a Directory,
    pub(super) place: &'a Place,
    pub(super) has_runtime: bool,
}

/// An injection that fits the node.
#[derive(Debug)]
pub(super) struct Plan {
    old: Option<Arc<Bundle>>,
    new: Bundle,
    /// Ordered by pod, with what came before.
    changes: Vec<(PodKey, ChangeKind)>,
    warnings: Vec<StoredWarning>,
    came: Came,
    trial: Option<Terms>,
}

/// Holds an injection against the state and the static pod directory.
pub(super) fn plan(around: &Surroundings<'_>, inject: Inject) -> Result<Plan, InjectError> {
    let Inject {
        bundle: name,
        checked,
        expected_revision,
        request: _,
        trial,
    } = inject;
    check_revision(around.state, &name, expected_revision)?;
    if trial.is_some() && !around.has_runtime {
        let needed_for = "a trial, which looks whether the pods are ready,";
        return Err(InjectError::NoRuntime { needed_for });
    }
    check_fit(around, &name, &checked.pods)?;
    let came = Came::from(Origin::Injected);
    let warnings = checked.warnings.iter().map(Into::into).collect();
    Ok(Plan {
        warnings,
        trial,
        ..assemble(around.state, &around.place.id, name, &checked.pods, came)
    })
}

/// Holds a rollback against the same.
pub(super) fn rollback(
    around: &Surroundings<'_>,
    kept: &Reader,
    rollback: &Rollback,
) -> Result<Plan, RollbackError> {
    let name = &rollback.bundle;
    let newest = around
        .state
        .newest_revision(name)
        .ok_or_else(|| HistoryError::NoBundle { name: name.clone() })?;
    check_revision(around.state, name, rollback.expected_revision)?;
    let revision = match rollback.to_revision {
        0 => before(kept, name, newest)?,
        revision => revision,
    };
    let past = (revision <= newest)
        .then(|| kept.revision(name, revision).map_err(HistoryError::from))
        .transpose()?
        .flatten()
        .ok_or(HistoryError::NotKept { revision })?;
    if past.removed {
        return Err(RollbackError::Removal { revision });
    }
    let pods = contents(&past.bundle)?;
    check_fit(around, name, &pods)?;
    let came = Came {
        source_revision: revision,
        ..Came::from(Origin::RolledBack)
    };
    Ok(assemble(
        around.state,
        &around.place.id,
        name.clone(),
        &pods,
        came,
    ))
}

/// The last good revision before the newest one, or else the one before it.
fn before(kept: &Reader, name: &BundleName, newest: u64) -> Result<u64, RollbackError> {
    let list = kept.list(name, newest).map_err(HistoryError::from)?;
    let earlier = || list.iter().rev().filter(|listed| listed.revision < newest);
    let found = earlier().find(|listed| listed.good).or(earlier().next());
    found
        .map(|listed| listed.revision)
        .ok_or(RollbackError::NothingBefore)
}

/// What the node does by itself when a trial has failed: not held against anything, since the fallback's place was kept
/// for it.
pub(super) fn fall_back(
    state: &State,
    id: &StoreId,
    name: &BundleName,
    fallback: Option<&Bundle>,
    reason: String,
) -> Result<Plan, ChangeError> {
    let pods = fallback.map_or(Ok(Vec::new()), contents)?;
    let came = Came {
        source_revision: fallback.map_or(0, |bundle| bundle.revision),
        reason,
        ..Came::from(Origin::TrialFailed)
    };
    Ok(assemble(state, id, name.clone(), &pods, came))
}

/// A revision's pods as they were injected.
fn contents(bundle: &Bundle) -> Result<Vec<Pod>, ChangeError> {
    let content = |pod: &BundlePod| {
        pod.pod().ok_or_else(|| {
            let what = format!("pod {} of revision {} is damaged", pod.key, bundle.revision);
            ChangeError::Disk(std::io::Error::other(what))
        })
    };
    bundle.pods.iter().map(content).collect()
}

fn check_revision(
    state: &State,
    name: &BundleName,
    expected: Option<u64>,
) -> Result<(), InjectError> {
    let actual = state.bundles.get(name).map_or(0, |bundle| bundle.revision);
    match expected.filter(|expected| *expected != actual) {
        Some(expected) => Err(InjectError::StaleRevision { expected, actual }),
        None => Ok(()),
    }
}

/// Refuses pods that have no place on this node.
fn check_fit(
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

/// The next revision with these pods: those that are as before are taken over as they are.
fn assemble(state: &State, id: &StoreId, name: BundleName, wanted: &[Pod], came: Came) -> Plan {
    let old = state.bundles.get(&name).cloned();
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
    let mut pods = Vec::with_capacity(wanted.len());
    for pod in wanted {
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
        digest: bundle_digest(&pods, &[]),
        revision,
        create_time: old.as_ref().map_or(now, |bundle| bundle.create_time),
        update_time: now,
        pods,
        objects: Vec::new(),
        name,
    };
    Plan {
        old,
        new,
        changes: changes.into_iter().collect(),
        warnings: Vec::new(),
        came,
        trial: None,
    }
}

fn stamped(
    id: &StoreId,
    bundle: &BundleName,
    revision: u64,
    pod: &Pod,
    digest: String,
) -> BundlePod {
    let uid = id.pod_uid(bundle.as_str(), revision, pod.key(), &digest);
    let objects = Objects::default();
    let node = "node".parse().expect("TODO");
    let materials = Materials::of(pod, &objects, &node).expect("TODO");
    let rendered = render(
        pod,
        &Stamp {
            bundle,
            revision,
            uid: &uid,
            digest: pod.digest(),
            volumes: "",
        },
        &materials,
    );
    BundlePod {
        file: pod.key().file_name(),
        key: pod.key().clone(),
        host_ports: pod.host_ports().to_vec(),
        wave: pod.wave(),
        rendered: rendered.into(),
        source: None,
        volumes: None,
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

    pub(super) fn source_revision(&self) -> u64 {
        self.came.source_revision
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
                pod.pod()
            };
            if change.kind != ChangeKind::Unchanged {
                let old = self.old.as_deref().and_then(find);
                let new = find(&self.new);
                let side = |pod| Side { pod, objects: &[] };
                change.diff =
                    seedpod_manifest::diff(old.as_ref().map(side), new.as_ref().map(side));
            }
        }
        let bundle = self
            .unchanged()
            .map_or_else(|| Arc::new(self.new.clone()), Arc::clone);
        Injected {
            bundle,
            changes,
            object_changes: Vec::new(),
            warnings: self.warnings,
            source_revision: self.came.source_revision,
            replayed: false,
        }
    }

    /// For the store. A trial begins now.
    pub(super) fn draft(self, request: Option<super::RequestId>, now: BootTime) -> Draft {
        let changes = self.changes();
        Draft {
            removed: self.new.pods.is_empty(),
            bundle: self.new,
            request,
            changes,
            object_changes: Vec::new(),
            contents: Objects::default(),
            warnings: self.warnings,
            came: self.came,
            trial: self.trial.map(|terms| Trial { terms, begun: now }),
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
