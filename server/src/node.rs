//! The one actor that owns the node's state, and the handle through which everything else reaches it.
//!
//! `start` makes them, with everything that runs beside them.

mod actor;
pub(crate) mod clock;
mod error;
mod follow;
mod history;
mod plan;
mod start;
pub(crate) mod status;
#[cfg(test)]
mod tests;
mod trial;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use seedpod_manifest::{BundleName, Checked, Digest, HostPort, NodeName, PodKey, Warning};
use tokio::sync::{mpsc, oneshot, watch};

use self::{
    actor::Command,
    clock::BootClock,
    status::{PodStatus, Specs},
};
pub(crate) use self::{
    clock::BootTime,
    error::{ChangeError, ConfirmError, HistoryError, InjectError, RemoveError, RollbackError},
    history::Revision,
    start::{Rules, Setup, start},
    trial::{Confirmation, Left, OnTrial, Terms, Trial},
};
use crate::{
    events::EventLog,
    kubelet::KubeletWatch,
    probe::ReadinessWatch,
    projection::{Directory, ProjectionView},
    runtime_cri::{Observation, ObservationWatch, Sandbox},
    store::{Reader, StoreId},
};

/// How long a client should wait when the queue is full: a few commits take less.
const RETRY_AFTER: Duration = Duration::from_millis(200);

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

/// How a pod changes.
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
    /// The host's ports that it takes.
    pub(crate) host_ports: Vec<HostPort>,
    /// Its place in the order of the bundle.
    pub(crate) wave: u32,
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
}

impl State {
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

/// How everything reaches the node. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct NodeHandle {
    commands: mpsc::Sender<Command>,
    published: Published,
    directory: Arc<Directory>,
    id: Arc<StoreId>,
    /// For tests that record events of their own.
    #[cfg(test)]
    pub(crate) events: crate::events::EventSink,
    kept: Reader,
    clock: BootClock,
    has_runtime: bool,
    /// For whom changes are made. Empty: for nobody in particular.
    client: Arc<str>,
}

/// All pods to speak of, judged. Published by `follow` whenever one changes.
pub(crate) type StatusWatch = watch::Receiver<Arc<Vec<PodStatus>>>;

/// What the parts of the node publish.
#[derive(Debug, Clone)]
struct Published {
    state: watch::Receiver<Arc<State>>,
    store_problems: watch::Receiver<Vec<Problem>>,
    projection: ProjectionView,
    observation: ObservationWatch,
    readiness: ReadinessWatch,
    kubelet: KubeletWatch,
    statuses: StatusWatch,
    specs: Specs,
    node: NodeName,
    refused_after: Duration,
    event_log: EventLog,
}

impl NodeHandle {
    /// The same, for changes that this client asks for.
    pub(crate) fn on_behalf_of(&self, client: &str) -> Self {
        Self {
            client: client.into(),
            ..self.clone()
        }
    }

    /// Commits an injection and answers when it is durable.
    ///
    /// # Cancel safety
    /// Once called, the injection is carried out also when the caller goes away.
    pub(crate) async fn inject(&self, inject: Inject) -> Result<Injected, InjectError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Inject(inject, Arc::clone(&self.client), answer))?;
        answered
            .await
            .unwrap_or(Err(ChangeError::ShuttingDown.into()))
    }

    /// What [`Self::inject`] would do, with diffs; changes nothing.
    pub(crate) async fn validate(&self, inject: Inject) -> Result<Injected, InjectError> {
        let handle = self.clone();
        let validate = move || {
            let state = handle.state();
            let plan = plan::plan(&handle.surroundings(&state), inject)?;
            Ok(plan.preview())
        };
        tokio::task::spawn_blocking(validate)
            .await
            .unwrap_or(Err(ChangeError::ShuttingDown.into()))
    }

    /// The answer that a request with this id got before, if there was one.
    pub(crate) async fn replay(&self, request: RequestId) -> Result<Option<Injected>, InjectError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Replay(request, answer))?;
        answered
            .await
            .unwrap_or(Err(ChangeError::ShuttingDown.into()))
    }

    /// Makes the content of an earlier revision active again and answers when that is durable.
    ///
    /// # Cancel safety
    /// Once called, the rollback is carried out also when the caller goes away.
    pub(crate) async fn roll_back(&self, rollback: Rollback) -> Result<Injected, RollbackError> {
        let (answer, answered) = oneshot::channel();
        let client = Arc::clone(&self.client);
        self.send(Command::RollBack(rollback, client, answer))?;
        answered
            .await
            .unwrap_or(Err(ChangeError::ShuttingDown.into()))
    }

    /// What [`Self::roll_back`] would do, with diffs; changes nothing.
    pub(crate) async fn validate_rollback(
        &self,
        rollback: Rollback,
    ) -> Result<Injected, RollbackError> {
        let handle = self.clone();
        let validate = move || {
            let state = handle.state();
            let plan = plan::rollback(&handle.surroundings(&state), &handle.kept, &rollback)?;
            Ok(plan.preview())
        };
        tokio::task::spawn_blocking(validate)
            .await
            .unwrap_or(Err(ChangeError::ShuttingDown.into()))
    }

    /// Confirms the active revision, which is on trial. Tells whether it was not confirmed before.
    pub(crate) async fn confirm(
        &self,
        name: BundleName,
        revision: u64,
    ) -> Result<bool, ConfirmError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Confirm {
            name,
            revision,
            client: Arc::clone(&self.client),
            answer,
        })?;
        answered
            .await
            .unwrap_or(Err(ChangeError::ShuttingDown.into()))
    }

    fn surroundings<'a>(&'a self, state: &'a State) -> plan::Surroundings<'a> {
        plan::Surroundings {
            state,
            directory: &self.directory,
            id: &self.id,
            has_runtime: self.has_runtime,
        }
    }

    /// Now, on the clock of trials.
    pub(crate) fn now(&self) -> BootTime {
        self.clock.now()
    }

    /// Removes a bundle and answers when that is durable, with the bundle as it was.
    ///
    /// # Cancel safety
    /// Once called, the removal is carried out also when the caller goes away.
    pub(crate) async fn remove(
        &self,
        name: BundleName,
        expected_revision: Option<u64>,
    ) -> Result<Arc<Bundle>, RemoveError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Remove {
            name,
            expected_revision,
            client: Arc::clone(&self.client),
            answer,
        })?;
        answered
            .await
            .unwrap_or(Err(ChangeError::ShuttingDown.into()))
    }

    fn send(&self, command: Command) -> Result<(), ChangeError> {
        use mpsc::error::TrySendError::{Closed, Full};
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                Full(_) => ChangeError::Busy {
                    retry_after: RETRY_AFTER,
                },
                Closed(_) => ChangeError::ShuttingDown,
            })
    }

    /// Resolves when the actor has answered; never when it is gone.
    pub(crate) async fn alive(&self) {
        let (answer, answered) = oneshot::channel();
        let asked = self.commands.send(Command::Ping(answer)).await;
        if asked.is_err() || answered.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What is committed.
    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.published.state.borrow())
    }

    /// What the projection has made of it: the pods of all bundles and those that are being removed.
    pub(crate) fn projections(&self) -> Arc<Vec<PodProjection>> {
        Arc::clone(&self.published.projection.pods.borrow())
    }

    /// All pods to speak of, judged.
    pub(crate) fn statuses(&self) -> StatusWatch {
        self.published.statuses.clone()
    }

    /// How the pods of all bundles, or of one, are judged by all that is known at this moment. Unlike what
    /// [`Self::statuses`] publishes, this is never behind what was committed before the call.
    ///
    /// Waits for a runtime that has not been asked yet, right after the start of the daemon; it answers then or is
    /// known to be away.
    pub(crate) async fn judge(&self, only: Option<&BundleName>) -> Vec<PodStatus> {
        let mut observation = self.observation();
        // An error: the node is stopping, and the last one has to do.
        let _ = observation
            .wait_for(|observation| !matches!(**observation, Observation::NotYet))
            .await
            .map(drop);
        let published = &self.published;
        // Earlier than the rest: a pod that is committed meanwhile is not known to be there before it is.
        let earlier = Arc::clone(&published.statuses.borrow());
        let observation = Arc::clone(&observation.borrow());
        let readiness = Arc::clone(&published.readiness.borrow());
        let kubelet = Arc::clone(&published.kubelet.borrow());
        let (state, projections) = (self.state(), self.projections());
        let parts = status::Parts {
            state: &state,
            projections: &projections,
            runtime: (&*observation).into(),
            readiness: &readiness,
            kubelet: &kubelet,
            specs: &published.specs,
            node: &published.node,
            refused_after: published.refused_after,
            earlier: &earlier,
            now: status::Now::read(),
        };
        status::judge(&parts, only)
    }

    /// What runs.
    pub(crate) fn observation(&self) -> ObservationWatch {
        self.published.observation.clone()
    }

    /// What the kubelet says.
    pub(crate) fn kubelet(&self) -> KubeletWatch {
        self.published.kubelet.clone()
    }

    /// What was recorded.
    pub(crate) fn event_log(&self) -> &EventLog {
        &self.published.event_log
    }

    /// What the store, the projection and the event log know to be wrong.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = self.published.problems();
        problems.extend(self.published.event_log.problems());
        problems
    }

    /// Whether the store and the static pod directory work. Ends with the node.
    pub(crate) fn serving(&self) -> watch::Receiver<bool> {
        self.published.clone().serving()
    }

    /// Files in the static pod directory that Seedpod does not own, ordered.
    pub(crate) async fn foreign_files(&self) -> io::Result<Vec<String>> {
        let (directory, id, state) = (
            Arc::clone(&self.directory),
            Arc::clone(&self.id),
            self.state(),
        );
        let list = move || {
            let foreign = directory.foreign(&state, &id)?;
            Ok(foreign.into_iter().map(|foreign| foreign.file).collect())
        };
        tokio::task::spawn_blocking(list)
            .await
            .map_err(io::Error::other)?
    }
}

impl Published {
    /// What keeps the node from doing its work. Events are not among it.
    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.store_problems.borrow().clone();
        problems.extend(self.projection.problems.borrow().iter().cloned());
        problems
    }

    fn serving(mut self) -> watch::Receiver<bool> {
        let (sender, receiver) = watch::channel(self.problems().is_empty());
        tokio::spawn(async move {
            loop {
                let changed = tokio::select! {
                    changed = self.store_problems.changed() => changed,
                    changed = self.projection.problems.changed() => changed,
                    () = sender.closed() => return,
                };
                if changed.is_err() {
                    return;
                }
                let serving = self.problems().is_empty();
                sender.send_if_modified(|old| std::mem::replace(old, serving) != serving);
            }
        });
        receiver
    }
}

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
    let uid = id.pod_uid(bundle, sandbox.revision?, &key, digest);
    (uid == sandbox.uid).then_some((bundle.parse().ok()?, key))
}

/// A static pod's name as in its manifest: the kubelet's name for it without the node's suffix.
pub(crate) fn pod_name<'a>(of_kubelet: &'a str, node: &NodeName) -> Option<&'a str> {
    of_kubelet.strip_suffix(node.as_str())?.strip_suffix('-')
}
