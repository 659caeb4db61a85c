//! The durations of a `StartHandoffRequest`.

use std::{ops::RangeInclusive, time::Duration};

use seedpod_proto::v1::HandoffDeadlines;

use super::Faults;
use crate::handoff::Deadlines;

/// How long a state may be given.
const DEADLINES: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// How long the self-hosted API server has to have served, when nothing else is said.
const STABLE_FOR: Duration = Duration::from_secs(10);

type Given = Option<prost_types::Duration>;

/// All of them, in a fixed order.
pub(super) fn all(given: &HandoffDeadlines) -> [Given; 6] {
    let HandoffDeadlines {
        apply,
        ready,
        kubelet,
        drain,
        hand_over,
        verify,
    } = given;
    [*apply, *ready, *kubelet, *drain, *hand_over, *verify]
}

pub(super) fn deadlines(given: Option<&HandoffDeadlines>, faults: &mut Faults) -> Deadlines {
    let mut deadlines = Deadlines::default();
    let [apply, ready, kubelet, drain, hand_over, verify] = given.map(all).unwrap_or_default();
    let mut put = |name: &str, given: Given, deadline: &mut Duration| {
        let Some(given) = given else {
            return;
        };
        let given = Duration::try_from(given).ok();
        match given.filter(|given| DEADLINES.contains(given)) {
            Some(given) => *deadline = given,
            None => faults.field(&format!("deadlines.{name}"), "must be between 1 s and 24 h"),
        }
    };
    put("apply", apply, &mut deadlines.apply);
    put("ready", ready, &mut deadlines.ready);
    put("kubelet", kubelet, &mut deadlines.kubelet);
    put("drain", drain, &mut deadlines.drain);
    put("hand_over", hand_over, &mut deadlines.hand_over);
    put("verify", verify, &mut deadlines.verify);
    deadlines
}

pub(super) fn stable_for(given: Given, ready: Duration, faults: &mut Faults) -> Duration {
    let given = match given {
        Some(given) => Duration::try_from(given).ok(),
        // A short deadline must leave a chance.
        None => Some(STABLE_FOR.min(ready / 2)),
    };
    let given = given.filter(|given| *given < ready);
    if given.is_none() {
        faults.field(
            "stable_for",
            "must not be negative, and must be less than deadlines.ready: the API server could \
             never have served so long",
        );
    }
    given.unwrap_or_default()
}
