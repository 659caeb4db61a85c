//! The bundles to inject.

use super::{
    Kubeconfigs, Loaded, NodeConfiguration, Pki,
    render::{Files, NodeHandoff, RenderError},
};

/// The name of the bundle with a member of etcd.
pub const ETCD_BUNDLE: &str = "etcd";

/// The name of the bundle with the API server, the controller manager and the scheduler.
pub const CONTROL_PLANE_BUNDLE: &str = "control-plane";

/// The folder of a node's bundle `etcd`, with its `seedpod.yaml`.
pub(super) fn etcd_bundle(
    loaded: &Loaded,
    pki: &Pki,
    node: &NodeConfiguration,
) -> Result<Files, RenderError> {
    let _ = (loaded, pki, node);
    Ok(Files::new())
}

/// The folder of a node's bundle `control-plane`, with its `seedpod.yaml`.
pub(super) fn control_plane_bundle(
    loaded: &Loaded,
    pki: &Pki,
    kubeconfigs: &Kubeconfigs,
    node: &NodeConfiguration,
) -> Result<Files, RenderError> {
    let _ = (loaded, pki, kubeconfigs, node);
    Ok(Files::new())
}

/// How a node of the control plane hands over.
pub(super) fn handoff(loaded: &Loaded, node: &NodeConfiguration) -> NodeHandoff {
    let _ = loaded;
    NodeHandoff {
        node: node.name.clone(),
        bundle: CONTROL_PLANE_BUNDLE.to_owned(),
        components: Vec::new(),
        node_labels: std::collections::BTreeMap::new(),
    }
}
