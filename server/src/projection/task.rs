//! The task that owns the static pod directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    Inlets, Settings,
    board::{Board, Happened, Orphan, Terms},
    directory::{Directory, Done, Work},
    drift::Watch,
    effects::{self, Effects},
    materialise::Faults,
    restart::Restarter,
};
use crate::{
    events::{EventKind, EventSink, NewEvent},
    kubelet::Sync,
    metrics::Metrics,
    node::{PodProjection, Problem, State},
    runtime_cri::{Runtime, RuntimeError, Sandbox},
    store::StoreId,
    volumes::Volumes,
};

/// How often everything is looked at, in case that a change was not noticed.
const FULL_LOOK: Duration = Duration::from_secs(60);
/// How often a directory that failed is tried again.
const DIRECTORY_RETRY: Duration = Duration::from_secs(1);

/// Where the task publishes.
#[derive(Debug)]
pub(super) struct Outlets {
    pub(super) pods: watch::Sender<Arc<Vec<PodProjection>>>,
    pub(super) problems: watch::Sender<Vec<Problem>>,
    pub(super) events: EventSink,
}

pub(super) struct Task<R> {
    pub(super) settings: Settings,
    pub(super) restarter: Restarter,
    pub(super) directory: Arc<Directory>,
    pub(super) volumes: Arc<Volumes>,
    pub(super) id: Arc<StoreId>,
    pub(super) runtime: Option<R>,
    pub(super) metrics: Metrics,
    pub(super) outlets: Outlets,
    pub(super) board: Board,
    /// The newest committed state.
    pub(super) demanded: Arc<State>,
    /// What is wrong with pods' volumes.
    pub(super) faults: Faults,
    /// Files that somebody changed, with the revision of the pod's content, until they are put right.
    pub(super) drifted: BTreeMap<String, u64>,
    watch: Watch,
    /// Why the directory could not be read, when it could not.
    pub(super) directory_error: Option<String>,
    pub(super) looked_at: Instant,
    pub(super) asked_runtime: Option<Instant>,
    /// What is under way at the runtime and at the kubelet.
    pub(super) effects: Effects,
    /// The question that is under way. On a task of its own: a runtime that hangs must not hold up the files.
    asking: Option<Asking>,
}

type Asking = JoinHandle<(Instant, Result<Answer, RuntimeError>)>;

/// What the runtime said.
#[derive(Debug)]
struct Answer {
    sandboxes: Vec<Sandbox>,
    /// Those of ours that the board did not know when it asked.
    orphans: Vec<Orphan>,
}

impl<R: Runtime> Task<R> {
    #[expect(clippy::too_many_arguments, reason = "each is another thing")]
    pub(super) fn new(
        settings: Settings,
        restarter: Restarter,
        wave_timeout: Duration,
        directory: Arc<Directory>,
        volumes: Arc<Volumes>,
        id: Arc<StoreId>,
        runtime: Option<R>,
        metrics: Metrics,
        outlets: Outlets,
    ) -> Self {
        let board = Board::new(Terms {
            node: settings.node.clone(),
            nudge_for: settings.nudge_for,
            wave_timeout,
            has_runtime: runtime.is_some(),
            can_restart: restarter.is_allowed(),
        });
        let watch = Watch::new(directory.path());
        Self {
            board,
            demanded: Arc::default(),
            faults: Faults::default(),
            drifted: BTreeMap::new(),
            watch,
            settings,
            restarter,
            directory,
            volumes,
            id,
            runtime,
            metrics,
            outlets,
            directory_error: None,
            looked_at: Instant::now(),
            asked_runtime: None,
            effects: Effects::new(),
            asking: None,
        }
    }

    pub(super) async fn run(mut self, inlets: Inlets, shutdown: CancellationToken) {
        let Inlets {
            mut state,
            mut statuses,
            mut kubelet,
        } = inlets;
        let (mut has_statuses, mut has_kubelet) = (true, true);
        self.demand(Arc::clone(&state.borrow_and_update()));
        if let Err(error) = self.directory.tidy() {
            tracing::warn!(%error, "cannot tidy the static pod directory");
        }
        self.look_at_everything();
        self.look_at_volumes().await;
        loop {
            self.work().await;
            self.publish();
            let wake = self.next_wake();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                changed = state.changed() => {
                    // The actor is gone, and the whole daemon with it.
                    if changed.is_err() {
                        return;
                    }
                    self.demand(Arc::clone(&state.borrow_and_update()));
                }
                changed = kubelet.changed(), if has_kubelet => {
                    // Nobody asks it: then nothing is known of it.
                    has_kubelet = changed.is_ok();
                    let sync = if has_kubelet { kubelet.borrow_and_update().sync } else { Sync::Unknown };
                    self.board.kubelet(sync, Instant::now());
                    self.asked_runtime = None;
                }
                changed = statuses.changed(), if has_statuses => {
                    has_statuses = changed.is_ok();
                    self.board.statuses(Arc::clone(&statuses.borrow_and_update()));
                }
                answer = pending_or(&mut self.asking) => self.answered(answer),
                Some(effect) = self.effects.join_next() => match effect {
                    Ok(effect) => self.took_effect(effect),
                    Err(error) => tracing::error!(%error, "stopping or restarting failed"),
                },
                noticed = self.watch.next() => self.notice(noticed),
                () = tokio::time::sleep_until(wake.into()) => self.look_if_due().await,
            }
        }
    }

    fn demand(&mut self, demanded: Arc<State>) {
        self.board.demand(&demanded, Instant::now());
        self.demanded = demanded;
    }

    async fn look_if_due(&mut self) {
        let renewed = self.watch.renew(self.directory.path());
        let due = self.looked_at.elapsed() >= FULL_LOOK;
        let had_error = self.directory_error.is_some();
        if due {
            self.board.look_again();
        }
        if renewed || due || had_error {
            self.look_at_everything();
        }
        let found = had_error && self.directory_error.is_none();
        let again = self
            .faults
            .retry_at()
            .is_some_and(|at| at <= Instant::now());
        if due || found || again {
            self.look_at_volumes().await;
        }
    }

    /// Does what is to be done now: in the directory, then at the runtime.
    async fn work(&mut self) {
        self.board.advance(Instant::now());
        self.record();
        if self.directory_error.is_none() {
            let work = self.board.work(Instant::now());
            self.carry_out(work).await;
        }
        self.ask_runtime();
        self.restart_kubelet();
        if self.directory_error.is_none() {
            let nudges = self.board.nudges(Instant::now());
            for _ in &nudges.write {
                self.metrics.count_nudge();
            }
            self.carry_out(nudges).await;
        }
    }

    /// Records what the board has noticed.
    fn record(&mut self) {
        for happened in self.board.take_happened() {
            let Happened::WaveTimedOut {
                bundle,
                revision,
                pod,
                message,
            } = happened;
            tracing::warn!(%bundle, message, "a wave takes too long");
            let kind = EventKind::WaveTimedOut;
            let event = NewEvent::of_pod(kind, &bundle, revision, &pod, message);
            self.outlets.events.record(event);
        }
    }

    async fn carry_out(&mut self, mut work: Work) {
        self.materialise(&mut work).await;
        if work.remove.is_empty() && work.write.is_empty() {
            return;
        }
        let directory = Arc::clone(&self.directory);
        let only_nudges = work.only_nudges;
        let done = tokio::task::spawn_blocking(move || directory.carry_out(work)).await;
        // A panic there is a fault of ours; the next round tries again.
        let done = done.unwrap_or_else(|error| {
            tracing::error!(%error, "writing the static pod directory failed");
            Done::default()
        });
        let now = Instant::now();
        for (file, result) in done.removed {
            match &result {
                Ok(()) => tracing::info!(file, "removed a static pod"),
                Err(error) => tracing::error!(file, %error, "cannot remove a static pod"),
            }
            self.board
                .removed(&file, result.err().map(|error| error.to_string()), now);
        }
        for (write, result) in done.written {
            match &result {
                Ok(()) if only_nudges => tracing::debug!(file = write.file, "nudged"),
                Ok(()) => {
                    tracing::info!(file = write.file, "wrote a static pod");
                    self.record_written(&write.file);
                }
                Err(error) => {
                    tracing::error!(file = write.file, %error, "cannot write a static pod");
                }
            }
            self.board
                .wrote(&write, result.as_ref().err().map(describe_write), now);
        }
    }

    fn record_written(&mut self, file: &str) {
        let drifted = self.drifted.remove(file);
        let Some((bundle, revision, key)) = self.board.pod_of(file) else {
            return;
        };
        let (kind, message) = if drifted == Some(revision) {
            (
                EventKind::Repaired,
                format!("its file {file} was put right"),
            )
        } else {
            (
                EventKind::PodProjected,
                format!("its file {file} was written"),
            )
        };
        let event = NewEvent::of_pod(kind, bundle, revision, key, message);
        self.outlets.events.record(event);
    }

    /// Asks the runtime what runs, if anybody waits for that.
    fn ask_runtime(&mut self) {
        let (Some(runtime), None) = (&self.runtime, &self.asking) else {
            return;
        };
        let now = Instant::now();
        let Some(since) = self.board.waits_since(now) else {
            return;
        };
        let due = |at: Instant| now >= at + poll_interval(now, since);
        if self.asked_runtime.is_none_or(due) {
            self.asked_runtime = Some(now);
            self.board.looks();
            let (runtime, id) = (runtime.clone(), Arc::clone(&self.id));
            let (known, node) = (self.board.known_uids(), self.settings.node.clone());
            self.asking = Some(tokio::spawn(async move {
                (now, ask(&runtime, &known, &id, &node).await)
            }));
        }
    }

    fn answered(&mut self, answer: <Asking as Future>::Output) {
        self.asking = None;
        match answer {
            Ok((asked, Ok(Answer { sandboxes, orphans }))) => {
                Self::adopt(&mut self.board, orphans);
                self.board.observe(&sandboxes, asked);
                self.stop(&sandboxes, asked);
            }
            // Unknown, which is not the same as nothing: everything waits on.
            Ok((_, Err(error))) => {
                tracing::debug!(error = %crate::error::chain(&error), "the runtime does not answer");
            }
            Err(error) => tracing::error!(%error, "asking the runtime failed"),
        }
    }

    fn next_wake(&self) -> Instant {
        let now = Instant::now();
        let mut wake = self.looked_at + FULL_LOOK;
        if self.directory_error.is_some() || !self.watch.is_up() {
            wake = wake.min(now + DIRECTORY_RETRY);
        }
        if self.runtime.is_some()
            && self.asking.is_none()
            && let Some(since) = self.board.waits_since(now)
        {
            let asked = self.asked_runtime.unwrap_or(now);
            wake = wake.min(asked + poll_interval(now, since));
        }
        wake = wake.min(self.faults.retry_at().unwrap_or(wake));
        wake.min(self.board.next_deadline().unwrap_or(wake))
    }
}

async fn ask<R: Runtime>(
    runtime: &R,
    known: &BTreeSet<String>,
    id: &StoreId,
    node: &seedpod_manifest::NodeName,
) -> Result<Answer, RuntimeError> {
    let sandboxes = runtime.sandboxes().await?;
    let orphans = effects::orphans(runtime, &sandboxes, known, id, node).await;
    Ok(Answer { sandboxes, orphans })
}

fn describe_write(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return "a file that is not Seedpod's has this name; move it away".to_owned();
    }
    error.to_string()
}

/// Often while something has just been done, then less and less: a pod that the kubelet refuses is asked for as long
/// as it is demanded.
fn poll_interval(now: Instant, since: Instant) -> Duration {
    let waited = now.saturating_duration_since(since);
    (waited / 20).clamp(Duration::from_millis(50), Duration::from_secs(5))
}

/// Waits for a task, or for ever when there is none.
async fn pending_or<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, tokio::task::JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}
