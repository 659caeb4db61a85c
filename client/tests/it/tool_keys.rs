//! `seedpod config encryption-key`.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use predicates::{prelude::PredicateBooleanExt as _, str::contains};
use tempfile::TempDir;

use crate::tool::{seedpod, stderr, stdout};

/// A folder with a key file in it, or with none yet.
struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a scratch folder"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("keys.yaml")
    }

    fn run(&self, args: &[&str]) -> assert_cmd::assert::Assert {
        let path = self.path().display().to_string();
        let args = [&["config", "encryption-key", &path], args].concat();
        let assert = seedpod(&args).assert();
        // What is printed has no key.
        let printed = stdout(&assert) + &stderr(&assert);
        for (_, secret) in self.entries() {
            assert!(!printed.contains(&secret), "{printed}");
        }
        assert
    }

    /// The names and secrets, in order.
    fn entries(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.path()).unwrap_or_default();
        let value = |line: &str, key: &str| {
            line.trim_start_matches("- ")
                .trim()
                .strip_prefix(key)
                .map(str::to_owned)
        };
        let names = text.lines().filter_map(|line| value(line, "name: "));
        let secrets = text.lines().filter_map(|line| value(line, "secret: "));
        names.zip(secrets).collect()
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).expect("written");
    }
}

#[test]
fn a_key_is_made_rotated_and_pruned() {
    let keys = Keys::new();
    keys.run(&[])
        .success()
        .stdout("")
        .stderr(contains("secretEncryption.keyFile").and(contains("restart it")));
    let text = fs::read_to_string(keys.path()).expect("a file");
    assert!(
        text.starts_with(
            "apiVersion: seedpod.dev/v1alpha1\nkind: EncryptionKeys\nkeys:\n- name: key-20"
        ),
        "{text}"
    );
    let mode = fs::metadata(keys.path())
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let first = keys.entries();
    // Base64 of 32 bytes.
    assert_eq!((first.len(), first[0].1.len()), (1, 44));

    keys.run(&[]).code(1).stderr(contains(
        "is there already; --rotate puts a new key into it",
    ));
    assert_eq!(keys.entries(), first);

    keys.run(&["--rotate"])
        .success()
        .stderr(contains("the old keys can go").and(contains("--prune 1")));
    keys.run(&["--rotate"]).success();
    let three = keys.entries();
    assert_eq!((three.len(), &three[2]), (3, &first[0]));
    let names: BTreeSet<&String> = three.iter().map(|(name, _)| name).collect();
    let secrets: BTreeSet<&String> = three.iter().map(|(_, secret)| secret).collect();
    assert_eq!((names.len(), secrets.len()), (3, 3), "all differ");
    let mode = fs::metadata(keys.path())
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    keys.run(&["--prune", "2"])
        .success()
        .stderr(contains(&first[0].0));
    assert_eq!(keys.entries(), three[..2]);
    keys.run(&["--prune", "2"])
        .success()
        .stderr(contains("Nothing to drop"));
    let left: Vec<_> = fs::read_dir(keys.0.path()).expect("listed").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn what_says_that_nothing_is_encrypted_is_kept() {
    let keys = Keys::new();
    keys.run(&[]).success();
    let old = keys.entries();
    let text = fs::read_to_string(keys.path()).expect("a file");
    keys.write(&text.replace("keys:\n", "keys:\n- identity: {}\n"));
    keys.run(&["--rotate"]).success();
    keys.run(&["--prune", "1"]).success();
    let text = fs::read_to_string(keys.path()).expect("a file");
    assert!(text.contains("- identity: {}\n"), "{text}");
    let new = keys.entries();
    assert_eq!(new.len(), 1);
    assert_ne!(new, old);
}

#[test]
fn a_file_that_is_none_of_keys_is_refused_without_a_word_of_it() {
    let keys = Keys::new();
    keys.run(&["--rotate"])
        .code(2)
        .stderr(contains("there is no "));
    let head = "apiVersion: seedpod.dev/v1alpha1\nkind: EncryptionKeys\n";
    for (text, expected) in [
        ("hunter2", ":1:1: it is no file of keys"),
        (
            &format!("{head}keys: hunter2"),
            ":3:7: it is no file of keys",
        ),
        (
            &format!("{head}keys:\n- name: a\n  secret: [hunter2]"),
            ": it is no file of keys",
        ),
        (
            &format!("{head}keys:\n- name: a\n  hunter2: x"),
            ": it is no file of keys",
        ),
        (
            &format!("{head}keys:\n- name: a\n  secret: hunter2"),
            "keys[0].secret: must be 32 bytes in base64",
        ),
        (
            &format!("{head}keys:\n- secret: hunter2"),
            "keys[0]: must have a name and a secret",
        ),
        (
            &format!("{head}keys:\n- identity: {{}}\n  secret: hunter2"),
            "keys[0]: must have",
        ),
        (
            "apiVersion: v1\nkind: EncryptionKeys\nkeys: []",
            "must have apiVersion: seedpod.dev/v1alpha1",
        ),
    ] {
        keys.write(text);
        let assert = keys.run(&["--rotate"]).code(2).stderr(contains(expected));
        assert!(!stderr(&assert).contains("hunter2"), "{}", stderr(&assert));
        assert_eq!(fs::read_to_string(keys.path()).expect("a file"), text);
    }
}

#[test]
fn a_broken_configuration_of_the_tool_does_not_matter() {
    let keys = Keys::new();
    let config = keys.0.path().join("client.yaml");
    fs::write(&config, "no configuration").expect("written");
    let config = config.display().to_string();
    keys.run(&["--config", &config]).success();
}
