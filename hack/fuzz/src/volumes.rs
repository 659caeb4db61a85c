//! Volumes on a real disk, with somebody who plants symbolic links and changes what is there.
//!
//! The writer is given paths that no checked manifest has: it has to hold by itself.

mod intruder;
mod tree;
mod wanted;

use std::{os::unix::fs::MetadataExt as _, path::Path};

use seedpod_server::fuzzing::{Done, put_volumes, remove_volumes};
use tempfile::TempDir;

use self::tree::Tree;
use crate::dice::Dice;

const UID: &str = "0a3cf6a8-6bd4-8e5f-8a45-111111111111";
const HOSTILE_UIDS: [&str; 6] = ["", ".", "..", "../outside", "a/b", "a\0"];

/// A folder for the volumes, and one beside it that must not change.
struct Place {
    root: TempDir,
    /// Whether files can be given to groups, and read without the right to.
    is_root: bool,
    group: u32,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        intruder::furnish(root.path());
        let metadata = root.path().metadata().expect("metadata");
        let (is_root, group) = (metadata.uid() == 0, metadata.gid());
        Self {
            root,
            is_root,
            group,
        }
    }

    fn volumes(&self) -> std::path::PathBuf {
        self.root.path().join("volumes")
    }

    /// All but the folder for the volumes.
    fn outside(&self) -> Tree {
        let mut tree = Tree::read(self.root.path());
        tree.forget(Path::new("volumes"));
        tree
    }
}

/// Puts, changes, puts right and removes the volumes that the bytes describe.
pub fn run(data: &[u8]) {
    let dice = &mut Dice::new(data);
    let place = Place::new();
    let volumes = &place.volumes();
    let outside = place.outside();
    let contents = wanted::contents(dice, place.is_root);
    let expected = Tree::of(&contents, place.group);
    if dice.odds(1, 16) {
        let uid = dice.pick(&HOSTILE_UIDS);
        assert!(
            put_volumes(volumes, uid, contents, true).is_err(),
            "{uid:?}"
        );
        assert_eq!(place.outside(), outside, "changed by the uid {uid:?}");
        return;
    }

    let plant = intruder::plant(dice, volumes, UID, &contents);
    let found = volumes.join(UID).is_dir() && !volumes.join(UID).is_symlink();
    let put = put_volumes(volumes, UID, contents.clone(), true);
    assert_eq!(place.outside(), outside, "changed by {put:?} after {plant}");
    let Some(expected) = expected else {
        assert!(put.is_err(), "{put:?}: {contents:?}");
        return;
    };
    let done = put.unwrap_or_else(|error| panic!("{error:?} after {plant}: {contents:?}"));
    assert!(done == Done::Made || found, "{done:?} after {plant}");
    assert_eq!(
        Tree::read(&volumes.join(UID)),
        expected,
        "{done:?} after {plant}"
    );
    assert_eq!(tree::names(volumes), [UID], "left over after {plant}");

    let changes = intruder::change(dice, volumes, UID, &expected);
    let changed = Tree::read(&volumes.join(UID));
    let done = put_volumes(volumes, UID, contents.clone(), false).expect("compared");
    assert_eq!(
        done == Done::Nothing,
        changed.is_like(&expected),
        "{done:?} after {changes:?}"
    );
    assert_eq!(
        Tree::read(&volumes.join(UID)),
        changed,
        "not left as it was: {changes:?}"
    );
    let done = put_volumes(volumes, UID, contents.clone(), true);
    assert_eq!(
        place.outside(),
        outside,
        "changed by {done:?} after {changes:?}"
    );
    let done = done.unwrap_or_else(|error| panic!("{error:?} after {changes:?}"));
    assert_eq!(
        done == Done::Nothing,
        changed.is_like(&expected),
        "{done:?} after {changes:?}"
    );
    assert_eq!(
        Tree::read(&volumes.join(UID)),
        expected,
        "{done:?} after {changes:?}"
    );
    let done = put_volumes(volumes, UID, contents, true).expect("compared");
    assert_eq!(done, Done::Nothing, "after {changes:?}");

    let changes = intruder::change(dice, volumes, UID, &expected);
    remove_volumes(volumes, UID).unwrap_or_else(|error| panic!("{error:?} after {changes:?}"));
    assert!(tree::names(volumes).is_empty(), "after {changes:?}");
    assert_eq!(place.outside(), outside, "removed with {changes:?}");
}
