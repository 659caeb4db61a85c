//! The one actor that owns the node's state, and the handle through which everything else reaches it.
//!
//! `actor` and `handle` are these two; `start` makes them, with everything that runs beside them. Here is what they
//! speak of.

mod actor;
pub(crate) mod clock;
mod error;
mod follow;
mod handle;
mod handoff;
mod history;
mod plan;
mod start;
pub(crate) mod status;
#[cfg(test)]
mod tests;
mod trial;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;
use seedpod_manifest::{
    BundleName, Checked, Digest, HostPort, KeyedDigest, NodeName, ObjectKey, ObjectSummary, Pod,
    PodKey, Warning, unrender,
};
use tokio::sync::watch;

use self::status::PodStatus;
pub(crate) use self::{
    clock::BootTime,
    error::{
        AbortHandoffError, AdvanceError, ChangeError, ConfirmError, HandingOver, HistoryError,
        InjectError, MaterialError, RemoveError, RollbackError, StartHandoffError,
    },
    handle::NodeHandle,
    history::Revision,
    start::{Rules, Setup, start},
    trial::{Confirmation, Left, OnTrial, Terms, Trial},
};
use crate::{handoff::Record, runtime_cri::Sandbox, store::StoreId};

/// An injection as the API layer hands it over: decoded and checked, except against the node's state.
#[derive(Debug, Clone)]
pub(crate) struct Inject {
    pub(crate) bundle: BundleName,
    pub(crate) checked: Checked,
    pub(crate) expected_revision: Option<u64>,
    /// The client's id for this request, and the digest of the request's content.
    pub(crate) request: Option<RequestId>,
    /// When set, the revision is undone unless it is confirmed in time.
    pub(crate) trial: Option<Terms>,
}

/// A rollback as the API layer hands it over.
#[derive(Debug, Clone)]
pub(crate) struct Rollback {
    pub(crate) bundle: BundleName,
    /// 0: the last good revision before the active one.
    pub(crate) to_revision: u64,
    pub(crate) expected_revision: Option<u64>,
    pub(crate) request: Option<RequestId>,
}

/// A removal as the API layer hands it over.
#[derive(Debug, Clone)]
pub(crate) struct Removal {
    pub(crate) bundle: BundleName,
    pub(crate) expected_revision: Option<u64>,
    /// Whether all earlier revisions are forgotten, with what only they need.
    pub(crate) forget_history: bool,
}

#[cfg(test)]
impl From<&str> for Removal {
    fn from(bundle: &str) -> Self {
        Self {
            bundle: bundle.parse().expect("a valid name"),
            expected_revision: None,
            forget_history: false,
        }
    }
}

/// A client's id for a request, and what it was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId {
    pub(crate) id: String,
    /// Over everything in the request that matters.
    pub(crate) fingerprint: Digest,
}

/// What an injection did or would do.
#[derive(Debug, Clone)]
pub(crate) struct Injected {
    pub(crate) bundle: Arc<Bundle>,
    /// Ordered by pod.
    pub(crate) changes: Vec<Change>,
    /// Ordered by object.
    pub(crate) object_changes: Vec<ObjectChange>,
    pub(crate) warnings: Vec<StoredWarning>,
    /// What a rollback was to; 0 for an injection.
    pub(crate) source_revision: u64,
    /// Whether this answer was given before to the same request id.
    pub(crate) replayed: bool,
}

/// A warning as it is kept with a revision.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct StoredWarning {
    pub(crate) field: String,
    pub(crate) reason: String,
    pub(crate) description: String,
}

impl From<&Warning> for StoredWarning {
    fn from(warning: &Warning) -> Self {
        Self {
            field: warning.field.clone(),
            reason: warning.reason.as_str().to_owned(),
            description: warning.description.clone(),
        }
    }
}

/// What happens to one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) pod: PodKey,
    pub(crate) kind: ChangeKind,
    /// A unified diff, secrets masked. Only from [`NodeHandle::validate`].
    pub(crate) diff: String,
}

/// What happens to one Secret or ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectChange {
    pub(crate) object: ObjectKey,
    pub(crate) kind: ChangeKind,
    /// A unified diff of names, sizes and digests. Only from [`NodeHandle::validate`].
    pub(crate) diff: String,
}

/// How a pod or an object changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChangeKind {
    Added,
    Replaced,
    Removed,
    Unchanged,
}

/// The active revision of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bundle {
    pub(crate) name: BundleName,
    pub(crate) revision: u64,
    pub(crate) digest: String,
    pub(crate) create_time: Timestamp,
    pub(crate) update_time: Timestamp,
    /// Ordered by pod.
    pub(crate) pods: Vec<BundlePod>,
    /// Ordered by object.
    pub(crate) objects: Vec<BundleObject>,
}

impl Bundle {
    /// Which pods refer to each object that any does refer to, whether it is there or not, ordered.
    pub(crate) fn users(&self) -> BTreeMap<ObjectKey, Vec<PodKey>> {
        let mut users = BTreeMap::<_, Vec<_>>::new();
        // Without a source it takes nothing.
        for kept in self.pods.iter().filter(|pod| pod.source.is_some()) {
            let references = kept.pod().map(|pod| pod.references());
            for object in references.into_iter().flatten() {
                users.entry(object).or_default().push(kept.key.clone());
            }
        }
        users
    }
}

/// A Secret or ConfigMap of a bundle. Its content is on the disk only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BundleObject {
    pub(crate) summary: ObjectSummary,
    /// The revision that brought this content.
    pub(crate) revision: u64,
}

/// A pod of a bundle, rendered.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BundlePod {
    pub(crate) key: PodKey,
    pub(crate) uid: String,
    pub(crate) digest: String,
    /// The revision that brought this content.
    pub(crate) revision: u64,
    pub(crate) file: String,
    /// The file's content.
    pub(crate) rendered: Arc<str>,
    /// What it was rendered from, for a pod that takes something from objects: that can't be read back from the file.
    pub(crate) source: Option<Arc<str>>,
    /// The folder that its volumes are in, when it has any of Secrets or ConfigMaps.
    pub(crate) volumes: Option<Arc<Path>>,
    /// The host's ports that it takes.
    pub(crate) host_ports: Vec<HostPort>,
    /// Its place in the order of the bundle.
    pub(crate) wave: u32,
}

impl BundlePod {
    /// The pod as it was injected. `None` when what is kept of it is damaged.
    pub(crate) fn pod(&self) -> Option<Pod> {
        match &self.source {
            Some(source) => Pod::from_source(source),
            None => unrender(&self.rendered),
        }
    }
}

impl std::fmt::Debug for BundlePod {
    /// Without the content, which may hold what is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BundlePod")
            .field("key", &self.key)
            .field("uid", &self.uid)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// Everything that is committed. Published whole after each commit; never changed in place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) bundles: BTreeMap<BundleName, Arc<Bundle>>,
    /// The last revision of bundles that were removed: their numbers go on when they come back.
    pub(crate) removed: BTreeMap<BundleName, u64>,
    /// The newest good revision of each bundle that has one: it was ready as a whole once, or was confirmed.
    pub(crate) good: BTreeMap<BundleName, u64>,
    /// The bundles of which all pods of the active revision were ready once.
    pub(crate) ready: BTreeSet<BundleName>,
    /// The trials of the active revisions that were injected as one.
    pub(crate) trials: BTreeMap<BundleName, OnTrial>,
    /// The node's handoff, if there was one.
    pub(crate) handoff: Option<Arc<Record>>,
    /// What that needs of what is secret, on the disk.
    pub(crate) handoff_material: Option<KeyedDigest>,
}

impl State {
    /// Whether a pod is not to be projected, because it is handed over.
    pub(crate) fn is_withheld(&self, bundle: &BundleName, pod: &PodKey) -> bool {
        let record = self.handoff.as_ref();
        record.is_some_and(|it| it.spec.bundle == *bundle && it.withheld.contains(pod))
    }

    /// The revision that the next commit of this bundle gets.
    pub(crate) fn next_revision(&self, name: &BundleName) -> u64 {
        self.newest_revision(name).unwrap_or(0) + 1
    }

    /// The newest revision of a bundle, a removal included. `None`: nobody knows such a bundle.
    pub(crate) fn newest_revision(&self, name: &BundleName) -> Option<u64> {
        let active = self.bundles.get(name).map(|bundle| bundle.revision);
        active.or_else(|| self.removed.get(name).copied())
    }

    /// The pods that bundles on trial may go back to: their names and ports are kept for them.
    pub(crate) fn reserved(&self) -> impl Iterator<Item = (&Arc<Bundle>, &BundlePod)> {
        let pending = self.trials.values().filter(|trial| trial.is_pending());
        pending
            .filter_map(|trial| trial.fallback.as_ref())
            .flat_map(|bundle| bundle.pods.iter().map(move |pod| (bundle, pod)))
    }

    /// All pods with their bundles.
    pub(crate) fn pods(&self) -> impl Iterator<Item = (&Arc<Bundle>, &BundlePod)> {
        self.bundles
            .values()
            .flat_map(|bundle| bundle.pods.iter().map(move |pod| (bundle, pod)))
    }
}

/// What the projection knows of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodProjection {
    pub(crate) bundle: BundleName,
    pub(crate) key: PodKey,
    pub(crate) uid: String,
    pub(crate) phase: ProjectionPhase,
    /// Only with [`ProjectionPhase::Pending`]: the pod of a lower wave that is to be ready first.
    pub(crate) waits_for: Option<Waits>,
    /// What went wrong last, for people: "the static pod directory is full", ….
    pub(crate) error: Option<String>,
}

/// A pod that has to be ready before another one is projected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) key: PodKey,
    pub(crate) wave: u32,
    /// Its wave has taken longer than it may. It is waited for all the same.
    pub(crate) timed_out: bool,
}

/// How far the projection of a pod has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProjectionPhase {
    /// The file is not written yet.
    Pending,
    /// The file is there; the runtime has not confirmed it (and never does without one).
    Written,
    /// As written, in the place of an earlier pod of the same name that may still run.
    Replacing,
    /// The runtime has a sandbox of this uid.
    Confirmed,
    /// The pod is no longer wanted; its file is gone or about to be, and it may still run.
    Removing,
}

/// Something that is wrong on the node now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Stable, UPPER_SNAKE_CASE.
    pub(crate) reason: &'static str,
    /// A sentence with the remedy.
    pub(crate) message: String,
}

/// All pods to speak of, judged. Published by `follow` whenever one changes.
pub(crate) type StatusWatch = watch::Receiver<Arc<Vec<PodStatus>>>;

/// Takes the bundle away from sandboxes that only look like ours: of a rendered file that somebody copied, or of
/// another store. Their uid tells.
fn disown_copies(sandboxes: &mut [Sandbox], id: &StoreId, node: &NodeName) {
    for sandbox in sandboxes {
        if owner_of(id, sandbox, node).is_none() {
            sandbox.bundle = None;
            sandbox.revision = None;
        }
    }
}

/// The runtime's sandboxes of one pod.
pub(crate) fn sandboxes_of<'a, 'k>(
    sandboxes: &'a [Sandbox],
    key: &'k PodKey,
    node: &'k seedpod_manifest::NodeName,
) -> impl Iterator<Item = &'a Sandbox> {
    sandboxes.iter().filter(move |sandbox| {
        sandbox.namespace == key.namespace
            && pod_name(&sandbox.name, node) == Some(key.name.as_str())
    })
}

/// Sandboxes by the namespace and name of their pod, the latter without the node's suffix.
type SandboxesByPod<'a> = HashMap<(&'a str, &'a str), Vec<&'a Sandbox>>;

fn sandboxes_by_pod<'a>(sandboxes: &'a [Sandbox], node: &NodeName) -> SandboxesByPod<'a> {
    let mut of_pods = SandboxesByPod::new();
    for sandbox in sandboxes {
        if let Some(name) = pod_name(&sandbox.name, node) {
            let place = (sandbox.namespace.as_str(), name);
            of_pods.entry(place).or_default().push(sandbox);
        }
    }
    of_pods
}

/// The pod that a sandbox is of, when this very store made it: the uid of its content proves that.
pub(crate) fn owner_of(
    id: &StoreId,
    sandbox: &Sandbox,
    node: &NodeName,
) -> Option<(BundleName, PodKey)> {
    let (bundle, digest) = (sandbox.bundle.as_deref()?, sandbox.digest.as_deref()?);
    let key = PodKey {
        namespace: sandbox.namespace.clone(),
        name: pod_name(&sandbox.name, node)?.to_owned(),
    };
    let returned = sandbox.returned;
    let uid = id.returned_uid(bundle, sandbox.revision?, &key, digest, returned);
    (uid == sandbox.uid).then_some((bundle.parse().ok()?, key))
}

/// A static pod's name as in its manifest: the kubelet's name for it without the node's suffix.
pub(crate) fn pod_name<'a>(of_kubelet: &'a str, node: &NodeName) -> Option<&'a str> {
    of_kubelet.strip_suffix(node.as_str())?.strip_suffix('-')
}
