//! Bundles with Secrets and ConfigMaps, and what is found of them on a disk.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use seedpod_manifest::{Object, ObjectKey, Objects, Pod};

use super::{DIR, Step, draft, name};
use crate::{
    fs::{FileSystem, sim::SimDisk},
    node::{Bundle, BundleObject, ChangeKind, ObjectChange},
    store::{CommitError, Draft, EncryptionKeys, OpenError, Store, bundle_digest, record},
};

/// A Secret and its one value.
pub(super) type Given = (&'static str, &'static str);

/// What a pod was rendered from.
pub(super) const SOURCE: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{"seedpod.dev/wave":"3"},"name":"pod","namespace":"kube-system"},"spec":{"containers":[{"image":"i","name":"c","ports":[{"containerPort":80,"hostPort":8080}]}]}}"#;

/// The Secret `default/<name>` with this value.
pub(super) fn secret(name: &str, value: &str) -> Object {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let value = STANDARD.encode(value);
    let stored = format!(
        r#"{{"head":{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"{name}","namespace":"default"}},"type":"Opaque"}},"data":{{"key":{{"value":"{value}","binary":false}}}}}}"#
    );
    Object::decode(stored.as_bytes()).expect("an object")
}

pub(super) fn open(disk: &SimDisk, keys: Option<&str>) -> Result<Store, OpenError> {
    let keys = keys.map(|text| EncryptionKeys::parse(text).expect("a good key file"));
    Store::open_unlocked(Arc::new(disk.clone()), Path::new(DIR), keys, None)
}

/// A revision with these Secrets, of which only `given` come along.
pub(super) fn draft_of(
    store: &Store,
    bundle: &'static str,
    objects: &[Object],
    given: &[Object],
    index: usize,
) -> Draft {
    let step = Step::Inject(bundle, &["pod"]);
    let mut draft = draft(&store.state(), &step, index);
    let revision = draft.bundle.revision;
    let of_bundle = |object: &Object| BundleObject {
        summary: object.summary(store.digest_key()),
        revision,
    };
    draft.bundle.objects = objects.iter().map(of_bundle).collect();
    draft.bundle.digest = bundle_digest(&draft.bundle.pods, &draft.bundle.objects);
    let change = |object: &Object| ObjectChange {
        object: object.key().clone(),
        kind: ChangeKind::Added,
        diff: String::new(),
    };
    draft.object_changes = objects.iter().map(change).collect();
    draft.contents = given.iter().cloned().collect();
    if !objects.is_empty() {
        let source = Pod::from_source(SOURCE).expect("a pod");
        let pod = &mut draft.bundle.pods[0];
        pod.source = Some(SOURCE.into());
        pod.volumes = Some(Path::new("/run/seedpod/volumes/uid").into());
        pod.host_ports = source.host_ports().to_vec();
        pod.wave = source.wave();
        let objects: Objects = objects.iter().cloned().collect();
        pod.rendered = rendered(objects.iter()).into();
    }
    draft
}

/// The file of a pod that takes all from these Secrets, also as literals.
fn rendered<'a>(objects: impl Iterator<Item = &'a Object>) -> String {
    let texts = objects.map(|object| String::from_utf8(object.encode().to_vec()));
    texts.collect::<Result<_, _>>().expect("text")
}

/// Commits a revision with these Secrets.
pub(super) fn inject(
    store: &mut Store,
    bundle: &'static str,
    given: &[Given],
    index: usize,
) -> Result<Arc<Bundle>, CommitError> {
    let objects: Vec<Object> = given
        .iter()
        .map(|(name, value)| secret(name, value))
        .collect();
    let committed = store.commit(draft_of(store, bundle, &objects, &objects, index));
    store.prune();
    committed
}

/// The contents of each kept revision, by bundle and revision.
pub(super) type Kept = BTreeMap<(String, u64), BTreeMap<ObjectKey, Vec<u8>>>;

/// Reads all that is kept.
pub(super) fn kept(store: &Store) -> Kept {
    let state = store.state();
    let reader = store.reader();
    let mut all = Kept::new();
    for bundle in state.bundles.keys().chain(state.removed.keys()) {
        let newest = state.newest_revision(bundle).expect("a known bundle");
        for listed in reader.list(bundle, newest).expect("readable") {
            let past = reader.revision(bundle, listed.revision);
            let past = past.expect("readable").expect("kept");
            let objects = reader.objects(&past.bundle.objects);
            let objects = objects.unwrap_or_else(|error| {
                panic!(
                    "{bundle} {}: {}",
                    listed.revision,
                    crate::error::chain(&error)
                )
            });
            if !objects.is_empty() {
                let file = &*past.bundle.pods[0].rendered;
                assert_eq!(file, rendered(objects.iter()));
            }
            let contents = objects
                .iter()
                .map(|object| (object.key().clone(), object.encode().to_vec()));
            all.insert((bundle.to_string(), listed.revision), contents.collect());
        }
    }
    all
}

/// How many different contents are kept.
pub(super) fn distinct(kept: &Kept) -> usize {
    let contents = kept.values().flatten();
    contents.collect::<std::collections::BTreeSet<_>>().len()
}

/// The names of the contents' files.
pub(super) fn files(disk: &SimDisk) -> Vec<String> {
    let dir = Path::new(DIR).join("objects");
    let mut names = disk.list(&dir).expect("the folder");
    names.retain(|name| name != "digest-key");
    names
}

#[test]
fn what_a_revision_says_of_its_objects_is_there_after_a_restart() {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk, None).expect("open");
    let objects = [secret("one", "1"), secret("two", "2")];
    let draft = draft_of(&store, "a", &objects, &objects, 0);
    store.commit(draft).expect("commit");
    let again = open(&disk, None).expect("open");
    assert_eq!(again.state(), store.state());
    let bundle = &again.state().bundles[&name("a")];
    assert_eq!(bundle.objects.len(), 2);
    let pod = &bundle.pods[0];
    assert_eq!((pod.wave, pod.host_ports[0].port), (3, 8080));
    assert_eq!(pod.pod().expect("whole").source(), SOURCE);
    let remembered = again.remembered("request-0").expect("readable");
    let changes = remembered.expect("remembered").object_changes;
    let expected: Vec<_> = objects
        .iter()
        .map(|object| (object.key().clone(), ChangeKind::Added))
        .collect();
    let changes: Vec<_> = changes.into_iter().map(|c| (c.object, c.kind)).collect();
    assert_eq!(changes, expected);
}

#[test]
fn a_bundles_digest_covers_its_objects_and_is_as_ever_without_them() {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk, None).expect("open");
    let mut digest = |given: &[Given], index| {
        let bundle = inject(&mut store, "a", given, index).expect("commit");
        bundle.digest.clone()
    };
    let without = digest(&[], 0);
    assert_eq!(
        without,
        // Of format 1.
        seedpod_manifest::Digest::of(
            format!("kube-system/pod {}\n", seedpod_manifest::Digest::of(b"pod")).as_bytes()
        )
        .to_string()
    );
    let one = digest(&[("one", "1")], 1);
    let changed = digest(&[("one", "2")], 2);
    assert!(without != one && one != changed);
    assert_eq!(digest(&[("one", "1")], 3), one);
}

#[test]
fn the_same_content_is_one_file_until_no_kept_revision_needs_it() {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk, None).expect("open").keeping(2);
    let steps: [(&'static str, &[Given], usize); 8] = [
        ("a", &[("one", "1"), ("two", "2")], 2),
        ("a", &[("one", "1"), ("two", "3")], 3),
        ("b", &[("one", "1")], 3),
        // The first revision of a goes, and with it the first content of two.
        ("a", &[("one", "4")], 3),
        // The second one goes, and b still needs what they share.
        ("a", &[], 2),
        ("b", &[], 2),
        ("b", &[], 1),
        ("a", &[], 0),
    ];
    for (index, (bundle, given, expected)) in steps.into_iter().enumerate() {
        inject(&mut store, bundle, given, index).expect("commit");
        assert_eq!(files(&disk).len(), expected, "step {index}");
        assert_eq!(distinct(&kept(&store)), expected, "step {index}");
        // For good: not even a power cut that loses all that it can brings one back or takes one away.
        let found = disk.after_power_cut(|_| 0);
        assert_eq!(files(&found).len(), expected, "step {index}");
        let reopened = open(&found, None).expect("open");
        assert_eq!(reopened.state(), store.state(), "step {index}");
    }
}

#[test]
fn a_revision_whose_content_is_neither_given_nor_there_is_refused() {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk, None).expect("open");
    inject(&mut store, "a", &[("one", "1")], 0).expect("commit");
    let before = store.state();
    let objects = [secret("one", "1"), secret("two", "2")];
    let other = [secret("two", "other")];
    for given in [&[][..], &other] {
        let error = store.commit(draft_of(&store, "a", &objects, given, 1));
        let text = crate::error::chain(&error.expect_err("a hole"));
        assert!(
            text.contains("Secret default/two is neither given nor there"),
            "{text}"
        );
        store.prune();
        assert_eq!(store.state(), before);
        assert_eq!(files(&disk).len(), 1);
    }
    // What is there need not be given.
    let draft = draft_of(&store, "b", &objects, &objects[1..], 2);
    store.commit(draft).expect("commit");
    assert_eq!(distinct(&kept(&store)), 2);
}

#[test]
fn what_is_kept_of_a_request_tells_nothing_of_its_content() {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk, None).expect("open");
    inject(&mut store, "a", &[], 0).expect("commit");
    let request = super::request("again");
    store
        .remember(&name("a"), &request, &[], 0)
        .expect("remember");
    let dir = Path::new(DIR).join("bundles/a");
    for file in disk.list(&dir).expect("the folder") {
        let text = disk.read(&dir.join(&file), u64::MAX).expect("readable");
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains("\"fingerprint\":\"hmac-sha256:"), "{text}");
        for id in ["again", "request-0"] {
            let plain = super::request(id).fingerprint.to_string();
            assert!(!text.contains(&plain), "{file}");
        }
    }
    for id in ["again", "request-0"] {
        let remembered = open(&disk, None).expect("open").remembered(id);
        let remembered = remembered.expect("readable").expect("remembered");
        assert!(remembered.fingerprint.is(&super::request(id).fingerprint));
        assert!(
            !remembered
                .fingerprint
                .is(&super::request("else").fingerprint)
        );
    }
}

#[test]
fn a_content_that_is_missing_damaged_or_moved_stops_the_daemon_with_its_name() {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk, None).expect("open").keeping(2);
    inject(&mut store, "a", &[("old", "marker-1")], 0).expect("commit");
    inject(&mut store, "a", &[("new", "marker-2")], 1).expect("commit");
    let path = |revision| {
        let past = store.reader().revision(&name("a"), revision);
        let bundle = past.expect("readable").expect("kept").bundle;
        let digest = &bundle.objects[0].summary.digest;
        Path::new(DIR).join("objects").join(digest.hex())
    };
    let bytes = |revision| disk.read(&path(revision), u64::MAX).expect("readable");
    for (revision, object, other) in [(1, "old", 2), (2, "new", 1)] {
        let whole = bytes(revision);
        let refused = |damage: &str| {
            let error = open(&disk, None).map(|store| store.state());
            let error = error.expect_err(damage);
            let OpenError::Incomplete { file, .. } = &error else {
                panic!("{damage}: {error:?}")
            };
            assert!(file.ends_with(format!("bundles/a/{}", record::file_name(revision))));
            let text = crate::error::chain(&error);
            assert!(
                text.contains(&format!("Secret default/{object} ")),
                "{text}"
            );
            assert!(
                text.contains(&path(revision).display().to_string()),
                "{text}"
            );
            assert!(!text.contains("marker"), "{text}");
        };
        for at in (0..whole.len()).step_by(3) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            disk.put(&path(revision), &damaged);
            refused("a flipped bit");
        }
        for damaged in [&whole[..whole.len() - 1], &[], &bytes(other)] {
            disk.put(&path(revision), damaged);
            refused("another content");
        }
        disk.remove_file(&path(revision)).expect("removed");
        refused("no file");
        disk.put(&path(revision), &whole);
    }
    open(&disk, None).expect("whole again");
    // Moving the revision's file away does without it.
    disk.remove_file(&path(2)).expect("removed");
    let revision = Path::new(DIR).join("bundles/a").join(record::file_name(2));
    disk.remove_file(&revision).expect("removed");
    let store = open(&disk, None).expect("open");
    assert_eq!(store.state().bundles[&name("a")].revision, 1);
}

#[test]
fn a_missing_or_damaged_digest_key_and_a_stray_file_stop_the_daemon() {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk, None).expect("open");
    inject(&mut store, "a", &[("one", "1")], 0).expect("commit");
    let folder = Path::new(DIR).join("objects");
    let path = folder.join("digest-key");
    let whole = disk.read(&path, u64::MAX).expect("readable");
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        disk.put(&path, &damaged);
        let error = open(&disk, None).map(|store| store.state());
        let error = error.expect_err("damaged");
        assert!(matches!(error, OpenError::DigestKey { .. }), "{error:?}");
    }
    disk.remove_file(&path).expect("removed");
    let error = open(&disk, None).map(|store| store.state());
    let error = error.expect_err("missing");
    assert!(matches!(error, OpenError::NoDigestKey { .. }), "{error:?}");
    disk.put(&path, &whole);
    let stray = folder.join("one.bak");
    disk.put(&stray, b"");
    let error = open(&disk, None).map(|store| store.state());
    let error = error.expect_err("stray");
    assert!(
        matches!(&error, OpenError::Stray { path } if *path == stray),
        "{error:?}"
    );
}

/// On the real disk, where files are synced several at a time.
#[test]
fn contents_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("temporary folder");
    let state = dir.path().join("state");
    let disk = Arc::new(crate::fs::Disk::new(crate::metrics::Metrics::default()));
    let mut store = Store::open(disk, &state, None).expect("open");
    let objects: Vec<Object> = (0..150)
        .map(|index| secret(&format!("secret-{index}"), &format!("value-{index}")))
        .collect();
    let draft = draft_of(&store, "a", &objects, &objects, 0);
    store.commit(draft).expect("commit");
    assert_eq!(distinct(&kept(&store)), objects.len());
    let mode = |path: &Path| {
        let metadata = std::fs::metadata(path).expect("there");
        metadata.permissions().mode() & 0o7777
    };
    assert_eq!(mode(&state.join("objects")), 0o700);
    let mut count = 0;
    for entry in std::fs::read_dir(state.join("objects")).expect("the folder") {
        assert_eq!(mode(&entry.expect("an entry").path()), 0o600);
        count += 1;
    }
    assert_eq!(count, objects.len() + 1, "with the digest key");
}
