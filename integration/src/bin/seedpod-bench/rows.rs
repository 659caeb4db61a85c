//! The measurements, one module each.

mod by_hand;
mod cold;
mod control_plane;
mod durable;
mod first_line;
mod handoff;
mod lost;
mod memory;
mod reboot;
mod replace;
mod secrets;
mod start;
mod status;
mod up;
mod warm;

use anyhow::Result;
use clap::ValueEnum;

use crate::bench::Bench;
use crate::report::Row;

/// A row of the table, in the table's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Measurement {
    /// A durable injection of seven pods, against the bare system calls
    Durable,
    /// The same with 20 Secret files, against the bare system calls
    Secrets,
    /// From the call to the container's first line, against mv
    FirstLine,
    /// The same with the daemon's start, against the start of etcd and kube-apiserver
    Cold,
    /// The same, against a running kube-apiserver
    Warm,
    /// Resident memory with 50 pods
    Memory,
    /// From the start of the program to the first answer
    Start,
    /// Replacing a running pod, and how long neither the old nor the new one runs, against overwriting its manifest
    Replace,
    /// From the death of a container until WatchPods says so, against asking the runtime each second
    Status,
    /// A control plane in waves, against the same one all at once: until /readyz, and until both leases are held
    ControlPlane,
    /// From a bare machine to a control plane that runs in its own cluster, against bootkube's way by hand
    Up,
    /// Handing over, and the machine's memory before and after, against bootkube's way by hand
    Handoff,
    /// Requests lost while handing over, against API servers that fight for the port
    Lost,
    /// From power on until the API answers, against the API server's own start
    Reboot,
}

impl Measurement {
    /// The order in which they are taken: those first that a running API server or many pods would disturb.
    pub(crate) const ORDER: [Self; 14] = [
        Self::Durable,
        Self::Secrets,
        Self::FirstLine,
        Self::Replace,
        Self::Status,
        Self::Start,
        Self::Cold,
        Self::Warm,
        Self::Memory,
        Self::ControlPlane,
        Self::Up,
        Self::Handoff,
        Self::Lost,
        Self::Reboot,
    ];

    pub(crate) fn take(self, bench: &Bench) -> Result<Vec<Row>> {
        let row = match self {
            Self::Durable => durable::measure(bench),
            Self::FirstLine => first_line::measure(bench),
            Self::Cold => cold::measure(bench),
            Self::Warm => warm::measure(bench),
            Self::Memory => memory::measure(bench),
            Self::Start => start::measure(bench),
            Self::Status => status::measure(bench),
            Self::Secrets => return secrets::measure(bench),
            Self::Replace => return replace::measure(bench),
            Self::ControlPlane => return control_plane::measure(bench),
            Self::Up => return up::measure(bench),
            Self::Handoff => return handoff::measure(bench),
            Self::Lost => lost::measure(bench),
            Self::Reboot => reboot::measure(bench),
        };
        row.map(|row| vec![row])
    }
}
