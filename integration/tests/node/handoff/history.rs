//! The record of a handoff as it is on the disk, each time that it is written: where kills aim at, and what has to go
//! forward only.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use inotify::{Inotify, WatchMask};
use serde::Deserialize;
use serde_json::Value;

const RECORD: &str = "record.json";
const STAGED: &str = ".seedpod-staged-record.json";

/// What is durable of a handoff, as far as it is looked at here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) generation: u64,
    pub(super) stage: String,
    steps: Vec<Step>,
    withheld: Vec<Value>,
    pub(super) failure: Option<Value>,
    steering: Option<Value>,
    pub(super) resumptions: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    stage: String,
    start_time: String,
    message: String,
}

/// Somewhere between two writes of the record: there is nothing else that a daemon could go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    stage: &'static str,
    withheld: usize,
    /// Whether it is noted what was there before.
    noted: bool,
}

const fn point(stage: &'static str, withheld: usize) -> Point {
    Point {
        stage,
        withheld,
        noted: true,
    }
}

/// All points of a handoff that goes well, in order.
pub(super) const FORWARD: [Point; 11] = [
    Point {
        stage: "applying",
        withheld: 0,
        noted: false,
    },
    point("applying", 0),
    point("waitingForReady", 0),
    point("waitingForKubelet", 0),
    point("draining", 0),
    point("draining", 1),
    point("draining", 2),
    point("handingOver", 2),
    point("handingOver", 3),
    point("verifying", 3),
    point("committed", 3),
];

/// Those of the way back.
pub(super) const BACK: [Point; 2] = [point("reverting", 0), point("reverted", 0)];

impl Point {
    /// Whether a record is here, or, on the way to the commit, further.
    pub(super) fn is_reached_by(&self, record: &Record) -> bool {
        let at = |it: &Point| {
            it.stage == record.stage
                && it.withheld == record.withheld.len()
                && it.noted == record.steering.is_some()
        };
        match FORWARD.iter().position(|it| it == self) {
            Some(index) => FORWARD[index..].iter().any(at),
            // Whether anything was noted does not matter there.
            None => record.stage == self.stage,
        }
    }

    pub(super) fn is_back(&self) -> bool {
        BACK.contains(self)
    }
}

/// What was seen of the record's file.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// It is being written, and is not the record yet.
    Staged(Record),
    Written(Record),
}

/// Looks at the record whenever it is written.
pub(super) struct History {
    folder: PathBuf,
    inotify: Inotify,
    records: Vec<Record>,
}

impl History {
    /// From now on. There has to be a record.
    pub(super) fn watch(state_directory: &Path) -> Self {
        let folder = state_directory.join("handoff");
        let inotify = Inotify::init().expect("start inotify");
        let mask = WatchMask::MODIFY | WatchMask::MOVED_TO;
        inotify
            .watches()
            .add(&folder, mask)
            .expect("watch the folder");
        let first = read(&folder.join(RECORD)).expect("a record");
        Self {
            folder,
            inotify,
            records: vec![first],
        }
    }

    pub(super) fn last(&self) -> &Record {
        self.records.last().expect("at least one")
    }

    pub(super) fn writes(&self) -> usize {
        self.records.len()
    }

    /// What has happened since the last call.
    pub(super) fn news(&mut self) -> Vec<Seen> {
        let mut buffer = [0; 4096];
        let names: Vec<String> = match self.inotify.read_events(&mut buffer) {
            Ok(events) => events
                .filter_map(|event| Some(event.name?.to_string_lossy().into_owned()))
                .collect(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Vec::new(),
            Err(error) => panic!("read the events: {error}"),
        };
        let mut news = Vec::new();
        if names.iter().any(|name| name == STAGED) {
            // It may be half written, or have its name already.
            news.extend(read(&self.folder.join(STAGED)).map(Seen::Staged));
        }
        if names.iter().any(|name| name == RECORD)
            && let Some(record) = read(&self.folder.join(RECORD))
            && record != *self.last()
        {
            self.follow(&record);
            self.records.push(record.clone());
            news.push(Seen::Written(record));
        }
        news
    }

    /// What is written never takes back what was written before.
    fn follow(&self, next: &Record) {
        let last = self.last();
        let both = || format!("{last:#?}\nand then {next:#?}");
        assert_eq!(last.id, next.id, "another handoff: {}", both());
        assert!(last.generation < next.generation, "{}", both());
        assert!(last.resumptions <= next.resumptions || next.resumptions == 0);
        let place = |record: &Record| record.steps.len();
        assert!(place(last) <= place(next), "steps are lost: {}", both());
        for (index, (old, new)) in last.steps.iter().zip(&next.steps).enumerate() {
            let same = (&old.stage, &old.start_time) == (&new.stage, &new.start_time);
            let finished = index + 1 < last.steps.len();
            assert!(
                same && (!finished || old.message == new.message),
                "step {index} is another one: {}",
                both()
            );
        }
        // Without the letter at the end, a time that has more digits is the later one.
        let times = next.steps.iter();
        let times: Vec<&str> = times
            .map(|step| step.start_time.trim_end_matches('Z'))
            .collect();
        assert!(times.is_sorted(), "{}", both());
        let stages: Vec<&str> = next.steps.iter().map(|step| step.stage.as_str()).collect();
        let forward = |pair: &[&str]| may_follow(pair[0], pair[1]);
        assert!(stages.windows(2).all(forward), "{stages:?}");
        assert_eq!(stages.last(), Some(&next.stage.as_str()));
        let given_back = matches!(next.stage.as_str(), "reverting" | "reverted" | "standingIn");
        let kept = last.withheld.iter().all(|pod| next.withheld.contains(pod));
        assert!(given_back || kept, "{}", both());
    }
}

/// Whether a stage may come right after another.
fn may_follow(before: &str, after: &str) -> bool {
    let place = |stage: &str| FORWARD.iter().position(|point| point.stage == stage);
    match (before, after) {
        ("reverting", "reverted")
        | ("committed", "standingIn")
        | ("standingIn", "standingDown")
        | ("standingDown", "standingIn" | "committed") => true,
        ("committed" | "reverted" | "standingIn" | "standingDown" | "reverting", _) => false,
        (_, "reverting") => true,
        _ => {
            let next = FORWARD
                .iter()
                .filter(|point| point.stage != before)
                .find(|point| place(point.stage) > place(before));
            next.is_some_and(|point| point.stage == after)
        }
    }
}

/// The record in a file, when the file is there and whole.
fn read(file: &Path) -> Option<Record> {
    let text = fs::read_to_string(file).ok()?;
    let body: Value = serde_json::from_str(text.lines().nth(1)?).ok()?;
    serde_json::from_value(body["record"].clone()).ok()
}
