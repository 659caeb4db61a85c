//! Pods and what the container runtime runs for them.

use std::time::SystemTime;

use seedpod_proto::v1;

use super::{Container, ContainerState, mirror};

/// A pod of a bundle and what the runtime runs for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Pod {
    /// The bundle that it belongs to.
    pub bundle: String,
    /// The namespace.
    pub namespace: String,
    /// The name as in the manifest.
    pub name: String,
    /// The name that the kubelet gives it: with the node's name behind.
    pub node_pod_name: String,
    /// The uid of the demanded content; for [`PodState::Removing`] that of what is stopping.
    pub uid: String,
    /// The revision of the bundle that brought the demanded content.
    pub revision: u64,
    /// How far the pod has come.
    pub state: PodState,
    /// What the pod waits for, or what is wrong.
    pub message: String,
    /// The revision that runs, as the sandbox itself tells; 0 when none does.
    pub running_revision: u64,
    /// The sandbox's id. Empty when there is none.
    pub sandbox_id: String,
    /// The IP addresses. Empty for pods in the host's network.
    pub pod_ips: Vec<String>,
    /// The containers: the newest attempt of each, ordered as in the manifest.
    pub containers: Vec<Container>,
    /// Since when the pod has been in this state, as far as the daemon has seen.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub state_time: Option<SystemTime>,
    /// The pod's wave; see [`BundlePod::wave`](crate::BundlePod::wave).
    pub wave: u32,
}

impl Pod {
    /// The container that most likely keeps the pod from being ready: one that has ended and should not have, else one
    /// whose probes fail, else one that was started again, else one that does not run yet. `None` when none is at fault.
    pub fn failing_container(&self) -> Option<&Container> {
        let first = |fails: &dyn Fn(&Container) -> bool| {
            self.containers.iter().find(|container| fails(container))
        };
        let ended = |container: &Container| {
            container.state == ContainerState::Exited
                && (container.exit_code != Some(0) || self.state == PodState::Failed)
        };
        first(&|container| ended(container) && container.exit_code != Some(0))
            .or_else(|| first(&ended))
            .or_else(|| first(&|container| !container.probe_message.is_empty()))
            .or_else(|| {
                first(&|container| !container.ready && container.last_termination.is_some())
            })
            .or_else(|| {
                first(&|container| !container.ready && container.state != ContainerState::Exited)
            })
    }
}

mirror! {
    /// How far a pod has come.
    PodState for v1::PodState, else Unrecognized {
        /// Durable, but its file is not in the static pod directory yet.
        Committed = "Committed",
        /// The file is there; the runtime has nothing of the pod yet.
        Projected = "Projected",
        /// The sandbox is there; not all containers run.
        Starting = "Starting",
        /// All containers run, and a startup or readiness probe has not said anything yet.
        Running = "Running",
        /// A container has ended and is not running again yet.
        Failed = "Failed",
        /// The file holds a newer content than the one that runs.
        Replacing = "Replacing",
        /// The file is gone, and the pod still runs.
        Removing = "Removing",
        /// The pod is handed over to the cluster's own control plane, and does not run.
        Standby = "Standby",
        /// The runtime cannot be asked. It does not mean that nothing runs.
        Unknown = "Unknown",
        /// All containers run and their probes pass, or have ended well where they may.
        Ready = "Ready",
        /// All containers run, and a startup or readiness probe fails.
        NotReady = "NotReady",
        /// The kubelet has rejected the pod, or has not made a sandbox for it in time.
        Refused = "Refused",
    }
}

impl From<v1::Pod> for Pod {
    fn from(wire: v1::Pod) -> Self {
        Self {
            bundle: wire.bundle,
            namespace: wire.namespace,
            name: wire.name,
            node_pod_name: wire.node_pod_name,
            uid: wire.uid,
            revision: wire.revision,
            state: PodState::from_wire(wire.state),
            message: wire.message,
            running_revision: wire.running_revision,
            sandbox_id: wire.sandbox_id,
            pod_ips: wire.pod_ips,
            containers: wire.containers.into_iter().map(Container::from).collect(),
            state_time: wire.state_time.and_then(|time| time.try_into().ok()),
            wave: wire.wave,
        }
    }
}

/// Names a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct PodReference {
    /// The bundle.
    pub bundle: String,
    /// The namespace.
    pub namespace: String,
    /// The name as in the manifest.
    pub name: String,
}

impl From<&Pod> for PodReference {
    fn from(pod: &Pod) -> Self {
        Self {
            bundle: pod.bundle.clone(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
        }
    }
}

impl From<v1::PodReference> for PodReference {
    fn from(wire: v1::PodReference) -> Self {
        let v1::PodReference {
            bundle,
            namespace,
            name,
        } = wire;
        Self {
            bundle,
            namespace,
            name,
        }
    }
}
