//! Notices what others do in the static pod directory.

use std::{collections::BTreeSet, io, path::Path, time::Duration};

use futures_util::StreamExt as _;
use inotify::{EventMask, EventStream, Inotify, WatchMask};
use tokio::time::{Instant, timeout_at};

/// Something happened in the directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Noticed {
    /// These names were made, written, renamed or removed. By us, perhaps.
    Names(BTreeSet<String>),
    /// The watch does not know what: look at everything.
    Everything,
}

/// A watch on a directory that is set up again when the directory was away.
#[derive(Debug)]
pub(super) struct Watch {
    events: Option<EventStream<[u8; 4096]>>,
    gathered: BTreeSet<String>,
    /// Set with the first name that is gathered.
    gather_until: Option<Instant>,
}

impl Watch {
    pub(super) fn new(path: &Path) -> Self {
        let mut watch = Self {
            events: None,
            gathered: BTreeSet::new(),
            gather_until: None,
        };
        watch.renew(path);
        watch
    }

    /// Whether changes are noticed.
    pub(super) fn is_up(&self) -> bool {
        self.events.is_some()
    }

    /// Sets the watch up again if it is lost. Tells whether it was.
    pub(super) fn renew(&mut self, path: &Path) -> bool {
        if self.events.is_some() {
            return false;
        }
        match open(path) {
            Ok(events) => self.events = Some(events),
            Err(error) => {
                tracing::debug!(%error, path = %path.display(), "cannot watch the static pod directory");
            }
        }
        self.events.is_some()
    }

    /// Waits for changes and takes all that come close together. Never returns while the watch is lost.
    ///
    /// # Cancel safety
    /// What has been gathered is kept for the next call.
    pub(super) async fn next(&mut self) -> Noticed {
        let Some(events) = &mut self.events else {
            return std::future::pending().await;
        };
        loop {
            let event = match self.gather_until {
                None => events.next().await,
                Some(until) => match timeout_at(until, events.next()).await {
                    Ok(event) => event,
                    Err(_) => {
                        self.gather_until = None;
                        return Noticed::Names(std::mem::take(&mut self.gathered));
                    }
                },
            };
            match event {
                Some(Ok(event)) if !event.mask.intersects(LOST) => {
                    let name = event.name.and_then(|name| name.into_string().ok());
                    self.gathered.extend(name);
                    self.gather_until
                        .get_or_insert_with(|| Instant::now() + GATHER);
                }
                Some(Ok(event)) if event.mask.contains(EventMask::Q_OVERFLOW) => {
                    return Noticed::Everything;
                }
                _ => {
                    self.events = None;
                    return Noticed::Everything;
                }
            }
        }
    }
}

/// Events with which the watch no longer knows what is in the directory.
const LOST: EventMask = EventMask::DELETE_SELF
    .union(EventMask::MOVE_SELF)
    .union(EventMask::IGNORED)
    .union(EventMask::Q_OVERFLOW);

/// An editor saves in several steps; a copy is written piece by piece. Long enough to see them as one.
const GATHER: Duration = Duration::from_millis(20);

fn open(path: &Path) -> io::Result<EventStream<[u8; 4096]>> {
    let inotify = Inotify::init()?;
    let mask = WatchMask::CLOSE_WRITE
        | WatchMask::MOVED_TO
        | WatchMask::MOVED_FROM
        | WatchMask::DELETE
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF
        | WatchMask::ONLYDIR;
    inotify.watches().add(path, mask)?;
    inotify.into_event_stream([0; 4096])
}
