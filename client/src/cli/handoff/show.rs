//! Showing a handoff: on a terminal the state that it is in as a line that changes in place, elsewhere a line per change.

use std::{
    fmt::Write as _,
    io::IsTerminal as _,
    time::{Duration, SystemTime},
};

use anstream::eprintln;
use indicatif::ProgressBar;
use seedpod_client::{Handoff, HandoffState, HandoffStep, PodReference, SteeringMode};

use super::super::{
    output::style::{BAD, BOLD, CHANGED, DIM, GOOD, RESET},
    progress::{rest, spin},
    time::{ago, short},
};

pub(crate) struct Show {
    on_terminal: bool,
    /// How many of the states were shown to their end.
    shown: usize,
    bar: Option<ProgressBar>,
    last: String,
}

impl Show {
    pub(crate) fn new() -> Self {
        Self {
            on_terminal: std::io::stderr().is_terminal(),
            shown: 0,
            bar: None,
            last: String::new(),
        }
    }

    pub(crate) fn tell(&mut self, handoff: &Handoff) {
        // Another one has begun.
        self.shown = self.shown.min(handoff.steps.len());
        let (past, present) = match handoff.steps.split_last() {
            Some((present, past)) => (past, Some(present)),
            None => (&[][..], None),
        };
        for step in past.iter().skip(self.shown) {
            self.end(&line(step), is_well(step.state));
        }
        self.shown = past.len();
        let text = now(handoff);
        if text == self.last {
            return;
        }
        self.last.clone_from(&text);
        if !self.on_terminal {
            eprintln!("{text}");
            return;
        }
        let elapsed = present
            .and_then(|step| SystemTime::now().duration_since(step.start_time?).ok())
            .unwrap_or_default();
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner().with_elapsed(elapsed);
            spin(&bar);
            bar
        });
        bar.set_message(text);
        if !handoff.is_moving() {
            rest(bar, is_well(handoff.state));
            bar.tick();
        }
    }

    /// A state is over.
    fn end(&mut self, text: &str, well: bool) {
        self.last.clear();
        match self.bar.take() {
            Some(bar) => {
                rest(&bar, well);
                bar.set_message(text.to_owned());
                bar.abandon();
            }
            None => eprintln!("{text}"),
        }
    }

    /// Says something else without disturbing the line.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Leaves the last state on the screen.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.abandon();
        }
    }
}

/// Whether a state is one on the way that is wanted.
fn is_well(state: HandoffState) -> bool {
    !matches!(
        state,
        HandoffState::Reverting | HandoffState::Reverted | HandoffState::StandingIn
    )
}

/// A state that is over.
fn line(step: &HandoffStep) -> String {
    let mut text = format!("{} took {}", step.state, took(step));
    if !step.message.is_empty() {
        let _ = write!(text, ": {}", step.message);
    }
    text
}

/// The state that it is in.
fn now(handoff: &Handoff) -> String {
    let mut text = handoff.state.to_string();
    let why = handoff.failure.as_ref();
    let why = why.filter(|_| !is_well(handoff.state));
    match why {
        Some(failure) if handoff.message.is_empty() => {
            let _ = write!(text, ": {}", failure.message);
        }
        Some(failure) => {
            let _ = write!(text, ": {} ({})", handoff.message, failure.reason);
        }
        None if handoff.message.is_empty() => {}
        None => {
            let _ = write!(text, ": {}", handoff.message);
        }
    }
    text
}

/// How long a state took, or has taken until now: tenths of a second matter here.
fn took(step: &HandoffStep) -> String {
    let end = step.end_time.unwrap_or_else(SystemTime::now);
    let time = step
        .start_time
        .map(|start| end.duration_since(start).unwrap_or_default());
    time.map_or_else(|| "-".to_owned(), in_tenths)
}

fn in_tenths(time: Duration) -> String {
    if time < Duration::from_secs(60) {
        format!("{:.1}s", time.as_secs_f64())
    } else {
        short(time)
    }
}

/// All that is known of it, for people.
pub(crate) fn describe(handoff: &Handoff) -> String {
    let colour = match handoff.state {
        HandoffState::Committed => GOOD,
        HandoffState::Reverting | HandoffState::Reverted => BAD,
        HandoffState::StandingIn | HandoffState::StandingDown => CHANGED,
        _ => BOLD,
    };
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<11}{value}");
    };
    row(
        "Handoff:",
        &format!("{} of bundle {}", handoff.id, handoff.bundle),
    );
    let since = ago(handoff.state_time);
    row(
        "State:",
        &format!("{colour}{}{RESET} since {since}", handoff.state),
    );
    if !handoff.message.is_empty() {
        row("Waits for:", &handoff.message);
    }
    if let Some(deadline) = handoff.deadline {
        let left = deadline.duration_since(SystemTime::now());
        row(
            "Deadline:",
            &format!("in {}", short(left.unwrap_or_default())),
        );
    }
    if let Some(failure) = &handoff.failure {
        row(
            "Failure:",
            &format!(
                "{BAD}{}{RESET} in {}: {}",
                failure.reason, failure.state, failure.message
            ),
        );
    }
    if let Some(steering) = &handoff.steering {
        let why = match steering.mode {
            SteeringMode::None => format!(": {}", steering.message),
            _ => String::new(),
        };
        row("Steering:", &format!("{}{why}", steering.mode));
    }
    let pod = |pod: &PodReference| format!("{}/{}", pod.namespace, pod.name);
    let withheld: Vec<_> = handoff.withheld.iter().map(pod).collect();
    if !withheld.is_empty() {
        row("Withheld:", &withheld.join(", "));
    }
    text.push('\n');
    for step in &handoff.steps {
        let message = match step.message.as_str() {
            "" => String::new(),
            message => format!("  {DIM}{message}{RESET}"),
        };
        let line = format!("{:<18} {:>6}{message}", step.state, took(step));
        let _ = writeln!(text, "{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_of_a_second_are_told_of_short_states() {
        for (milliseconds, expected) in [(1_240, "1.2s"), (59_000, "59.0s"), (61_000, "61s")] {
            assert_eq!(in_tenths(Duration::from_millis(milliseconds)), expected);
        }
    }
}
