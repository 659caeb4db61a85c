//! What has happened on the node: numbered, on disk, bounded.
//!
//! ```text
//! <stateDirectory>/events/<first number>.jsonl    a segment: a head, and then an event a line, each with a checksum
//! ```
//!
//! Everybody who changes something or sees a change has an [`EventSink`] and records it there. One writer (`writer`)
//! takes what has come together, has it appended and synced at once (`log`), and only then tells the readers
//! (`reader`), so that a number which anybody has seen is never given to another event, also after a power cut.
//! Readers read from the disk; in memory are only the newest few events.
//!
//! What cannot be read is not taken as absent: its numbers are not given again, the damage is a problem of the node,
//! and readers get an `EVENTS_LOST` in its place. None of it stops the daemon. The one exception is damage to nothing but
//! the very last line: it looks like a line that a power cut tore, which nobody can have seen, and its number is given
//! again.

mod catch_up;
mod log;
mod queue;
mod reader;
mod record;
mod segment;
mod shared;
#[cfg(test)]
mod tests;
mod writer;

use std::{convert::Infallible, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use seedpod_manifest::{BundleName, PodKey};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) use self::reader::{EventLog, From, WatchError};
use self::{queue::Queue, shared::Shared, writer::Writer};
use crate::{fs::FileSystem, node::State};

/// What has happened. See `EventType` in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum EventKind {
    Injected,
    Removed,
    RolledBack,
    Confirmed,
    TrialFailed,
    PodProjected,
    PodStarted,
    PodReady,
    PodNotReady,
    PodFailed,
    PodRefused,
    PodStopped,
    Drift,
    Repaired,
    WaveTimedOut,
    BundleReady,
    KubeletRestarted,
    PodStoppedOverCri,
    EventsLost,
    HandoffStarted,
    HandoffProgressed,
    HandedOver,
    HandoffFailed,
    HandedBack,
    StandbyStarted,
    StandbyStopped,
    KubeletConfigured,
}

/// An event before it has a number and a time. Never holds anything that may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewEvent {
    pub(crate) kind: EventKind,
    pub(crate) bundle: Option<BundleName>,
    /// Of the bundle; 0 when it is about none.
    pub(crate) revision: u64,
    pub(crate) pod: Option<PodKey>,
    /// One sentence for people.
    pub(crate) message: String,
    /// Who asked for it; empty when nobody did.
    pub(crate) client: String,
}

impl NewEvent {
    /// About a bundle as a whole.
    pub(crate) fn of_bundle(
        kind: EventKind,
        bundle: &BundleName,
        revision: u64,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            bundle: Some(bundle.clone()),
            revision,
            pod: None,
            message: message.into(),
            client: String::new(),
        }
    }

    /// About one pod of a bundle.
    pub(crate) fn of_pod(
        kind: EventKind,
        bundle: &BundleName,
        revision: u64,
        pod: &PodKey,
        message: impl Into<String>,
    ) -> Self {
        Self {
            pod: Some(pod.clone()),
            ..Self::of_bundle(kind, bundle, revision, message)
        }
    }

    /// Asked for by this client.
    pub(crate) fn by(self, client: impl Into<String>) -> Self {
        Self {
            client: client.into(),
            ..self
        }
    }
}

/// An event with its number, as it stands on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// 1, 2, 3, ...
    pub(crate) sequence: u64,
    /// When it was recorded.
    pub(crate) time: Timestamp,
    pub(crate) what: NewEvent,
}

/// Where events are recorded. Cheap to clone. The default one keeps nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventSink {
    queue: Option<Arc<Queue>>,
    /// As long as anybody has one of these, the writer waits for what is still to come.
    #[expect(dead_code, reason = "that it is there is all it is for")]
    open: Option<mpsc::Sender<Infallible>>,
}

impl EventSink {
    /// Records an event. Never waits: what cannot be written now is written later, or counted as lost.
    pub(crate) fn record(&self, event: NewEvent) {
        tracing::debug!(kind = ?event.kind, message = event.message, "event");
        if let Some(queue) = &self.queue {
            queue.push(event);
        }
    }

    /// The same sink for somebody who outlives the node and must not hold up its end.
    pub(crate) fn passive(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            open: None,
        }
    }
}

/// Starts the writer. Nothing waits for the disk: also the log is opened by the writer.
///
/// `state` is what was committed when the daemon started; what has no event yet gets one.
pub(crate) fn start(
    fs: Arc<dyn FileSystem>,
    directory: PathBuf,
    max_events: usize,
    state: &State,
    shutdown: CancellationToken,
) -> (EventSink, EventLog, JoinHandle<()>) {
    let shared = Arc::new(Shared::new(fs, directory));
    let log = EventLog::new(Arc::clone(&shared));
    let queue = Arc::new(Queue::default());
    let (open, producers) = mpsc::channel(1);
    let sink = EventSink {
        queue: Some(Arc::clone(&queue)),
        open: Some(open),
    };
    let committed = catch_up::committed(state);
    let writer = Writer::new(shared, queue, max_events, committed);
    let writing = tokio::spawn(writer.run(shutdown, producers));
    (sink, log, writing)
}
