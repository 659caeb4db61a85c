//! Why a change is refused. Nothing has changed then.

use std::time::Duration;

use seedpod_manifest::{BundleName, PodKey, Violation};

/// Why an injection was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InjectError {
    /// Conflicts of the manifests with what is on the node, other than names: host ports of other bundles.
    #[error("the manifests do not fit this node")]
    Violations(Vec<Violation>),
    #[error("pod {pod} is in a file that Seedpod does not own: {file}")]
    ForeignPod {
        pod: PodKey,
        file: String,
        field: String,
    },
    #[error("the file {file} exists and is not Seedpod's")]
    ForeignFile {
        pod: PodKey,
        file: String,
        field: String,
    },
    #[error("pod {pod} belongs to bundle {owner}")]
    OtherBundle {
        pod: PodKey,
        owner: BundleName,
        field: String,
    },
    #[error("expected_revision is {expected}, but the active revision is {actual}")]
    StaleRevision { expected: u64, actual: u64 },
    #[error("request_id {id:?} was used for another request")]
    RequestIdReused { id: String },
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Why a removal was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoveError {
    #[error("there is no bundle {name}")]
    NotFound { name: BundleName },
    #[error("expected_revision is {expected}, but the active revision is {actual}")]
    StaleRevision { expected: u64, actual: u64 },
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Why a change could not be carried out, whatever it was. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// The actor's queue is full, try again after this.
    #[error("too many changes are waiting")]
    Busy { retry_after: Duration },
    #[error("the daemon is shutting down")]
    ShuttingDown,
    #[error("the disk of the state directory is full")]
    DiskFull(#[source] std::io::Error),
    #[error("the state directory cannot be written")]
    Disk(#[source] std::io::Error),
    /// The static pod directory could not be read, so foreign pods are not known.
    #[error("the static pod directory cannot be read")]
    StaticPodDirectory(#[source] std::io::Error),
}
