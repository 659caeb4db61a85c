//! Why a change is refused. Nothing has changed then.

use std::{sync::Arc, time::Duration};

use seedpod_manifest::{BundleName, ObjectKey, PodKey, Violation};

use crate::{handoff::Record, store::OpenError};

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
    HandingOver(#[from] HandingOver),
    /// It can't get ready: its pods are not projected.
    #[error("bundle {name} is standby, and a trial of it would never get ready")]
    TrialOfStandby { name: BundleName },
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// A bundle stays as it is as long as its handoff is under way, or on its way back.
#[derive(Debug, Clone, thiserror::Error)]
#[error("bundle {name} is being handed over")]
pub(crate) struct HandingOver {
    pub(crate) name: BundleName,
    pub(crate) record: Arc<Record>,
}

/// Why a removal was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoveError {
    #[error("there is no bundle {name}")]
    NotFound { name: BundleName },
    #[error("expected_revision is {expected}, but the active revision is {actual}")]
    StaleRevision { expected: u64, actual: u64 },
    #[error(transparent)]
    HandingOver(#[from] HandingOver),
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

/// Why a handoff was not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartHandoffError {
    #[error("there is no bundle {name}")]
    NotFound { name: BundleName },
    #[error("revision {revision} of bundle {name} is on trial")]
    OnTrial { name: BundleName, revision: u64 },
    /// `pod`: one that is not ready; `None` when the revision never was.
    #[error("revision {revision} of bundle {name} is not ready")]
    NotReady {
        name: BundleName,
        revision: u64,
        pod: Option<PodKey>,
    },
    /// This component's injected pod is not in the bundle.
    #[error("pod {pod} is not in bundle {name}")]
    NoPod {
        component: usize,
        pod: PodKey,
        name: BundleName,
    },
    #[error("a handoff is under way")]
    UnderWay(Arc<Record>),
    #[error("the node is handed over already")]
    HandedOver(Arc<Record>),
    #[error("request_id {id:?} was used for another request")]
    RequestIdReused { id: String },
    #[error("no container runtime is configured, and a handoff needs one")]
    NoRuntime,
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Why a handoff was not aborted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AbortHandoffError {
    /// `id`: what was asked for, if it was one in particular.
    #[error("there is no such handoff")]
    NotFound { id: Option<String> },
    #[error("the node is handed over already")]
    HandedOver(Arc<Record>),
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Why a handoff's next record was not committed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdvanceError {
    /// There is none, or another one.
    #[error("there is no such handoff any more")]
    Gone,
    /// Another one came first: this one.
    #[error("generation {} is committed already", .0.generation)]
    Stale(Arc<Record>),
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Why a handoff's material can not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MaterialError {
    #[error("there is no handoff that has any")]
    None,
    #[error(transparent)]
    Read(#[from] OpenError),
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
