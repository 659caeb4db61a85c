//! The requests about handing over to a self-hosted control plane.

use std::{collections::BTreeMap, fmt, time::Duration};

use seedpod_proto::v1;
use zeroize::Zeroizing;

/// Objects to apply to the cluster through a node.
#[derive(Clone)]
pub struct ApplyObjects {
    kubeconfig: Zeroizing<String>,
    manifests: Vec<Zeroizing<String>>,
    timeout: Option<Duration>,
    validate_only: bool,
}

impl ApplyObjects {
    /// Nothing yet, with these credentials and address.
    pub fn new(kubeconfig: impl Into<String>) -> Self {
        Self {
            kubeconfig: Zeroizing::new(kubeconfig.into()),
            manifests: Vec::new(),
            timeout: None,
            validate_only: false,
        }
    }

    /// Adds manifests.
    pub fn manifests<S: Into<String>>(mut self, manifests: impl IntoIterator<Item = S>) -> Self {
        let manifests = manifests.into_iter();
        self.manifests
            .extend(manifests.map(|manifest| Zeroizing::new(manifest.into())));
        self
    }

    /// How long may be tried. Default: 2 minutes.
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
            timeout: self.timeout.and_then(|timeout| timeout.try_into().ok()),
            validate_only: self.validate_only,
        }
    }
}

impl fmt::Debug for ApplyObjects {
    /// Without manifests and credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplyObjects")
            .field("manifests", &self.manifests.len())
            .field("timeout", &self.timeout)
            .field("validate_only", &self.validate_only)
            .finish_non_exhaustive()
    }
}

/// What takes over from what.
#[derive(Clone)]
pub struct StartHandoff {
    bundle: String,
    kubeconfig: Zeroizing<String>,
    manifests: Vec<Zeroizing<String>>,
    components: Vec<v1::HandoffComponent>,
    node_labels: BTreeMap<String, String>,
    request_id: String,
}

impl StartHandoff {
    /// A request for this bundle.
    pub fn new(bundle: impl Into<String>, kubeconfig: impl Into<String>) -> Self {
        Self {
            bundle: bundle.into(),
            kubeconfig: Zeroizing::new(kubeconfig.into()),
            manifests: Vec::new(),
            components: Vec::new(),
            node_labels: BTreeMap::new(),
            request_id: uuid::Uuid::new_v4().to_string(),
        }
    }

    /// Adds manifests.
    pub fn manifests<S: Into<String>>(mut self, manifests: impl IntoIterator<Item = S>) -> Self {
        let manifests = manifests.into_iter();
        self.manifests
            .extend(manifests.map(|manifest| Zeroizing::new(manifest.into())));
        self
    }

    pub(crate) fn component(mut self, component: v1::HandoffComponent) -> Self {
        self.components.push(component);
        self
    }

    /// Labels of the Node object.
    pub fn node_labels(mut self, labels: BTreeMap<String, String>) -> Self {
        self.node_labels = labels;
        self
    }

    /// The id of the request.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = id.into();
        self
    }

    pub(crate) fn to_message(&self) -> v1::StartHandoffRequest {
        v1::StartHandoffRequest {
            bundle: self.bundle.clone(),
            manifests: self.manifests.iter().map(|it| it.to_string()).collect(),
            kubeconfig: self.kubeconfig.to_string(),
            components: self.components.clone(),
            node_labels: self.node_labels.clone().into_iter().collect(),
            request_id: self.request_id.clone(),
            ..Default::default()
        }
    }
}

impl fmt::Debug for StartHandoff {
    /// Without manifests and credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartHandoff")
            .field("bundle", &self.bundle)
            .finish_non_exhaustive()
    }
}
