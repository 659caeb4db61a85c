//! Reading the log while it is written.

use std::{io, ops::ControlFlow, sync::Arc};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::watch;

use super::{
    Event, queue,
    record::Line,
    segment,
    shared::{Condition, Extent, Shared},
};
use crate::node::Problem;

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
