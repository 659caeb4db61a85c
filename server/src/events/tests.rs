//! The log against a disk whose power is cut, that fails, or that somebody damaged.

mod daily;
mod disk;

use std::{path::Path, sync::Arc};

use futures_util::StreamExt as _;
use jiff::Timestamp;

use super::{
    Event, EventKind, EventLog, From, NewEvent, WatchError,
    log::{Log, Size},
    shared::Shared,
};
use crate::{fs::FileSystem, fs::sim::SimDisk};

const DIR: &str = "/state/events";

/// Small, so that a few events make many segments.
const SMALL: Size = Size {
    max_events: 6,
    segment: 3,
    batch: 4,
    recent: 2,
};

/// Keeps everything.
const ALL: Size = Size {
    max_events: 1_000_000,
    ..SMALL
};

fn shared(disk: &SimDisk) -> Arc<Shared> {
    let fs: Arc<dyn FileSystem> = Arc::new(disk.clone());
    Arc::new(Shared::new(fs, DIR.into()))
}

fn event(number: usize) -> NewEvent {
    NewEvent::of_bundle(
        EventKind::Injected,
        &"app".parse().expect("a valid name"),
        number as u64,
        format!("event {number}"),
    )
    .by("tester")
}

fn batch(numbers: std::ops::Range<usize>) -> Vec<(Timestamp, NewEvent)> {
    let at = |number: usize| {
        let second = i64::try_from(number).expect("a small number");
        Timestamp::from_second(second).expect("a time")
    };
    numbers.map(|number| (at(number), event(number))).collect()
}

/// Everything that a reader gets from there on.
async fn read(shared: &Arc<Shared>, from: From) -> Result<Vec<Event>, WatchError> {
    let mut stream = EventLog::new(Arc::clone(shared)).watch(from, true).await?;
    let mut events = Vec::new();
    while let Some(some) = stream.next().await {
        events.extend(some?.iter().map(|event| Event::clone(event)));
    }
    Ok(events)
}

fn sequences(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

fn disk() -> SimDisk {
    SimDisk::new(Path::new("/state"))
}
