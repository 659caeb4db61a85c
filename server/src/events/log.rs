//! The log on the disk, as its one writer sees it.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Event,
    queue::Waiting,
    record::{self, Recorded},
    segment::{self, Scan},
    shared::{Extent, Shared},
};
use crate::fs::{FileSystem, OpenFile};

/// How large the log is, and its parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// How many events are kept at least.
    pub(super) max_events: usize,
    /// With so many events a segment is full. The last batch may make it more.
    pub(super) segment: usize,
    /// The most events that are written at once.
    pub(super) batch: usize,
    /// How many of the newest events stay in memory, for readers that are up to date.
    pub(super) recent: usize,
}

impl Size {
    pub(super) fn new(max_events: usize) -> Self {
        Self {
            max_events,
            segment: 1000,
            batch: 256,
            recent: 64,
        }
    }
}

/// The log, opened for writing.
pub(super) struct Log {
    shared: Arc<Shared>,
    size: Size,
    /// The first numbers of the segments that have events, ascending.
    segments: Vec<u64>,
    /// The number of the next event.
    next: u64,
    recent: VecDeque<Arc<Event>>,
    recorded: Recorded,
    /// The segment that is written. `None`: a new one is begun.
    open: Option<Open>,
}

struct Open {
    file: Box<dyn OpenFile>,
    first: u64,
}

impl Log {
    /// Opens the log, makes durable what is in it, and publishes that.
    pub(super) fn open(shared: Arc<Shared>, size: Size) -> io::Result<Self> {
        let mut segments = list(&*shared.fs, &shared.directory)?;
        let found = Found::read(&shared, &size, &segments);
        let mut open = None;
        if let Some(&last) = segments.last()
            && found.is_readable
        {
            // A daemon that was killed may have written and not synced. Nothing that readers see may go with a later
            // power cut.
            let mut file = shared.fs.append(&shared.path(last))?;
            file.sync()?;
            shared.fs.sync_dir(&shared.directory)?;
            if found.goes_on {
                open = Some(Open { file, first: last });
            }
        }
        // One without an event was begun and not published; it is written anew.
        segments.retain(|first| *first < found.next);
        let mut log = Self {
            shared,
            size,
            segments,
            next: found.next,
            recent: VecDeque::new(),
            recorded: found.recorded,
            open,
        };
        log.publish();
        log.prune();
        Ok(log)
    }

    pub(super) fn recorded(&self) -> &Recorded {
        &self.recorded
    }

    /// Numbers events, makes them durable and publishes them. After an error none of them is published, and they get
    /// the same numbers when they are given again.
    pub(super) fn append(&mut self, batch: &[Waiting]) -> io::Result<()> {
        let numbers = self.next..;
        let events: Vec<Arc<Event>> = numbers
            .zip(batch)
            .map(|(sequence, (time, what))| {
                Arc::new(Event {
                    sequence,
                    time: *time,
                    what: what.clone(),
                })
            })
            .collect();
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Ok(());
        };
        let (first, last) = (first.sequence, last.sequence);
        let fresh = match self.open.take() {
            Some(open) if self.next - open.first < self.size.segment as u64 => Some(open),
            _ => None,
        };
        let begins = fresh.is_none();
        // What fails in between stays closed, and the next attempt begins a new segment: its name says that whatever
        // the old one has from there on does not count.
        let open = match fresh {
            Some(open) => write(open, &events, None)?,
            None => self.begin(first, &events)?,
        };
        self.open = Some(open);
        if begins {
            self.segments.push(first);
        }
        self.next = last + 1;
        for event in &events {
            record::note(&mut self.recorded, &event.what);
        }
        self.recent.extend(events);
        let surplus = self.recent.len().saturating_sub(self.size.recent);
        self.recent.drain(..surplus);
        self.publish();
        if begins {
            self.prune();
        }
        Ok(())
    }

    /// Writes the first events of a new segment.
    fn begin(&self, first: u64, events: &[Arc<Event>]) -> io::Result<Open> {
        let fs = &*self.shared.fs;
        let file = fs.create(&self.shared.path(first), 0o600)?;
        let open = write(Open { file, first }, events, Some(&self.recorded))?;
        fs.sync_dir(&self.shared.directory)?;
        Ok(open)
    }

    fn publish(&self) {
        self.shared.publish(Extent {
            segments: self.segments.as_slice().into(),
            next: self.next,
            recent: self.recent.iter().cloned().collect(),
        });
    }

    /// Drops the oldest segments, as long as enough events are left. One after the other and durably, so that no power
    /// cut leaves a hole. Readers are told before.
    fn prune(&mut self) {
        while let [oldest, second, ..] = self.segments[..]
            && self.next - second >= self.size.max_events as u64
        {
            self.segments.remove(0);
            self.publish();
            let path = self.shared.path(oldest);
            let removed = self
                .shared
                .fs
                .remove_file(&path)
                .and_then(|()| self.shared.fs.sync_dir(&self.shared.directory));
            if let Err(error) = removed {
                // Found and tried again by the next start.
                tracing::warn!(%error, file = %path.display(), "cannot remove old events");
                return;
            }
            self.shared.forget_damage(second);
        }
    }
}

fn write(mut open: Open, events: &[Arc<Event>], head: Option<&Recorded>) -> io::Result<Open> {
    let mut text = String::new();
    if let Some(recorded) = head {
        record::encode_head(recorded, &mut text);
    }
    for event in events {
        record::encode_event(event, &mut text);
    }
    open.file.write_all(text.as_bytes())?;
    open.file.sync()?;
    Ok(open)
}

/// The segments' first numbers. Makes the folder when there is none.
fn list(fs: &dyn FileSystem, directory: &Path) -> io::Result<Vec<u64>> {
    let names = match fs.list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs.make_dir(directory, 0o700)?;
            if let Some(parent) = directory.parent() {
                fs.sync_dir(parent)?;
            }
            Vec::new()
        }
        names => names?,
    };
    let mut segments = Vec::with_capacity(names.len());
    for name in names {
        match segment::parse_file_name(&name) {
            Some(first) => segments.push(first),
            None => {
                tracing::warn!(file = %directory.join(name).display(), "this is no file of the event log");
            }
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// What is to be known before the first event can be written.
struct Found {
    next: u64,
    recorded: Recorded,
    /// Whether the last segment can be added to.
    goes_on: bool,
    is_readable: bool,
}

impl Found {
    /// Reads the last segment, and those before it only as far as its head cannot be read.
    fn read(shared: &Shared, size: &Size, segments: &[u64]) -> Self {
        let mut found = Self {
            next: 1,
            recorded: Recorded::new(),
            goes_on: false,
            is_readable: true,
        };
        let mut end = None;
        for &first in segments.iter().rev() {
            let path: PathBuf = shared.path(first);
            let scan = segment::scan(&*shared.fs, &path, end).unwrap_or_else(|error| {
                tracing::error!(%error, file = %path.display(), "cannot read events");
                shared.note_damage(first);
                found.is_readable &= end.is_some();
                Scan {
                    // Any of the numbers that it can have may have been seen.
                    last: Some(first + (size.segment + size.batch) as u64),
                    torn: true,
                    ..Scan::default()
                }
            });
            if end.is_none() {
                found.next = scan.last.map_or(first, |last| last + 1);
                found.goes_on = !scan.torn && scan.before.is_some() && scan.last.is_some();
            }
            for (bundle, revision) in scan
                .within
                .into_iter()
                .chain(scan.before.iter().flatten().map(|(b, r)| (b.clone(), *r)))
            {
                let known = found.recorded.entry(bundle).or_default();
                *known = revision.max(*known);
            }
            if scan.before.is_some() {
                break;
            }
            end = Some(first);
        }
        found
    }
}
