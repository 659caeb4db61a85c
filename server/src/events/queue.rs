//! What is recorded and not yet written.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::{EventKind, NewEvent};

/// How many events wait for a disk that takes none. They are some megabytes at most.
pub(super) const MAX_WAITING: usize = 4096;

/// The longest texts, so that an event has a bounded size.
const MAX_MESSAGE: usize = 1024;
const MAX_CLIENT: usize = 256;

/// An event and when it was recorded.
pub(super) type Waiting = (Timestamp, NewEvent);

#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    pub(super) filled: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    events: VecDeque<Waiting>,
    /// Those that came after all of `events` and had no room.
    lost: u64,
}

impl Queue {
    pub(super) fn push(&self, mut event: NewEvent) {
        cut(&mut event.message, MAX_MESSAGE);
        cut(&mut event.client, MAX_CLIENT);
        let mut inner = self.lock();
        if inner.events.len() >= MAX_WAITING {
            inner.lost += 1;
            return;
        }
        inner.events.push_back((Timestamp::now(), event));
        drop(inner);
        self.filled.notify_one();
    }

    /// Takes the oldest events. When some were lost, that comes in their place.
    pub(super) fn take(&self, most: usize) -> Vec<Waiting> {
        let mut inner = self.lock();
        let count = inner.events.len().min(most);
        let taken = inner.events.drain(..count).collect();
        if inner.lost > 0 && inner.events.len() < MAX_WAITING {
            let lost = std::mem::take(&mut inner.lost);
            inner
                .events
                .push_back((Timestamp::now(), lost_events(lost)));
        }
        if inner.events.is_empty() {
            inner.events.shrink_to(64);
        }
        taken
    }

    pub(super) fn len(&self) -> usize {
        self.lock().events.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Every change above is complete before anything could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost_events(count: u64) -> NewEvent {
    let message = match count {
        1 => "an event could not be written and is lost".to_owned(),
        count => format!("{count} events could not be written and are lost"),
    };
    lost(message)
}

/// An event that tells of lost ones.
pub(super) fn lost(message: String) -> NewEvent {
    NewEvent {
        kind: EventKind::EventsLost,
        bundle: None,
        revision: 0,
        pod: None,
        message,
        client: String::new(),
    }
}

fn cut(text: &mut String, limit: usize) {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit - '…'.len_utf8()));
        text.push('…');
    }
}
