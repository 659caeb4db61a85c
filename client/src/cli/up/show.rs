//! Showing how far a cluster has come: on a terminal a line per node that changes in place, elsewhere a line per change,
//! for programs a JSON object per line.

use std::{collections::HashMap, io::IsTerminal as _};

use anstream::eprintln;
use indicatif::{MultiProgress, ProgressBar};
use seedpod_client::cluster::{Phase, Progress, ProgressKind, UpError};
use serde::Serialize;

use super::super::{
    args::UpFormat,
    output::{
        self,
        style::{BOLD, RESET, WARNING},
    },
    progress::{rest, spin},
};

pub(crate) struct Show {
    format: UpFormat,
    terminal: Option<MultiProgress>,
    lines: HashMap<(Phase, Option<String>), ProgressBar>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Line<'a> {
    Progress(&'a Progress),
    Error {
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        preflight: Option<&'a seedpod_client::cluster::Preflight>,
    },
}

impl Show {
    pub(crate) fn new(format: UpFormat) -> Self {
        let on_terminal = format == UpFormat::Text && std::io::stderr().is_terminal();
        Self {
            format,
            terminal: on_terminal.then(MultiProgress::new),
            lines: HashMap::new(),
        }
    }

    pub(crate) fn tell(&mut self, progress: &Progress) {
        if self.format == UpFormat::Json {
            // That nobody reads any more is seen when the result is printed.
            if let Ok(line) = serde_json::to_string(&Line::Progress(progress)) {
                let _ = output::print(&(line + "\n"));
            }
            return;
        }
        let text = text(progress);
        match (&self.terminal, progress.kind) {
            (Some(terminal), ProgressKind::Started) => {
                terminal.suspend(|| eprintln!("{BOLD}{}{RESET}", progress.phase));
            }
            (Some(terminal), ProgressKind::Warning) => {
                terminal.suspend(|| eprintln!("{WARNING}warning:{RESET} {text}"));
            }
            (None, ProgressKind::Warning) => eprintln!("warning: [{}] {text}", progress.phase),
            (None, ProgressKind::Waiting) => eprintln!("[{}] {text} ...", progress.phase),
            (None, _) => eprintln!("[{}] {text}", progress.phase),
            (Some(_), kind) => self.line(progress, kind, text),
        }
    }

    /// Changes the node's line.
    fn line(&mut self, progress: &Progress, kind: ProgressKind, text: String) {
        let Some(terminal) = &self.terminal else {
            return;
        };
        let key = (progress.phase, progress.node.clone());
        let bar = self
            .lines
            .entry(key)
            .or_insert_with(|| terminal.add(ProgressBar::new_spinner()));
        match kind {
            ProgressKind::Done | ProgressKind::Failed => {
                rest(bar, kind == ProgressKind::Done);
            }
            _ => {
                // The time beside it is for how long this has been waited for.
                bar.reset_elapsed();
                spin(bar);
            }
        }
        bar.set_message(text);
        bar.tick();
    }

    /// Leaves the last state on the screen.
    pub(crate) fn finish(&mut self) {
        for (_, bar) in self.lines.drain() {
            bar.abandon();
        }
    }
}

fn text(progress: &Progress) -> String {
    match &progress.node {
        Some(node) => format!("{node}: {}", progress.message),
        None => progress.message.clone(),
    }
}

/// The last line for programs, when it has failed.
pub(crate) fn print_error(error: &anyhow::Error) -> anyhow::Result<()> {
    let preflight = match error.downcast_ref::<UpError>() {
        Some(UpError::Preflight(preflight)) => Some(&**preflight),
        _ => None,
    };
    let line = Line::Error {
        message: format!("{error:#}"),
        preflight,
    };
    output::print(&(serde_json::to_string(&line)? + "\n"))
}
