//! The directory on a disk whose power is cut: what the kubelet would read is never torn.

use std::{path::Path, sync::Arc};

use super::directory::{Directory, Work, Write};
use crate::fs::{
    FileSystem as _,
    sim::{Fault, SimDisk, chooser, seeds},
};

const DIR: &str = "/manifests";

fn write(file: &str, content: &str, over: bool) -> Write {
    Write {
        file: file.to_owned(),
        content: content.to_owned(),
        uid: String::new(),
        over,
    }
}

#[test]
fn after_a_power_cut_each_file_is_the_old_one_or_the_new_one() {
    for cut in 0.. {
        let disk = SimDisk::new(Path::new(DIR));
        disk.put(
            &Path::new(DIR).join("replaced.json"),
            b"old and long enough to be torn",
        );
        disk.put(&Path::new(DIR).join("removed.json"), b"old");
        disk.put(&Path::new(DIR).join("foreign.yaml"), b"foreign");
        disk.set_fault(Fault::PowerCut(cut));
        let directory = Directory::new(Arc::new(disk.clone()), DIR.into());
        let done = directory.carry_out(Work {
            remove: vec!["removed.json".into()],
            write: vec![
                write("added.json", "added", false),
                write("replaced.json", "new", true),
            ],
            only_nudges: false,
        });
        for seed in seeds() {
            let found = disk.after_power_cut(chooser(seed));
            let read = |name: &str| {
                found
                    .read(&Path::new(DIR).join(name), 1000)
                    .ok()
                    .map(|b| String::from_utf8_lossy(&b).into_owned())
            };
            let context = format!("cut {cut}, seed {seed}");
            let added = read("added.json");
            assert!(
                added.as_deref().is_none_or(|c| c == "added"),
                "{context}: {added:?}"
            );
            let replaced = read("replaced.json").expect("always there");
            assert!(
                replaced == "new" || replaced.starts_with("old and long"),
                "{context}: {replaced}"
            );
            assert!(
                replaced == "new" || replaced.ends_with("torn"),
                "{context}: torn: {replaced}"
            );
            assert_eq!(
                read("foreign.yaml").as_deref(),
                Some("foreign"),
                "{context}"
            );
        }
        if done.removed.iter().all(|(_, r)| r.is_ok())
            && done.written.iter().all(|(_, r)| r.is_ok())
            && disk.calls() <= cut
        {
            assert!(cut >= 9, "two writes and a removal are at least nine calls");
            break;
        }
    }
}

#[test]
fn a_file_that_appeared_under_a_new_name_is_not_written_over() {
    let disk = SimDisk::new(Path::new(DIR));
    disk.put(&Path::new(DIR).join("a.json"), b"foreign");
    let directory = Directory::new(Arc::new(disk.clone()), DIR.into());
    let work = Work {
        write: vec![write("a.json", "ours", false)],
        ..Work::default()
    };
    let done = directory.carry_out(work);
    let error = done.written[0].1.as_ref().expect_err("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(
        disk.read(&Path::new(DIR).join("a.json"), 100)
            .expect("there"),
        b"foreign"
    );
    assert_eq!(
        disk.list(Path::new(DIR)).expect("list"),
        ["a.json"],
        "nothing staged is left"
    );
}
