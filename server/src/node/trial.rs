//! Revisions that are on trial: the terms, and how they stand. Pure; `watch` is the task that looks at the pods.
//!
//! The actor ends a trial whose time is over, also when it starts; `watch` tells it of pods that are ready or that
//! crash. All of it is told by what is on the disk and what runs now, so that a daemon that is killed at any instant
//! goes on where it was.

mod watch;

use std::{sync::Arc, time::Duration};

use super::{Bundle, clock::BootTime};

pub(super) use watch::start;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Terms {
    /// How long the revision has until it must be confirmed.
    pub(crate) timeout: Duration,
    pub(crate) confirmation: Confirmation,
}

/// What confirms a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Confirmation {
    /// That all pods are ready at the same time, or somebody who says so.
    Readiness,
    /// Only somebody who says so.
    Explicit,
}

/// A trial as it is kept with its revision.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Trial {
    pub(crate) terms: Terms,
    /// When the revision was committed.
    pub(crate) begun: BootTime,
}

/// What is left of a trial's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Time(Duration),
    /// All of it has passed.
    Nothing,
    /// The node was started anew meanwhile.
    Rebooted,
}

impl Trial {
    pub(crate) fn left(&self, now: &BootTime) -> Left {
        match now.since(&self.begun) {
            None => Left::Rebooted,
            Some(passed) => match self.terms.timeout.checked_sub(passed) {
                None | Some(Duration::ZERO) => Left::Nothing,
                Some(left) => Left::Time(left),
            },
        }
    }
}

/// The trial of an active revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnTrial {
    pub(crate) trial: Trial,
    /// Whether the revision stays.
    pub(crate) confirmed: bool,
    /// What the node goes back to; `None` when that is no bundle at all, and when it is confirmed.
    pub(crate) fallback: Option<Arc<Bundle>>,
}

impl OnTrial {
    pub(crate) fn is_pending(&self) -> bool {
        !self.confirmed
    }

    /// Whether readiness alone does not end it.
    pub(crate) fn needs_word(&self) -> bool {
        self.is_pending() && self.trial.terms.confirmation == Confirmation::Explicit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_ends_with_its_time_or_with_the_boot() {
        let at = |boot_id: &str, seconds| BootTime {
            boot_id: boot_id.into(),
            since_boot: Duration::from_secs(seconds),
        };
        let trial = Trial {
            terms: Terms {
                timeout: Duration::from_secs(60),
                confirmation: Confirmation::Readiness,
            },
            begun: at("a", 100),
        };
        let left = |now: BootTime| trial.left(&now);
        assert_eq!(left(at("a", 100)), Left::Time(Duration::from_secs(60)));
        assert_eq!(left(at("a", 159)), Left::Time(Duration::from_secs(1)));
        assert_eq!(left(at("a", 160)), Left::Nothing);
        assert_eq!(left(at("a", 9999)), Left::Nothing);
        assert_eq!(left(at("b", 101)), Left::Rebooted);
    }
}
