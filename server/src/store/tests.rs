//! The store against a disk whose power is cut, that fails, or that somebody damaged.

mod contents;
mod encryption;
mod formats;
mod handoff;
mod objects;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use seedpod_manifest::{BundleName, Digest, PodKey};

use super::{Came, CommitError, Draft, HISTORY, OpenError, Origin, Store, bundle_digest};
use crate::{
    fs::sim::{Fault, SimDisk, chooser, seeds},
    node::{
        BootTime, Bundle, BundlePod, Change, ChangeKind, Confirmation, RequestId, State, Terms,
        Trial,
    },
};

const DIR: &str = "/state";

fn open(disk: &SimDisk) -> Result<Store, OpenError> {
    Store::open_unlocked(Arc::new(disk.clone()), Path::new(DIR), None, None)
}

fn name(name: &str) -> BundleName {
    name.parse().expect("a valid name")
}

fn request(id: &str) -> RequestId {
    RequestId {
        id: id.to_owned(),
        fingerprint: Digest::of(id.as_bytes()),
    }
}

fn pod(revision: u64, pod: &str, content: &str) -> BundlePod {
    let key = PodKey {
        namespace: "kube-system".into(),
        name: pod.into(),
    };
    BundlePod {
        volumes: None,
        source: None,
        file: key.file_name(),
        key,
        uid: format!("uid-{revision}-{content}"),
        digest: Digest::of(content.as_bytes()).to_string(),
        revision,
        rendered: format!("{{\"content\": \"{content}\"}}").into(),
        host_ports: Vec::new(),
        wave: 0,
    }
}

/// One change of a store.
#[derive(Debug, Clone)]
enum Step {
    Inject(&'static str, &'static [&'static str]),
    /// On trial; confirmed by readiness or not.
    Try(&'static str, &'static [&'static str], Confirmation),
    Ready(&'static str),
    Confirm(&'static str),
    Remove(&'static str),
    Remember(&'static str),
}

/// Everything that a store does, pruning included.
fn steps() -> Vec<Step> {
    use Confirmation::{Explicit, Readiness};
    use Step::{Confirm, Inject, Ready, Remember, Remove, Try};
    let mut steps = vec![
        Inject("a", &["one"]),
        Inject("a", &["one", "two"]),
        Remember("a"),
        Inject("b", &["three"]),
        Remove("a"),
        Inject("a", &["four"]),
        Remember("a"),
        Remove("b"),
        // A good one, a trial that is undone by the next, one that gets ready, and one that needs a word.
        Inject("t", &["seven"]),
        Ready("t"),
        Try("t", &["eight"], Readiness),
        Inject("t", &["seven"]),
        Try("t", &["nine"], Readiness),
        Ready("t"),
        Try("t", &["ten"], Explicit),
        Ready("t"),
        Confirm("t"),
        Try("t", &["eleven"], Explicit),
    ];
    steps.extend(std::iter::repeat_n(Inject("a", &["five"]), HISTORY));
    steps
}

fn id_of(index: usize) -> String {
    format!("request-{index}")
}

fn draft(state: &State, step: &Step, index: usize) -> Draft {
    let (bundle, contents, removed) = match step {
        Step::Inject(bundle, contents) | Step::Try(bundle, contents, _) => {
            (name(bundle), *contents, false)
        }
        Step::Remove(bundle) => (name(bundle), &[][..], true),
        Step::Remember(_) | Step::Ready(_) | Step::Confirm(_) => unreachable!("commits nothing"),
    };
    let revision = state.next_revision(&bundle);
    let pods: Vec<BundlePod> = contents
        .iter()
        .map(|content| pod(revision, content, content))
        .collect();
    Draft {
        forgets: false,
        object_changes: Vec::new(),
        contents: seedpod_manifest::Objects::default(),
        changes: pods
            .iter()
            .map(|pod| Change {
                pod: pod.key.clone(),
                kind: ChangeKind::Added,
                diff: String::new(),
            })
            .collect(),
        bundle: Bundle {
            objects: Vec::new(),
            digest: bundle_digest(&pods, &[]),
            name: bundle,
            revision,
            create_time: Timestamp::UNIX_EPOCH,
            update_time: Timestamp::UNIX_EPOCH,
            pods,
        },
        removed,
        request: (!removed).then(|| request(&id_of(index))),
        warnings: Vec::new(),
        came: Came::from(if removed {
            Origin::Removed
        } else {
            Origin::Injected
        }),
        trial: match step {
            Step::Try(_, _, confirmation) => Some(trial(*confirmation)),
            _ => None,
        },
    }
}

fn trial(confirmation: Confirmation) -> Trial {
    Trial {
        terms: Terms {
            timeout: Duration::from_secs(60),
            confirmation,
        },
        begun: BootTime {
            boot_id: "boot-1".to_owned(),
            since_boot: Duration::from_millis(1500),
        },
    }
}

fn take(store: &mut Store, step: &Step, index: usize) -> Result<(), CommitError> {
    let taken = match step {
        Step::Remember(bundle) => store.remember(&name(bundle), &request(&id_of(index)), &[], 0),
        Step::Ready(bundle) => store.mark_ready(&name(bundle)),
        Step::Confirm(bundle) => store.mark_confirmed(&name(bundle)),
        step => store.commit(draft(&store.state(), step, index)).map(drop),
    };
    store.prune();
    taken
}

/// The states before the first step and after each, as they have to be.
fn expected_states() -> Vec<State> {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk).expect("open");
    let mut states = vec![store.state()];
    for (index, step) in steps().iter().enumerate() {
        take(&mut store, step, index).expect("a disk without faults");
        states.push(store.state());
    }
    states
}

#[test]
fn after_a_power_cut_between_any_two_calls_the_old_or_the_new_state_is_there_whole() {
    let expected = expected_states();
    let mut cuts = 0;
    for cut in 0.. {
        let disk = SimDisk::new(Path::new(DIR));
        disk.set_fault(Fault::PowerCut(cut));
        let mut done = 0;
        if let Ok(mut store) = open(&disk) {
            for (index, step) in steps().iter().enumerate() {
                if take(&mut store, step, index).is_err() {
                    break;
                }
                done = index + 1;
            }
        }
        for seed in seeds() {
            let found = disk.after_power_cut(chooser(seed));
            let mut store = open(&found)
                .unwrap_or_else(|e| panic!("cut {cut}, seed {seed}: {}", crate::error::chain(&e)));
            let state = store.state();
            let next = expected.get(done + 1).map(on_disk);
            assert!(
                state == on_disk(&expected[done]) || Some(&state) == next.as_ref(),
                "cut {cut}, seed {seed}: neither old nor new after step {done}: {state:?}"
            );
            for index in 0..done {
                check_request(&store, index, cut, seed);
            }
            // What was seen once stays, even if the power is cut again at once.
            let again = open(&found.after_power_cut(chooser(!seed))).expect("open again");
            assert_eq!(
                again.state(),
                state,
                "cut {cut}, seed {seed}: lost after a second cut"
            );
            // And the store goes on working.
            let step = Step::Inject("c", &["six"]);
            take(&mut store, &step, 99).expect("commit after the cut");
            assert!(store.state().bundles.contains_key(&name("c")));
        }
        cuts += 1;
        if done == steps().len() {
            break;
        }
    }
    assert!(
        cuts > 60,
        "only {cuts} places to cut: the steps do too little"
    );
}

/// What a restart leaves of a state. That a trial is ready for which that is not enough is seen again.
fn on_disk(state: &State) -> State {
    let mut state = state.clone();
    let needs_word = |name: &BundleName| {
        let on_trial = state.trials.get(name);
        on_trial.is_some_and(|it| it.trial.terms.confirmation == Confirmation::Explicit)
    };
    state.ready.retain(|name| !needs_word(name));
    state
}

fn check_request(store: &Store, index: usize, cut: usize, seed: u64) {
    // Only the ids of kept revisions are remembered; the last steps' are.
    let has_id = matches!(
        steps()[index],
        Step::Inject(..) | Step::Try(..) | Step::Remember(_)
    );
    if index + HISTORY <= steps().len() || !has_id {
        return;
    }
    let remembered = store.remembered(&id_of(index)).expect("readable");
    assert!(
        remembered.is_some(),
        "cut {cut}, seed {seed}: request {index} is forgotten"
    );
}

#[test]
fn a_failing_call_leaves_the_old_state_and_the_next_attempt_works() {
    let expected = expected_states();
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        for at in 0.. {
            let disk = SimDisk::new(Path::new(DIR));
            let mut store = open(&disk).expect("open");
            disk.set_fault(Fault::Once(at, kind));
            let mut failed = false;
            for (index, step) in steps().iter().enumerate() {
                if take(&mut store, step, index).is_err() {
                    failed = true;
                    assert_eq!(
                        store.state(),
                        expected[index],
                        "call {at}: changed by a failure"
                    );
                    let reopened = open(&disk).expect("open after a failure").state();
                    assert_eq!(
                        reopened,
                        on_disk(&expected[index]),
                        "call {at}: the disk says otherwise"
                    );
                    take(&mut store, step, index).expect("the second attempt");
                }
                assert_eq!(store.state(), expected[index + 1], "call {at}");
            }
            if !failed && disk.calls() <= at {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_is_told_apart_and_the_store_recovers_when_there_is_room() {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk).expect("open");
    take(&mut store, &Step::Inject("a", &["one"]), 0).expect("first");
    let before = store.state();
    disk.set_fault(Fault::From(0, io::ErrorKind::StorageFull));
    let error = take(&mut store, &Step::Inject("a", &["two"]), 1).expect_err("no room");
    let CommitError::Write { source, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(crate::fs::is_full(source));
    assert!(store.probe().is_err());
    assert_eq!(store.state(), before);
    disk.heal();
    store.probe().expect("room again");
    take(&mut store, &Step::Inject("a", &["two"]), 2).expect("second");
}

#[test]
fn a_commit_that_can_neither_be_finished_nor_taken_back_stops_all_writes() {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk).expect("open");
    take(&mut store, &Step::Inject("a", &["one"]), 0).expect("first");
    let before = store.state();
    // Create, write, sync, rename work; the folder's sync fails, and so does everything after it.
    disk.set_fault(Fault::From(4, io::ErrorKind::Other));
    let error = take(&mut store, &Step::Inject("a", &["two"]), 1).expect_err("fails");
    assert!(matches!(error, CommitError::Uncertain(_)), "{error:?}");
    disk.heal();
    let error = take(&mut store, &Step::Inject("a", &["three"]), 2).expect_err("still");
    assert!(matches!(error, CommitError::Uncertain(_)), "{error:?}");
    assert!(store.probe().is_err());
    assert_eq!(
        store.state(),
        before,
        "the old revision stays the active one"
    );
}

fn damaged(damage: impl Fn(&[u8]) -> Vec<u8>) -> (PathBuf, Result<Store, OpenError>) {
    use crate::fs::FileSystem as _;
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk).expect("open");
    take(&mut store, &Step::Inject("a", &["one", "two"]), 0).expect("commit");
    let path = Path::new(DIR)
        .join("bundles/a")
        .join(super::record::file_name(1));
    let bytes = disk.read(&path, u64::MAX).expect("the revision's file");
    disk.put(&path, &damage(&bytes));
    (path, open(&disk))
}

#[test]
fn a_damaged_revision_is_refused_with_the_files_name_and_never_read_as_no_bundles() {
    let flip = |at: usize| {
        move |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 0x20;
            bytes
        }
    };
    for at in (0..2000).step_by(7) {
        let (path, opened) = damaged(flip(at));
        let error = opened
            .map(|store| store.state())
            .expect_err("a flipped bit");
        assert!(
            matches!(&error, OpenError::Corrupt { path: p, .. } if *p == path),
            "{error:?}"
        );
        assert!(error.to_string().contains(&path.display().to_string()));
    }
    for length in [0, 1, 20, 100] {
        let (_, opened) = damaged(|bytes| bytes[..length.min(bytes.len())].to_vec());
        assert!(
            matches!(opened, Err(OpenError::Corrupt { .. })),
            "cut to {length} bytes"
        );
    }
}

#[test]
fn bundles_without_the_store_file_are_refused() {
    use crate::fs::FileSystem as _;
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk).expect("open");
    take(&mut store, &Step::Inject("a", &["one"]), 0).expect("commit");
    disk.remove_file(&Path::new(DIR).join("store.json"))
        .expect("remove");
    assert!(matches!(open(&disk), Err(OpenError::NoStoreFile { .. })));
}

#[test]
fn a_stray_file_is_refused_with_its_name() {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk).expect("open");
    take(&mut store, &Step::Inject("a", &["one"]), 0).expect("commit");
    let stray = Path::new(DIR).join("bundles/a/00000000000000000001.json.bak");
    disk.put(&stray, b"{}");
    let error = open(&disk)
        .map(|store| store.state())
        .expect_err("a stray file");
    assert!(
        matches!(&error, OpenError::Stray { path } if *path == stray),
        "{error:?}"
    );
}

#[test]
fn a_newer_format_is_refused_as_such() {
    let (_, opened) = damaged(|bytes| {
        String::from_utf8_lossy(bytes)
            .replacen("\"format\":4", "\"format\":5", 1)
            .into_bytes()
    });
    let error = opened
        .map(|store| store.state())
        .expect_err("a newer format");
    assert!(
        crate::error::chain(&error).contains("newer seedpodd"),
        "{error:?}"
    );
}

#[test]
fn only_the_last_revisions_are_kept_and_their_numbers_go_on_after_a_removal() {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk).expect("open");
    for index in 0..HISTORY + 5 {
        take(&mut store, &Step::Inject("a", &["one"]), index).expect("commit");
    }
    assert!(
        store.remembered(&id_of(4)).expect("readable").is_none(),
        "pruned"
    );
    assert!(
        store.remembered(&id_of(5)).expect("readable").is_some(),
        "kept"
    );
    take(&mut store, &Step::Remove("a"), 50).expect("remove");
    let mut store = open(&disk).expect("open");
    assert!(store.state().bundles.is_empty());
    take(&mut store, &Step::Inject("a", &["one"]), 51).expect("commit");
    assert_eq!(
        store.state().bundles[&name("a")].revision,
        HISTORY as u64 + 7
    );
}

#[test]
fn a_remembered_request_gives_its_own_answer_also_after_a_restart_and_newer_revisions() {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk).expect("open");
    take(&mut store, &Step::Inject("a", &["one"]), 0).expect("commit");
    take(&mut store, &Step::Remember("a"), 1).expect("remember");
    take(&mut store, &Step::Inject("a", &["one", "two"]), 2).expect("commit");
    for store in [store, open(&disk).expect("open")] {
        let first = store
            .remembered(&id_of(0))
            .expect("readable")
            .expect("remembered");
        assert_eq!((first.bundle.revision, first.changes.len()), (1, 1));
        assert!(first.fingerprint.is(&request(&id_of(0)).fingerprint));
        assert!(!first.fingerprint.is(&request(&id_of(1)).fingerprint));
        let second = store
            .remembered(&id_of(1))
            .expect("readable")
            .expect("remembered");
        assert_eq!(second.bundle.revision, 1);
        assert_eq!(second.changes[0].kind, ChangeKind::Unchanged);
        let third = store
            .remembered(&id_of(2))
            .expect("readable")
            .expect("remembered");
        assert_eq!(third.bundle.revision, 2);
    }
}

/// What is kept of a bundle, and which of it is good.
fn listed(store: &Store, bundle: &str) -> Vec<(u64, bool)> {
    let newest = store.state().newest_revision(&name(bundle)).unwrap_or(0);
    let list = store.reader().list(&name(bundle), newest);
    let list = list.expect("readable");
    list.iter().map(|l| (l.revision, l.good)).collect()
}

/// What the trial of a bundle's active revision falls back to.
fn falls_back_to(store: &Store, bundle: &str) -> Option<u64> {
    let state = store.state();
    let fallback = state.trials[&name(bundle)].fallback.as_ref();
    fallback.map(|bundle| bundle.revision)
}

#[test]
fn the_last_good_revision_and_what_a_trial_falls_back_to_are_never_dropped() {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk).expect("open").keeping(2);
    let mut index = 0;
    let mut go = |store: &mut Store, step: Step| {
        index += 1;
        take(store, &step, index).expect("a step");
    };
    go(&mut store, Step::Inject("a", &["one"]));
    go(&mut store, Step::Ready("a"));
    for _ in 0..4 {
        go(&mut store, Step::Inject("a", &["two"]));
    }
    assert_eq!(listed(&store, "a"), [(1, true), (5, false)]);
    go(
        &mut store,
        Step::Try("a", &["three"], Confirmation::Explicit),
    );
    go(&mut store, Step::Ready("a"));
    assert_eq!(listed(&store, "a"), [(1, true), (6, false)]);
    assert_eq!(falls_back_to(&store, "a"), Some(1));
    assert_eq!(falls_back_to(&open(&disk).expect("open"), "a"), Some(1));
    go(&mut store, Step::Confirm("a"));
    assert_eq!(listed(&store, "a"), [(1, true), (6, true)]);
    assert_eq!(falls_back_to(&store, "a"), None);
    go(&mut store, Step::Inject("a", &["four"]));
    assert_eq!(listed(&store, "a"), [(6, true), (7, false)]);

    // Without a good one it is the one before, whatever else is dropped.
    go(&mut store, Step::Inject("b", &["one"]));
    go(&mut store, Step::Inject("b", &["two"]));
    go(
        &mut store,
        Step::Try("b", &["three"], Confirmation::Readiness),
    );
    assert_eq!(listed(&store, "b"), [(2, false), (3, false)]);
    assert_eq!(falls_back_to(&store, "b"), Some(2));
}

#[test]
fn a_trial_falls_back_to_what_was_good_since_the_last_removal() {
    let mut store = open(&SimDisk::new(Path::new(DIR))).expect("open");
    let mut after = |steps: &[Step]| {
        for (index, step) in steps.iter().enumerate() {
            take(&mut store, step, index).expect("a step");
        }
        falls_back_to(&store, "a")
    };
    let on_trial = || Step::Try("a", &["x"], Confirmation::Readiness);
    assert_eq!(after(&[on_trial()]), None);
    // One that was never confirmed is better than nothing.
    assert_eq!(after(&[on_trial()]), Some(1));
    let steps = [
        Step::Inject("a", &["good"]),
        Step::Ready("a"),
        Step::Inject("a", &["bad"]),
        on_trial(),
    ];
    assert_eq!(after(&steps), Some(3));
    assert_eq!(after(&[Step::Remove("a"), on_trial()]), None);
    let steps = [Step::Remove("a"), Step::Inject("a", &["new"]), on_trial()];
    assert_eq!(after(&steps), Some(9));
}

#[test]
fn a_damaged_or_moved_mark_stops_the_daemon() {
    use super::record::Sidecar::{Confirmed, Ready};
    use crate::fs::FileSystem as _;
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk).expect("open");
    take(&mut store, &Step::Inject("a", &["one"]), 0).expect("commit");
    take(&mut store, &Step::Ready("a"), 1).expect("mark");
    take(&mut store, &Step::Inject("a", &["two"]), 2).expect("commit");
    let bundles = Path::new(DIR).join("bundles");
    let mark =
        |revision, sidecar| super::record::sidecar_path(&bundles, &name("a"), revision, sidecar);
    let bytes = disk.read(&mark(1, Ready), u64::MAX).expect("the mark");
    for (path, bytes) in [(mark(1, Confirmed), &b"{}"[..]), (mark(2, Ready), &bytes)] {
        disk.put(&path, bytes);
        let error = open(&disk)
            .map(|store| store.state())
            .expect_err("not whole");
        assert!(
            matches!(&error, OpenError::Corrupt { path: found, .. } if *found == path),
            "{error:?}"
        );
        disk.remove_file(&path).expect("remove");
    }
    assert_eq!(open(&disk).expect("open").state().good[&name("a")], 1);
}
