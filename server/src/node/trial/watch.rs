//! Looks whether bundles become ready, and whether those on trial crash, and tells the actor.
//!
//! A container without a readiness probe is ready as soon as it runs, also one that ends a moment later, again and again.
//! So what it brings counts only when it has run for some time without an end ([`STEADY`]).
//!
//! It tells the same again as long as it is so: what the actor could not write down because the disk was full is
//! written when there is room.

use std::{collections::HashMap, sync::Arc, time::Duration};

use seedpod_manifest::{BundleName, PodKey};
use serde::Deserialize;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
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

/// How long pods must be ready without an interruption when a probe does not say that they are: as long as the kubelet
/// waits at first before it starts a container again that has ended.
const STEADY: Duration = Duration::from_secs(10);

/// Starts the task. It ends when `shutdown` is cancelled.
pub(in super::super) fn start(
    mut state: watch::Receiver<Arc<State>>,
    mut statuses: StatusWatch,
    commands: mpsc::Sender<Command>,
    max_crashes: u32,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut steady = Steady::default();
        let watching = async {
            loop {
                // The state first: the statuses are then at least as new as it is, or do not know its uids.
                let now = Arc::clone(&state.borrow_and_update());
                let seen = Arc::clone(&statuses.borrow_and_update());
                let (news, due) = steady.findings(&now, &seen, max_crashes, Instant::now());
                let again = if news.is_empty() { due } else { Some(AGAIN) };
                for command in news {
                    if commands.send(command).await.is_err() {
                        return;
                    }
                }
                let changed = tokio::select! {
                    changed = state.changed() => changed,
                    changed = statuses.changed() => changed,
                    () = tokio::time::sleep(again.unwrap_or_default()), if again.is_some() => Ok(()),
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

/// Since when bundles are ready without an interruption, of those of which the actor does not know it yet.
#[derive(Debug, Default)]
struct Steady(HashMap<BundleName, Since>);

#[derive(Debug, Clone, Copy)]
struct Since {
    revision: u64,
    /// How often containers were started again until then.
    restarts: u64,
    begun: Instant,
}

impl Steady {
    /// What the actor does not know yet, and when to look again though nothing has changed.
    fn findings(
        &mut self,
        state: &State,
        statuses: &[PodStatus],
        max_crashes: u32,
        now: Instant,
    ) -> (Vec<Command>, Option<Duration>) {
        let mut of: HashMap<&BundleName, Vec<&PodStatus>> = HashMap::new();
        for status in statuses {
            of.entry(&status.bundle).or_default().push(status);
        }
        self.0.retain(|name, _| state.bundles.contains_key(name));
        let (mut found, mut due) = (Vec::new(), None);
        for (name, bundle) in &state.bundles {
            let statuses = of.get(name).map(Vec::as_slice).unwrap_or_default();
            let on_trial = state.trials.get(name).filter(|it| it.is_pending());
            let (bundle_name, revision) = (name.clone(), bundle.revision);
            if on_trial.is_some()
                && let Some(why) = crash(bundle, statuses, max_crashes)
            {
                found.push(Command::FailTrial {
                    bundle: bundle_name,
                    revision,
                    why,
                });
            } else if state.ready.contains(name) || !is_ready(bundle, statuses) {
                self.0.remove(name);
            } else {
                let left = Self::must_last(bundle, on_trial)
                    .saturating_sub(self.lasts(bundle, statuses, now));
                if left.is_zero() {
                    found.push(Command::MarkReady {
                        bundle: bundle_name,
                        revision,
                    });
                } else {
                    due = Some(due.map_or(left, |due: Duration| due.min(left)));
                }
            }
        }
        (found, due)
    }

    /// For how long the bundle has been ready.
    fn lasts(&mut self, bundle: &Bundle, statuses: &[&PodStatus], now: Instant) -> Duration {
        let containers = statuses.iter().flat_map(|status| &status.containers);
        let restarts = containers.map(|it| u64::from(it.restart_count)).sum();
        let revision = bundle.revision;
        let begins = Since {
            revision,
            restarts,
            begun: now,
        };
        let since = self.0.entry(bundle.name.clone()).or_insert(begins);
        if (since.revision, since.restarts) != (revision, restarts) {
            *since = begins;
        }
        now.saturating_duration_since(since.begun)
    }

    /// For how long it must be.
    fn must_last(bundle: &Bundle, on_trial: Option<&OnTrial>) -> Duration {
        let mut brought = bundle
            .pods
            .iter()
            .filter(|pod| pod.revision == bundle.revision);
        if brought.all(|pod| is_probed(&pod.rendered)) {
            return Duration::ZERO;
        }
        // A short trial must have a chance to end well.
        on_trial.map_or(STEADY, |it| STEADY.min(it.trial.terms.timeout / 2))
    }
}

/// Whether each container of a pod has a readiness probe.
fn is_probed(rendered: &str) -> bool {
    #[derive(Deserialize)]
    struct Pod {
        spec: Spec,
    }
    #[derive(Deserialize)]
    struct Spec {
        containers: Vec<Container>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Container {
        readiness_probe: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_str::<Pod>(rendered).is_ok_and(|pod| {
        let mut containers = pod.spec.containers.iter();
        containers.all(|container| container.readiness_probe.is_some())
    })
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
