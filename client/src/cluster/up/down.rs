//! Taking nodes back to nothing.

use super::{Installer, Phase, UpError, error::chain};
use crate::{
    ResetNode,
    cluster::{CONTROL_PLANE_BUNDLE, ETCD_BUNDLE, NodeConfiguration},
};

/// What is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Down {
    keep_etcd: bool,
}

impl Down {
    /// Everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves the members of etcd and their data: what the cluster knows stays.
    pub fn keep_etcd(mut self, keep: bool) -> Self {
        self.keep_etcd = keep;
        self
    }
}

/// A node that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct ResetDoneNode {
    /// The node.
    pub node: String,
    /// The bundles that were there.
    pub bundles: Vec<String>,
    /// Files and directories that were removed.
    pub removed: Vec<String>,
    /// Whether its kubelet was restarted.
    pub kubelet_restarted: bool,
    /// What is left on it that the cluster has brought, for people.
    pub left: Vec<String>,
}

impl Installer {
    /// Takes all nodes back to nothing, one after another, those without a control plane first: bundles, the kubelets'
    /// files, the data of etcd. A node that fails does not keep the others from it. Done again, it goes on; where nothing
    /// is left to do it does nothing.
    ///
    /// # Errors
    /// Those of [`UpError`].
    pub async fn down(&self, down: Down) -> Result<Vec<ResetDoneNode>, UpError> {
        let (control_plane, workers): (Vec<_>, Vec<_>) = self
            .loaded
            .configuration
            .nodes
            .iter()
            .partition(|node| node.control_plane || node.etcd == Some(true));
        let mut done = Vec::new();
        let mut failed = Vec::new();
        for node in workers.into_iter().chain(control_plane) {
            match self.reset(node, down).await {
                Ok(reset) => done.push(reset),
                Err(error) => failed.push(error),
            }
        }
        match UpError::of(failed) {
            Some(error) => Err(error),
            None => Ok(done),
        }
    }

    async fn reset(&self, node: &NodeConfiguration, down: Down) -> Result<ResetDoneNode, UpError> {
        let scope = self.reporter.scope(Phase::Reset, Some(&node.name));
        scope.waiting("the node is taken back");
        let configuration = &self.loaded.configuration;
        let has_etcd = node.etcd == Some(true);
        let takes_etcd = has_etcd && !down.keep_etcd;
        let data = configuration.etcd.data_directory.display().to_string();
        let mut bundles = Vec::new();
        if node.control_plane {
            bundles.push(CONTROL_PLANE_BUNDLE);
        }
        if takes_etcd {
            bundles.push(ETCD_BUNDLE);
        }
        let by_us = configuration.kubelet.configure != Some(false);
        let request = ResetNode::new()
            .bundles(bundles)
            .kubelet(by_us)
            .directories(takes_etcd.then_some(data.as_str()))
            .timeout(self.timeout);
        let client = self.client(node)?;
        let reset = client
            .reset_node(&request)
            .await
            .map_err(UpError::node(&node.name, "take it back"))
            .inspect_err(|error| scope.failed(&chain(error)))?;
        let mut left = Vec::new();
        if has_etcd && down.keep_etcd {
            left.push(format!("bundle {ETCD_BUNDLE} and its data in {data}"));
        }
        if !by_us {
            left.push("the kubelet's kubeconfig, which was not given to it by Seedpod".to_owned());
        }
        left.push("images, and what addons have put on the machine".to_owned());
        scope.done("the node is taken back");
        Ok(ResetDoneNode {
            node: node.name.clone(),
            bundles: reset.bundles,
            removed: reset.removed,
            kubelet_restarted: reset.kubelet_restarted,
            left,
        })
    }
}
