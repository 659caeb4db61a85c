//! What the container runtime runs, over CRI v1.

use jiff::Timestamp;

/// A pod sandbox and its containers, as the runtime reports them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sandbox {
    pub(crate) id: String,
    pub(crate) namespace: String,
    /// With the node's suffix.
    pub(crate) name: String,
    pub(crate) uid: String,
    /// Whether the sandbox is READY: it stands, and its containers may run.
    pub(crate) ready: bool,
    pub(crate) created_at: Timestamp,
    /// From the annotations that rendering puts on the pod.
    pub(crate) bundle: Option<String>,
    pub(crate) revision: Option<u64>,
    /// The newest attempt of each container.
    pub(crate) containers: Vec<Container>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) attempt: u32,
    pub(crate) state: ContainerState,
    pub(crate) image: String,
}

/// What the runtime says of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContainerState {
    Created,
    Running,
    Exited,
    Unknown,
}

/// Why the runtime could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed")]
pub(crate) struct RuntimeError {
    pub(crate) operation: &'static str,
    #[source]
    pub(crate) source: Box<dyn std::error::Error + Send + Sync>,
}

/// What the projection and the API need of a runtime. A trait, so that tests can put a scripted one behind them.
pub(crate) trait Runtime: Clone + Send + Sync + 'static {
    /// All pod sandboxes that the kubelet made, with their containers. Exited ones may be listed too.
    fn sandboxes(&self) -> impl Future<Output = Result<Vec<Sandbox>, RuntimeError>> + Send;

    /// Stops the sandbox and all of its containers at once. OK when it is stopped already.
    fn stop_sandbox(&self, id: &str) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Whether the image is on the node.
    fn has_image(&self, image: &str) -> impl Future<Output = Result<bool, RuntimeError>> + Send;
}
