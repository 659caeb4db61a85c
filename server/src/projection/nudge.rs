//! When a file is rewritten so that the kubelet tries again at once.
//!
//! A new pod under the name of one that is not finished yet is queued by the kubelet, and tried again after 10 to 15 s,
//! or at the next change of its file. A nudge is such a change, in an annotation.

use std::time::{Duration, Instant};

/// The first nudge of a pod that replaces another: the kubelet has then begun to stop the old one.
const FIRST_NUDGE: Duration = Duration::from_millis(150);
/// The first nudge of a pod that replaces nothing. A container starts within 0.3 s; a nudge helps only if the kubelet
/// still has a worker for an earlier pod of the same name.
const FIRST_NUDGE_OF_NEW: Duration = Duration::from_secs(2);
/// The time between nudges while the kubelet may be ready for the new pod at any moment: at first, and again when the old
/// one has stopped. The kubelet notices that with its next relist, a second later at most.
const EAGER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(2000));
/// While the old pod still runs (its grace period is its own), nudges only keep the new one from being forgotten.
const NUDGE_WHILE_OLD_RUNS: Duration = Duration::from_millis(500);

/// A demand whose file is there, and how far the kubelet has come with it.
#[derive(Debug)]
pub(super) struct Written {
    at: Instant,
    /// Whether there was a pod of this name before.
    replaces: bool,
    /// Whether that one still runs.
    old_runs: bool,
    confirmed: bool,
    nudges: u64,
    next_nudge: Instant,
    eager_until: Instant,
    once_more: Option<Instant>,
}

impl Written {
    pub(super) fn new(now: Instant, replaces: bool) -> Self {
        let (first, eager) = if replaces {
            (FIRST_NUDGE, EAGER.1)
        } else {
            (FIRST_NUDGE_OF_NEW, Duration::ZERO)
        };
        Self {
            at: now,
            replaces,
            old_runs: replaces,
            confirmed: false,
            nudges: 0,
            next_nudge: now + first,
            eager_until: now + eager,
            once_more: None,
        }
    }

    /// Whether the runtime has the pod.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// What the runtime said, when it was asked.
    pub(super) fn observe(&mut self, old_runs: bool, confirmed: bool, asked: Instant) {
        if self.old_runs && !old_runs {
            self.eager_until = asked + EAGER.1;
            self.next_nudge = self.next_nudge.min(asked + EAGER.0);
        }
        self.old_runs = old_runs;
        self.confirmed |= confirmed;
    }

    /// Asks for one more nudge, also of a pod that the runtime has already.
    pub(super) fn nudge_once_more(&mut self, now: Instant) {
        self.once_more = Some(now);
    }

    /// When the next nudge is due, if one is: not when the runtime has the pod, and not for longer than `nudge_for`.
    pub(super) fn next_nudge(&self, nudge_for: Duration, has_runtime: bool) -> Option<Instant> {
        if self.once_more.is_some() {
            return self.once_more;
        }
        // Without a runtime nothing is ever confirmed, and a pod that replaces nothing starts by itself.
        let helps = !self.confirmed && (has_runtime || self.replaces);
        (helps && self.next_nudge.duration_since(self.at) <= nudge_for).then_some(self.next_nudge)
    }

    /// Takes note of a nudge, and tells which one it is.
    pub(super) fn nudged(&mut self, now: Instant) -> u64 {
        self.nudges += 1;
        self.once_more = None;
        // Less and less often, up to every two seconds.
        let grown = u32::try_from(self.nudges / 4).unwrap_or(u32::MAX);
        let delay = if now < self.eager_until {
            EAGER.0
        } else if self.old_runs {
            NUDGE_WHILE_OLD_RUNS
        } else {
            EAGER.0 * grown.clamp(1, 20)
        };
        self.next_nudge = now + delay;
        self.nudges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// The times of all nudges, in milliseconds, of a pod that is never confirmed.
    fn nudges(written: &mut Written, begin: Instant, has_runtime: bool) -> Vec<u128> {
        let mut times = Vec::new();
        while let Some(at) = written.next_nudge(MINUTE, has_runtime) {
            times.push(at.duration_since(begin).as_millis());
            written.nudged(at);
        }
        times
    }

    #[test]
    fn a_replaced_pod_is_nudged_often_at_first_and_less_and_less_until_the_time_is_up() {
        let begin = Instant::now();
        let times = nudges(&mut Written::new(begin, true), begin, true);
        assert_eq!(times[..3], [150, 250, 350]);
        assert!(times.len() < 150, "{} nudges in a minute", times.len());
        assert!(times.iter().all(|time| *time <= 60_000));
    }

    #[test]
    fn when_the_old_pod_stops_the_next_nudge_is_brought_forward() {
        let begin = Instant::now();
        let mut written = Written::new(begin, true);
        let later = begin + Duration::from_secs(30);
        written.nudged(later);
        assert_eq!(
            written.next_nudge(MINUTE, true),
            Some(later + NUDGE_WHILE_OLD_RUNS)
        );
        written.observe(false, false, later);
        assert_eq!(written.next_nudge(MINUTE, true), Some(later + EAGER.0));
        written.nudged(later + EAGER.0);
        assert_eq!(written.next_nudge(MINUTE, true), Some(later + 2 * EAGER.0));
    }

    #[test]
    fn a_confirmed_pod_is_left_alone_and_a_new_one_without_a_runtime_too() {
        let begin = Instant::now();
        let mut written = Written::new(begin, true);
        written.observe(false, true, begin);
        assert_eq!(written.next_nudge(MINUTE, true), None);
        assert_eq!(Written::new(begin, false).next_nudge(MINUTE, false), None);
    }
}
