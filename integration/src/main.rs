//! `seedpod-rig`: a real node under one folder, for tests and for trying Seedpod out.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
