//! Where things are under a node's folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// The longest of the sockets under the folder, the kubelet's, with room for its temporary names.
const LONGEST_SOCKET: &str = "/kubelet/pod-resources/kubelet.sock";
/// What fits into a Unix socket's address, with its closing zero byte left out.
const SOCKET_LIMIT: usize = 107;

/// The paths of one node. All are under its folder.
#[derive(Clone, Debug)]
pub struct Layout {
    dir: PathBuf,
    id: String,
}

impl Layout {
    /// The layout of an existing or a new folder, which is made when it is missing.
    ///
    /// # Errors
    /// Fails when the folder can't be made, or its path is too long for the sockets in it.
    pub fn create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        let layout = Self::of(dir)?;
        let length = layout.dir.as_os_str().len() + LONGEST_SOCKET.len();
        if length > SOCKET_LIMIT {
            bail!(
                "{} is too long: a Unix socket's path has at most {SOCKET_LIMIT} bytes, and \
                 …{LONGEST_SOCKET} would have {length}; take a folder of at most {} bytes",
                layout.dir.display(),
                SOCKET_LIMIT - LONGEST_SOCKET.len(),
            );
        }
        Ok(layout)
    }

    /// The layout of an existing folder.
    ///
    /// # Errors
    /// Fails when there is no such folder.
    pub fn of(dir: &Path) -> Result<Self> {
        let dir = dir
            .canonicalize()
            .with_context(|| format!("find {}", dir.display()))?;
        if dir.parent().is_none() {
            bail!("/ can't be a node's folder");
        }
        let hash = Sha256::digest(dir.as_os_str().as_encoded_bytes());
        let id = hash
            .iter()
            .take(4)
            .fold(String::new(), |id, byte| format!("{id}{byte:02x}"));
        Ok(Self { dir, id })
    }

    /// The node's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Eight hexadecimal digits that follow from the folder's path: the same one has the same ones.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn seed(&self) -> u32 {
        u32::from_str_radix(&self.id, 16).unwrap_or_default()
    }

    pub(crate) fn cgroup(&self) -> String {
        format!("seedpod-rig-{}", self.id)
    }

    pub(crate) fn bridge(&self) -> String {
        format!("rig-{}", self.id)
    }

    /// The kubelet's static pod directory.
    #[must_use]
    pub fn manifests(&self) -> PathBuf {
        self.dir.join("manifests")
    }

    /// The kubelet's `--root-dir`.
    #[must_use]
    pub fn kubelet_root(&self) -> PathBuf {
        self.dir.join("kubelet")
    }

    /// The kubelet's configuration file.
    #[must_use]
    pub fn kubelet_config(&self) -> PathBuf {
        self.dir.join("kubelet.json")
    }

    /// The kubelet's `podLogsDir`.
    #[must_use]
    pub fn pod_logs(&self) -> PathBuf {
        self.dir.join("pods")
    }

    /// The folder of containerd: `root`, `state` and its configuration.
    #[must_use]
    pub fn containerd(&self) -> PathBuf {
        self.dir.join("containerd")
    }

    /// containerd's socket, which serves CRI too.
    #[must_use]
    pub fn containerd_socket(&self) -> PathBuf {
        self.dir.join("containerd.sock")
    }

    /// The log of one of the node's own processes.
    #[must_use]
    pub fn log(&self, process: &str) -> PathBuf {
        self.logs().join(format!("{process}.log"))
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    pub(crate) fn cni(&self) -> PathBuf {
        self.dir.join("cni")
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.dir.join("images")
    }

    pub(crate) fn control_plane(&self) -> PathBuf {
        self.dir.join("control-plane")
    }

    /// The folder of what a bare kubelet is given to join a cluster.
    pub(crate) fn joining(&self) -> PathBuf {
        self.dir.join("joining")
    }

    /// The kubeconfig with which a bare kubelet starts when it is there.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.joining().join("kubelet.conf")
    }

    /// The kubeconfig with which a bare kubelet asks for its certificate when it is there.
    #[must_use]
    pub fn bootstrap_kubeconfig(&self) -> PathBuf {
        self.joining().join("bootstrap-kubelet.conf")
    }

    /// The authorities whose clients a bare kubelet lets in when it is there.
    #[must_use]
    pub fn client_ca(&self) -> PathBuf {
        self.joining().join("client-ca.crt")
    }

    /// What a node with a network of its own has at `/var/lib/etcd`.
    #[must_use]
    pub fn etcd(&self) -> PathBuf {
        self.dir.join("etcd")
    }

    /// The folder of the daemon: configuration, certificates, state and socket.
    #[must_use]
    pub fn seedpodd(&self) -> PathBuf {
        self.dir.join("seedpodd")
    }

    /// A folder for a test's own files, removed with the node.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.dir.join("scratch")
    }

    /// What is known about a started node.
    #[must_use]
    pub fn state_file(&self) -> PathBuf {
        self.dir.join("rig.json")
    }

    pub(crate) fn state_lock(&self) -> PathBuf {
        self.dir.join("rig.lock")
    }

    /// Everything that a rig may have made under the folder, and nothing else.
    pub(crate) fn owned(&self) -> Vec<PathBuf> {
        let socket = self.containerd_socket();
        vec![
            self.manifests(),
            self.kubelet_root(),
            self.kubelet_config(),
            self.pod_logs(),
            self.containerd(),
            socket.with_extension("sock.ttrpc"),
            socket,
            self.logs(),
            self.cni(),
            self.images(),
            self.control_plane(),
            self.joining(),
            self.etcd(),
            self.seedpodd(),
            self.scratch(),
            self.state_file(),
            self.state_lock(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_too_long_for_sockets_is_refused_with_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let error = Layout::create(&folder.path().join("x".repeat(90))).unwrap_err();
        assert!(error.to_string().contains("at most 72 bytes"), "{error}");
    }

    #[test]
    fn the_same_folder_always_has_the_same_id() {
        let folder = tempfile::tempdir().unwrap();
        let first = Layout::create(folder.path()).unwrap();
        let again = Layout::of(&folder.path().join(".")).unwrap();
        assert_eq!(first.id(), again.id());
        assert_eq!(first.id().len(), 8);
    }
}
