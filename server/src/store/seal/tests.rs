//! Key files, and what they encrypt.

use std::{io::Write as _, os::unix::fs::PermissionsExt as _};

use super::{EncryptionKeys, KeyFileError, Unopened};

const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const OTHER: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

fn file(keys: &str) -> String {
    format!("apiVersion: seedpod.dev/v1alpha1\nkind: EncryptionKeys\nkeys:\n{keys}")
}

fn keys(text: &str) -> EncryptionKeys {
    EncryptionKeys::parse(&file(text)).expect("a good file")
}

fn seal(keys: &EncryptionKeys, context: &str, content: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    keys.seal(context, content, &mut sealed).expect("sealed");
    sealed
}

#[test]
fn the_first_key_encrypts_and_all_decrypt() {
    let old = keys(&format!("- name: old\n  secret: {SECRET}\n"));
    let both = keys(&format!(
        "- {{name: new, secret: {OTHER}}}\n- {{name: old, secret: {SECRET}}}\n"
    ));
    let sealed = seal(&old, "place", b"content");
    assert!(!sealed.windows(7).any(|part| part == b"content"));
    assert_eq!(
        *both.open("old", "place", &sealed).expect("opened"),
        b"content"
    );
    assert_eq!((old.name(), both.name()), (Some("old"), Some("new")));
    let sealed = seal(&both, "place", b"content");
    assert_eq!(
        *both.open("new", "place", &sealed).expect("opened"),
        b"content"
    );
    assert_eq!(old.open("new", "place", &sealed), Err(Unopened::NoKey));
}

#[test]
fn each_content_gets_a_nonce_of_its_own_and_each_changed_byte_is_found() {
    let keys = keys(&format!("- {{name: a, secret: {SECRET}}}\n"));
    let sealed = seal(&keys, "place", b"content");
    assert_ne!(sealed, seal(&keys, "place", b"content"));
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(
            keys.open("a", "place", &changed),
            Err(Unopened::NotAuthentic)
        );
        assert_eq!(
            keys.open("a", "place", &sealed[..at]),
            Err(Unopened::NotAuthentic)
        );
    }
    assert_eq!(
        keys.open("a", "elsewhere", &sealed),
        Err(Unopened::NotAuthentic)
    );
    let wrong = self::keys(&format!("- {{name: a, secret: {OTHER}}}\n"));
    assert_eq!(
        wrong.open("a", "place", &sealed),
        Err(Unopened::NotAuthentic)
    );
}

#[test]
fn identity_as_the_first_entry_turns_encryption_off() {
    let old = keys(&format!("- {{name: a, secret: {SECRET}}}\n"));
    let sealed = seal(&old, "place", b"content");
    let off = keys(&format!(
        "- identity: {{}}\n- {{name: a, secret: {SECRET}}}\n"
    ));
    assert_eq!(off.name(), None);
    assert_eq!(seal(&off, "place", b"content"), b"content");
    assert_eq!(
        *off.open("a", "place", &sealed).expect("opened"),
        b"content"
    );
}

#[test]
fn each_fault_is_said_with_its_field_and_without_the_secret() {
    let long = "x".repeat(65);
    let cases = [
        (String::new(), "the file: "),
        (format!("keys: {SECRET}"), "keys: "),
        (format!("{SECRET}: x"), "the file: "),
        (file("  []"), "keys: there is none"),
        (file("").replace("/v1alpha1", "/v2"), "keys: "),
        (
            file(&format!("- {{name: a, secret: {SECRET}}}")).replace("/v1alpha1", "/v2"),
            "apiVersion: ",
        ),
        (
            file(&format!("- {{name: a, secret: {SECRET}}}")).replace("EncryptionKeys", "Keys"),
            "kind: ",
        ),
        (
            file(&format!("- secret: {SECRET}")),
            "keys[0].name: is not set",
        ),
        (file("- name: a"), "keys[0].secret: is not set"),
        (
            file(&format!("- {{name: '', secret: {SECRET}}}")),
            "keys[0].name: must be",
        ),
        (
            file(&format!("- {{name: {long}, secret: {SECRET}}}")),
            "keys[0].name: must be",
        ),
        (
            file(&format!("- {{name: {SECRET}, secret: a}}")),
            "keys[0].name: must be",
        ),
        (
            file(&format!("- {{name: a, secret: [{SECRET}]}}")),
            "keys[0].secret: ",
        ),
        (
            file(&format!("- {{name: a, secret: {}}}", &SECRET[4..])),
            "keys[0].secret: must be 32",
        ),
        (
            file(&format!("- {{name: a, secret: {SECRET}{SECRET}}}")),
            "keys[0].secret: must be 32",
        ),
        (
            file(&format!("- {{name: a, secrets: {SECRET}}}")),
            "keys[0]",
        ),
        (
            file(&format!(
                "- {{name: a, secret: {SECRET}}}\n- {{name: a, secret: {OTHER}}}"
            )),
            "keys[1].name: \"a\" is taken",
        ),
        (
            file(&format!(
                "- {{name: a, secret: {SECRET}}}\n- identity: {{}}"
            )),
            "keys[1].identity: ",
        ),
        (
            file(&format!("- {{identity: {{}}, secret: {SECRET}}}")),
            "keys[0].identity: ",
        ),
    ];
    for (text, expected) in cases {
        let error = EncryptionKeys::parse(&text).expect_err(expected);
        assert!(error.starts_with(expected), "{text}\n{error}");
        assert!(!error.contains(&SECRET[4..12]), "{error}");
    }
}

#[test]
fn a_key_file_that_others_may_read_is_refused_with_the_remedy() {
    let mut on_disk = tempfile::NamedTempFile::new().expect("a file");
    let text = file(&format!("- {{name: a, secret: {SECRET}}}\n"));
    on_disk.write_all(text.as_bytes()).expect("written");
    let set_mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        on_disk.as_file().set_permissions(permissions).expect("set");
    };
    for mode in [0o640, 0o604, 0o620] {
        set_mode(mode);
        let error = EncryptionKeys::load(on_disk.path()).expect_err("open to others");
        assert!(matches!(error, KeyFileError::Mode { .. }), "{error:?}");
        let remedy = format!("chmod 600 {}", on_disk.path().display());
        assert!(error.to_string().contains(&remedy), "{error}");
    }
    set_mode(0o400);
    let keys = EncryptionKeys::load(on_disk.path()).expect("loaded");
    assert_eq!(keys.name(), Some("a"));
    let shown = format!("{keys:?}");
    assert!(
        shown.contains("\"a\"") && !shown.contains("0123"),
        "{shown}"
    );
    let gone = EncryptionKeys::load(&on_disk.path().join("gone")).expect_err("no such file");
    assert!(
        gone.to_string().contains("secretEncryption.keyFile"),
        "{gone}"
    );
}
