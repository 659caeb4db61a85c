//! The command line tool: `args` is what it takes, one module per verb does the work through the SDK, and `exit` turns
//! whatever went wrong into words on stderr and an exit code. Data goes to stdout, all else to stderr.

mod args;
mod changes;
mod config;
mod confirm;
mod connection;
mod contexts;
mod describe;
mod diff;
mod down;
mod encryption;
mod events;
mod exit;
mod files;
mod findings;
mod get;
mod handoff;
mod history;
mod inject;
mod lint;
mod logs;
mod objects;
mod output;
mod pki;
mod pods;
mod progress;
mod remove;
mod render;
mod rollback;
mod time;
mod up;
mod version;
mod wait;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use args::{Cli, Command};

/// Parses the arguments, runs, and says how it went.
pub(crate) fn main() -> ExitCode {
    let Cli {
        connection,
        color,
        command,
        help: _,
    } = Cli::parse();
    color.write_global();
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(command, connection)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}

async fn run(command: Command, connection: args::ConnectionArgs) -> anyhow::Result<()> {
    match command {
        Command::Inject(args) => inject::run(args, connection).await,
        Command::Get(args) => get::run(args, connection).await,
        Command::Describe(args) => describe::run(args, connection).await,
        Command::Logs(args) => logs::run(args, connection).await,
        Command::Events(args) => events::run(args, connection).await,
        Command::History(args) => history::run(args, connection).await,
        Command::Diff(args) => diff::run(args, connection).await,
        Command::Rollback(args) => rollback::run(args, connection).await,
        Command::Confirm(args) => confirm::run(args, connection).await,
        Command::Remove(args) => remove::run(args, connection).await,
        Command::Up(args) => up::run(args, connection).await,
        Command::Down(args) => down::run(args, connection).await,
        Command::Handoff(args) => handoff::run(args, connection).await,
        Command::Lint(args) => lint::run(args),
        Command::Render(args) => render::run(args),
        Command::Pki(args) => pki::run(args),
        Command::Config(args) => contexts::run(args, &connection),
        Command::Version(args) => version::run(args, connection).await,
        Command::Completion { shell } => {
            // Into memory first: clap_complete panics when the pipe behind stdout is closed.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "seedpod", &mut script);
            output::print(&String::from_utf8_lossy(&script))
        }
    }
}
