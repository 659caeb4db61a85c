//! Somebody who may write where the volumes are.

#![allow(
    clippy::disallowed_methods,
    reason = "it is not the daemon that writes here"
)]

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
};

use seedpod_manifest::VolumeContent;

use super::tree::Tree;
use crate::dice::Dice;

/// What links lead to, from the folder for the volumes and from folders in it.
const TARGETS: [&str; 6] = [
    "../outside",
    "../outside/file",
    "../../outside",
    "../../../outside",
    "..",
    "/",
];

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// Makes the folder for volumes, and one with something in it that is to stay as it is.
pub(super) fn furnish(root: &Path) {
    for folder in ["volumes", "outside", "outside/folder"] {
        fs::create_dir(root.join(folder)).expect("a folder");
        mode(&root.join(folder), 0o700);
    }
    for (file, content) in [("file", "keep me"), ("folder/file", "me too")] {
        fs::write(root.join("outside").join(file), content).expect("a file");
        mode(&root.join("outside").join(file), 0o604);
    }
}

/// Puts something into the place of a pod's folder, or of what it is made from. Tells what.
pub(super) fn plant(
    dice: &mut Dice<'_>,
    volumes: &Path,
    uid: &str,
    contents: &[VolumeContent<'_>],
) -> &'static str {
    let own = volumes.join(uid);
    let staged = volumes.join(format!(".seedpod-staged-{uid}"));
    match dice.below(9) {
        1 => {
            symlink("../outside", own).expect("a link");
            "a link to a folder"
        }
        2 => {
            symlink("../outside", staged).expect("a link");
            "a staged link to a folder"
        }
        3 => {
            symlink("../outside/file", own).expect("a link");
            "a link to a file"
        }
        4 => {
            fs::write(own, "x").expect("a file");
            "a file"
        }
        5 => {
            fs::create_dir_all(staged.join("a/b")).expect("a folder");
            symlink("../../../outside", staged.join("a/link")).expect("a link");
            symlink("../outside", staged.join("v0")).expect("a link");
            "a staged folder with links"
        }
        6 => {
            fs::create_dir(&own).expect("a folder");
            for content in contents {
                // Some names can't be had.
                let _ = symlink("../../outside", own.join(content.name.replace('/', "")));
            }
            "a folder with links"
        }
        7 => {
            fs::write(staged, "x").expect("a file");
            "a staged file"
        }
        _ => "nothing",
    }
}

/// Changes some of what is there. Tells what.
pub(super) fn change(
    dice: &mut Dice<'_>,
    volumes: &Path,
    uid: &str,
    tree: &Tree,
) -> Vec<(String, String)> {
    let paths = tree.paths();
    (0..dice.below(4))
        .map(|_| {
            let path = dice.pick(&paths);
            let what = change_one(dice, &volumes.join(uid), path);
            (path.to_string_lossy().into_owned(), what.to_owned())
        })
        .collect()
}

/// Fails where an earlier change has taken away what this one needs: then there is nothing to do.
fn change_one(dice: &mut Dice<'_>, own: &Path, path: &Path) -> &'static str {
    let full = &own.join(path);
    // Through a link that was planted before, it would not be us who lead out.
    let canonical = own.canonicalize().expect("a folder");
    let parent = full.parent().and_then(|parent| parent.canonicalize().ok());
    let is_top = path.as_os_str().is_empty();
    if !is_top && parent.is_none_or(|parent| !parent.starts_with(canonical)) {
        return "nothing";
    }
    let remove = || {
        if full.is_symlink() || !full.is_dir() {
            let _ = fs::remove_file(full);
        } else {
            let _ = fs::remove_dir_all(full);
        }
    };
    // What is done to a file that has another name outside is done outside.
    let is_shared = full
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.nlink() > 1);
    let inside = !full.is_symlink() && full.is_dir();
    match dice.below(9) {
        0 if !is_top => {
            remove();
            "removed"
        }
        1 if !is_top => {
            remove();
            let _ = symlink(dice.pick(&TARGETS), full);
            "a link"
        }
        2 if !is_top => {
            remove();
            let _ = fs::hard_link(own.join("../../outside/file"), full);
            "another name of a file outside"
        }
        3 if !is_top => {
            remove();
            let _ = fs::create_dir_all(full.join("x/y"));
            let _ = symlink("../../../../outside", full.join("x/link"));
            "a folder"
        }
        4 if !full.is_symlink() && !is_shared => {
            let bits = dice.pick(&[0o777, 0o4777, 0o700, 0o2700]);
            let _ = fs::set_permissions(full, fs::Permissions::from_mode(bits));
            "another mode"
        }
        5 if !inside && !full.is_symlink() && !is_shared => {
            let _ = fs::write(full, dice.any_bytes(60));
            "another content"
        }
        6 if inside => {
            let name = dice.pick(&[".seedpod-staged-0", ".seedpod-staged-1", "v9", "zzz"]);
            let _ = symlink(dice.pick(&TARGETS), full.join(name));
            "a link beside it"
        }
        7 if !is_top => {
            remove();
            let _ = UnixListener::bind(full);
            "a socket"
        }
        8 if inside => {
            let _ = fs::create_dir_all(full.join("zz/zz"));
            let _ = symlink("../../../../outside", full.join("zz/zz/link"));
            "a folder beside it"
        }
        _ => "nothing",
    }
}
