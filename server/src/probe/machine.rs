//! The rules of the kubelet's `prober/worker.go` for one container: when a probe is due, and what its results amount
//! to. Pure: it is told the time and the results.
//!
//! Two deliberate differences, both of which leave readiness as the kubelet has it:
//! - The kubelet takes a container as not ready before its first result. Here that is [`Verdict::Pending`], and the
//!   first failure, below the threshold or not, makes it [`Verdict::Fails`].
//! - The kubelet's clock for a probe begins when it meets the pod, so that the first probe comes up to a period after
//!   the initial delay. Here it begins with the container.

use std::time::{Duration, Instant};

use super::{Probed, Verdict};

/// When a probe runs, and how many results in a row count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) initial_delay: Duration,
    pub(super) period: Duration,
    pub(super) timeout: Duration,
    pub(super) successes: u32,
    pub(super) failures: u32,
}

/// Within what time the probes of containers begin that ran before they were met: a daemon that is started again meets
/// all of a node's at once.
const CATCH_UP: Duration = Duration::from_secs(2);

/// Since when a container runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub(super) at: Instant,
    /// When it was met.
    pub(super) met: Instant,
    /// From 0 to 1, another one for each container: where in the period its probes run, when it was met late.
    pub(super) phase: f32,
}

/// Which of a container's probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Startup,
    Readiness,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Readiness => "readiness",
        }
    }
}

/// What became of running a probe once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// With what it said, for people.
    Failed(String),
    /// It could not be run, for this reason. Such a result counts for neither side.
    NotRun(String),
}

/// The probes of one running container.
#[derive(Debug)]
pub(super) struct Machine {
    startup: Option<Track>,
    readiness: Option<Track>,
    message: String,
}

/// One probe.
#[derive(Debug)]
struct Track {
    pace: Pace,
    verdict: Verdict,
    /// The last result, and how often it has come in a row.
    last: Option<bool>,
    run: u32,
    due: Instant,
    /// From the first time that it runs to the second one.
    first_period: Duration,
    /// It has said what it had to say to this container.
    over: bool,
}

impl Machine {
    pub(super) fn new(startup: Option<Pace>, readiness: Option<Pace>, start: Start) -> Self {
        let track = |pace: Pace| Track::new(pace, start);
        Self {
            startup: startup.map(track),
            readiness: readiness.map(track),
            message: String::new(),
        }
    }

    /// Which probe runs next, and when. `None`: none does for this container any more. There is never more than one:
    /// readiness waits for the startup probe to pass, which does not run after that.
    pub(super) fn next(&self) -> Option<(Kind, Instant)> {
        let (kind, track) = match (&self.startup, &self.readiness) {
            (Some(startup), _) if startup.verdict != Verdict::Passes => (Kind::Startup, startup),
            (_, Some(readiness)) => (Kind::Readiness, readiness),
            (_, None) => return None,
        };
        (!track.over).then_some((kind, track.due))
    }

    /// Takes note that a probe begins now, and sets the time of the one after it: a period later. Times that have
    /// passed meanwhile are made up for once, and not each.
    pub(super) fn begin(&mut self, kind: Kind, now: Instant) {
        let Some(track) = self.track(kind) else {
            return;
        };
        let late = now.saturating_duration_since(track.due);
        if track.last.is_none() && track.verdict == Verdict::Pending {
            // The first one sets the beat.
            track.due = now + track.first_period;
        } else {
            let missed = late.as_nanos() / track.pace.period.as_nanos().max(1);
            let beats = u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1);
            track.due += track.pace.period.saturating_mul(beats);
        }
    }

    /// Takes a result.
    pub(super) fn record(&mut self, kind: Kind, outcome: Outcome) {
        let Some(track) = self.track(kind) else {
            return;
        };
        let (passed, message) = match outcome {
            Outcome::Passed => (true, None),
            Outcome::Failed(message) => (false, Some(message)),
            Outcome::NotRun(message) => {
                if track.verdict == Verdict::Pending {
                    track.verdict = Verdict::Fails;
                }
                if track.verdict == Verdict::Fails {
                    self.message = message;
                }
                return;
            }
        };
        if track.last == Some(passed) {
            track.run = track.run.saturating_add(1);
        } else {
            track.last = Some(passed);
            track.run = 1;
        }
        let needed = if passed {
            track.pace.successes
        } else {
            track.pace.failures
        };
        let counts = track.run >= needed;
        if counts {
            track.verdict = if passed {
                Verdict::Passes
            } else {
                Verdict::Fails
            };
            // A startup probe that has failed is the end of its container, and one that has passed is not asked again.
            track.over = kind == Kind::Startup;
        } else if !passed && track.verdict == Verdict::Pending {
            track.verdict = Verdict::Fails;
        }
        match (track.verdict, message) {
            (Verdict::Passes, _) => self.message.clear(),
            (_, Some(message)) => self.message = message,
            (_, None) => {}
        }
    }

    /// What the probes say.
    pub(super) fn probed(&self) -> Probed {
        let verdict = |track: &Option<Track>| track.as_ref().map(|track| track.verdict);
        Probed {
            startup: verdict(&self.startup),
            readiness: verdict(&self.readiness),
            message: self.message.clone(),
        }
    }

    /// Whether that is what the probes say.
    pub(super) fn says(&self, probed: &Probed) -> bool {
        let same = |track: &Option<Track>, said: Option<Verdict>| {
            track.as_ref().map(|track| track.verdict) == said
        };
        same(&self.startup, probed.startup)
            && same(&self.readiness, probed.readiness)
            && self.message == probed.message
    }

    fn track(&mut self, kind: Kind) -> Option<&mut Track> {
        match kind {
            Kind::Startup => self.startup.as_mut(),
            Kind::Readiness => self.readiness.as_mut(),
        }
    }
}

impl Track {
    fn new(pace: Pace, start: Start) -> Self {
        let due = start.at + pace.initial_delay;
        let is_late = start.met > due + pace.period;
        // Those that are met together would run together for ever. The kubelet spreads them as well when it starts.
        let (due, first_period) = if is_late {
            let within = CATCH_UP.min(pace.period).mul_f32(start.phase);
            (start.met + within, pace.period.mul_f32(start.phase))
        } else {
            (due, pace.period)
        };
        Self {
            pace,
            verdict: Verdict::Pending,
            last: None,
            run: 0,
            due,
            first_period,
            over: false,
        }
    }
}

#[cfg(test)]
mod tests;
