//! `seedpodd`.

use std::process::ExitCode;

use clap::Parser;
use seedpod_server::Args;

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program's own output"
)]
fn main() -> ExitCode {
    match Args::parse().run() {
        Ok(said) => {
            if let Some(said) = said {
                println!("{said}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("seedpodd: {error:#}");
            ExitCode::FAILURE
        }
    }
}
