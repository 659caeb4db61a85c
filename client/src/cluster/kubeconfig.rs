//! Kubeconfigs, with everything inline.

use std::{collections::BTreeMap, fmt};

use zeroize::Zeroizing;

/// All kubeconfigs of a cluster.
#[derive(Clone)]
pub struct Kubeconfigs {
    /// `kubernetes-admin`, by the endpoint.
    pub admin: Zeroizing<String>,
    /// `seedpod:handoff`, by 127.0.0.1: for the seedpodd of any node of the control plane.
    pub handoff: Zeroizing<String>,
    /// `system:kube-controller-manager`, by 127.0.0.1.
    pub controller_manager: Zeroizing<String>,
    /// `system:kube-scheduler`, by 127.0.0.1.
    pub scheduler: Zeroizing<String>,
    /// Each node's kubelet: a kubeconfig, or a bootstrap kubeconfig when they bootstrap with a token.
    pub kubelets: BTreeMap<String, Zeroizing<String>>,
}

impl fmt::Debug for Kubeconfigs {
    /// Without anything of their content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubeconfigs").finish_non_exhaustive()
    }
}
