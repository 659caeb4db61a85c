//! Giving kubelets what they need to join.

use zeroize::Zeroizing;

use super::{AppliedCount, Installer, Phase, UpError, error::chain, read_manifests, wait};
use crate::{
    Code, ConfigureKubelet, KubeletSync,
    cluster::{AdmittedKubelet, NodeConfiguration, Rendered},
};

/// What the phase has done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct ConfiguredNodes {
    /// What has become of the bootstrap objects.
    pub applied: AppliedCount,
    /// The kubelets.
    pub nodes: Vec<ConfiguredNode>,
}

/// A node whose kubelet has what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct ConfiguredNode {
    /// The node.
    pub node: String,
    /// The files that have changed on it.
    pub changed: Vec<String>,
    /// Whether its kubelet was restarted.
    pub restarted: bool,
}

impl Installer {
    /// Applies the objects that kubelets need to be let in, and then gives each kubelet its kubeconfig, at the same time.
    /// One that has it but has not heard from the API server is restarted: it may sleep for half a minute otherwise.
    ///
    /// # Errors
    /// Those of [`UpError`].
    pub async fn kubelet(&self) -> Result<ConfiguredNodes, UpError> {
        let scope = self.begin(Phase::Kubelet);
        let rendered = self.render()?;
        let manifests = read_manifests(&rendered.bootstrap)?;
        let applied = self.apply_through_a_node(&scope, &manifests).await?;
        let nodes = self.loaded.configuration.nodes.iter();
        let configure = nodes.map(|node| self.configure(node, rendered));
        let nodes = wait::all(configure).await?;
        Ok(ConfiguredNodes { applied, nodes })
    }

    async fn configure(
        &self,
        node: &NodeConfiguration,
        rendered: &Rendered,
    ) -> Result<ConfiguredNode, UpError> {
        let scope = self.reporter.scope(Phase::Kubelet, Some(&node.name));
        let client = self.client(node)?;
        scope.waiting("the kubelet is configured");
        let by_us = self.loaded.configuration.kubelet.configure != Some(false);
        let request = if by_us {
            self.files(node, rendered).restart_unsynced(true)
        } else {
            ConfigureKubelet::new().restart_unsynced(true)
        };
        if !by_us {
            let seen = client.get_node().await;
            let seen = seen.map_err(UpError::node(&node.name, "ask for its kubelet"))?;
            if seen.kubelet.sync != KubeletSync::Unsynced {
                scope.done("the kubelet has its kubeconfig already");
                return Ok(untouched(node));
            }
        }
        let configured = match client.configure_kubelet(&request).await {
            // It comes by itself, only later.
            Err(error) if !by_us && error.code() == Some(Code::FailedPrecondition) => {
                scope.warning(&format!(
                    "the kubelet is not restarted ({error}); it may take a minute to see the API server"
                ));
                return Ok(untouched(node));
            }
            configured => configured
                .map_err(UpError::node(&node.name, "configure its kubelet"))
                .inspect_err(|error| scope.failed(&chain(error)))?,
        };
        scope.done(
            match (configured.changed.is_empty(), configured.restarted) {
                (true, false) => "the kubelet has what it needs",
                (true, true) => "the kubelet has what it needs, and was restarted",
                (false, _) => "the kubelet has got its kubeconfig",
            },
        );
        Ok(ConfiguredNode {
            node: node.name.clone(),
            changed: configured.changed,
            restarted: configured.restarted,
        })
    }

    fn files(&self, node: &NodeConfiguration, rendered: &Rendered) -> ConfigureKubelet {
        let request = ConfigureKubelet::new().client_ca(&*rendered.pki.cluster.certificate);
        let Some(kubeconfig) = rendered.kubeconfigs.kubelets.get(&node.name) else {
            return request;
        };
        let kubeconfig: &Zeroizing<String> = kubeconfig;
        match self.loaded.configuration.kubelet.admission {
            AdmittedKubelet::Certificate => request.kubeconfig(kubeconfig.as_str()),
            // Its own kubeconfig is then the kubelet's business, which asks for its certificate and renews it.
            AdmittedKubelet::BootstrapToken => request.bootstrap_kubeconfig(kubeconfig.as_str()),
        }
    }
}

fn untouched(node: &NodeConfiguration) -> ConfiguredNode {
    ConfiguredNode {
        node: node.name.clone(),
        changed: Vec::new(),
        restarted: false,
    }
}
