//! The phases, by their names.

use std::{fmt, str::FromStr};

/// One phase of bringing a cluster up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// All nodes are looked at.
    Preflight,
    /// Keys, bundles and objects are written into the folder.
    Render,
    /// The members of etcd are injected.
    Etcd,
    /// The control plane is injected.
    ControlPlane,
    /// The API answers.
    Api,
    /// The kubelets are given their kubeconfigs.
    Kubelet,
    /// The nodes are registered, labelled and tainted.
    Nodes,
    /// The user's own manifests are applied, and the nodes are Ready.
    Addons,
    /// One node after another hands over.
    Handoff,
    /// The cluster is as it should be.
    Verify,
    /// A node is taken back to nothing: the one phase of [`Installer::down`](super::Installer::down).
    Reset,
}

impl Phase {
    /// All phases of bringing up, in their order.
    pub const ALL: [Self; 10] = [
        Self::Preflight,
        Self::Render,
        Self::Etcd,
        Self::ControlPlane,
        Self::Api,
        Self::Kubelet,
        Self::Nodes,
        Self::Addons,
        Self::Handoff,
        Self::Verify,
    ];

    /// Its name, as on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Render => "render",
            Self::Etcd => "etcd",
            Self::ControlPlane => "control-plane",
            Self::Api => "api",
            Self::Kubelet => "kubelet",
            Self::Nodes => "nodes",
            Self::Addons => "addons",
            Self::Handoff => "handoff",
            Self::Verify => "verify",
            Self::Reset => "reset",
        }
    }

    /// What it does, in a few words.
    pub fn about(self) -> &'static str {
        match self {
            Self::Preflight => {
                "look at every node: reachable, versions, clock, ports, images, disk"
            }
            Self::Render => "write keys, bundles and objects into the folder",
            Self::Etcd => "inject the members of etcd, and wait until they are ready",
            Self::ControlPlane => "inject the control plane, and wait until it is ready",
            Self::Api => "wait until the API answers, at the endpoint and on each node",
            Self::Kubelet => "apply the bootstrap objects, and give the kubelets their kubeconfigs",
            Self::Nodes => "wait until all nodes are registered; set their labels and taints",
            Self::Addons => "apply the manifests of one's own, and wait until the nodes are Ready",
            Self::Handoff => "hand over to the self-hosted control plane, one node after another",
            Self::Verify => "look at the API, the self-hosted pods and the leases; write and read",
            Self::Reset => "take a node back to nothing",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Phase {
    type Err = NoSuchPhase;

    fn from_str(name: &str) -> Result<Self, NoSuchPhase> {
        let mut phases = Self::ALL.into_iter();
        phases
            .find(|phase| phase.as_str() == name)
            .ok_or_else(|| NoSuchPhase(name.to_owned()))
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Phase {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// There is no phase of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no phase {0:?}; `seedpod up phase list` shows them")]
pub struct NoSuchPhase(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_is_found_by_its_name() {
        for phase in Phase::ALL {
            assert_eq!(phase.as_str().parse(), Ok(phase));
        }
        assert!("reset".parse::<Phase>().is_err());
        assert!("Etcd".parse::<Phase>().is_err());
    }
}
