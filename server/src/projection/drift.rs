//! Notices what others do in the static pod directory.

use std::{collections::BTreeSet, io, path::Path, time::Duration};

use futures_util::StreamExt as _;
use inotify::{EventMask, EventStream, Inotify, WatchMask};

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
}

impl Watch {
    pub(super) fn new(path: &Path) -> Self {
        let mut watch = Self { events: None };
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
    /// Cancelled while it waits for the first change, nothing is lost; names gathered after it are looked at again by
    /// the next full look.
    pub(super) async fn next(&mut self) -> Noticed {
        let Some(events) = &mut self.events else {
            return std::future::pending().await;
        };
        let mut names = BTreeSet::new();
        let mut event = events.next().await;
        loop {
            match event {
                Some(Ok(event)) => {
                    let gone = EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::IGNORED;
                    if event.mask.intersects(gone) {
                        self.events = None;
                        return Noticed::Everything;
                    }
                    if event.mask.contains(EventMask::Q_OVERFLOW) {
                        return Noticed::Everything;
                    }
                    names.extend(event.name.and_then(|name| name.into_string().ok()));
                }
                Some(Err(_)) | None => {
                    self.events = None;
                    return Noticed::Everything;
                }
            }
            let wait = tokio::time::timeout(GATHER, events.next()).await;
            match wait {
                Ok(next) => event = next,
                Err(_) => return Noticed::Names(names),
            }
        }
    }
}

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
