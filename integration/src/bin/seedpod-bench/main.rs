//! `seedpod-bench`: what Seedpod promises, measured against the ways without it.
//!
//! Every row is ours against an alternative, alternated in one run on one machine, so that whatever
//! else the machine does hits both. `rows` has one module per measurement; `nodes` starts the real
//! nodes that they need, once and only when needed; `report` prints. `unsynced` is apart: it says what the kubelet does.
#![allow(
    clippy::disallowed_methods,
    reason = "the ban is for the daemon's state; what is measured here is the bare system calls"
)]

mod bench;
mod bootkube;
mod cli;
mod daemon;
mod logs;
mod machine;
mod memory;
mod nodes;
mod ours;
mod pods;
mod report;
mod rows;
mod site;
mod stats;
mod unsynced;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
