//! The request to apply objects to the cluster.

use std::{fmt, time::Duration};

use seedpod_proto::v1;
use zeroize::Zeroizing;

/// Objects that a node applies to its cluster, for a client that can reach the node but perhaps not the API server.
///
/// They are applied by server-side apply with the field manager `seedpod`, so that the same request again changes
/// nothing. Namespaces come first, then CustomResourceDefinitions (which are waited for), then what other objects use
/// (service accounts, RBAC, Secrets, ConfigMaps and such), then the rest in the given order, webhook configurations last.
#[derive(Clone)]
pub struct ApplyObjects {
    manifests: Vec<Zeroizing<String>>,
    kubeconfig: Zeroizing<String>,
    timeout: Option<Duration>,
    validate_only: bool,
}

impl ApplyObjects {
    /// A request with the kubeconfig to use, still without manifests. Everything in it is inline, as
    /// `kubectl config view --raw --flatten` gives it; its server is reached from the node.
    pub fn new(kubeconfig: impl Into<String>) -> Self {
        Self {
            manifests: Vec::new(),
            kubeconfig: Zeroizing::new(kubeconfig.into()),
            timeout: None,
            validate_only: false,
        }
    }

    /// Adds a manifest: YAML or JSON, one or several documents of any kind.
    pub fn manifest(mut self, manifest: impl Into<String>) -> Self {
        self.manifests.push(Zeroizing::new(manifest.into()));
        self
    }

    /// Adds several manifests.
    pub fn manifests<S: Into<String>>(mut self, manifests: impl IntoIterator<Item = S>) -> Self {
        let more = manifests.into_iter().map(|it| Zeroizing::new(it.into()));
        self.manifests.extend(more);
        self
    }

    /// How long the node tries, from 1 s to 1 hour, instead of 2 minutes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Only ask the API server what it would say.
    pub fn validate_only(mut self, validate_only: bool) -> Self {
        self.validate_only = validate_only;
        self
    }

    pub(crate) fn to_message(&self) -> v1::ApplyObjectsRequest {
        v1::ApplyObjectsRequest {
            manifests: self.manifests.iter().map(|it| it.to_string()).collect(),
            kubeconfig: self.kubeconfig.to_string(),
            timeout: self.timeout.and_then(|it| it.try_into().ok()),
            validate_only: self.validate_only,
        }
    }
}

impl fmt::Debug for ApplyObjects {
    /// Without the manifests and the kubeconfig.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.manifests.iter().map(|manifest| manifest.len()).sum();
        f.debug_struct("ApplyObjects")
            .field(
                "manifests",
                &format_args!("{} of {bytes} bytes", self.manifests.len()),
            )
            .field("timeout", &self.timeout)
            .field("validate_only", &self.validate_only)
            .finish_non_exhaustive()
    }
}
