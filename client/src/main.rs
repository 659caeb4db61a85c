//! `seedpod`, the command line tool for nodes that run `seedpodd`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
