//! From a record of a handoff to the next one. Pure.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use seedpod_manifest::PodKey;

use super::{Component, Failure, Kind, Record, Spec, Stage, Step, reason::Reason};
use crate::{events::EventKind, node::BootTime};

/// How often the daemon goes on with a handoff after a restart. One that it dies of must not be tried for ever.
pub(super) const MAX_RESUMPTIONS: u32 = 3;

/// How many steps are kept. The first ones tell of the handoff itself, the last ones of the standby since.
const MAX_STEPS: usize = 48;
const FIRST_STEPS: usize = 16;

/// Now, on both clocks.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) boot: BootTime,
    pub(crate) time: Timestamp,
}

/// What is left of a stage's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// It has no deadline.
    Unlimited,
    Time(Duration),
    Nothing,
}

impl Spec {
    /// The injected pods that are handed over.
    pub(super) fn injected(&self) -> BTreeSet<PodKey> {
        let components = self.components.iter();
        components.map(|it| it.injected.clone()).collect()
    }

    /// The API server and its port.
    pub(super) fn api_server(&self) -> Option<(&Component, u16)> {
        self.components.iter().find_map(|it| match it.kind {
            Kind::ApiServer { port } => Some((it, port)),
            Kind::LeaderElected { .. } => None,
        })
    }

    /// Those that hold a lease, with its name.
    pub(super) fn leader_elected(&self) -> impl Iterator<Item = (&Component, &str)> {
        self.components.iter().filter_map(|it| match &it.kind {
            Kind::LeaderElected { lease } => Some((it, lease.as_str())),
            Kind::ApiServer { .. } => None,
        })
    }

    /// How long a stage may take. `None`: for ever.
    fn limit(&self, stage: Stage) -> Option<Duration> {
        let limits = self.deadlines;
        Some(match stage {
            Stage::Applying => limits.apply,
            // Serving for so long is part of it.
            Stage::WaitingForReady => limits.ready.saturating_add(self.stable_for),
            Stage::WaitingForKubelet => limits.kubelet,
            Stage::Draining => limits.drain,
            Stage::HandingOver => limits.hand_over,
            Stage::Verifying => limits.verify,
            Stage::StandingDown => {
                let both = limits.drain.saturating_add(limits.hand_over);
                both.saturating_add(limits.verify)
            }
            Stage::Committed | Stage::Reverting | Stage::Reverted | Stage::StandingIn => {
                return None;
            }
        })
    }
}

impl Record {
    /// What is left of the present stage's time. In another boot that is nothing: what was waited for is gone.
    pub(super) fn left(&self, now: &BootTime) -> Left {
        let Some(deadline) = &self.deadline else {
            return Left::Unlimited;
        };
        if deadline.boot_id != now.boot_id {
            return Left::Nothing;
        }
        match deadline.since_boot.checked_sub(now.since_boot) {
            None | Some(Duration::ZERO) => Left::Nothing,
            Some(left) => Left::Time(left),
        }
    }

    /// Whether the injected API server is about to stop, or has stopped just now.
    pub(super) fn api_server_is_withheld(&self) -> bool {
        let api_server = self.spec.api_server();
        let withheld = api_server.is_some_and(|(it, _)| self.withheld.contains(&it.injected));
        withheld && matches!(self.stage, Stage::HandingOver | Stage::StandingDown)
    }

    /// The same, one generation later.
    pub(super) fn successor(&self) -> Self {
        Self {
            generation: self.generation + 1,
            ..self.clone()
        }
    }

    /// The same in another stage. `message` is what came of the one before.
    fn entering(&self, stage: Stage, message: &str, now: &Moment) -> Self {
        let mut next = self.successor();
        if let Some(step) = next.steps.last_mut() {
            message.clone_into(&mut step.message);
        }
        next.stage = stage;
        next.steps.push(Step {
            stage,
            start_time: now.time,
            message: String::new(),
        });
        if next.steps.len() > MAX_STEPS {
            next.steps.remove(FIRST_STEPS);
        }
        next.since = now.boot.clone();
        next.deadline = self.spec.limit(stage).map(|limit| BootTime {
            since_boot: now.boot.since_boot.saturating_add(limit),
            ..now.boot.clone()
        });
        match stage {
            // Clearing this is what brings the injected pods back.
            Stage::Reverting | Stage::Reverted | Stage::StandingIn => {
                next.withheld.clear();
                next.resumptions = 0;
            }
            Stage::Committed => {
                next.withheld = self.spec.injected();
                next.resumptions = 0;
            }
            _ => {}
        }
        next
    }

    /// The present stage has done what it is for.
    pub(super) fn completed(&self, message: &str, now: &Moment) -> Self {
        let next = match self.stage {
            Stage::Applying => Stage::WaitingForReady,
            Stage::WaitingForReady => Stage::WaitingForKubelet,
            Stage::WaitingForKubelet => Stage::Draining,
            Stage::Draining => Stage::HandingOver,
            Stage::HandingOver => Stage::Verifying,
            Stage::Verifying | Stage::StandingDown => Stage::Committed,
            Stage::Committed => Stage::StandingIn,
            Stage::StandingIn => Stage::StandingDown,
            Stage::Reverting | Stage::Reverted => Stage::Reverted,
        };
        self.entering(next, message, now)
    }

    /// The present stage has failed: the way back, which clears what is withheld.
    pub(crate) fn failed(&self, reason: Reason, message: &str, now: &Moment) -> Self {
        let message = format!("{message}; {}", reason.remedy());
        let came = format!("{reason}: {message}");
        if !self.stage.is_under_way() {
            return self.entering(Stage::StandingIn, &came, now);
        }
        let mut next = self.entering(Stage::Reverting, &came, now);
        next.failure = Some(Failure {
            stage: self.stage,
            reason: reason.as_str().to_owned(),
            message,
        });
        next
    }

    /// One more injected pod gives way.
    pub(super) fn withholding(&self, pod: &PodKey) -> Self {
        let mut next = self.successor();
        next.withheld.insert(pod.clone());
        next
    }

    /// What a daemon that has just started makes of the record that it finds. `None`: it goes on with it as it is.
    pub(super) fn found_at_start(&self, now: &Moment) -> Option<Self> {
        let rebooted = self.since.boot_id != now.boot.boot_id;
        match self.stage {
            Stage::Reverting | Stage::Reverted | Stage::StandingIn => None,
            Stage::Committed => rebooted.then(|| Self {
                since: now.boot.clone(),
                ..self.successor()
            }),
            _ if rebooted => {
                Some(self.failed(Reason::NodeRebooted, "the node was started anew", now))
            }
            _ if self.resumptions >= MAX_RESUMPTIONS => {
                let times = self.resumptions + 1;
                let message = format!("the daemon was started anew {times} times");
                Some(self.failed(Reason::DaemonRestarted, &message, now))
            }
            _ => Some(Self {
                resumptions: self.resumptions + 1,
                ..self.successor()
            }),
        }
    }
}

/// What is told of a change of the record, if anything.
pub(crate) fn event(before: &Record, after: &Record) -> Option<(EventKind, String)> {
    if before.stage == after.stage {
        return None;
    }
    let step = after.steps.iter().rev().nth(1);
    let came = step.map_or("", |step| step.message.as_str());
    let (id, from) = (&after.id, before.stage.as_str());
    let (kind, what) = match after.stage {
        Stage::Committed if before.stage == Stage::StandingDown => (
            EventKind::StandbyStopped,
            "the self-hosted control plane serves, the standby bundle has given way".to_owned(),
        ),
        Stage::Committed => (EventKind::HandedOver, "committed".to_owned()),
        Stage::Reverting => (
            EventKind::HandoffFailed,
            format!("takes its way back from {from}"),
        ),
        Stage::Reverted => (EventKind::HandedBack, "handed back".to_owned()),
        Stage::StandingIn if before.stage == Stage::Committed => (
            EventKind::StandbyStarted,
            "the standby bundle is projected".to_owned(),
        ),
        stage => (
            EventKind::HandoffProgressed,
            format!("from {from} to {}", stage.as_str()),
        ),
    };
    Some((kind, format!("handoff {id}: {what}: {came}")))
}
