//! Reads every file that appears in the static pod directory, as the kubelet would.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use inotify::{Inotify, WatchMask};
use serde_json::Value;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Files that appeared or were written to, as inotify told.
    pub(super) events: u64,
    /// Files that were read and parsed.
    reads: u64,
    /// Contents that differ.
    contents: usize,
}

/// A thread that reads all the time: on each event at once, and besides everything every millisecond.
pub(super) struct Watcher {
    shared: Arc<Shared>,
    thread: JoinHandle<Seen>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    highest_revision: AtomicU64,
}

struct Reader {
    folder: PathBuf,
    prefix: String,
    shared: Arc<Shared>,
    seen: Seen,
    uids: BTreeSet<String>,
}

impl Watcher {
    pub(super) fn start(folder: &Path, prefix: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let mut inotify = Inotify::init().expect("start inotify");
        let mask =
            WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::MODIFY | WatchMask::CLOSE_WRITE;
        inotify
            .watches()
            .add(folder, mask)
            .expect("watch the folder");
        let mut reader = Reader {
            folder: folder.to_owned(),
            prefix: format!("seedpod_default_{prefix}"),
            shared: Arc::clone(&shared),
            seen: Seen::default(),
            uids: BTreeSet::new(),
        };
        let thread = spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while !reader.shared.stop.load(Ordering::Relaxed) {
                match inotify.read_events(&mut buffer) {
                    Ok(events) => {
                        for name in events.filter_map(|event| event.name) {
                            reader.event(&name.to_string_lossy());
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => panic!("read the events: {error}"),
                }
                reader.look();
                sleep(Duration::from_millis(1));
            }
            reader.seen.contents = reader.uids.len();
            reader.seen
        });
        Self { shared, thread }
    }

    /// The highest revision that any file ever said to be of.
    pub(super) fn highest_revision(&self) -> u64 {
        assert!(
            !self.thread.is_finished(),
            "the watcher has found a torn file"
        );
        self.shared.highest_revision.load(Ordering::Relaxed)
    }

    /// Ends the watching; panics when a file was not whole.
    pub(super) fn stop(self) -> Seen {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .expect("every file that appeared was whole")
    }
}

impl Reader {
    fn event(&mut self, name: &str) {
        // The kubelet reads no hidden file, so one may be half-written.
        if name.starts_with(&self.prefix) {
            self.seen.events += 1;
            self.read(name);
        } else {
            assert!(name.starts_with(".seedpod-staged-"), "a stray file {name}");
        }
    }

    fn look(&mut self) {
        for entry in fs::read_dir(&self.folder)
            .expect("list the folder")
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                self.read(&name);
            }
        }
    }

    fn read(&mut self, name: &str) {
        let text = match fs::read(self.folder.join(name)) {
            Ok(text) => text,
            // Removed since.
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => panic!("read {name}: {error}"),
        };
        let pod: Value = serde_json::from_slice(&text).unwrap_or_else(|error| {
            panic!("{name} is torn: {error}; {} bytes", text.len());
        });
        assert_eq!(pod["kind"], "Pod", "{name}");
        let uid = pod["metadata"]["uid"].as_str();
        self.uids.insert(
            uid.unwrap_or_else(|| panic!("{name} has no uid"))
                .to_owned(),
        );
        let revision = pod["metadata"]["annotations"]["seedpod.dev/revision"]
            .as_str()
            .and_then(|revision| revision.parse().ok())
            .unwrap_or_else(|| panic!("{name} has no revision"));
        self.shared
            .highest_revision
            .fetch_max(revision, Ordering::Relaxed);
        self.seen.reads += 1;
    }
}
