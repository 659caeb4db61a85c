//! From a configuration to a folder with everything that follows from it.

mod error;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

pub use error::RenderError;

use super::{Kubeconfigs, Loaded, Pki};

/// Texts by their path within a folder, such as `10-etcd.yaml` or `secrets/ca.crt`.
pub type Files = BTreeMap<String, Zeroizing<String>>;

/// What [`render`] has made of a configuration.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The folder that was written.
    pub directory: PathBuf,
    /// What is below `pki`.
    pub pki: Pki,
    /// What is below `kubeconfigs`, and those that are within bundles and objects.
    pub kubeconfigs: Kubeconfigs,
    /// The bundles to inject, below `bundles/NODE`, etcd's before those of the control plane.
    pub bundles: Vec<RenderedBundle>,
    /// The objects to apply as soon as the API answers, in order.
    pub bootstrap: Vec<PathBuf>,
    /// The objects of the self-hosted control plane, which the handoff applies, in order.
    pub self_hosted: Vec<PathBuf>,
    /// The user's own manifests, copied, in order.
    pub addons: Vec<PathBuf>,
    /// How each node of the control plane hands over, in the order of the configuration.
    pub handoff: Vec<NodeHandoff>,
    /// What has become of each file, by its path within the folder.
    pub written: BTreeMap<String, Written>,
    /// What is allowed, but seldom meant: in the configuration, and in what was there.
    pub warnings: Vec<String>,
}

/// A bundle of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedBundle {
    /// The node.
    pub node: String,
    /// The bundle's name.
    pub bundle: String,
    /// The folder with its `seedpod.yaml`.
    pub folder: PathBuf,
}

/// How a node hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHandoff {
    /// The node.
    pub node: String,
    /// The bundle that gives way.
    pub bundle: String,
    /// The pods that give way, and to which others.
    pub components: Vec<HandoffComponent>,
    /// The labels by which the node's own pods come to it.
    pub node_labels: BTreeMap<String, String>,
}

/// One program of the control plane in its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandoffComponent {
    /// How it is handed over.
    pub kind: HandoffKind,
    /// The injected pod's namespace.
    pub injected_namespace: String,
    /// The injected pod's name.
    pub injected_pod: String,
    /// The self-hosted pods' namespace.
    pub namespace: String,
    /// The self-hosted pods' labels.
    pub selector: BTreeMap<String, String>,
}

/// How a program is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandoffKind {
    /// Both forms serve on this port.
    ApiServer {
        /// The port.
        port: u16,
    },
    /// Works while it holds a lease.
    LeaderElected {
        /// The lease, in kube-system.
        lease: String,
    },
}

/// What has become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was not there.
    Made,
    /// It is as it was.
    Kept,
    /// It was there with another content.
    Changed,
    /// A file of an earlier rendering that no longer follows from the configuration.
    Removed,
}

/// Writes what follows from the configuration into the folder, and touches no node. What is in `pki` there is kept,
/// so that a second time makes no change.
///
/// # Errors
/// [`RenderError`], which names the file and the remedy.
pub fn render(loaded: &Loaded, directory: &Path) -> Result<Rendered, RenderError> {
    let _ = (loaded, directory);
    unimplemented!()
}
