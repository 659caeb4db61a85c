//! Whether pods are as they should be, on the way, or a lost cause. Knows neither the node nor the clock.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::WaitError;
use crate::{BundlePod, BundleState, BundleStatus, Pod, PodState};

/// How long a pod may be refused. The kubelet does not change its mind, but what looks like a refusal may have been a
/// kubelet that was slow.
const REFUSED_PATIENCE: Duration = Duration::from_secs(2);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Running,
    Ready,
    /// The end of a trial, which is the node's business.
    Confirmed,
}

impl Goal {
    fn is_reached_by(self, state: PodState) -> bool {
        match self {
            Self::Running => matches!(
                state,
                PodState::Running | PodState::Ready | PodState::NotReady
            ),
            Self::Ready | Self::Confirmed => state == PodState::Ready,
        }
    }
}

#[derive(Debug)]
pub(super) enum Verdict {
    /// Each pod is as it should be.
    Reached(Vec<Pod>),
    /// These are not, and nothing is lost yet; but look again at the given time if nothing changes.
    Wait {
        unfinished: Vec<Pod>,
        until: Option<Instant>,
        /// Whether a pod of the revision is not there at all: perhaps the bundle was changed.
        missing: bool,
    },
    Hopeless(WaitError),
}

pub(super) struct Judge {
    pub(super) wanted: Vec<BundlePod>,
    pub(super) goal: Goal,
    pub(super) patience: Duration,
    /// Since when a pod has been in a state that there is limited patience for.
    since: HashMap<(String, String), (PodState, Instant)>,
}

impl Judge {
    pub(super) fn new(wanted: Vec<BundlePod>, goal: Goal, patience: Duration) -> Self {
        Self {
            wanted,
            goal,
            patience,
            since: HashMap::new(),
        }
    }

    pub(super) fn judge(&mut self, pods: &[Pod], now: Instant) -> Verdict {
        let found = |want: &BundlePod| {
            pods.iter()
                .find(|pod| {
                    pod.namespace == want.namespace && pod.name == want.name && pod.uid == want.uid
                })
                .filter(|pod| pod.state != PodState::Removing)
        };
        let current: Vec<&Pod> = self.wanted.iter().filter_map(found).collect();
        let missing = current.len() < self.wanted.len();
        let reached = |pod: &&Pod| self.goal.is_reached_by(pod.state);
        if !missing && current.iter().all(reached) {
            return Verdict::Reached(current.into_iter().cloned().collect());
        }
        let unfinished = current
            .iter()
            .filter(|pod| !reached(pod))
            .map(|pod| (*pod).clone())
            .collect();
        match self.patience_left(&current, now) {
            Ok(until) => Verdict::Wait {
                unfinished,
                until,
                missing,
            },
            Err(error) => Verdict::Hopeless(error),
        }
    }

    /// When patience with the first of the pods will be over.
    fn patience_left(&mut self, pods: &[&Pod], now: Instant) -> Result<Option<Instant>, WaitError> {
        if self.goal == Goal::Confirmed {
            return Ok(None);
        }
        let mut first = None;
        for pod in pods {
            let key = (pod.namespace.clone(), pod.name.clone());
            let patience = match pod.state {
                PodState::Failed | PodState::Unknown => self.patience,
                PodState::Refused => self.patience.min(REFUSED_PATIENCE),
                _ => {
                    self.since.remove(&key);
                    continue;
                }
            };
            let since = self.since.entry(key).or_insert((pod.state, now));
            if since.0 != pod.state {
                *since = (pod.state, now);
            }
            let until = since.1 + patience;
            if until <= now {
                return Err(lost(pod));
            }
            first = Some(first.map_or(until, |first: Instant| first.min(until)));
        }
        Ok(first)
    }
}

fn lost(pod: &Pod) -> WaitError {
    let container = pod
        .failing_container()
        .map(|container| container.name.clone());
    let pod = Box::new(pod.clone());
    match pod.state {
        PodState::Failed => WaitError::Failed { pod, container },
        PodState::Refused => WaitError::Refused { pod },
        _ => WaitError::Unknown { pod },
    }
}

/// Whether the bundle has failed by a wave that timed out, and not by a pod that has failed, which there is patience for.
pub(super) fn timed_out_wave(bundle: &str, status: &BundleStatus) -> Option<WaitError> {
    let wave = status.wave?;
    let by_pod = status
        .pods
        .iter()
        .any(|pod| matches!(pod.state, PodState::Failed | PodState::Refused));
    if status.state != BundleState::Failed || by_pod {
        return None;
    }
    Some(WaitError::Wave {
        bundle: bundle.to_owned(),
        wave,
        message: status.message.clone(),
        pods: status
            .pods
            .iter()
            .filter(|pod| pod.wave == wave && pod.state != PodState::Ready)
            .cloned()
            .collect(),
    })
}
