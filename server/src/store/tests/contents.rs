//! Contents of objects on a disk whose power is cut, or that fails.

use std::{collections::BTreeSet, io, path::Path};

use seedpod_manifest::KeyedDigest;

use super::{
    DIR, Step, draft, name,
    objects::{Given, Kept, distinct, files, inject, kept, open},
    take,
};
use crate::{
    fs::{
        FileSystem as _,
        sim::{Fault, SimDisk, chooser, seeds},
    },
    store::{CommitError, Draft, Store},
};

const KEYS: [Option<&str>; 4] = [
    None,
    Some(
        "{apiVersion: seedpod.dev/v1alpha1, kind: EncryptionKeys, keys: [
            {name: one, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}",
    ),
    Some(
        "{apiVersion: seedpod.dev/v1alpha1, kind: EncryptionKeys, keys: [
            {name: two, secret: ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=},
            {name: one, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}",
    ),
    Some(
        "{apiVersion: seedpod.dev/v1alpha1, kind: EncryptionKeys, keys: [
            {identity: {}},
            {name: two, secret: ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=}]}",
    ),
];

/// One thing that happens to a store.
#[derive(Debug, Clone, Copy)]
enum Event {
    Inject(&'static str, &'static [Given]),
    Remove(&'static str),
    /// A removal that forgets what was before it.
    Forget(&'static str),
    /// A restart with this key file.
    Restart(usize),
}

/// New contents, shared ones and dropped ones, with two revisions kept of each bundle; and each way to encrypt.
const EVENTS: [Event; 17] = {
    use Event::{Forget, Inject, Remove, Restart};
    [
        Inject("a", &[("one", "1"), ("two", "2")]),
        Inject("a", &[("one", "1"), ("two", "3")]),
        Inject("b", &[("one", "1"), ("three", "4")]),
        Inject("a", &[("four", "5"), ("two", "2")]),
        Restart(1),
        Inject("a", &[("four", "6")]),
        Inject("b", &[("three", "4")]),
        Inject("b", &[("three", "7"), ("five", "8")]),
        Restart(2),
        Remove("b"),
        Inject("a", &[("four", "5")]),
        Inject("b", &[("one", "1")]),
        Restart(3),
        Inject("b", &[]),
        Inject("b", &[]),
        Forget("a"),
        Inject("a", &[("four", "6")]),
    ]
};

/// A store through all events, as far as the disk lets it.
struct Run {
    store: Option<Store>,
    keys: usize,
    done: usize,
}

impl Run {
    fn new(disk: &SimDisk) -> Self {
        Self {
            store: start(disk, 0),
            keys: 0,
            done: 0,
        }
    }

    /// Whether the next event could be carried out.
    fn step(&mut self, disk: &SimDisk) -> bool {
        let index = self.done;
        let Some(store) = &mut self.store else {
            return false;
        };
        let works = match EVENTS[index] {
            Event::Inject(bundle, given) => inject(store, bundle, given, index).is_ok(),
            Event::Remove(bundle) => take(store, &Step::Remove(bundle), index).is_ok(),
            Event::Forget(bundle) => forget(store, bundle, index).is_ok(),
            Event::Restart(keys) => {
                self.keys = keys;
                self.store = start(disk, keys);
                self.store.is_some()
            }
        };
        self.done += usize::from(works);
        works
    }
}

/// A removal that forgets what was before it.
fn forgetting(store: &Store, bundle: &'static str, index: usize) -> Draft {
    Draft {
        forgets: true,
        ..draft(&store.state(), &Step::Remove(bundle), index)
    }
}

fn forget(store: &mut Store, bundle: &'static str, index: usize) -> Result<(), CommitError> {
    let committed = store.commit(forgetting(store, bundle, index));
    store.prune();
    committed.map(drop)
}

fn start(disk: &SimDisk, keys: usize) -> Option<Store> {
    let mut store = open(disk, KEYS[keys]).ok()?.keeping(2);
    store.prune();
    Some(store)
}

/// What is there before the first event and after each: the active revisions with their contents.
fn expected() -> Vec<Kept> {
    let disk = SimDisk::new(Path::new(DIR));
    let mut run = Run::new(&disk);
    let mut all = Vec::new();
    loop {
        let store = run.store.as_ref().expect("a disk without faults");
        all.push(active(store));
        assert_eq!(files(&disk).len(), distinct(&kept(store)));
        if run.done == EVENTS.len() {
            return all;
        }
        assert!(run.step(&disk), "event {}", run.done);
    }
}

fn active(store: &Store) -> Kept {
    let state = store.state();
    let is_active = |bundle: &str, revision| {
        let bundle = state.bundles.get(&name(bundle));
        bundle.is_some_and(|bundle| bundle.revision == revision)
    };
    let mut kept = kept(store);
    kept.retain(|(bundle, revision), _| is_active(bundle, *revision));
    kept
}

#[test]
fn after_a_power_cut_between_any_two_calls_each_revision_has_its_contents_and_nothing_else_is_there()
 {
    let expected = expected();
    let mut cuts = 0;
    for cut in 0.. {
        let disk = SimDisk::new(Path::new(DIR));
        disk.set_fault(Fault::PowerCut(cut));
        let mut run = Run::new(&disk);
        while run.done < EVENTS.len() && run.step(&disk) {}
        // Others after each cut: there are many of them, and much to look at.
        for seed in seeds().step_by(8).map(|seed| seed + 1000 * cut as u64) {
            let found = disk.after_power_cut(chooser(seed));
            let whole = contents_before(&found);
            let store = open(&found, KEYS[run.keys]).unwrap_or_else(|error| {
                panic!("cut {cut}, seed {seed}: {}", crate::error::chain(&error))
            });
            let now = active(&store);
            assert!(
                now == expected[run.done] || Some(&now) == expected.get(run.done + 1),
                "cut {cut}, seed {seed}: neither old nor new after event {}: {now:?}",
                run.done
            );
            let needed = distinct(&kept(&store));
            assert_eq!(
                files(&found).len(),
                needed,
                "cut {cut}, seed {seed}: something stays that nothing needs"
            );
            check_whole(&store, &found, &whole);
            // And once more, at once.
            let again = found.after_power_cut(chooser(!seed));
            let store = open(&again, KEYS[run.keys]).expect("open again");
            assert_eq!(active(&store), now, "cut {cut}, seed {seed}: lost later");
        }
        cuts += 1;
        if run.done == EVENTS.len() && !disk.is_dead() {
            break;
        }
    }
    assert!(cuts > 150, "only {cuts} places to cut: too little happens");
}

/// The files of contents that a start finds under their names, needed or not.
fn contents_before(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(DIR).join("objects");
    let names = disk.list(&dir).unwrap_or_default();
    let contents = names.into_iter().filter(|name| name.len() == 64);
    contents
        .map(|name| {
            let bytes = disk.read(&dir.join(&name), u64::MAX).expect("readable");
            (name, bytes)
        })
        .collect()
}

/// None of them was ever half a file.
fn check_whole(store: &Store, disk: &SimDisk, contents: &[(String, Vec<u8>)]) {
    let needed: BTreeSet<String> = files(disk).into_iter().collect();
    for (name, bytes) in contents {
        let path = Path::new(DIR).join("objects").join(name);
        disk.put(&path, bytes);
        let digest: KeyedDigest = format!("hmac-sha256:{name}").parse().expect("a digest");
        store.contents.check(&digest).expect("whole");
        if !needed.contains(name) {
            disk.remove_file(&path).expect("removed");
        }
    }
}

#[test]
fn a_failing_call_leaves_no_content_behind_and_takes_none_away() {
    let expected = expected();
    for at in 0.. {
        let disk = SimDisk::new(Path::new(DIR));
        let mut run = Run::new(&disk);
        disk.set_fault(Fault::Once(at, io::ErrorKind::StorageFull));
        while run.done < EVENTS.len() {
            let done = run.done;
            if !run.step(&disk) {
                if let Some(store) = &run.store {
                    assert_eq!(active(store), expected[done], "call {at}");
                }
                let reopened = open(&disk, KEYS[run.keys]).expect("open after a failure");
                assert_eq!(active(&reopened), expected[done], "call {at}");
                assert_eq!(files(&disk).len(), distinct(&kept(&reopened)), "call {at}");
                run.store.get_or_insert(reopened.keeping(2));
                assert!(run.step(&disk), "call {at}: the second attempt");
            }
        }
        // A pruning that failed is made up for by the next one.
        let store = run.store.as_mut().expect("a store");
        store.prune();
        let calls = disk.calls();
        disk.heal();
        let reopened = open(&disk, KEYS[run.keys]).expect("open");
        assert_eq!(
            active(&reopened),
            *expected.last().expect("events"),
            "call {at}"
        );
        assert_eq!(files(&disk).len(), distinct(&kept(&reopened)), "call {at}");
        if calls <= at {
            break;
        }
    }
}

#[test]
fn what_a_failed_commit_wrote_is_removed_without_a_restart_and_not_trusted_later() {
    let mut failures = 0;
    for at in 0.. {
        let disk = SimDisk::new(Path::new(DIR));
        let mut store = open(&disk, None).expect("open");
        inject(&mut store, "a", &[("one", "1")], 0).expect("commit");
        let given = [("one", "1"), ("two", "2"), ("three", "3")];
        disk.set_fault(Fault::Once(at, io::ErrorKind::StorageFull));
        if inject(&mut store, "a", &given, 1).is_ok() {
            break;
        }
        failures += 1;
        assert_eq!(files(&disk).len(), 1, "call {at}");
        // Whatever is left of it, the next attempt does not rely on it.
        inject(&mut store, "a", &given, 2).expect("commit");
        let store = open(&disk.after_power_cut(|_| 0), None).expect("open");
        assert_eq!(distinct(&active(&store)), 3, "call {at}");
    }
    // For each content four calls, then the folder, and five for the revision.
    assert_eq!(failures, 2 * 4 + 1 + 5);
}

#[test]
fn a_revision_that_can_not_be_removed_keeps_its_contents() {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk, None).expect("open").keeping(2);
    inject(&mut store, "a", &[("one", "1")], 0).expect("commit");
    inject(&mut store, "a", &[("two", "2")], 1).expect("commit");
    // Three calls for the content, one for its folder, five for the revision, and then the removal.
    disk.set_fault(Fault::Once(3 + 2 + 5, io::ErrorKind::Other));
    inject(&mut store, "a", &[("three", "3")], 2).expect("commit");
    assert!(disk.calls() > 3 + 2 + 5);
    let revisions = |disk: &SimDisk| {
        let dir = Path::new(DIR).join("bundles/a");
        disk.list(&dir).expect("the folder").len()
    };
    assert_eq!((revisions(&disk), files(&disk).len()), (3, 3));
    let mut store = open(&disk, None).expect("open").keeping(2);
    store.prune();
    assert_eq!((revisions(&disk), files(&disk).len()), (2, 2));
}

#[test]
fn what_is_forgotten_is_so_after_a_restart_in_between_and_takes_nothing_that_others_need() {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk, None).expect("open");
    for (index, value) in ["1", "2", "3"].into_iter().enumerate() {
        inject(&mut store, "a", &[("one", value)], index).expect("commit");
    }
    inject(&mut store, "b", &[("one", "2")], 3).expect("commit");
    assert_eq!((kept(&store).len(), files(&disk).len()), (4, 3));
    let removal = forgetting(&store, "a", 4);
    store.commit(removal).expect("commit");
    // Killed before it could forget.
    drop(store);
    let mut store = open(&disk, None).expect("open again");
    store.prune();
    assert_eq!((kept(&store).len(), files(&disk).len()), (2, 1));
    assert_eq!(store.state().newest_revision(&name("a")), Some(4));
    inject(&mut store, "a", &[("one", "1")], 5).expect("commit");
    assert_eq!(store.state().newest_revision(&name("a")), Some(5));
    assert!(store.remembered("request-0").is_ok_and(|it| it.is_none()));
}
