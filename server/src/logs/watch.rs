//! Notices that something happens in the folders of logs.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::StreamExt as _;
use inotify::{EventMask, EventStream, Inotify, WatchMask};
use tokio::time::{Instant, sleep, timeout_at};

/// What comes within this time is one batch, in the order of time over all containers.
const GATHER: Duration = Duration::from_millis(10);

/// One instance of inotify, of which a user has only some hundred, for all folders of a pod.
#[derive(Debug)]
pub(super) struct Watch {
    /// `None`: nothing is noticed.
    events: Option<EventStream<[u8; 4096]>>,
    folders: HashSet<PathBuf>,
}

impl Watch {
    pub(super) fn new() -> Self {
        let events = Inotify::init().and_then(|inotify| inotify.into_event_stream([0; 4096]));
        Self {
            events: events.map_err(|error| unavailable(&error)).ok(),
            folders: HashSet::new(),
        }
    }

    /// Whether changes are noticed.
    pub(super) fn is_up(&self) -> bool {
        self.events.is_some()
    }

    /// Watches this folder too.
    pub(super) fn add(&mut self, folder: &Path) {
        let Some(events) = &self.events else { return };
        if !self.folders.insert(folder.to_owned()) {
            return;
        }
        let mask = WatchMask::MODIFY | WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::ONLYDIR;
        if let Err(error) = events.watches().add(folder, mask) {
            // Asking now and then is left.
            unavailable(&error);
            self.events = None;
        }
    }

    /// Waits until something happens. Says whether a folder was made. Never returns when nothing is noticed.
    pub(super) async fn changed(&mut self) -> bool {
        let Some(events) = &mut self.events else {
            return std::future::pending().await;
        };
        let mut until = None;
        let mut made_folder = false;
        loop {
            let event = match until {
                None => events.next().await,
                Some(until) => match timeout_at(until, events.next()).await {
                    Ok(event) => event,
                    Err(_) => return made_folder,
                },
            };
            match event {
                Some(Ok(event)) => {
                    made_folder |= event.mask.contains(EventMask::ISDIR);
                    // A container that writes all the time wakes for every line otherwise.
                    if until.is_none() {
                        until = Some(Instant::now() + GATHER);
                        sleep(GATHER / 2).await;
                    }
                }
                Some(Err(error)) => {
                    unavailable(&error);
                    self.events = None;
                    return made_folder;
                }
                None => {
                    self.events = None;
                    return made_folder;
                }
            }
        }
    }
}

fn unavailable(error: &io::Error) {
    tracing::debug!(%error, "cannot watch the folders of logs, so they are looked at now and then");
}
