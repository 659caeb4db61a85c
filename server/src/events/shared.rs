//! What the writer and the readers have in common: what is published of the log, and what is wrong with it.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Semaphore, watch};

use super::{Event, segment};
use crate::{fs::FileSystem, node::Problem};

/// How many readers read from the disk at once; the others wait for their turn. Those that are up to date do not.
const READING: usize = 4;

/// How many damaged files are named.
const NAMED: usize = 3;

/// What is published of the log.
#[derive(Debug, Clone)]
pub(super) struct Extent {
    /// The first numbers of the segments, ascending.
    pub(super) segments: Arc<[u64]>,
    /// The number of the next event.
    pub(super) next: u64,
    /// The newest events.
    pub(super) recent: Arc<[Arc<Event>]>,
}

impl Extent {
    /// The oldest number that is left, or the next one when there is none.
    pub(super) fn oldest(&self) -> u64 {
        self.segments.first().copied().unwrap_or(self.next)
    }

    /// The segment of a number, and the number with which the one after it begins.
    pub(super) fn segment(&self, sequence: u64) -> Option<(u64, u64)> {
        let after = self.segments.partition_point(|first| *first <= sequence);
        let first = *self.segments.get(after.checked_sub(1)?)?;
        let end = self.segments.get(after).copied().unwrap_or(self.next);
        Some((first, end))
    }

    /// The newest events from `position` on, when they are in memory.
    pub(super) fn recent(&self, position: u64) -> Option<Vec<Arc<Event>>> {
        let first = self.recent.first()?.sequence;
        let skip = usize::try_from(position.checked_sub(first)?).ok()?;
        Some(self.recent.get(skip..)?.to_vec())
    }
}

/// How the log is.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    Opening,
    Failed(String),
    Open(Extent),
}

/// What the writer and the readers have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) directory: PathBuf,
    pub(super) condition: watch::Sender<Condition>,
    pub(super) reading: Semaphore,
    troubles: Mutex<Troubles>,
}

#[derive(Debug, Default)]
struct Troubles {
    not_written: Option<String>,
    damaged: BTreeSet<u64>,
}

impl Shared {
    pub(super) fn new(fs: Arc<dyn FileSystem>, directory: PathBuf) -> Self {
        Self {
            fs,
            directory,
            condition: watch::Sender::new(Condition::Opening),
            reading: Semaphore::new(READING),
            troubles: Mutex::default(),
        }
    }

    pub(super) fn path(&self, first: u64) -> PathBuf {
        self.directory.join(segment::file_name(first))
    }

    pub(super) fn publish(&self, extent: Extent) {
        self.condition.send_replace(Condition::Open(extent));
    }

    /// The disk takes events.
    pub(super) fn written(&self) {
        if self.troubles().not_written.take().is_some() {
            tracing::info!("events are written again");
        }
    }

    /// The disk takes no events; so many wait.
    pub(super) fn not_written(&self, error: &str, waiting: usize, opened: bool) {
        let message = format!(
            "the events in {} cannot be written: {error}; {waiting} wait in memory, and later ones may be lost; make \
             room there, or look at the disk",
            self.directory.display()
        );
        if !opened {
            let failed = Condition::Failed(error.to_owned());
            self.condition.send_replace(failed);
        }
        if self.troubles().not_written.replace(message).is_none() {
            tracing::error!(error, "events cannot be written");
        }
    }

    /// A segment, by its first number, is not what was written.
    pub(super) fn note_damage(&self, first: u64) {
        if self.troubles().damaged.insert(first) {
            let path = self.path(first);
            tracing::error!(file = %path.display(), "events are damaged and cannot be read");
        }
    }

    /// Only segments from this one on are left.
    pub(super) fn forget_damage(&self, oldest: u64) {
        self.troubles().damaged.retain(|first| *first >= oldest);
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let troubles = self.troubles();
        let mut problems = Vec::new();
        if let Some(message) = &troubles.not_written {
            problems.push(Problem {
                reason: "EVENTS_NOT_WRITTEN",
                message: message.clone(),
            });
        }
        if !troubles.damaged.is_empty() {
            let named = troubles.damaged.iter().take(NAMED);
            let named: Vec<_> = named.map(|first| segment::file_name(*first)).collect();
            problems.push(Problem {
                reason: "EVENTS_DAMAGED",
                message: format!(
                    "{} of the files in {} are damaged ({}), so that some old events cannot be read; look at the disk. \
                     The pods are not concerned, and the files go by themselves when they are old",
                    troubles.damaged.len(),
                    self.directory.display(),
                    named.join(", ")
                ),
            });
        }
        problems
    }

    fn troubles(&self) -> std::sync::MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
