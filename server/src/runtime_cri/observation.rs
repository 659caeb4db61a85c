//! What is published of the runtime: the newest answer, or that there is none.

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use super::Sandbox;

/// What is known of the runtime at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    /// When the runtime was asked: the answer knows nothing of what was done after that.
    pub(crate) asked: Instant,
    pub(crate) seen: Seen,
}

/// What the runtime said.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    /// There is none to ask.
    NotConfigured,
    /// It has not been asked yet.
    NotYet,
    /// It does not answer, for this reason, since then. What runs is not known.
    Away { cause: String, since: Timestamp },
    /// What it has, with all details of what is Seedpod's.
    Sandboxes(Arc<Vec<Sandbox>>),
}

impl Observation {
    pub(crate) fn not_yet() -> Self {
        Self {
            asked: Instant::now(),
            seen: Seen::NotYet,
        }
    }
}

/// How everybody learns what runs.
pub(crate) type ObservationWatch = watch::Receiver<Arc<Observation>>;
