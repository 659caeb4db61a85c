//! Tests on a real kubelet. All of this binary share one node; see [`rig`].
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the bans are for the daemon's state and for programs' output"
)]

mod access;
mod apply;
mod bare;
mod cli;
mod conformant;
mod daemon;
mod disk_full;
mod drift;
mod events;
mod foreign;
mod grpcurl;
mod handoff;
mod injection;
mod kills;
mod lifecycle;
mod logs;
mod machine;
mod operation;
mod pods;
mod prober;
mod probes;
mod programs;
mod refusals;
mod render_objects;
mod render_pki;
mod render_up;
mod rendered;
mod restarts;
mod rig;
mod scene;
mod secrets;
mod smoke;
mod state;
mod status;
mod trial;
mod unsynced;
mod up;
mod waves;
mod withheld;
