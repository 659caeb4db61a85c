//! What runs of a bundle.

use seedpod_proto::v1;

use super::{Pod, mirror};

/// What runs of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct BundleStatus {
    /// How far it has come.
    pub state: BundleState,
    /// Which pod it waits for, and why.
    pub message: String,
    /// How many of the demanded pods are ready.
    pub ready_pods: u32,
    /// The lowest wave that is not ready. `None` when all are.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub wave: Option<u32>,
    /// The pods. Only from [`Client::get_bundle`](crate::Client::get_bundle).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Vec::is_empty"))]
    pub pods: Vec<Pod>,
}

mirror! {
    /// How far a bundle has come.
    BundleState for v1::BundleState, else Unrecognized {
        /// Each pod is ready, and nothing of an earlier revision runs any more.
        Ready = "Ready",
        /// Some pods are not ready yet.
        Progressing = "Progressing",
        /// A pod has failed or was refused, or a wave did not get ready in its time.
        Failed = "Failed",
        /// Pods of the bundle are handed over to the cluster's own control plane, and kept for the time that this does not
        /// run. Its other pods are ready.
        Standby = "Standby",
        /// What runs is not known.
        Unknown = "Unknown",
    }
}

impl From<v1::BundleStatus> for BundleStatus {
    fn from(wire: v1::BundleStatus) -> Self {
        Self {
            state: BundleState::from_wire(wire.state),
            message: wire.message,
            ready_pods: wire.ready_pods,
            wave: wire.wave,
            pods: wire.pods.into_iter().map(Pod::from).collect(),
        }
    }
}
