//! The command line of `seedpod-bench`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::bench::Bench;
use crate::machine;
use crate::report::{Row, Table, write_json};
use crate::rows::Measurement;
use crate::unsynced;

/// Measures Seedpod against the ways without it, and prints one Markdown table.
///
/// Needs root for all but `--only durable`, since the other rows run real nodes. A run takes about half an hour, with
/// --quick about a quarter. Run it on a machine that does nothing else.
///
/// Exit status: 0 all rows were measured, whether their goals are met or not; 1 a row could not be measured; 2 wrong
/// use.
#[derive(Debug, Parser)]
#[command(
    name = "seedpod-bench",
    version,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Other>,
    /// Measure less often
    #[arg(long)]
    quick: bool,
    /// How often to bring a whole cluster up or hand over: a minute or two each time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Measure this row only; may be given several times
    #[arg(long, value_name = "ROW")]
    only: Vec<Measurement>,
    /// Write the rows as a JSON list too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where to make the folder of the run: on the file system that is to be measured
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    dir: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Print what the kubelet does while it has not seen its API server, case by case; takes about five minutes
    Unsynced {
        /// Where to make the folder of the run
        #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
        dir: PathBuf,
    },
}

pub(crate) fn run() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            say(&format!("seedpod-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    fn run(self) -> Result<ExitCode> {
        let Self {
            command,
            quick,
            rounds,
            only,
            json,
            dir,
        } = self;
        if let Some(Other::Unsynced { dir }) = command {
            unsynced::measure(&dir)?;
            return Ok(ExitCode::SUCCESS);
        }
        let dir = dir
            .canonicalize()
            .with_context(|| format!("find {}", dir.display()))?;
        if cfg!(debug_assertions) {
            say("This is a debug build: its numbers say nothing. Use hack/bench.");
        }
        if machine::is_in_memory(&dir) {
            say(&format!(
                "{} is in memory, where nothing is durable: name a folder on a disk with --dir.",
                dir.display()
            ));
        }
        let load = machine::load();
        let bench = Bench::new(&dir, quick, rounds.map(usize::from))?;
        let mut rows: Vec<(Measurement, Row)> = Vec::new();
        let mut failures = Vec::new();
        for measurement in Measurement::ORDER {
            if !only.is_empty() && !only.contains(&measurement) {
                continue;
            }
            say(&format!("measuring: {measurement:?}"));
            match measurement.take(&bench) {
                Ok(taken) => rows.extend(taken.into_iter().map(|row| (measurement, row))),
                Err(error) => failures.push(format!("{measurement:?}: {error:#}")),
            }
        }
        rows.sort_by_key(|(measurement, _)| *measurement);
        let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
        let machine = machine::describe(&dir, &load);
        print(&Table {
            rows: &rows,
            machine: &machine,
        });
        if let Some(file) = json {
            write_json(&file, &rows)?;
        }
        for failure in &failures {
            say(&format!("not measured: {failure}"));
        }
        Ok(if failures.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

#[expect(clippy::print_stdout, reason = "the result")]
fn print(table: &Table<'_>) {
    print!("{table}");
}

#[expect(
    clippy::print_stderr,
    reason = "progress and errors belong to the person who waits"
)]
fn say(line: &str) {
    eprintln!("{line}");
}
