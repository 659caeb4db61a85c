//! What the projection does beside the files: it stops pods over CRI, and restarts the kubelet.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::task::JoinSet;

use super::{
    board::{Board, Orphan, StopOrder},
    task::Task,
};
use crate::{
    error::chain,
    events::{EventKind, NewEvent},
    node::owner_of,
    runtime_cri::{Runtime, RuntimeError, Sandbox},
    store::StoreId,
};

/// How something ended that was begun.
#[derive(Debug)]
pub(super) enum Effect {
    Stopped(Box<StopOrder>, Result<(), RuntimeError>),
    /// What remained of a file's earlier content was removed.
    Cleaned(String, Result<(), RuntimeError>),
    Restarted(Result<String, String>),
}

/// What is under way.
pub(super) type Effects = JoinSet<Effect>;

impl<R: Runtime> Task<R> {
    /// Stops what the kubelet will not stop.
    pub(super) fn stop(&mut self, sandboxes: &[Sandbox], asked: Instant) {
        let Some(runtime) = &self.runtime else { return };
        for order in self.board.stops(sandboxes, asked, Instant::now()) {
            let runtime = runtime.clone();
            tracing::info!(pod = %order.leaving.key, uid = order.leaving.uid,
                "stopping a pod over CRI, since the kubelet does not");
            self.effects.spawn(async move {
                let grace = order.leaving.grace;
                let stops = order.sandboxes.iter().map(|it| runtime.stop(it, grace));
                let stopped = try_join_all(stops).await;
                if stopped.is_ok() && order.kept {
                    // Before the kubelet sees that it has ended, if possible. Else it is seen as what remains.
                    let _ = remove(&runtime, &order.sandboxes).await;
                }
                Effect::Stopped(Box::new(order), stopped.map(drop))
            });
        }
        for (file, remains) in self.board.remains(sandboxes, Instant::now()) {
            let runtime = runtime.clone();
            self.effects.spawn(async move {
                let removed = remove(&runtime, &remains).await;
                Effect::Cleaned(file, removed)
            });
        }
    }

    /// Restarts the kubelet, if that is due.
    pub(super) fn restart_kubelet(&mut self) {
        if !self.restarter.is_allowed() || !self.board.restart(Instant::now()) {
            return;
        }
        tracing::warn!("restarting the kubelet, since it would not start what was replaced");
        let restarter = self.restarter.clone();
        self.effects.spawn(async move {
            let result = restarter.restart().await;
            Effect::Restarted(result.map_err(|error| chain(&error)))
        });
    }

    /// Takes note of how something ended.
    pub(super) fn took_effect(&mut self, effect: Effect) {
        let now = Instant::now();
        match effect {
            Effect::Stopped(order, result) => {
                let leaving = &order.leaving;
                match &result {
                    Ok(()) => self.outlets.events.record(NewEvent::of_pod(
                        EventKind::PodStoppedOverCri,
                        &leaving.bundle,
                        leaving.revision,
                        &leaving.key,
                        "the pod was stopped over CRI, since the kubelet would not have stopped it",
                    )),
                    Err(error) => tracing::warn!(pod = %leaving.key, error = %chain(error),
                        "cannot stop a pod over CRI; it is tried again"),
                }
                self.board.stopped(&order, result.is_ok(), now);
            }
            Effect::Cleaned(file, Ok(())) => self.board.nudge_now(&file, now),
            Effect::Cleaned(file, Err(error)) => {
                tracing::debug!(file, error = %chain(&error), "cannot remove what remains of a pod");
            }
            Effect::Restarted(result) => {
                match &result {
                    Ok(said) => {
                        tracing::info!(said, "restarted the kubelet");
                        self.outlets.events.record(NewEvent {
                            kind: EventKind::KubeletRestarted,
                            bundle: None,
                            revision: 0,
                            pod: None,
                            message: "the kubelet was restarted: it had not heard from its API server, and \
                                      would not have started what was replaced"
                                .to_owned(),
                            client: String::new(),
                        });
                    }
                    Err(error) => tracing::error!(error, "cannot restart the kubelet"),
                }
                self.board.restarted(result.map(drop), now);
            }
        }
        // What is due next depends on what runs now.
        self.asked_runtime = None;
    }

    /// What of this runs and is not known to the board.
    pub(super) fn adopt(board: &mut Board, orphans: Vec<Orphan>) {
        for orphan in orphans {
            tracing::info!(pod = %orphan.key, uid = orphan.uid, "found a pod that is no longer demanded");
            board.adopt(orphan, Instant::now());
        }
    }
}

async fn remove<R: Runtime>(runtime: &R, sandboxes: &[Sandbox]) -> Result<(), RuntimeError> {
    let removals = sandboxes.iter().map(|it| runtime.remove(it));
    try_join_all(removals).await.map(drop)
}

/// Picks the live sandboxes that this store made and nobody knows of: of what was removed or replaced before the daemon
/// was restarted.
pub(super) async fn orphans<R: Runtime>(
    runtime: &R,
    sandboxes: &[Sandbox],
    known: &std::collections::BTreeSet<String>,
    id: &StoreId,
    node: &seedpod_manifest::NodeName,
) -> Vec<Orphan> {
    let mut orphans = Vec::new();
    for sandbox in sandboxes {
        if !sandbox.is_live() || known.contains(&sandbox.uid) {
            continue;
        }
        let Some((bundle, key)) = owner_of(id, sandbox, node) else {
            continue;
        };
        let traits = runtime.traits(sandbox).await;
        let traits = traits.unwrap_or_else(|error| {
            tracing::debug!(error = %chain(&error), "the runtime does not tell a pod's grace period");
            crate::runtime_cri::Traits::default()
        });
        orphans.push(Orphan {
            bundle,
            key,
            uid: sandbox.uid.clone(),
            kubelet_uid: sandbox.kubelet_uid.clone(),
            revision: sandbox.revision.unwrap_or(0),
            wave: traits.wave.unwrap_or(0),
            grace: traits.grace.unwrap_or(DEFAULT_GRACE),
            host_ports: traits.host_ports,
        });
    }
    orphans
}

/// The API's default.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);
