//! What volumes are to hold.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use seedpod_manifest::{VolumeContent, VolumeFile};

use crate::dice::Dice;

const PATHS: [&str; 10] = [
    "a", "b", "c/a", "c/b", "d/e/f", "d/e/g", "tls.crt", ".hidden", "..data", "a b\n",
];
const HOSTILE_PATHS: [&str; 30] = [
    "",
    "/",
    "/a",
    "/etc/passwd",
    ".",
    "..",
    "../x",
    "../../outside/file",
    "a/..",
    "a/../b",
    "./a",
    "a/.",
    "a//b",
    "a/",
    "a/b/c",
    "c",
    "d/e",
    "\0",
    "a\0/b",
    "x*255",
    "x*256",
    "é*127",
    "é*128",
    "x/*60y",
    "x/*1500",
    "a\\b",
    "\u{202e}",
    ".seedpod-staged-0",
    ".seedpod-staged-1",
    ".seedpod-removing-a",
];

pub(super) fn contents(dice: &mut Dice<'_>, is_root: bool) -> Vec<VolumeContent<'static>> {
    (0..dice.below(4))
        .map(|index| content(dice, index, is_root))
        .collect()
}

fn content(dice: &mut Dice<'_>, index: usize, is_root: bool) -> VolumeContent<'static> {
    let name = dice.text(
        &[&format!("v{index}")],
        &["", ".", "..", "a/b", "v0", "\0", "x*255", "x*256"],
    );
    let mut group = dice.pick(&[None, Some(0), Some(1000), Some(2_147_483_647)]);
    let mut folder_mode = if group.is_some() { 0o2755 } else { 0o755 };
    if dice.is_hostile() {
        folder_mode = dice.pick(&[0, 0o7777, 0o1777, 0o10755, u32::MAX]);
    }
    if !is_root {
        group = None;
        folder_mode |= 0o700;
    }
    let mut files = BTreeMap::new();
    for _ in 0..dice.below(6) {
        let mut mode = dice.pick(&[0o644, 0o600, 0o440, 0, 0o777, 0o111]);
        if dice.is_hostile() {
            mode = dice.pick(&[0o4755, 0o7777, 0o100_644, u32::MAX]);
        }
        if !is_root {
            mode |= 0o600;
        }
        let file = VolumeFile {
            mode,
            content: Cow::Owned(dice.any_bytes(60)),
        };
        files.insert(dice.text(&PATHS, &HOSTILE_PATHS), file);
    }
    let folders: BTreeSet<String> = (0..dice.below(8) / 5)
        .map(|_| dice.text(&["m", "m/n", "c/m"], &HOSTILE_PATHS))
        .collect();
    VolumeContent {
        name,
        group,
        folder_mode,
        folders,
        files,
    }
}
