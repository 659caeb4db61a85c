//! The handle through which everything else reaches the node, and what the node's parts publish to it.

use std::{io, sync::Arc, time::Duration};

use seedpod_manifest::{BundleName, NodeName};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Bundle, ChangeError, ConfirmError, Inject, InjectError, Injected, PodProjection, Problem,
    Removal, RemoveError, RequestId, Rollback, RollbackError, State, StatusWatch,
    actor::Command,
    clock::{BootClock, BootTime},
    plan::{self, Place},
    status::{self, PodStatus, Specs},
};
use crate::{
    events::{EventLog, NewEvent},
    kubelet::KubeletWatch,
    probe::ReadinessWatch,
    projection::{Directory, ProjectionView, Restarter},
    runtime_cri::{Observation, ObservationWatch},
    store::Reader,
};

/// How long a client should wait when the queue is full: a few commits take less.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// How everything reaches the node. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct NodeHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) published: Published,
    pub(super) directory: Arc<Directory>,
    pub(super) place: Arc<Place>,
    /// For what others do on the node.
    pub(crate) events: crate::events::EventSink,
    pub(super) kept: Reader,
    pub(super) clock: BootClock,
    pub(super) has_runtime: bool,
    /// What the handoff waits for now, for people.
    pub(super) handoff_message: Arc<watch::Sender<String>>,
    /// For whom changes are made. Empty: for nobody in particular.
    pub(super) client: Arc<str>,
}

/// What the parts of the node publish.
#[derive(Debug, Clone)]
pub(super) struct Published {
    pub(super) state: watch::Receiver<Arc<State>>,
    pub(super) store_problems: watch::Receiver<Vec<Problem>>,
    pub(super) projection: ProjectionView,
    pub(super) observation: ObservationWatch,
    pub(super) readiness: ReadinessWatch,
    pub(super) kubelet: KubeletWatch,
    pub(super) statuses: StatusWatch,
    pub(super) specs: Specs,
    pub(super) node: NodeName,
    pub(super) refused_after: Duration,
    pub(super) event_log: EventLog,
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
        let client = Arc::clone(&self.client);
        self.ask(|answer| Command::Inject(Box::new(inject), client, answer))
            .await
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
        self.ask(|answer| Command::Replay(request, answer)).await
    }

    /// Makes the content of an earlier revision active again and answers when that is durable.
    ///
    /// # Cancel safety
    /// Once called, the rollback is carried out also when the caller goes away.
    pub(crate) async fn roll_back(&self, rollback: Rollback) -> Result<Injected, RollbackError> {
        let client = Arc::clone(&self.client);
        self.ask(|answer| Command::RollBack(rollback, client, answer))
            .await
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
        let client = Arc::clone(&self.client);
        self.ask(|answer| Command::Confirm {
            name,
            revision,
            client,
            answer,
        })
        .await
    }

    fn surroundings<'a>(&'a self, state: &'a State) -> plan::Surroundings<'a> {
        plan::Surroundings {
            state,
            directory: &self.directory,
            place: &self.place,
            has_runtime: self.has_runtime,
        }
    }

    /// The clock of trials and handoffs.
    pub(crate) fn clock(&self) -> &BootClock {
        &self.clock
    }

    /// Now, on the clock of trials.
    pub(crate) fn now(&self) -> BootTime {
        self.clock.now()
    }

    /// Removes a bundle and answers when that is durable, with the bundle as it was.
    ///
    /// # Cancel safety
    /// Once called, the removal is carried out also when the caller goes away.
    pub(crate) async fn remove(&self, removal: Removal) -> Result<Arc<Bundle>, RemoveError> {
        let client = Arc::clone(&self.client);
        self.ask(|answer| Command::Remove {
            removal,
            client,
            answer,
        })
        .await
    }

    /// Has the actor carry out a command, and waits for its answer.
    pub(super) async fn ask<T, E: From<ChangeError>>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Command,
    ) -> Result<T, E> {
        let (answer, answered) = oneshot::channel();
        self.send(command(answer))?;
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

    /// [`Self::projections`], and each change of them.
    pub(crate) fn projection_watch(&self) -> watch::Receiver<Arc<Vec<PodProjection>>> {
        self.published.projection.pods.clone()
    }

    /// How the kubelet is restarted.
    pub(crate) fn restarter(&self) -> &Restarter {
        &self.published.projection.restarter
    }

    /// Records an event.
    pub(crate) fn record(&self, event: NewEvent) {
        self.events.record(event);
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
            Arc::clone(&self.place.id),
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
