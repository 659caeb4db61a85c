//! What is published of the runtime: the newest answer, or that there is none.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::Sandbox;

/// What the runtime said last.
#[derive(Debug, Clone)]
pub(crate) enum Observation {
    /// There is none to ask.
    NotConfigured,
    /// It has not been asked yet.
    NotYet,
    /// It does not answer, for this reason, since then. What runs is not known.
    Away { cause: String, since: Timestamp },
    /// What it has, with all details of what is Seedpod's.
    Sandboxes(Arc<Vec<Sandbox>>),
}

/// How everybody learns what runs.
pub(crate) type ObservationWatch = watch::Receiver<Arc<Observation>>;
