//! The power is cut, or the daemon killed, between any two system calls.

use super::*;
use crate::fs::{
    Kind,
    sim::{Fault, SimDisk, chooser, seeds},
};

const DIR: &str = "/run/volumes";

fn some_volumes() -> Vec<VolumeContent<'static>> {
    vec![
        volume(
            "config",
            None,
            &[
                ("app.yaml", 0o644, b"long enough to be torn"),
                ("a/b", 0o400, b"nested"),
            ],
        ),
        volume(
            "tls",
            Some(7),
            &[("tls.key", 0o640, b"another one to be torn")],
        ),
    ]
}

fn volumes(disk: &SimDisk) -> Volumes {
    Volumes::new(
        Arc::new(disk.clone()),
        Given::new(some_volumes()),
        DIR.into(),
    )
}

fn put(disk: &SimDisk, repair: bool) -> Result<Put, PutError> {
    let pod = pod(Path::new(DIR), &uid(1));
    volumes(disk).put(&bundle(Vec::new()), &pod, repair)
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

/// The disk as it may be found: after a kill, and after several power cuts.
fn found(disk: &SimDisk) -> impl Iterator<Item = (String, SimDisk)> {
    let cuts = seeds().map(|seed| (format!("seed {seed}"), disk.after_power_cut(chooser(seed))));
    std::iter::once(("killed".to_owned(), disk.after_kill())).chain(cuts)
}

/// Whether there is a folder under the pod's uid. It has to be whole.
fn is_there(disk: &SimDisk, context: &str) -> bool {
    let Ok(parent) = disk.open_dir(Path::new(DIR)) else {
        return false;
    };
    if parent.stat(&name(&uid(1))).expect("stat").is_none() {
        return false;
    }
    let looked_at = put(disk, false).expect(context);
    assert_eq!(looked_at, Put::Nothing, "{context}: not whole");
    true
}

/// Whether nothing but the folder of the pod is there.
fn is_tidy(disk: &SimDisk) -> bool {
    let names = disk.list(Path::new(DIR)).unwrap_or_default();
    names.iter().all(|name| *name == uid(1))
}

#[test]
fn a_folder_under_its_uid_is_whole_whenever_the_power_is_cut_and_the_next_put_ends_it() {
    for cut in 0.. {
        let disk = SimDisk::new(Path::new("/run"));
        disk.set_fault(Fault::PowerCut(cut));
        let done = put(&disk, true);
        for (how, found) in found(&disk) {
            let context = format!("cut {cut}, {how}");
            let there = is_there(&found, &context);
            assert!(
                there || done.is_err(),
                "{context}: lost although it was done"
            );
            put(&found, true).expect(&context);
            assert!(is_there(&found, &context), "{context}");
            assert!(is_tidy(&found), "{context}");
        }
        if done.is_ok() {
            // A folder for the volumes, one for the pod, three in it, three files, the renames and the syncs.
            assert!(cut >= 24, "only {cut} calls");
            break;
        }
    }
}

#[test]
fn what_is_left_of_a_put_that_was_cut_short_is_collected() {
    for cut in 0.. {
        let disk = SimDisk::new(Path::new("/run"));
        disk.set_fault(Fault::PowerCut(cut));
        let done = put(&disk, true);
        for (how, found) in found(&disk) {
            let there = is_there(&found, &how);
            let collector = collecting::Played::new(Arc::new(volumes(&found)));
            collector.demands(&[&uid(1)]);
            collector.pass();
            assert!(is_tidy(&found), "cut {cut}, {how}");
            assert_eq!(is_there(&found, &how), there, "what is demanded stays");
            collector.demands(&[]);
            collector.passes();
            let left = found.list(Path::new(DIR)).unwrap_or_default();
            assert!(left.is_empty(), "cut {cut}, {how}: {left:?}");
        }
        if done.is_ok() {
            break;
        }
    }
}

#[test]
fn a_removal_that_is_cut_short_leaves_all_of_a_folder_or_nothing_under_its_uid() {
    for cut in 0.. {
        let disk = SimDisk::new(Path::new("/run"));
        put(&disk, true).expect("put");
        disk.set_fault(Fault::PowerCut(cut));
        let collector = collecting::Played::new(Arc::new(volumes(&disk)));
        collector.passes();
        for (how, found) in found(&disk) {
            let context = format!("cut {cut}, {how}");
            is_there(&found, &context);
            let collector = collecting::Played::new(Arc::new(volumes(&found)));
            collector.passes();
            let left = found.list(Path::new(DIR)).expect("list");
            assert!(left.is_empty(), "{context}: {left:?}");
        }
        if disk.calls() <= cut {
            assert!(cut >= 9, "only {cut} calls");
            break;
        }
    }
}

#[test]
fn a_repair_that_is_cut_short_leaves_each_file_as_it_was_changed_or_whole() {
    let tampered = b"what somebody wrote";
    for cut in 0.. {
        let disk = SimDisk::new(Path::new("/run"));
        put(&disk, true).expect("put");
        let base = Path::new(DIR).join(uid(1));
        let key = base.join("tls/tls.key");
        let other = base.join("config/app.yaml");
        disk.put(&key, tampered);
        disk.put(&base.join("config/added"), tampered);
        disk.set_fault(Fault::PowerCut(cut));
        let done = put(&disk, true);
        for (how, found) in found(&disk) {
            let context = format!("cut {cut}, {how}");
            use crate::fs::FileSystem as _;
            let read = found.read(&key, 100).expect(&context);
            let whole = read == tampered || read == b"another one to be torn";
            assert!(whole, "{context}: {}", String::from_utf8_lossy(&read));
            let untouched = found.read(&other, 100).expect(&context);
            assert_eq!(untouched, b"long enough to be torn", "{context}");
            put(&found, true).expect(&context);
            assert!(is_there(&found, &context), "{context}");
        }
        if let Ok(put) = done {
            assert!(matches!(put, Put::Repaired(_)), "{put:?}");
            break;
        }
    }
}

#[test]
fn without_room_nothing_is_left_behind_and_the_next_put_does_it() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
        for at in 0.. {
            let disk = SimDisk::new(Path::new("/run"));
            disk.set_fault(Fault::Once(at, kind));
            match put(&disk, true) {
                Err(error) => {
                    let text = crate::error::chain(&error);
                    assert!(text.contains("no room"), "{text}");
                    assert!(text.contains("volumesDirectory"), "{text}");
                }
                Ok(put) => {
                    assert_eq!(put, Put::Made);
                    assert!(disk.calls() <= at, "call {at} failed, and nobody was told");
                    break;
                }
            }
            disk.heal();
            assert!(is_tidy(&disk), "call {at}");
            let there = is_there(&disk, "after the failure");
            let put = put(&disk, true).expect("there is room again");
            assert_eq!(put == Put::Nothing, there, "call {at}");
            assert!(is_there(&disk, "after the repetition"));
        }
    }
}

#[test]
fn modes_and_groups_are_on_the_simulated_disk_too() {
    let disk = SimDisk::new(Path::new("/run"));
    put(&disk, true).expect("put");
    let parent = disk.open_dir(Path::new(DIR)).expect("open");
    let base = parent.open_dir(&name(&uid(1))).expect("open");
    let tls = base.stat(&name("tls")).expect("stat").expect("there");
    assert_eq!((tls.kind, tls.mode, tls.gid), (Kind::Folder, 0o2755, 7));
    let stat = base.open_dir(&name("tls")).expect("open");
    let key = stat.stat(&name("tls.key")).expect("stat").expect("there");
    assert_eq!((key.kind, key.mode, key.gid), (Kind::File, 0o640, 7));
}
