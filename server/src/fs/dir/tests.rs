#![allow(
    clippy::disallowed_methods,
    reason = "tests play the others who write into a folder"
)]

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
};

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

fn open(path: &Path) -> DiskDir {
    DiskDir::open(path, Metrics::default()).expect("open")
}

const FILE: Access = Access {
    mode: 0o640,
    group: None,
};

#[test]
fn a_name_is_one_component_that_stays_in_its_folder() {
    for bad in ["", ".", "..", "/", "a/b", "../a", "/etc", "a/", "a\0b"] {
        let error = Name::new(bad).expect_err(bad);
        assert_eq!(error.kind(), io::ErrorKind::InvalidFilename, "{bad:?}");
    }
    assert!(Name::new("a".repeat(256)).is_err());
    for good in ["a", "...", "..a", ".a", "a b", "ä", "..2026"] {
        assert_eq!(name(good).as_str(), Some(good));
    }
    assert!(Name::new("a".repeat(255)).is_ok());
    assert_eq!(name("a\nb").to_string(), "a\\nb", "on one line");
}

#[test]
fn nothing_is_made_over_what_is_there_and_no_symbolic_link_is_followed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let outside = tempfile::tempdir().expect("temporary folder");
    fs::write(outside.path().join("target"), "outside").expect("write");
    let dir = open(folder.path());
    symlink(outside.path(), folder.path().join("folder")).expect("symlink");
    symlink(outside.path().join("target"), folder.path().join("file")).expect("symlink");
    symlink(outside.path().join("new"), folder.path().join("dangling")).expect("symlink");

    for link in ["folder", "file", "dangling"] {
        let link = name(link);
        let stat = dir.stat(&link).expect("stat").expect("there");
        assert_eq!(stat.kind, Kind::Other);
        let exists = |result: io::Result<()>| {
            assert_eq!(
                result.expect_err("refused").kind(),
                io::ErrorKind::AlreadyExists
            );
        };
        exists(dir.create(&link, FILE, b"inside", false));
        exists(dir.make_dir(&link, Access::PRIVATE));
        assert!(dir.read(&link, 100).is_err());
        assert!(dir.open_dir(&link).is_err());
    }
    let way_in = folder.path().join("folder/");
    let error = DiskDir::open(&way_in, Metrics::default()).expect_err("a link, with a slash");
    assert_eq!(error.kind(), io::ErrorKind::NotADirectory);

    dir.create(&name("staged"), FILE, b"inside", false)
        .expect("create");
    dir.rename(&name("staged"), &name("file"))
        .expect("over the link itself");
    assert_eq!(**dir.read(&name("file"), 6).expect("read"), *b"inside");
    for link in ["folder", "dangling"] {
        remove_tree(&dir, &name(link)).expect("the link itself");
    }
    assert_eq!(dir.list().expect("list"), [name("file")]);
    assert_eq!(
        fs::read_to_string(outside.path().join("target")).expect("still there"),
        "outside"
    );
    assert_eq!(fs::read_dir(outside.path()).expect("list").count(), 1);
}

#[test]
fn a_tree_is_removed_with_all_that_is_in_it_and_nothing_that_it_points_to() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let outside = folder.path().join("outside");
    fs::create_dir_all(outside.join("kept")).expect("folder");
    let mut deep = folder.path().join("tree");
    for level in 0..60 {
        deep.push(format!("level{level}"));
        fs::create_dir_all(&deep).expect("folder");
        fs::write(deep.join("file"), "x").expect("write");
        fs::create_dir(deep.join("empty")).expect("folder");
        symlink(&outside, deep.join("link")).expect("symlink");
    }
    let dir = open(folder.path());
    remove_tree(&dir, &name("tree")).expect("remove");
    remove_tree(&dir, &name("tree")).expect("gone already");
    assert_eq!(dir.list().expect("list"), [name("outside")]);
    assert!(outside.join("kept").is_dir());
}

#[test]
fn what_is_read_is_a_regular_file_of_bounded_size() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let dir = open(folder.path());
    dir.create(&name("file"), FILE, &[7; 1000], true)
        .expect("create");
    assert_eq!(dir.read(&name("file"), 1000).expect("read").len(), 1000);
    let error = dir.read(&name("file"), 999).expect_err("too large");
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    rustix::fs::mknodat(&dir.fd, "pipe", FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("pipe");
    let error = dir
        .read(&name("pipe"), 10)
        .expect_err("a pipe, not waited for");
    assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    assert!(dir.stat(&name("absent")).expect("stat").is_none());
    let metadata = fs::metadata(folder.path().join("file")).expect("metadata");
    let stat = dir.stat(&name("file")).expect("stat").expect("there");
    assert_eq!((stat.mode, stat.size), (0o640, 1000));
    assert_eq!((stat.uid, stat.gid), (metadata.uid(), metadata.gid()));
}

#[test]
fn a_file_system_in_memory_is_known_as_such() {
    // Each Linux that can run the tests has both: /dev/shm is a tmpfs, /proc is neither.
    assert!(open(Path::new("/dev/shm")).is_in_memory().expect("statfs"));
    assert!(!open(Path::new("/proc")).is_in_memory().expect("statfs"));
}
