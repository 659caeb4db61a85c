//! Why a change is refused. Nothing has changed then.

use std::time::Duration;

use seedpod_manifest::{BundleName, ObjectKey, PodKey, Violation};

use crate::store::OpenError;

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
    /// The active revision has it as immutable, with other content.
    #[error("{object} is immutable")]
    ImmutableObject { object: ObjectKey, field: String },
    /// Another bundle goes back to this pod when its trial fails.
    #[error("pod {pod} is kept for bundle {owner}")]
    Reserved {
        pod: PodKey,
        owner: BundleName,
        field: String,
    },
    #[error("request_id {id:?} was used for another request")]
    RequestIdReused { id: String },
    /// What runs must be known for this.
    #[error("no container runtime is configured, and {needed_for} needs one")]
    NoRuntime { needed_for: &'static str },
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

/// Why a rollback was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RollbackError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("there is no revision to go back to")]
    NothingBefore,
    #[error("revision {revision} is a removal")]
    Removal { revision: u64 },
    #[error(transparent)]
    Inject(#[from] InjectError),
}

impl From<ChangeError> for RollbackError {
    fn from(error: ChangeError) -> Self {
        Self::Inject(error.into())
    }
}

/// Why a revision was not confirmed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfirmError {
    #[error("there is no bundle {name}")]
    NotFound { name: BundleName },
    #[error("the active revision is {active}")]
    NotActive { active: u64 },
    #[error("the revision is no trial")]
    NoTrial,
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Why old revisions could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    #[error("there is no bundle {name}")]
    NoBundle { name: BundleName },
    #[error("revision {revision} is not kept")]
    NotKept { revision: u64 },
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl From<OpenError> for HistoryError {
    fn from(error: OpenError) -> Self {
        ChangeError::Disk(std::io::Error::other(error)).into()
    }
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
