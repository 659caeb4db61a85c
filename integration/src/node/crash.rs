//! What can befall a node: its daemons are killed, or its power is cut.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::{CONTAINERD, KUBELET, NAMESPACE, Node};
use crate::process::ProcessRecord;
use crate::seedpodd::VOLUMES;
use crate::wait::wait_until;

impl Node {
    /// Kills containerd, the kubelet, the API server and each `seedpodd` with SIGKILL, all before one of them
    /// is waited for. Containers and their shims go on.
    ///
    /// # Errors
    /// Fails when one does not end.
    pub fn kill_all(&self) -> Result<()> {
        let processes = self.state().processes;
        let doomed: Vec<ProcessRecord> = processes
            .into_iter()
            .filter(|(name, process)| name != NAMESPACE && process.is_alive())
            .map(|(_, process)| process)
            .collect();
        for process in &doomed {
            process.signal(Signal::KILL)?;
        }
        for process in &doomed {
            process.wait_gone(Duration::from_secs(10))?;
        }
        Ok(())
    }

    /// Starts containerd and the kubelet, whichever of them does not run.
    ///
    /// # Errors
    /// Fails when one does not start.
    pub fn start_killed(&self) -> Result<()> {
        if self.process(CONTAINERD).is_none() {
            self.start_containerd()?;
        }
        if self.process(KUBELET).is_none() {
            self.start_kubelet()?;
        }
        Ok(())
    }

    /// Ends everything at once, as a power cut does: all processes, also those in containers, and what is only
    /// in memory, that is, mounts, the state of containerd and runc in `/run`, and the volumes of each `seedpodd`.
    ///
    /// What the kernel has not yet written to the disk is not lost here. The boot stays the same one, too:
    /// [`crate::Seedpodd::play_reboot`] lets a daemon see another.
    ///
    /// # Errors
    /// Fails when something does not end.
    pub fn cut_power(&self) -> Result<()> {
        self.cgroup.destroy()?;
        let daemons = fs::read_dir(self.layout.seedpodd());
        let daemons = daemons.into_iter().flatten().flatten();
        let volatile = ["state", "runc"]
            .map(|name| self.layout.containerd().join(name))
            .into_iter()
            .chain(daemons.map(|daemon| daemon.path().join(VOLUMES)));
        for folder in volatile {
            let what = format!("{} can be removed", folder.display());
            // The kernel takes a moment to let go of the mounts of a namespace that has just ended.
            wait_until(
                Duration::from_secs(10),
                &what,
                || match fs::remove_dir_all(&folder) {
                    Err(error) => error.kind() == ErrorKind::NotFound,
                    Ok(()) => true,
                },
            )
            .context("cut the power")?;
        }
        Ok(())
    }

    /// Starts containerd and the kubelet after [`Node::cut_power`].
    ///
    /// # Errors
    /// Fails when one does not start.
    pub fn power_on(&self) -> Result<()> {
        self.cgroup.create()?;
        self.start_namespace()?;
        self.start_killed()
    }
}
