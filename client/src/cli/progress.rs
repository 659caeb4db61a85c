//! Showing how far pods have come, on stderr: a line per pod that changes in place on a terminal, a line per change
//! elsewhere.

use std::{collections::HashMap, io::IsTerminal as _, time::Duration};

use anstream::eprintln;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use seedpod_client::{Pod, PodState};

const DONE: &str = "✓ {wide_msg}";
const NOT_DONE: &str = "✗ {wide_msg}";
/// With the time for which the pod has been in its state.
const GOING_ON: &str = "{spinner:.cyan} {elapsed:>4} {wide_msg}";

pub(crate) struct Progress {
    terminal: Option<MultiProgress>,
    pods: HashMap<String, Line>,
}

struct Line {
    state: String,
    shown: String,
    done: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self {
            terminal,
            pods: HashMap::new(),
        }
    }

    /// Shows the pods as they are now. One that is no longer among them is gone.
    pub(crate) fn show(&mut self, pods: &[Pod]) {
        let mut gone: Vec<String> = self.pods.keys().cloned().collect();
        for pod in pods {
            let name = format!("{}/{}", pod.namespace, pod.name);
            gone.retain(|other| *other != name);
            // A pod that is ready has nothing to say.
            let text = if pod.message.is_empty() || pod.state == PodState::Ready {
                format!("{name}: {}", pod.state)
            } else {
                format!("{name}: {} ({})", pod.state, pod.message)
            };
            self.line(name, pod.state.as_str(), text, pod.state == PodState::Ready);
        }
        gone.sort();
        for name in gone {
            let text = format!("{name}: gone");
            self.line(name, "gone", text, true);
        }
    }

    /// Says something else without disturbing the lines of the pods.
    pub(crate) fn note(&self, text: &str) {
        match &self.terminal {
            Some(terminal) => terminal.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    fn line(&mut self, name: String, state: &str, text: String, done: bool) {
        let line = self.pods.entry(name).or_insert_with(|| Line {
            state: String::new(),
            shown: String::new(),
            done: false,
            bar: self
                .terminal
                .as_ref()
                .map(|terminal| terminal.add(ProgressBar::new_spinner())),
        });
        if line.shown == text {
            return;
        }
        match &line.bar {
            None => eprintln!("{text}"),
            Some(bar) => {
                if line.state != state {
                    bar.reset_elapsed();
                }
                if done {
                    rest(bar, true);
                } else {
                    spin(bar);
                }
                bar.set_message(text.clone());
                bar.tick();
            }
        }
        state.clone_into(&mut line.state);
        line.shown = text;
        line.done = done;
    }

    /// Leaves the last state on the screen.
    pub(crate) fn finish(self) {
        for line in self.pods.into_values() {
            let Some(bar) = line.bar else { continue };
            rest(&bar, line.done);
            bar.abandon();
        }
    }
}

/// The line is of something that goes on.
pub(super) fn spin(bar: &ProgressBar) {
    bar.set_style(style(GOING_ON));
    bar.enable_steady_tick(Duration::from_millis(120));
}

/// The line is of something that has come to its end, or is left as it is.
pub(super) fn rest(bar: &ProgressBar, done: bool) {
    bar.disable_steady_tick();
    bar.set_style(style(if done { DONE } else { NOT_DONE }));
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constant; were one wrong, the default style would do.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_strings(&["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", " "])
}
