//! Prometheus metrics.

use std::time::Duration;

/// All metrics of the daemon. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {}

impl Metrics {
    /// One InjectPods call: its gRPC code as text, and how long it took.
    pub(crate) fn observe_injection(&self, _result: &str, _took: Duration) {}

    /// One fsync of a file or folder.
    pub(crate) fn observe_fsync(&self, _took: Duration) {}

    /// How many pods wait to be written or confirmed.
    pub(crate) fn set_projection_queue(&self, _pods: usize) {}

    /// An owned file was found changed or gone, and was repaired.
    pub(crate) fn count_drift(&self) {}

    /// How often a file was rewritten to make the kubelet try again.
    pub(crate) fn count_nudge(&self) {}
}
