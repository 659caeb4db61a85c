//! The node and the daemon on it.

use std::time::SystemTime;

use seedpod_proto::v1;

use super::mirror;

/// The state of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Node {
    /// The node's name, as the kubelet uses it for static pods.
    pub name: String,
    /// The version of `seedpodd`.
    pub seedpod_version: String,
    /// When the daemon started.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub start_time: Option<SystemTime>,
    /// The directory that the kubelet reads static pods from.
    pub static_pod_path: String,
    /// The directory of the daemon's durable state.
    pub state_directory: String,
    /// The container runtime.
    pub container_runtime: Runtime,
    /// The kubelet.
    pub kubelet: Kubelet,
    /// How many bundles there are.
    pub bundle_count: u32,
    /// How many pods these have.
    pub pod_count: u32,
    /// Everything that is wrong now.
    pub problems: Vec<Problem>,
    /// The limits that requests are held to.
    pub limits: Limits,
    /// Files in the static pod directory that Seedpod does not own and does not touch.
    pub foreign_files: Vec<String>,
    /// How it keeps Secrets and ConfigMaps.
    pub objects: Objects,
}

/// How the node keeps Secrets and ConfigMaps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Objects {
    /// The directory under which the pods' volumes are.
    pub volumes_directory: String,
    /// Whether their contents are encrypted in the state directory.
    pub encrypted: bool,
    /// The name of the key that they are encrypted with. Empty when they are not.
    pub key_name: String,
}

/// The runtime behind the CRI socket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Runtime {
    /// Whether it answers.
    pub state: RuntimeState,
    /// The configured endpoint.
    pub endpoint: String,
    /// Its own name, for example `containerd`.
    pub name: String,
    /// Its own version.
    pub version: String,
}

mirror! {
    /// Whether the runtime answers.
    RuntimeState for v1::container_runtime::State, else Unrecognized {
        /// None is configured: what runs is not known.
        NotConfigured = "NotConfigured",
        /// It answers.
        Connected = "Connected",
        /// It does not answer.
        Unreachable = "Unreachable",
    }
}

/// The node's kubelet, as far as it can be seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Kubelet {
    /// Whether it was seen.
    pub state: KubeletState,
    /// Where it was looked for.
    pub root_directory: String,
    /// Whether it has heard from its API server since it started, as far as can be told.
    pub sync: KubeletSync,
}

mirror! {
    /// Whether the kubelet was seen.
    KubeletState for v1::kubelet::State, else Unrecognized {
        /// It answers.
        Seen = "Seen",
        /// It does not answer.
        NotSeen = "NotSeen",
    }
}

mirror! {
    /// Whether the kubelet has heard from its API server since it started.
    KubeletSync for v1::kubelet::Sync, else Unrecognized {
        /// Each of its sources of pods has reported (or it has no API server): it carries out everything.
        Synced = "Synced",
        /// It waits for its API server: it starts new pods, but stops and replaces none by itself.
        Unsynced = "Unsynced",
        /// It does not answer on its pods API socket, though there is one.
        Down = "Down",
        /// It has no pods API socket, so this is not known.
        Unknown = "Unknown",
    }
}

/// Something that is wrong on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Problem {
    /// The stable reason.
    pub reason: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// The limits of the daemon's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Limits {
    /// The most pods that a bundle may have.
    pub max_pods_per_bundle: u32,
    /// The most bytes that the manifests of one request may have together.
    pub max_bundle_bytes: u64,
}

impl From<v1::Node> for Node {
    fn from(wire: v1::Node) -> Self {
        let runtime = wire.container_runtime.unwrap_or_default();
        let kubelet = wire.kubelet.unwrap_or_default();
        let limits = wire.limits.unwrap_or_default();
        let objects = wire.objects.unwrap_or_default();
        Self {
            name: wire.name,
            seedpod_version: wire.seedpod_version,
            start_time: wire.start_time.and_then(|time| time.try_into().ok()),
            static_pod_path: wire.static_pod_path,
            state_directory: wire.state_directory,
            container_runtime: Runtime {
                state: RuntimeState::from_wire(runtime.state),
                endpoint: runtime.endpoint,
                name: runtime.name,
                version: runtime.version,
            },
            kubelet: Kubelet {
                state: KubeletState::from_wire(kubelet.state),
                root_directory: kubelet.root_directory,
                sync: KubeletSync::from_wire(kubelet.sync),
            },
            bundle_count: wire.bundle_count,
            pod_count: wire.pod_count,
            problems: wire
                .problems
                .into_iter()
                .map(|v1::Problem { reason, message }| Problem { reason, message })
                .collect(),
            limits: Limits {
                max_pods_per_bundle: limits.max_pods_per_bundle,
                max_bundle_bytes: limits.max_bundle_bytes,
            },
            foreign_files: wire.foreign_files,
            objects: Objects {
                volumes_directory: objects.volumes_directory,
                encrypted: objects.encrypted,
                key_name: objects.key_name,
            },
        }
    }
}
