//! Contents that are encrypted.

use std::path::{Path, PathBuf};

use super::{
    DIR,
    objects::{distinct, files, inject, kept, open},
};
use crate::{
    fs::{FileSystem as _, sim::SimDisk},
    store::{OpenError, record::file_name},
};

const MARKER: &str = "correct-horse-battery-staple";
const ONE: &str = "{name: one, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}";
const TWO: &str = "{name: two, secret: ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=}";
/// Of the same name, but another one.
const FALSE_ONE: &str = "{name: one, secret: ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=}";
const IDENTITY: &str = "{identity: {}}";

fn key_file(keys: &[&str]) -> String {
    let keys = keys.join(", ");
    format!("{{apiVersion: seedpod.dev/v1alpha1, kind: EncryptionKeys, keys: [{keys}]}}")
}

/// A disk with a content that has the marker, encrypted so.
fn disk(keys: Option<&str>) -> SimDisk {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk, keys).expect("open");
    let given = [("one", MARKER), ("two", "2")];
    inject(&mut store, "a", &given, 0).expect("commit");
    disk
}

/// All files below a folder.
fn all_files(disk: &SimDisk, dir: &Path, all: &mut Vec<(PathBuf, Vec<u8>)>) {
    for name in disk.list(dir).expect("a folder") {
        let path = dir.join(name);
        match disk.read(&path, u64::MAX) {
            Ok(bytes) => all.push((path, bytes)),
            Err(_) => all_files(disk, &path, all),
        }
    }
}

/// Whether the value of the content, or the content as it is on the disk, can be read anywhere.
fn is_plain(disk: &SimDisk) -> bool {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let encoded = STANDARD.encode(MARKER);
    let mut all = Vec::new();
    all_files(disk, Path::new(DIR), &mut all);
    assert!(all.len() >= 5, "{all:?}");
    let has = |bytes: &[u8], text: &str| memchr::memmem::find(bytes, text.as_bytes()).is_some();
    all.iter()
        .any(|(_, bytes)| has(bytes, MARKER) || has(bytes, &encoded))
}

/// The names of the keys that the files are encrypted with: the digest key's, the contents', and the pod's.
fn keys_in_use(disk: &SimDisk) -> Vec<String> {
    let names = [vec!["digest-key".to_owned()], files(disk)].concat();
    let dir = Path::new(DIR).join("objects");
    let key = |name| {
        let bytes = disk.read(&dir.join(name), u64::MAX).expect("readable");
        let head = bytes.split(|byte| *byte == b'\n').next().expect("a line");
        let head: serde_json::Value = serde_json::from_slice(head).expect("a head");
        head["key"].as_str().unwrap_or("none").to_owned()
    };
    let mut keys: Vec<String> = names.iter().map(key).collect();
    let revision = disk.read(&revision_file(), u64::MAX).expect("readable");
    let body = revision.split(|byte| *byte == b'\n').nth(1);
    let body: serde_json::Value = serde_json::from_slice(body.expect("a body")).expect("JSON");
    let pod = &body["pods"][0];
    assert_ne!(pod["rendered"].is_null(), pod["sealed"].is_null());
    keys.push(pod["sealed"]["key"].as_str().unwrap_or("none").to_owned());
    keys
}

fn revision_file() -> PathBuf {
    Path::new(DIR).join("bundles/a").join(file_name(1))
}

fn refusal(disk: &SimDisk, keys: Option<&str>) -> (OpenError, String) {
    let mut before = Vec::new();
    all_files(disk, Path::new(DIR), &mut before);
    let error = open(disk, keys).map(|store| store.state());
    let error = error.expect_err("refused");
    let mut after = Vec::new();
    all_files(disk, Path::new(DIR), &mut after);
    assert_eq!(before, after, "nothing was changed");
    let text = crate::error::chain(&error);
    assert!(!text.contains(MARKER), "{text}");
    (error, text)
}

#[test]
fn an_encrypted_value_is_in_no_file() {
    assert!(is_plain(&disk(None)), "the search finds nothing at all");
    let disk = disk(Some(&key_file(&[ONE])));
    assert!(!is_plain(&disk));
    assert_eq!(keys_in_use(&disk), ["one"; 4]);
}

#[test]
fn encryption_is_turned_on_rotated_and_turned_off_by_a_restart() {
    let disk = disk(None);
    assert_eq!(keys_in_use(&disk), ["none"; 4]);
    let before = kept(&open(&disk, None).expect("open"));
    assert_eq!(distinct(&before), 2);
    let key_files: [(&[&str], &str); 5] = [
        (&[ONE], "one"),
        (&[TWO, ONE], "two"),
        (&[TWO], "two"),
        (&[IDENTITY, TWO], "none"),
        (&[IDENTITY], "none"),
    ];
    let mut digest_key = None;
    for (keys, expected) in key_files {
        let store = open(&disk, Some(&key_file(keys))).expect("open");
        assert_eq!(kept(&store), before, "{keys:?}");
        assert_eq!(keys_in_use(&disk), [expected; 4], "{keys:?}");
        assert_eq!(is_plain(&disk), expected == "none", "{keys:?}");
        let digest = store.digest_key().digest(b"the same key all the time");
        assert_eq!(*digest_key.get_or_insert(digest), digest);
        // Durably so.
        assert_eq!(keys_in_use(&disk.after_power_cut(|_| 0)), [expected; 4]);
    }
    open(&disk, None).expect("open without a key file");
}

#[test]
fn a_missing_key_is_named_with_the_remedy() {
    let disk = disk(Some(&key_file(&[ONE])));
    let (error, text) = refusal(&disk, None);
    assert!(matches!(error, OpenError::Sealed { .. }), "{error:?}");
    assert!(
        text.contains("the key \"one\", and the configuration has no secretEncryption.keyFile"),
        "{text}"
    );
    let (_, text) = refusal(&disk, Some(&key_file(&[TWO])));
    assert!(
        text.contains("\"one\"") && text.contains("put that key back"),
        "{text}"
    );
    let (_, text) = refusal(&disk, Some(&key_file(&[FALSE_ONE])));
    assert!(
        text.contains("cannot be decrypted with the key \"one\""),
        "{text}"
    );
    open(&disk, Some(&key_file(&[TWO, ONE]))).expect("open");
}

#[test]
fn the_digest_key_is_encrypted_too() {
    let disk = SimDisk::new(Path::new(DIR));
    drop(open(&disk, Some(&key_file(&[ONE]))).expect("open"));
    let (error, text) = refusal(&disk, None);
    assert!(matches!(error, OpenError::DigestKey { .. }), "{error:?}");
    assert!(text.contains("\"one\""), "{text}");
}

#[test]
fn a_pods_file_in_anothers_place_is_found() {
    let keys = key_file(&[ONE]);
    let disk = disk(Some(&keys));
    let mut store = open(&disk, Some(&keys)).expect("open");
    inject(&mut store, "a", &[("one", "other"), ("two", "2")], 1).expect("commit");
    let parts = |revision| {
        let path = Path::new(DIR).join("bundles/a").join(file_name(revision));
        let bytes = disk.read(&path, u64::MAX).expect("readable");
        let text = String::from_utf8(bytes).expect("text");
        let (_, body) = text.trim_end().split_once('\n').expect("two lines");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        (path, body)
    };
    let ((path, mut body), (_, other)) = (parts(2), parts(1));
    body["pods"][0]["sealed"] = other["pods"][0]["sealed"].clone();
    let body = body.to_string();
    let digest = seedpod_manifest::Digest::of(body.as_bytes());
    let head = format!(r#"{{"kind":"seedpod-revision","format":3,"sha256":"{digest}"}}"#);
    disk.put(&path, format!("{head}\n{body}\n").as_bytes());
    let (error, text) = refusal(&disk, Some(&keys));
    assert!(matches!(error, OpenError::Sealed { .. }), "{error:?}");
    assert!(text.contains("pod kube-system/pod"), "{text}");
}

#[test]
fn one_that_is_encrypted_with_a_key_of_its_own_is_found_before_anything_is_changed() {
    let disk = disk(Some(&key_file(&[ONE])));
    let dir = Path::new(DIR).join("objects");
    let old = dir.join(&files(&disk)[1]);
    let bytes = disk.read(&old, u64::MAX).expect("readable");
    open(&disk, Some(&key_file(&[TWO, ONE]))).expect("open");
    // As a power cut in the middle of a rotation leaves it.
    disk.put(&old, &bytes);
    let (error, text) = refusal(&disk, Some(&key_file(&[TWO])));
    assert!(matches!(error, OpenError::Incomplete { .. }), "{error:?}");
    assert!(
        text.contains("Secret default/") && text.contains("\"one\""),
        "{text}"
    );
    open(&disk, Some(&key_file(&[TWO, ONE]))).expect("open");
    assert_eq!(keys_in_use(&disk), ["two"; 4]);
}

#[test]
fn a_changed_byte_and_a_file_in_anothers_place_are_found() {
    let keys = key_file(&[ONE]);
    let disk = disk(Some(&keys));
    let dir = Path::new(DIR).join("objects");
    let paths: Vec<PathBuf> = files(&disk).iter().map(|name| dir.join(name)).collect();
    let bytes: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| disk.read(path, u64::MAX).expect("readable"))
        .collect();
    for at in (0..bytes[0].len()).step_by(3) {
        let mut damaged = bytes[0].clone();
        damaged[at] ^= 4;
        disk.put(&paths[0], &damaged);
        let (error, _) = refusal(&disk, Some(&keys));
        assert!(matches!(error, OpenError::Incomplete { .. }), "{error:?}");
    }
    disk.put(&paths[0], &bytes[1]);
    disk.put(&paths[1], &bytes[0]);
    let (_, text) = refusal(&disk, Some(&keys));
    assert!(text.contains("cannot be decrypted"), "{text}");
    disk.put(&paths[0], &bytes[0]);
    disk.put(&paths[1], &bytes[1]);
    open(&disk, Some(&keys)).expect("whole again");
}
