//! What a look at a node found, and what was done to its kubelet and to all of it.

use std::time::SystemTime;

use seedpod_proto::v1;

use super::{PodReference, Steering};

/// What [`Client::check_node`](crate::Client::check_node) found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct NodeCheck {
    /// The node's clock when it answered.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub time: Option<SystemTime>,
    /// For each port that was asked for, in that order.
    pub ports: Vec<PortCheck>,
    /// For each image that was asked for, in that order.
    pub images: Vec<ImageCheck>,
    /// For each path that was asked for, in that order.
    pub paths: Vec<PathCheck>,
    /// 1 or 2. `None`: it is not known.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub cgroup_version: Option<u32>,
    /// The machine's memory.
    pub memory_bytes: u64,
    /// How many processors there are.
    pub cpu_count: u32,
    /// Such as `v1.37.2`. Empty: it cannot be told.
    pub kubelet_version: String,
    /// Whether a port can be handed over without losing a connection.
    pub steering: Steering,
    /// Whether [`Client::configure_kubelet`](crate::Client::configure_kubelet) is configured.
    pub kubelet_configurable: bool,
    /// The addresses of the node's interfaces, without loopback and link-local ones.
    pub addresses: Vec<String>,
}

/// One port.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct PortCheck {
    /// The port.
    pub port: u32,
    /// Whether nothing listens on it.
    pub free: bool,
    /// The pod of Seedpod that listens, or has it in its manifest.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub pod: Option<PodReference>,
    /// The process that listens, for people. Empty when nothing does or it cannot be told.
    pub holder: String,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct ImageCheck {
    /// As it was asked for.
    pub image: String,
    /// Whether the runtime has it. False also when that cannot be told.
    pub present: bool,
    /// Why it cannot be told. Empty otherwise.
    pub message: String,
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct PathCheck {
    /// As it was asked for.
    pub path: String,
    /// Free for root on its file system.
    pub free_bytes: u64,
    /// Whether it is there and not empty.
    pub in_use: bool,
}

/// What [`Client::configure_kubelet`](crate::Client::configure_kubelet) did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct ConfiguredKubelet {
    /// Paths of the files that have changed.
    pub changed: Vec<String>,
    /// Whether the kubelet was restarted.
    pub restarted: bool,
}

/// What [`Client::reset_node`](crate::Client::reset_node) did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct ResetDone {
    /// The bundles that were there.
    pub bundles: Vec<String>,
    /// Paths of files and directories that were removed.
    pub removed: Vec<String>,
    /// Whether the kubelet was restarted.
    pub kubelet_restarted: bool,
}

impl From<v1::CheckNodeResponse> for NodeCheck {
    fn from(wire: v1::CheckNodeResponse) -> Self {
        Self {
            time: wire.time.and_then(|time| time.try_into().ok()),
            ports: wire.ports.into_iter().map(PortCheck::from).collect(),
            images: wire.images.into_iter().map(ImageCheck::from).collect(),
            paths: wire.paths.into_iter().map(PathCheck::from).collect(),
            cgroup_version: Some(wire.cgroup_version).filter(|version| *version != 0),
            memory_bytes: wire.memory_bytes,
            cpu_count: wire.cpu_count,
            kubelet_version: wire.kubelet_version,
            steering: wire.steering.unwrap_or_default().into(),
            kubelet_configurable: wire.kubelet_configurable,
            addresses: wire.addresses,
        }
    }
}

impl From<v1::PortCheck> for PortCheck {
    fn from(wire: v1::PortCheck) -> Self {
        Self {
            port: wire.port,
            free: wire.free,
            pod: wire.pod.map(PodReference::from),
            holder: wire.holder,
        }
    }
}

impl From<v1::ImageCheck> for ImageCheck {
    fn from(wire: v1::ImageCheck) -> Self {
        let v1::ImageCheck {
            image,
            present,
            message,
        } = wire;
        Self {
            image,
            present,
            message,
        }
    }
}

impl From<v1::PathCheck> for PathCheck {
    fn from(wire: v1::PathCheck) -> Self {
        let v1::PathCheck {
            path,
            free_bytes,
            in_use,
        } = wire;
        Self {
            path,
            free_bytes,
            in_use,
        }
    }
}

impl From<v1::ConfigureKubeletResponse> for ConfiguredKubelet {
    fn from(wire: v1::ConfigureKubeletResponse) -> Self {
        let v1::ConfigureKubeletResponse { changed, restarted } = wire;
        Self { changed, restarted }
    }
}

impl From<v1::ResetNodeResponse> for ResetDone {
    fn from(wire: v1::ResetNodeResponse) -> Self {
        let v1::ResetNodeResponse {
            bundles,
            removed,
            kubelet_restarted,
        } = wire;
        Self {
            bundles,
            removed,
            kubelet_restarted,
        }
    }
}
