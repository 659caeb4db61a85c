//! Reading the log while it is written.

use std::{
    collections::BTreeSet,
    io,
    ops::ControlFlow,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};

use super::{Event, queue, record::Line, segment};
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
    fn oldest(&self) -> u64 {
        self.segments.first().copied().unwrap_or(self.next)
    }

    /// The segment of a number, and the number with which the one after it begins.
    fn segment(&self, sequence: u64) -> Option<(u64, u64)> {
        let after = self.segments.partition_point(|first| *first <= sequence);
        let first = *self.segments.get(after.checked_sub(1)?)?;
        let end = self.segments.get(after).copied().unwrap_or(self.next);
        Some((first, end))
    }

    /// The newest events from `position` on, when they are in memory.
    fn recent(&self, position: u64) -> Option<Vec<Arc<Event>>> {
        let first = self.recent.first()?.sequence;
        let skip = usize::try_from(position.checked_sub(first)?).ok()?;
        Some(self.recent.get(skip..)?.to_vec())
    }
}

/// How the log is.
#[derive(Debug, Clone)]
enum Condition {
    Opening,
    Failed(String),
    Open(Extent),
}

/// What the writer and the readers have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) directory: PathBuf,
    condition: watch::Sender<Condition>,
    reading: Semaphore,
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

    fn problems(&self) -> Vec<Problem> {
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

/// From where on a reader reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// The oldest event that is left.
    Oldest,
    /// The one after this number.
    After(u64),
}

/// Why events cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    #[error("the events after {after} are gone; the oldest one left is {oldest}")]
    Gone { after: u64, oldest: u64 },
    #[error("no event has the number {after} yet; the newest one is {newest}")]
    NotReached { after: u64, newest: u64 },
    /// The log could not be opened; it is tried again.
    #[error("the events cannot be read: {0}")]
    NotOpen(String),
    /// A part of it cannot be read. Perhaps it can later.
    #[error("the events from {from} to {to} cannot be read")]
    Unreadable {
        from: u64,
        to: u64,
        #[source]
        source: io::Error,
    },
    /// The node ends.
    #[error("the node has ended")]
    Ended,
}

/// Events, some at a time.
pub(crate) type Events = BoxStream<'static, Result<Vec<Arc<Event>>, WatchError>>;

/// The log, for reading. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct EventLog {
    shared: Arc<Shared>,
}

impl EventLog {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What is wrong with it.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.shared.problems()
    }

    /// All events from there on, ordered, some at a time, without end or up to the newest one that there is now.
    ///
    /// Nothing is read before it is asked for, and nothing is kept: a slow reader costs what one that waits costs.
    pub(crate) async fn watch(&self, from: From, until_now: bool) -> Result<Events, WatchError> {
        let mut reader = Reader {
            shared: Arc::clone(&self.shared),
            condition: self.shared.condition.subscribe(),
            position: 0,
            place: None,
            end: None,
        };
        let extent = reader.opened().await?;
        reader.position = match from {
            From::Oldest => extent.oldest(),
            From::After(after) if after >= extent.next => {
                let newest = extent.next - 1;
                return Err(WatchError::NotReached { after, newest });
            }
            From::After(after) => after + 1,
        };
        reader.check(&extent)?;
        reader.end = until_now.then_some(extent.next);
        let events = stream::try_unfold(reader, |mut reader| async move {
            let events = reader.next().await?;
            Ok(events.map(|events| (events, reader)))
        });
        Ok(events.boxed())
    }
}

/// One reader, and where it is.
struct Reader {
    shared: Arc<Shared>,
    condition: watch::Receiver<Condition>,
    /// The number of the next event to read.
    position: u64,
    /// A segment, by its first number, and how much of it was read.
    place: Option<(u64, u64)>,
    /// The number at which it ends.
    end: Option<u64>,
}

impl Reader {
    /// What is published, once something is.
    async fn opened(&mut self) -> Result<Extent, WatchError> {
        let decided = |condition: &Condition| !matches!(condition, Condition::Opening);
        let condition = self.condition.wait_for(decided).await;
        match &*condition.map_err(|_| WatchError::Ended)? {
            Condition::Open(extent) => Ok(extent.clone()),
            Condition::Failed(error) => Err(WatchError::NotOpen(error.clone())),
            Condition::Opening => Err(WatchError::Ended),
        }
    }

    fn check(&self, extent: &Extent) -> Result<(), WatchError> {
        let (after, oldest) = (self.position - 1, extent.oldest());
        if self.position < oldest {
            return Err(WatchError::Gone { after, oldest });
        }
        Ok(())
    }

    /// The next events; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<Arc<Event>>>, WatchError> {
        loop {
            if self.end.is_some_and(|end| self.position >= end) {
                return Ok(None);
            }
            let extent = self.opened().await?;
            self.check(&extent)?;
            if self.position >= extent.next {
                let position = self.position;
                let grown = |condition: &Condition| matches!(condition, Condition::Open(extent) if extent.next > position);
                let grown = self.condition.wait_for(grown).await;
                drop(grown.map_err(|_| WatchError::Ended)?);
                continue;
            }
            let mut events = match extent.recent(self.position) {
                Some(recent) => recent,
                None => self.read(&extent).await?,
            };
            if let Some(end) = self.end {
                events.retain(|event| event.sequence < end);
            }
            if let Some(last) = events.last() {
                self.position = last.sequence + 1;
                return Ok(Some(events));
            }
        }
    }

    /// Reads a piece from the disk. Nothing, when there is another look to be had at what is published.
    async fn read(&mut self, extent: &Extent) -> Result<Vec<Arc<Event>>, WatchError> {
        let shared = Arc::clone(&self.shared);
        let turn = shared.reading.acquire().await;
        let _turn = turn.map_err(|_| WatchError::Ended)?;
        let Some((first, end)) = extent.segment(self.position) else {
            return Ok(Vec::new());
        };
        let offset = match self.place {
            Some((place, offset)) if place == first => offset,
            _ => 0,
        };
        let position = self.position;
        let reading = Arc::clone(&shared);
        let piece = move || Piece::read(&reading, first, offset, position, end);
        let piece = tokio::task::spawn_blocking(piece)
            .await
            .map_err(|_| WatchError::Ended)?;
        match piece {
            Ok(piece) => {
                self.place = Some((first, piece.offset));
                if piece.is_damaged {
                    self.shared.note_damage(first);
                }
                Ok(piece.events)
            }
            Err(source) => {
                self.place = None;
                let now = self.opened().await?;
                self.check(&now)?;
                self.shared.note_damage(first);
                Err(WatchError::Unreadable {
                    from: self.position,
                    to: end - 1,
                    source,
                })
            }
        }
    }
}

/// Some events of one segment.
struct Piece {
    events: Vec<Arc<Event>>,
    offset: u64,
    is_damaged: bool,
}

impl Piece {
    /// Reads the events from `position` on that are below `end`, at least one.
    fn read(shared: &Shared, first: u64, offset: u64, position: u64, end: u64) -> io::Result<Self> {
        let path = shared.path(first);
        let mut piece = Self {
            events: Vec::new(),
            offset,
            is_damaged: false,
        };
        let mut expected = position;
        while piece.events.is_empty() {
            let progress = segment::read_piece(&*shared.fs, &path, piece.offset, |line| {
                let Some(Line::Event(event)) = line else {
                    return ControlFlow::Continue(());
                };
                if event.sequence >= end {
                    return ControlFlow::Break(());
                }
                if event.sequence >= expected {
                    piece.is_damaged |= piece.events.fill_gap(expected, event.sequence);
                    expected = event.sequence + 1;
                    piece.events.push(Arc::new(event));
                }
                ControlFlow::Continue(())
            })?;
            piece.offset = progress.offset;
            let is_over = progress.at_end || progress.stopped || expected >= end;
            // Everything below `end` was durable before it was published.
            if is_over && piece.events.is_empty() {
                piece.is_damaged |= piece.events.fill_gap(expected, end);
            }
        }
        Ok(piece)
    }
}

trait FillGap {
    fn fill_gap(&mut self, from: u64, to: u64) -> bool;
}

impl FillGap for Vec<Arc<Event>> {
    /// Says that the events from `from` up to and without `to` cannot be read, if there are any.
    fn fill_gap(&mut self, from: u64, to: u64) -> bool {
        let Some(last) = to.checked_sub(1).filter(|last| *last >= from) else {
            return false;
        };
        let message = format!("the events {from} to {last} cannot be read: their file is damaged");
        self.push(Arc::new(Event {
            sequence: last,
            time: Timestamp::now(),
            what: queue::lost(message),
        }));
        true
    }
}
