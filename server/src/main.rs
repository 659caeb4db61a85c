//! `seedpodd`.

use std::process::ExitCode;

use clap::Parser;
use seedpod_server::Args;
use zeroizing_alloc::ZeroAlloc;

/// Wipes what is freed. Secrets pass through buffers of HTTP/2, protobuf, YAML and JSON, which do not wipe what they held.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

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
