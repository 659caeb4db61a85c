//! Why logs cannot be had.

use std::{io, path::PathBuf};

use crate::runtime_cri::RuntimeError;

/// Why logs cannot be had, or not any further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("no container runtime is configured")]
    NoRuntime,
    #[error("no bundle has the pod, and nothing of it is left on the node")]
    NoPod,
    #[error("the pod has no container {name:?}")]
    NoContainer {
        name: String,
        /// Those that it has.
        names: Vec<String>,
    },
    #[error("no container has an earlier attempt whose log is left")]
    NoPrevious,
    #[error("the container runtime does not answer")]
    Runtime(#[source] RuntimeError),
    #[error("the log {} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file that comes after what was read was removed before it was opened.
    #[error("the kubelet has removed a log file of container {container} before it was read")]
    Lost { container: String },
    #[error("a task that reads logs has failed")]
    Failed,
}
