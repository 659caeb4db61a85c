//! The namespaces of a node: that of its mounts, and on demand that of its network.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{NAMESPACE, Node};
use crate::process::tail;

/// Paths that containerd, its shims, the CNI library and the kubelet use whatever they are told.
const PRIVATE: &str = "/run/containerd /run/nri /var/lib/cni /var/lib/kubelet /var/log/containers";

/// Where etcd keeps its data when nothing else is said. A machine of its own has one of its own, which stays when its
/// power is cut.
const ETCD: &str = "/var/lib/etcd";

/// Mounts of the host still arrive in the namespace; below it, mounts are shared as a kubelet expects.
const SCRIPT: &str = r#"set -e
mount --make-rslave /
mount --make-rshared /
for folder in $1; do mkdir -p "$folder"; mount -t tmpfs -o mode=755 rig "$folder"; done
if [ -n "$2" ]; then mkdir -p "$2" "$3"; mount --bind "$2" "$3"; fi
echo ready
exec sleep infinity"#;

impl Node {
    /// Starts the process that holds the namespace open, and waits until it is furnished.
    pub(super) fn start_namespace(&self) -> Result<()> {
        let own_network = self.state().own_network;
        let mut arguments = vec!["--mount", "--propagation", "unchanged"];
        arguments.extend(own_network.is_some().then_some("--net"));
        arguments.extend(["--", "sh", "-c", SCRIPT, "rig", PRIVATE]);
        let etcd = self.layout.etcd().display().to_string();
        if own_network.is_some() {
            arguments.extend([etcd.as_str(), ETCD]);
        }
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        let log = self.layout.log(NAMESPACE);
        // A line of an earlier start must not count.
        if log.exists() {
            std::fs::remove_file(&log)?;
        }
        let holder = self.launch_in(NAMESPACE, "unshare".as_ref(), arguments, None)?;
        self.wait_serving(NAMESPACE, || tail(&log, 1) == "ready")?;
        match own_network {
            Some(own) => own.connect(&self.state().network, holder),
            None => Ok(()),
        }
    }

    /// The node's network namespace, when it has one of its own and runs.
    #[must_use]
    pub fn network_namespace(&self) -> Option<PathBuf> {
        self.state().own_network?;
        let holder = self.process(NAMESPACE)?;
        Some(PathBuf::from(format!("/proc/{}/ns/net", holder.pid)))
    }

    /// Runs a function in the node's network, on a thread of its own. What it opens there stays there: a socket, or a
    /// listener. A runtime that it is to use has to be started by it, since others have threads in the host's network.
    ///
    /// # Errors
    /// Fails when the node does not run.
    ///
    /// # Panics
    /// When the function does.
    pub fn in_network<T: Send>(&self, run: impl FnOnce() -> T + Send) -> Result<T> {
        let namespace = match self.state().own_network {
            Some(_) => {
                let holder = self.process(NAMESPACE).context("the node does not run")?;
                let file = format!("/proc/{}/ns/net", holder.pid);
                Some(File::open(&file).with_context(|| format!("open {file}"))?)
            }
            None => None,
        };
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                if let Some(namespace) = namespace {
                    let kind = Some(LinkNameSpaceType::Network);
                    move_into_link_name_space(namespace.as_fd(), kind)
                        .context("enter the node's network")?;
                }
                Ok(run())
            });
            match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// A command that runs a program in the node's network, with the host's files.
    ///
    /// # Errors
    /// Fails when the node does not run.
    pub fn command_in_network(&self, program: &str) -> Result<Command> {
        if self.state().own_network.is_none() {
            return Ok(Command::new(program));
        }
        let holder = self.process(NAMESPACE).context("the node does not run")?;
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{}/ns/net", holder.pid))
            .args(["--", program]);
        Ok(command)
    }
}
