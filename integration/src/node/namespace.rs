//! The mount namespace of a node.

use anyhow::Result;

use super::{NAMESPACE, Node};
use crate::process::tail;

/// Paths that containerd, its shims, the CNI library and the kubelet use whatever they are told.
const PRIVATE: &str = "/run/containerd /run/nri /var/lib/cni /var/lib/kubelet /var/log/containers";

/// Mounts of the host still arrive in the namespace; below it, mounts are shared as a kubelet expects.
const SCRIPT: &str = r#"set -e
mount --make-rslave /
mount --make-rshared /
for folder in $1; do mkdir -p "$folder"; mount -t tmpfs -o mode=755 rig "$folder"; done
echo ready
exec sleep infinity"#;

impl Node {
    /// Starts the process that holds the namespace open, and waits until it is furnished.
    pub(super) fn start_namespace(&self) -> Result<()> {
        let arguments = [
            "--mount",
            "--propagation",
            "unchanged",
            "--",
            "sh",
            "-c",
            SCRIPT,
            "rig",
            PRIVATE,
        ];
        let arguments = arguments.map(str::to_owned).to_vec();
        let log = self.layout.log(NAMESPACE);
        // A line of an earlier start must not count.
        if log.exists() {
            std::fs::remove_file(&log)?;
        }
        self.launch_on_host(NAMESPACE, "unshare".as_ref(), arguments)?;
        self.wait_serving(NAMESPACE, || tail(&log, 1) == "ready")
    }
}
