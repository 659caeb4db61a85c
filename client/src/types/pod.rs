//! Pods and what the container runtime runs for them.

use std::time::SystemTime;

use seedpod_proto::v1;

use super::mirror;

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
    /// The containers, ordered as in the manifest.
    pub containers: Vec<Container>,
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
        /// All containers run, or have ended well where they may.
        Running = "Running",
        /// A container has ended and is not running again yet.
        Failed = "Failed",
        /// The file holds a newer content than the one that runs.
        Replacing = "Replacing",
        /// The file is gone, and the pod still runs.
        Removing = "Removing",
        /// The runtime cannot be asked. It does not mean that nothing runs.
        Unknown = "Unknown",
    }
}

/// One container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Container {
    /// The name.
    pub name: String,
    /// The id.
    pub id: String,
    /// What the runtime says of it.
    pub state: ContainerState,
    /// How often the kubelet has started it again.
    pub restart_count: u32,
    /// The image as in the manifest.
    pub image: String,
    /// When it was started.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub start_time: Option<SystemTime>,
    /// The exit code. Only for [`ContainerState::Exited`].
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub exit_code: Option<i32>,
    /// The runtime's word for why, for example `OOMKilled`. May be empty.
    pub reason: String,
}

mirror! {
    /// What the runtime says of a container.
    ContainerState for v1::container::State, else Unrecognized {
        /// Made, not started.
        Created = "Created",
        /// Running.
        Running = "Running",
        /// Ended.
        Exited = "Exited",
        /// The runtime does not know.
        Unknown = "Unknown",
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
        }
    }
}

impl From<v1::Container> for Container {
    fn from(wire: v1::Container) -> Self {
        let state = ContainerState::from_wire(wire.state);
        Self {
            name: wire.name,
            id: wire.id,
            state,
            restart_count: wire.restart_count,
            image: wire.image,
            start_time: wire.start_time.and_then(|time| time.try_into().ok()),
            exit_code: (state == ContainerState::Exited).then_some(wire.exit_code),
            reason: wire.reason,
        }
    }
}
