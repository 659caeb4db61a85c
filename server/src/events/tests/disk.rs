//! Power cuts, full disks and damaged files.

use std::io;

use super::*;
use crate::fs::sim::{Fault, chooser, seeds};

/// The sizes of the batches that are written, with a new start of the daemon where there is a 0.
const SCRIPT: [usize; 14] = [1, 2, 4, 0, 1, 3, 0, 0, 2, 4, 4, 1, 0, 2];

/// Carries the script out as far as it goes. Tells what was published: the readers' view after each step.
async fn carry_out(disk: &SimDisk, size: Size) -> Vec<Event> {
    let mut published: Vec<Event> = Vec::new();
    let mut given = 0;
    let mut log = None;
    for count in SCRIPT {
        if log.is_none() || count == 0 {
            drop(log.take());
            let shared = shared(disk);
            let Ok(opened) = Log::open(Arc::clone(&shared), size) else {
                break;
            };
            log = Some((shared, opened));
        }
        let Some((shared, log)) = &mut log else { break };
        let written = log.append(&batch(given..given + count));
        given += count;
        // What is kept is readable at each moment.
        if let Ok(events) = read(shared, From::Oldest).await {
            assert_continues(&published, &events);
            merge(&mut published, events);
        }
        if written.is_err() {
            break;
        }
    }
    published
}

/// Whatever was seen once is there again, the same, as far as it is kept; and nothing is missing in between.
fn assert_continues(before: &[Event], now: &[Event]) {
    for (one, next) in now.iter().zip(now.iter().skip(1)) {
        assert_eq!(one.sequence + 1, next.sequence, "a gap: {now:?}");
    }
    for old in before {
        let same = now.iter().find(|event| event.sequence == old.sequence);
        if let Some(same) = same {
            assert_eq!(same, old, "a number was given twice");
        }
    }
}

fn merge(published: &mut Vec<Event>, events: Vec<Event>) {
    let last = published.last().map_or(0, |event| event.sequence);
    published.extend(events.into_iter().filter(|event| event.sequence > last));
}

#[tokio::test]
async fn after_a_power_cut_between_any_two_calls_all_that_was_published_is_there_under_its_number()
{
    for size in [ALL, SMALL] {
        let mut cuts = 0;
        for cut in 0.. {
            let disk = disk();
            disk.set_fault(Fault::PowerCut(cut));
            let published = carry_out(&disk, size).await;
            for seed in seeds() {
                let found = disk.after_power_cut(chooser(seed));
                let shared = shared(&found);
                let mut log = Log::open(Arc::clone(&shared), size)
                    .unwrap_or_else(|error| panic!("cut {cut}, seed {seed}: {error}"));
                let events = read(&shared, From::Oldest).await.expect("readable");
                assert_continues(&published, &events);
                let newest = |events: &[Event]| events.last().map_or(0, |event| event.sequence);
                assert!(
                    newest(&events) >= newest(&published),
                    "cut {cut}, seed {seed}: {:?} were published, {:?} are left",
                    sequences(&published),
                    sequences(&events)
                );
                if size.max_events == ALL.max_events {
                    assert!(events.len() >= published.len(), "cut {cut}, seed {seed}");
                    assert_eq!(events.first().map_or(1, |event| event.sequence), 1);
                } else {
                    assert!(events.len() >= published.len().min(size.max_events));
                }
                assert!(EventLog::new(Arc::clone(&shared)).problems().is_empty());
                // It goes on, and what was found stays through another cut.
                log.append(&batch(100..102)).expect("a disk without faults");
                let more = read(&shared, From::Oldest).await.expect("readable");
                assert_continues(&events, &more);
                assert_eq!(newest(&more), newest(&events) + 2);
                let again = super::shared(&found.after_power_cut(chooser(!seed)));
                Log::open(Arc::clone(&again), size).expect("open again");
                let after = read(&again, From::Oldest).await.expect("readable");
                assert_continues(&more, &after);
                assert_eq!(newest(&after), newest(&more), "cut {cut}, seed {seed}");
            }
            cuts += 1;
            if disk.calls() <= cut {
                break;
            }
        }
        assert!(
            cuts > 30,
            "only {cuts} places to cut: the script does too little"
        );
    }
}

#[tokio::test]
async fn any_call_may_fail_once_and_the_same_events_are_written_later_under_the_same_numbers() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        for at in 0..40 {
            let disk = disk();
            let shared = shared(&disk);
            disk.set_fault(Fault::Once(at, kind));
            let mut log = None;
            let mut failures = 0;
            for step in 0..8 {
                // As the writer does: again and again, until it works.
                loop {
                    if log.is_none() {
                        log = Log::open(Arc::clone(&shared), ALL).ok();
                    }
                    let written = log
                        .as_mut()
                        .is_some_and(|log| log.append(&batch(2 * step..2 * step + 2)).is_ok());
                    if written {
                        break;
                    }
                    failures += 1;
                    assert!(failures < 3, "one fault only");
                }
            }
            let events = read(&shared, From::Oldest).await.expect("readable");
            let messages: Vec<_> = events.iter().map(|e| e.what.message.clone()).collect();
            let wanted: Vec<_> = (0..16).map(|number| format!("event {number}")).collect();
            assert_eq!(messages, wanted, "a fault at call {at}");
            assert_eq!(sequences(&events), (1..=16).collect::<Vec<_>>());
            // And a new start sees the same, whatever the failed attempts left.
            disk.heal();
            let again = super::shared(&disk);
            Log::open(Arc::clone(&again), ALL).expect("open");
            assert_eq!(read(&again, From::Oldest).await.expect("readable"), events);
        }
    }
}

#[tokio::test]
async fn what_a_killed_daemon_had_written_and_not_synced_is_durable_before_it_is_shown() {
    // The sync of a segment that goes on, that of a new one, and that of the folder.
    for (already, at) in [(2, 1), (0, 2), (0, 3)] {
        let disk = disk();
        let mut log = Log::open(shared(&disk), ALL).expect("open");
        log.append(&batch(0..already)).expect("written");
        disk.set_fault(Fault::Once(at, io::ErrorKind::Other));
        log.append(&batch(already..already + 2))
            .expect_err("the planned fault");
        disk.heal();
        drop(log);
        let second = shared(&disk);
        Log::open(Arc::clone(&second), ALL).expect("open");
        let shown = read(&second, From::Oldest).await.expect("readable");
        assert_eq!(shown.len(), already + 2);
        for seed in seeds() {
            let third = shared(&disk.after_power_cut(chooser(seed)));
            Log::open(Arc::clone(&third), ALL).expect("open");
            let left = read(&third, From::Oldest).await.expect("readable");
            assert_eq!(left, shown, "at {at}, seed {seed}");
        }
    }
}

#[tokio::test]
async fn a_torn_tail_is_found_and_not_added_to() {
    let disk = disk();
    let first = shared(&disk);
    let mut log = Log::open(Arc::clone(&first), ALL).expect("open");
    log.append(&batch(0..2)).expect("written");
    let path = first.path(1);
    let mut bytes = disk.read(&path, u64::MAX).expect("the segment");
    bytes.extend_from_slice(b"{\"sum\":\"0123456789abcdef\",\"sequence\":3,\"ti");
    disk.put(&path, &bytes);

    let second = shared(&disk);
    let mut log = Log::open(Arc::clone(&second), ALL).expect("open");
    log.append(&batch(2..3)).expect("written");
    let events = read(&second, From::Oldest).await.expect("readable");
    assert_eq!(sequences(&events), [1, 2, 3]);
    assert_eq!(disk.read(&path, u64::MAX).expect("still there"), bytes);
    assert!(EventLog::new(second).problems().is_empty());
}

#[tokio::test]
async fn a_damaged_segment_is_told_of_and_its_numbers_are_not_given_again() {
    let disk = disk();
    let first = shared(&disk);
    let mut log = Log::open(Arc::clone(&first), ALL).expect("open");
    for step in 0..4 {
        log.append(&batch(3 * step..3 * step + 3)).expect("written");
    }
    // The events 5 and 6, and all of the last segment.
    let path = first.path(4);
    let text = String::from_utf8(disk.read(&path, u64::MAX).expect("read")).expect("text");
    disk.put(
        &path,
        text.replace("event 4", "event X")
            .replace("event 5", "?")
            .as_bytes(),
    );
    let last = first.path(10);
    let text = String::from_utf8(disk.read(&last, u64::MAX).expect("read")).expect("text");
    disk.put(&last, text.replace("event 9", "event X").as_bytes());

    let second = shared(&disk);
    let mut log = Log::open(Arc::clone(&second), ALL).expect("damage does not stop it");
    log.append(&batch(50..51)).expect("written");
    let events = read(&second, From::Oldest).await.expect("readable");
    let told: Vec<_> = events
        .iter()
        .filter(|event| event.what.kind == EventKind::EventsLost)
        .map(|event| event.what.message.as_str())
        .collect();
    assert_eq!(
        told,
        [
            "the events 5 to 6 cannot be read: their file is damaged",
            "the events 10 to 10 cannot be read: their file is damaged"
        ]
    );
    assert_eq!(sequences(&events), [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13]);
    let problems = EventLog::new(second).problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].reason, "EVENTS_DAMAGED");
    assert!(problems[0].message.contains("00000000000000000004.jsonl"));
}

#[tokio::test]
async fn numbers_of_a_segment_that_cannot_be_read_at_all_are_left_out() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let shared = || {
        let fs: Arc<dyn FileSystem> = Arc::new(crate::fs::Disk::new(Default::default()));
        Arc::new(Shared::new(fs, folder.path().join("events")))
    };
    let first = shared();
    let mut log = Log::open(Arc::clone(&first), SMALL).expect("open");
    for step in 0..2 {
        log.append(&batch(3 * step..3 * step + 3)).expect("written");
    }
    let segment = first.path(4);
    first.fs.remove_file(&segment).expect("removed");
    first
        .fs
        .make_dir(&segment, 0o700)
        .expect("a folder instead");

    let second = shared();
    let mut log = Log::open(Arc::clone(&second), SMALL).expect("this does not stop it");
    log.append(&batch(50..51)).expect("written");
    let highest_possible = 4 + 3 + 4;
    let events = read(&second, From::After(highest_possible))
        .await
        .expect("readable");
    assert_eq!(sequences(&events), [highest_possible + 1]);
    let error = read(&second, From::Oldest).await.expect_err("not readable");
    assert!(
        matches!(
            error,
            WatchError::Unreadable {
                from: 4,
                to: 11,
                ..
            }
        ),
        "{error:?}"
    );
    let problems = EventLog::new(second).problems();
    assert_eq!(problems[0].reason, "EVENTS_DAMAGED");
}
