//! The requests about a node as a whole.

use std::{fmt, time::Duration};

use seedpod_proto::v1;
use zeroize::Zeroizing;

/// What [`Client::check_node`](crate::Client::check_node) looks at beside what it always tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckNode {
    ports: Vec<u16>,
    images: Vec<String>,
    paths: Vec<String>,
}

impl CheckNode {
    /// Nothing in particular.
    pub fn new() -> Self {
        Self::default()
    }

    /// TCP ports that are to be free, or taken by pods of Seedpod.
    pub fn ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.ports.extend(ports);
        self
    }

    /// Images that are to be there.
    pub fn images<S: Into<String>>(mut self, images: impl IntoIterator<Item = S>) -> Self {
        self.images.extend(images.into_iter().map(Into::into));
        self
    }

    /// Absolute paths whose file systems' free space is asked for.
    pub fn paths<S: Into<String>>(mut self, paths: impl IntoIterator<Item = S>) -> Self {
        self.paths.extend(paths.into_iter().map(Into::into));
        self
    }

    pub(crate) fn to_message(&self) -> v1::CheckNodeRequest {
        v1::CheckNodeRequest {
            ports: self.ports.iter().copied().map(u32::from).collect(),
            images: self.images.clone(),
            paths: self.paths.clone(),
        }
    }
}

/// The files that a kubelet needs to join a cluster. One that is not given stays as it is.
#[derive(Clone, Default)]
pub struct ConfigureKubelet {
    kubeconfig: Option<Zeroizing<String>>,
    bootstrap_kubeconfig: Option<Zeroizing<String>>,
    client_ca: Option<String>,
    validate_only: bool,
    restart_unsynced: bool,
}

impl ConfigureKubelet {
    /// Nothing is changed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its kubeconfig; an empty one is removed. The request wipes its copy when it is dropped.
    pub fn kubeconfig(mut self, text: impl Into<String>) -> Self {
        self.kubeconfig = Some(Zeroizing::new(text.into()));
        self
    }

    /// The kubeconfig for TLS bootstrapping; an empty one is removed.
    pub fn bootstrap_kubeconfig(mut self, text: impl Into<String>) -> Self {
        self.bootstrap_kubeconfig = Some(Zeroizing::new(text.into()));
        self
    }

    /// PEM certificates of the authorities whose clients it lets in; an empty text is removed.
    pub fn client_ca(mut self, pem: impl Into<String>) -> Self {
        self.client_ca = Some(pem.into());
        self
    }

    /// Only tell what would be done.
    pub fn validate_only(mut self, validate_only: bool) -> Self {
        self.validate_only = validate_only;
        self
    }

    /// Restart it also when nothing has changed and it has not heard from its API server. One that has waited for long
    /// sleeps for up to half a minute between two tries.
    pub fn restart_unsynced(mut self, restart: bool) -> Self {
        self.restart_unsynced = restart;
        self
    }

    pub(crate) fn to_message(&self) -> v1::ConfigureKubeletRequest {
        let text = |text: &Option<Zeroizing<String>>| text.as_ref().map(|text| text.to_string());
        v1::ConfigureKubeletRequest {
            kubeconfig: text(&self.kubeconfig),
            bootstrap_kubeconfig: text(&self.bootstrap_kubeconfig),
            client_ca: self.client_ca.clone(),
            validate_only: self.validate_only,
            restart_unsynced: self.restart_unsynced,
        }
    }
}

impl fmt::Debug for ConfigureKubelet {
    /// Without the files, which hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigureKubelet")
            .field("kubeconfig", &self.kubeconfig.is_some())
            .field("bootstrap_kubeconfig", &self.bootstrap_kubeconfig.is_some())
            .field("client_ca", &self.client_ca.is_some())
            .field("validate_only", &self.validate_only)
            .field("restart_unsynced", &self.restart_unsynced)
            .finish()
    }
}

/// What is taken back from a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResetNode {
    bundles: Vec<String>,
    kubelet: bool,
    directories: Vec<String>,
    timeout: Option<Duration>,
}

impl ResetNode {
    /// Only the handoff is forgotten.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bundles to remove, in this order, each when the pods of the one before have stopped. None is no error.
    pub fn bundles<S: Into<String>>(mut self, bundles: impl IntoIterator<Item = S>) -> Self {
        self.bundles.extend(bundles.into_iter().map(Into::into));
        self
    }

    /// Whether the kubelet's files are removed.
    pub fn kubelet(mut self, kubelet: bool) -> Self {
        self.kubelet = kubelet;
        self
    }

    /// Directories to remove with all that is in them, once the pods have stopped. The daemon's configuration says which
    /// may be.
    pub fn directories<S: Into<String>>(
        mut self,
        directories: impl IntoIterator<Item = S>,
    ) -> Self {
        self.directories
            .extend(directories.into_iter().map(Into::into));
        self
    }

    /// How long may be waited for pods. Default: 2 minutes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long the answer may take: what is waited for pods, and a little for the rest.
    pub(crate) fn patience(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(120)) + Duration::from_secs(60)
    }

    pub(crate) fn to_message(&self) -> v1::ResetNodeRequest {
        v1::ResetNodeRequest {
            bundles: self.bundles.clone(),
            kubelet: self.kubelet,
            directories: self.directories.clone(),
            timeout: self.timeout.and_then(|timeout| timeout.try_into().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelets_keys_are_never_printed() {
        let request = ConfigureKubelet::new()
            .kubeconfig("client-key-data: c2VjcmV0")
            .bootstrap_kubeconfig("token: abcdef.0123456789abcdef");
        let text = format!("{request:?}");
        assert!(
            !text.contains("c2VjcmV0") && !text.contains("abcdef"),
            "{text}"
        );
    }
}
