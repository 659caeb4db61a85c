//! Looks whether bundles become ready, and whether those on trial crash, and tells the actor.
//!
//! It tells the same again as long as it is so: what the actor could not write down because the disk was full is
//! written when there is room.

use std::{collections::HashMap, sync::Arc, time::Duration};

use seedpod_manifest::{BundleName, PodKey};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::super::{
    Bundle, BundlePod, OnTrial, State, StatusWatch,
    actor::Command,
    status::{ContainerStatus, PodState, PodStatus},
};
use crate::runtime_cri::ContainerState;

/// When what was told without effect is told again.
const AGAIN: Duration = Duration::from_secs(1);

/// Starts the task. It ends when `shutdown` is cancelled.
pub(in super::super) fn start(
    mut state: watch::Receiver<Arc<State>>,
    mut statuses: StatusWatch,
    commands: mpsc::Sender<Command>,
    max_crashes: u32,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let watching = async {
            loop {
                // The state first: the statuses are then at least as new as it is, or do not know its uids.
                let now = Arc::clone(&state.borrow_and_update());
                let seen = Arc::clone(&statuses.borrow_and_update());
                let news = findings(&now, &seen, max_crashes);
                let told = !news.is_empty();
                for command in news {
                    if commands.send(command).await.is_err() {
                        return;
                    }
                }
                let changed = tokio::select! {
                    changed = state.changed() => changed,
                    changed = statuses.changed() => changed,
                    () = tokio::time::sleep(AGAIN), if told => Ok(()),
                };
                if changed.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = watching => {
                // The others have ended, which they say themselves.
                shutdown.cancelled().await;
            }
            () = shutdown.cancelled() => {}
        }
    })
}

/// What the actor does not know yet.
fn findings(state: &State, statuses: &[PodStatus], max_crashes: u32) -> Vec<Command> {
    let mut of: HashMap<&BundleName, Vec<&PodStatus>> = HashMap::new();
    for status in statuses {
        of.entry(&status.bundle).or_default().push(status);
    }
    let mut found = Vec::new();
    for (name, bundle) in &state.bundles {
        let statuses = of.get(name).map(Vec::as_slice).unwrap_or_default();
        let pending = state.trials.get(name).is_some_and(OnTrial::is_pending);
        if pending && let Some(why) = crash(bundle, statuses, max_crashes) {
            found.push(Command::FailTrial {
                bundle: name.clone(),
                revision: bundle.revision,
                why,
            });
        } else if !state.ready.contains(name) && is_ready(bundle, statuses) {
            found.push(Command::MarkReady {
                bundle: name.clone(),
                revision: bundle.revision,
            });
        }
    }
    found
}

/// Whether all pods of the bundle are ready, and nothing else of it is left.
fn is_ready(bundle: &Bundle, statuses: &[&PodStatus]) -> bool {
    let by_key: HashMap<&PodKey, &PodStatus> = statuses.iter().map(|s| (&s.key, *s)).collect();
    // Each status is of a demanded pod, or else something is still being stopped, or this is an older state's.
    by_key.len() == bundle.pods.len()
        && bundle.pods.iter().all(|pod| {
            by_key
                .get(&pod.key)
                .is_some_and(|status| is_of(status, pod) && counts_as_ready(status.state))
        })
}

/// Whether a status is of this very content.
fn is_of(status: &PodStatus, pod: &BundlePod) -> bool {
    status.key == pod.key && status.uid == pod.uid && status.revision == pod.revision
}

fn counts_as_ready(state: PodState) -> bool {
    state == PodState::Ready
}

/// Which container of the revision has ended too often, in words.
fn crash(bundle: &Bundle, statuses: &[&PodStatus], max_crashes: u32) -> Option<String> {
    let brought_by_it = |pod: &&BundlePod| pod.revision == bundle.revision;
    for pod in bundle.pods.iter().filter(brought_by_it) {
        let Some(status) = statuses.iter().find(|status| is_of(status, pod)) else {
            continue;
        };
        // Under the old pod's name there may still be its containers.
        if status.state == PodState::Replacing {
            continue;
        }
        for container in &status.containers {
            let ends = ends(container);
            if ends >= max_crashes {
                let times = if ends == 1 {
                    "once"
                } else {
                    &format!("{ends} times")
                };
                let last = match (container.state, container.exit_code) {
                    (ContainerState::Exited, code) => {
                        format!(", the last time with exit code {code}")
                    }
                    _ => String::new(),
                };
                return Some(format!(
                    "container {} of pod {} has ended {times}{last}",
                    container.name, pod.key
                ));
            }
        }
    }
    None
}

/// How often a container has ended and should not have.
fn ends(container: &ContainerStatus) -> u32 {
    container
        .restart_count
        .saturating_add(container.has_failed.into())
}

#[cfg(test)]
mod tests;
