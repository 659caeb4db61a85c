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
            // Nothing more will come of it as long as the cluster's own control plane runs.
            Self::Running | Self::Ready if state == PodState::Standby => true,
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
    /// Each pod is as it should be, and has been for long enough.
    Reached(Vec<Pod>),
    /// Each pod is as it should be, and must be so until then.
    Settling(Instant),
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
    patience: Duration,
    stable_for: Duration,
    /// Since when all pods have been as they should be.
    reached: Option<Instant>,
    /// Since when a pod has been in a state that there is limited patience for.
    since: HashMap<(String, String), (PodState, Instant)>,
}

impl Judge {
    pub(super) fn new(goal: Goal, patience: Duration, stable_for: Duration) -> Self {
        Self {
            wanted: Vec::new(),
            goal,
            patience,
            stable_for,
            reached: None,
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
            let stable = *self.reached.get_or_insert(now) + self.stable_for;
            if stable > now && self.goal != Goal::Confirmed {
                return Verdict::Settling(stable);
            }
            return Verdict::Reached(current.into_iter().cloned().collect());
        }
        self.reached = None;
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

    /// Whether each pod was as it should be when it was last looked at.
    pub(super) fn is_settling(&self) -> bool {
        self.reached.is_some()
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

#[cfg(test)]
mod tests {
    use seedpod_proto::v1::{self, PodState as State};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn pod(name: &str, state: State) -> Pod {
        Pod::from(v1::Pod {
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            state: state.into(),
            ..Default::default()
        })
    }

    fn judge(goal: Goal) -> Judge {
        let wanted = |name: &str| {
            BundlePod::from(v1::BundlePod {
                name: name.to_owned(),
                uid: format!("uid-{name}"),
                ..Default::default()
            })
        };
        let mut judge = Judge::new(goal, PATIENCE, Duration::ZERO);
        judge.wanted = vec![wanted("a"), wanted("b")];
        judge
    }

    fn until(verdict: Verdict) -> Option<Instant> {
        match verdict {
            Verdict::Wait { until, .. } => until,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn patience_with_a_failed_pod_begins_anew_when_it_starts_again() {
        let mut judge = judge(Goal::Ready);
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let failed = [pod("a", State::Ready), pod("b", State::Failed)];
        let starting = [pod("a", State::Ready), pod("b", State::Starting)];
        assert_eq!(until(judge.judge(&failed, start)), Some(start + PATIENCE));
        let later = start + PATIENCE - second;
        assert_eq!(until(judge.judge(&failed, later)), Some(start + PATIENCE));
        assert_eq!(until(judge.judge(&starting, later)), None);
        assert_eq!(until(judge.judge(&failed, later)), Some(later + PATIENCE));
        let verdict = judge.judge(&failed, later + PATIENCE);
        assert!(
            matches!(&verdict, Verdict::Hopeless(WaitError::Failed { pod, .. }) if pod.name == "b"),
            "{verdict:?}"
        );
    }

    #[test]
    fn the_first_pod_that_patience_ends_with_counts() {
        let mut judge = judge(Goal::Running);
        let start = Instant::now();
        let pods = [pod("a", State::Unknown), pod("b", State::Refused)];
        assert_eq!(
            until(judge.judge(&pods, start)),
            Some(start + REFUSED_PATIENCE)
        );
        let verdict = judge.judge(&pods, start + REFUSED_PATIENCE);
        assert!(
            matches!(&verdict, Verdict::Hopeless(WaitError::Refused { .. })),
            "{verdict:?}"
        );
    }

    #[test]
    fn what_is_wanted_decides_which_states_are_enough() {
        let now = Instant::now();
        let running = [pod("a", State::NotReady), pod("b", State::Running)];
        let ready = [pod("a", State::Ready), pod("b", State::Ready)];
        for (goal, pods, reached) in [
            (Goal::Running, &running, true),
            (Goal::Running, &ready, true),
            (Goal::Ready, &running, false),
            (Goal::Ready, &ready, true),
            (Goal::Confirmed, &running, false),
        ] {
            let verdict = judge(goal).judge(pods, now);
            assert_eq!(
                matches!(verdict, Verdict::Reached(_)),
                reached,
                "{goal:?}: {verdict:?}"
            );
        }
    }

    #[test]
    fn pods_that_must_stay_ready_are_watched_for_so_long_without_a_break() {
        let mut judge = judge(Goal::Ready);
        judge.stable_for = Duration::from_secs(5);
        let start = Instant::now();
        let seconds = |seconds| start + Duration::from_secs(seconds);
        let ready = [pod("a", State::Ready), pod("b", State::Ready)];
        let failed = [pod("a", State::Ready), pod("b", State::Failed)];
        let mut settling = |pods, now| match judge.judge(pods, now) {
            Verdict::Settling(until) => Some(until),
            Verdict::Wait { .. } => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(settling(&ready, start), Some(seconds(5)));
        assert_eq!(settling(&failed, seconds(3)), None);
        assert_eq!(settling(&ready, seconds(4)), Some(seconds(9)));
        assert_eq!(settling(&ready, seconds(8)), Some(seconds(9)));
        let verdict = judge.judge(&ready, seconds(9));
        assert!(matches!(verdict, Verdict::Reached(_)), "{verdict:?}");
    }

    #[test]
    fn the_node_alone_judges_a_trial() {
        let mut judge = judge(Goal::Confirmed);
        let start = Instant::now();
        let pods = [pod("a", State::Failed), pod("b", State::Refused)];
        assert_eq!(until(judge.judge(&pods, start)), None);
        assert_eq!(until(judge.judge(&pods, start + 10 * PATIENCE)), None);
    }

    #[test]
    fn pods_that_stop_or_are_of_another_content_are_missing() {
        let mut other = pod("b", State::Ready);
        other.uid = "older".to_owned();
        for b in [pod("b", State::Removing), other] {
            let verdict = judge(Goal::Ready).judge(&[pod("a", State::Ready), b], Instant::now());
            assert!(
                matches!(&verdict, Verdict::Wait { missing: true, unfinished, .. } if unfinished.is_empty()),
                "{verdict:?}"
            );
        }
    }

    #[test]
    fn only_a_wave_that_no_failed_pod_explains_has_timed_out() {
        let status = |state: v1::BundleState, pod_state, wave| {
            BundleStatus::from(v1::BundleStatus {
                state: state.into(),
                wave,
                pods: vec![v1::Pod {
                    state: State::into(pod_state),
                    wave: 1,
                    ..Default::default()
                }],
                ..Default::default()
            })
        };
        let failed = v1::BundleState::Failed;
        let timed_out = |status| timed_out_wave("web", &status).is_some();
        assert!(timed_out(status(failed, State::NotReady, Some(1))));
        assert!(!timed_out(status(failed, State::Failed, Some(1))));
        assert!(!timed_out(status(failed, State::Refused, Some(1))));
        assert!(!timed_out(status(failed, State::NotReady, None)));
        let progressing = v1::BundleState::Progressing;
        assert!(!timed_out(status(progressing, State::NotReady, Some(1))));
    }
}
