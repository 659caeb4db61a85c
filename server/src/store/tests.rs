//! The store against a disk whose power is cut, that fails, or that somebody damaged.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use seedpod_manifest::{BundleName, Digest, PodKey};

use super::{Came, CommitError, Draft, HISTORY, OpenError, Origin, Store, bundle_digest};
use crate::{
    fs::sim::{Fault, SimDisk, chooser, seeds},
    node::{Bundle, BundlePod, Change, ChangeKind, RequestId, State},
};

const DIR: &str = "/state";

fn open(disk: &SimDisk) -> Result<Store, OpenError> {
    Store::open_unlocked(Arc::new(disk.clone()), Path::new(DIR), None)
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
    Remove(&'static str),
    Remember(&'static str),
}

/// Everything that a store does, pruning included.
fn steps() -> Vec<Step> {
    use Step::{Inject, Remember, Remove};
    let mut steps = vec![
        Inject("a", &["one"]),
        Inject("a", &["one", "two"]),
        Remember("a"),
        Inject("b", &["three"]),
        Remove("a"),
        Inject("a", &["four"]),
        Remember("a"),
        Remove("b"),
    ];
    steps.extend(std::iter::repeat_n(Inject("a", &["five"]), HISTORY));
    steps
}

fn id_of(index: usize) -> String {
    format!("request-{index}")
}

fn draft(state: &State, step: &Step, index: usize) -> Draft {
    let (bundle, contents, removed) = match step {
        Step::Inject(bundle, contents) => (name(bundle), *contents, false),
        Step::Remove(bundle) => (name(bundle), &[][..], true),
        Step::Remember(_) => unreachable!("remembering commits nothing"),
    };
    let revision = state.next_revision(&bundle);
    let pods: Vec<BundlePod> = contents
        .iter()
        .map(|content| pod(revision, content, content))
        .collect();
    Draft {
        changes: pods
            .iter()
            .map(|pod| Change {
                pod: pod.key.clone(),
                kind: ChangeKind::Added,
                diff: String::new(),
            })
            .collect(),
        bundle: Bundle {
            digest: bundle_digest(pods.iter().map(|pod| (&pod.key, pod.digest.as_str()))),
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
        trial: None,
    }
}

fn take(store: &mut Store, step: &Step, index: usize) -> Result<(), CommitError> {
    let taken = match step {
        Step::Remember(bundle) => store.remember(&name(bundle), &request(&id_of(index)), &[], 0),
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
            let next = expected.get(done + 1);
            assert!(
                state == expected[done] || Some(&state) == next,
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

fn check_request(store: &Store, index: usize, cut: usize, seed: u64) {
    // Only the ids of kept revisions are remembered; the last steps' are.
    if index + HISTORY <= steps().len() || matches!(steps()[index], Step::Remove(_)) {
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
                        reopened, expected[index],
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
            .replacen("\"format\":2", "\"format\":3", 1)
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
        assert_eq!(
            first.fingerprint,
            request(&id_of(0)).fingerprint.to_string()
        );
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

/// The files of each format that was ever written are kept, and are read for ever.
#[test]
fn a_state_directory_of_format_1_is_read() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/state-v1");
    let copy = tempfile::tempdir().expect("temporary folder");
    copy_folder(&fixture, copy.path());
    let disk = crate::fs::Disk::new(crate::metrics::Metrics::default());
    let store = Store::open(Arc::new(disk), copy.path()).expect("open");
    let state = store.state();
    let bundle = &state.bundles[&name("control-plane")];
    assert_eq!(bundle.revision, 2);
    assert_eq!(bundle.pods.len(), 2);
    assert_eq!(state.removed[&name("gone")], 2);
    for pod in &bundle.pods {
        let owned = super::owned_by(store.id(), pod.rendered.as_bytes()).expect("our own file");
        assert_eq!(
            (owned.uid.as_str(), &owned.key),
            (pod.uid.as_str(), &pod.key)
        );
    }
    assert!(store.remembered("first").expect("readable").is_some());
}

#[allow(clippy::disallowed_methods, reason = "a test's own folder")]
fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the fixture") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&target).expect("make folder");
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copy");
        }
    }
}
