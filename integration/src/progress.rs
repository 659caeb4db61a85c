//! Progress of long steps on stderr.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is printed when stderr is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Prints one line to stderr.
#[expect(
    clippy::print_stderr,
    reason = "progress belongs to the person who waits"
)]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// A step that takes long: a spinner on a terminal, else a line now and then.
#[derive(Debug)]
pub(crate) struct Step {
    what: String,
    start: Instant,
    last_line: Instant,
    spinner: Option<ProgressBar>,
}

impl Step {
    pub(crate) fn new(what: &str) -> Self {
        let now = Instant::now();
        let spinner = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            let bar = ProgressBar::new_spinner();
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_message(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if spinner.is_none() {
            say(what);
        }
        Self {
            what: what.to_owned(),
            start: now,
            last_line: now,
            spinner,
        }
    }

    /// Says how far the step is.
    pub(crate) fn at(&mut self, detail: &str) {
        let message = format!("{}: {detail}", self.what);
        if let Some(bar) = &self.spinner {
            bar.set_message(message);
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            say(&format!("{message} ({} s)", self.start.elapsed().as_secs()));
        }
    }

    /// Ends the step and says how long it took.
    pub(crate) fn done(self) {
        if let Some(bar) = &self.spinner {
            bar.finish_and_clear();
        }
        say(&format!(
            "{}: done in {:.1} s",
            self.what,
            self.start.elapsed().as_secs_f32()
        ));
    }
}
