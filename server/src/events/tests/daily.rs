//! Reading and writing when all is well, and the writer.

use std::{future::Future, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    events::{EventSink, queue::MAX_WAITING, start},
    fs::sim::Fault,
    node::State,
};

/// How long something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "in vain: {what}");
}

/// A writer as the daemon has it.
struct Running {
    sink: EventSink,
    log: EventLog,
    writing: JoinHandle<()>,
    stop: CancellationToken,
}

impl Running {
    fn start(disk: &SimDisk, max_events: usize, state: &State) -> Self {
        let stop = CancellationToken::new();
        let fs: Arc<dyn FileSystem> = Arc::new(disk.clone());
        let (sink, log, writing) = start(fs, DIR.into(), max_events, state, stop.clone());
        Self {
            sink,
            log,
            writing,
            stop,
        }
    }

    async fn read(&self, from: From) -> Result<Vec<Event>, WatchError> {
        let mut stream = self.log.watch(from, true).await?;
        let mut events = Vec::new();
        while let Some(some) = stream.next().await {
            events.extend(some?.iter().map(|event| Event::clone(event)));
        }
        Ok(events)
    }

    async fn count(&self) -> usize {
        self.read(From::Oldest).await.map_or(0, |all| all.len())
    }

    async fn end(self) {
        self.stop.cancel();
        drop(self.sink);
        tokio::time::timeout(PATIENCE, self.writing)
            .await
            .expect("in time")
            .expect("no panic");
    }
}

#[tokio::test]
async fn a_reader_begins_at_every_number_and_is_told_when_it_is_none() {
    let disk = disk();
    let shared = shared(&disk);
    let mut log = Log::open(Arc::clone(&shared), SMALL).expect("open");
    assert_eq!(read(&shared, From::Oldest).await.expect("none yet"), []);
    assert_eq!(read(&shared, From::After(0)).await.expect("none yet"), []);
    for step in 0..10 {
        log.append(&batch(2 * step..2 * step + 2)).expect("written");
    }
    let kept = read(&shared, From::Oldest).await.expect("readable");
    let oldest = kept[0].sequence;
    assert!(oldest > 1 && kept.len() >= SMALL.max_events, "{oldest}");
    assert!(kept.len() < SMALL.max_events + SMALL.segment + SMALL.batch);
    assert_eq!(
        disk.list(Path::new(DIR)).expect("the segments").len(),
        kept.len().div_ceil(4),
        "each of four events here"
    );
    for after in 0..=22 {
        let found = read(&shared, From::After(after)).await;
        match found {
            Err(WatchError::Gone { oldest: told, .. }) => {
                assert!(after + 1 < oldest && told == oldest, "after {after}");
            }
            Err(WatchError::NotReached { newest, .. }) => assert!(after > 20 && newest == 20),
            Ok(events) => {
                assert!((oldest - 1..=20).contains(&after));
                assert_eq!(sequences(&events), (after + 1..=20).collect::<Vec<_>>());
            }
            Err(error) => panic!("after {after}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_reader_that_is_overtaken_by_the_end_of_what_is_kept_is_told() {
    let disk = disk();
    let shared = shared(&disk);
    let mut log = Log::open(Arc::clone(&shared), SMALL).expect("open");
    log.append(&batch(0..4)).expect("written");
    let reader = EventLog::new(Arc::clone(&shared));
    let mut stream = reader.watch(From::After(0), false).await.expect("there");
    let first = stream.next().await.expect("no end").expect("readable");
    assert_eq!(first.last().expect("some").sequence, 4);
    for step in 1..10 {
        log.append(&batch(4 * step..4 * step + 4)).expect("written");
    }
    match stream.next().await.expect("no end") {
        Err(WatchError::Gone { after: 4, oldest }) => assert!(oldest > 5),
        other => panic!("{other:?}"),
    }
    assert!(stream.next().await.is_none(), "an error ends it");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_events_reach_a_reader_that_resumes_over_and_over_each_once() {
    const EVENTS: usize = 10_000;
    let disk = disk();
    let running = Running::start(&disk, EVENTS, &State::default());
    let sink = running.sink.clone();
    let recording = tokio::spawn(async move {
        for number in 0..EVENTS {
            sink.record(event(number));
            if number % 100 == 99 {
                // So that the queue, which never waits, does not overflow.
                until("there is room", async || {
                    sink.queue.as_ref().expect("a queue").len() < MAX_WAITING / 2
                })
                .await;
            }
        }
    });
    let mut seen: Vec<Event> = Vec::new();
    let mut connections = 0;
    while seen.len() < EVENTS {
        connections += 1;
        let after = seen.last().map_or(0, |event| event.sequence);
        let stream = running.log.watch(From::After(after), false).await;
        // It breaks off after a while, each time another one.
        let mut stream = stream.expect("there").take(1 + connections % 7);
        while seen.len() < EVENTS
            && let Some(events) = tokio::time::timeout(PATIENCE, stream.next())
                .await
                .expect("in time")
        {
            seen.extend(events.expect("readable").iter().map(|e| Event::clone(e)));
        }
    }
    recording.await.expect("no panic");
    assert!(connections > 5, "{connections}");
    assert_eq!(sequences(&seen), (1..=EVENTS as u64).collect::<Vec<_>>());
    for (number, seen) in seen.iter().enumerate() {
        assert_eq!(seen.what, event(number));
    }
    running.end().await;
}

#[tokio::test]
async fn a_full_disk_delays_events_and_when_there_are_too_many_tells_how_many_are_lost() {
    let disk = disk();
    let running = Running::start(&disk, 20_000, &State::default());
    running.sink.record(event(0));
    until("it is written", async || running.count().await == 1).await;
    disk.set_fault(Fault::From(0, std::io::ErrorKind::StorageFull));
    running.sink.record(event(1));
    until("the problem shows", async || {
        running
            .log
            .problems()
            .iter()
            .any(|p| p.reason == "EVENTS_NOT_WRITTEN")
    })
    .await;
    for number in 2..MAX_WAITING + 9 {
        running.sink.record(event(number));
    }
    assert_eq!(running.count().await, 1, "what was written can be read");
    disk.heal();
    // One is held by the writer, and MAX_WAITING wait.
    until("all is written", async || {
        running.count().await == MAX_WAITING + 3
    })
    .await;
    assert_eq!(running.log.problems(), []);
    let all = running.read(From::Oldest).await.expect("readable");
    let (last, kept) = all.split_last().expect("some");
    assert_eq!(last.what.kind, EventKind::EventsLost);
    assert_eq!(
        last.what.message,
        "7 events could not be written and are lost"
    );
    for (number, kept) in kept.iter().enumerate() {
        assert_eq!(kept.what, event(number));
    }
    running.end().await;
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_tried_again_and_readers_are_told_meanwhile() {
    let disk = disk();
    disk.set_fault(Fault::From(0, std::io::ErrorKind::ReadOnlyFilesystem));
    let running = Running::start(&disk, 100, &State::default());
    running.sink.record(event(0));
    let error = running.read(From::Oldest).await.expect_err("not open");
    assert!(matches!(error, WatchError::NotOpen(_)), "{error:?}");
    disk.heal();
    until("it is written", async || running.count().await == 1).await;
    running.end().await;
}

#[tokio::test]
async fn what_is_recorded_while_the_node_ends_is_written() {
    let disk = disk();
    let running = Running::start(&disk, 100, &State::default());
    let busy = running.sink.clone();
    let passive = running.sink.passive();
    let ending = tokio::spawn(running.end());
    tokio::task::yield_now().await;
    busy.record(event(0));
    drop(busy);
    ending.await.expect("no panic");
    // Those who only look on hold up nothing.
    drop(passive);
    let shared = shared(&disk);
    Log::open(Arc::clone(&shared), ALL).expect("open");
    assert_eq!(
        read(&shared, From::Oldest).await.expect("readable").len(),
        1
    );
}

#[tokio::test]
async fn a_commit_that_nobody_recorded_gets_its_event_at_the_next_start_and_only_once() {
    let disk = disk();
    let app: seedpod_manifest::BundleName = "app".parse().expect("a valid name");
    let gone: seedpod_manifest::BundleName = "gone".parse().expect("a valid name");
    let mut state = State::default();
    let bundle = crate::node::Bundle {
        objects: Vec::new(),
        name: app.clone(),
        revision: 3,
        digest: String::new(),
        create_time: Timestamp::UNIX_EPOCH,
        update_time: Timestamp::UNIX_EPOCH,
        pods: Vec::new(),
    };
    state.bundles.insert(app.clone(), Arc::new(bundle));
    state.removed.insert(gone.clone(), 2);
    let recorded = async |state: &State| {
        let running = Running::start(&disk, 100, state);
        // The first look waits until the log is open, which is after the catching up.
        until("the log is open", async || {
            running.read(From::Oldest).await.is_ok()
        })
        .await;
        running
            .sink
            .record(NewEvent::of_bundle(EventKind::Confirmed, &app, 3, "mark"));
        until("the mark is there", async || {
            let all = running.read(From::Oldest).await.expect("readable");
            all.last().is_some_and(|event| event.what.message == "mark")
        })
        .await;
        let all = running.read(From::Oldest).await.expect("readable");
        running.end().await;
        let commits = all
            .iter()
            .filter(|event| event.what.kind != EventKind::Confirmed);
        commits
            .map(|e| {
                (
                    e.what.kind,
                    e.what.bundle.clone().expect("one"),
                    e.what.revision,
                )
            })
            .collect::<Vec<_>>()
    };
    let first = [
        (EventKind::Injected, app.clone(), 3),
        (EventKind::Removed, gone.clone(), 2),
    ];
    assert_eq!(recorded(&state).await, first);
    assert_eq!(recorded(&state).await, first, "not again");
    state.removed.insert(gone.clone(), 4);
    let last = (EventKind::Removed, gone, 4);
    assert_eq!(recorded(&state).await, [&first[..], &[last]].concat());
}

#[tokio::test]
async fn what_was_recorded_long_ago_is_not_recorded_again_when_its_event_is_gone() {
    let disk = disk();
    let shared = shared(&disk);
    let mut log = Log::open(Arc::clone(&shared), SMALL).expect("open");
    log.append(&batch(7..8)).expect("written");
    for _ in 0..10 {
        let mut others = batch(0..4);
        for (_, event) in &mut others {
            event.kind = EventKind::PodReady;
        }
        log.append(&others).expect("written");
    }
    drop(log);
    let again = super::shared(&disk);
    let log = Log::open(again, SMALL).expect("open");
    let app: seedpod_manifest::BundleName = "app".parse().expect("a valid name");
    assert_eq!(log.recorded().get(&app), Some(&7));
}

#[test]
fn a_line_is_json_and_any_change_of_it_is_seen() {
    use crate::events::record::{Line, decode, encode_event};
    let mut what = event(1);
    what.message = "quotes \" and\nline feeds and …".to_owned();
    what.pod = Some(seedpod_manifest::PodKey {
        namespace: "kube-system".into(),
        name: "etcd".into(),
    });
    let event = Event {
        sequence: 7,
        time: Timestamp::UNIX_EPOCH,
        what,
    };
    let mut text = String::new();
    encode_event(&event, &mut text);
    let line = text.strip_suffix('\n').expect("a line feed");
    assert!(!line.contains('\n'));
    let json: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(json["sequence"], 7);
    assert_eq!(decode(line.as_bytes()), Some(Line::Event(event)));
    for at in 0..line.len() {
        let mut damaged = line.as_bytes().to_vec();
        damaged[at] ^= 1;
        assert_eq!(decode(&damaged), None, "byte {at}");
        assert_eq!(decode(&line.as_bytes()[..at]), None, "cut off at {at}");
    }
}
