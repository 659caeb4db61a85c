//! The handoff's record and its material, against a disk whose power is cut, that fails, or that somebody damaged.

use std::collections::BTreeSet;

use seedpod_manifest::{FieldValidation, Materials, Options, Stamp, check, render};
use zeroize::Zeroizing;

use super::*;
use crate::{
    handoff::{
        Component, Deadlines, Failure, Kind, Material, ObjectReference, Record, Spec, Stage,
        SteeringUsed, Step as StageStep,
    },
    store::{EncryptionKeys, owned_by},
};

const KEYS: &str = "apiVersion: seedpod.dev/v1alpha1\nkind: EncryptionKeys\nkeys:\n- name: new\n  secret: \
                    MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n";

fn key() -> PodKey {
    PodKey {
        namespace: "kube-system".into(),
        name: "kube-apiserver".into(),
    }
}

/// A bundle with one pod as the node makes it.
fn inject(store: &mut Store, bundle: &str) -> Result<(), CommitError> {
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver, namespace: kube-system}\nspec:\n  \
                    containers:\n  - {name: main, image: i}\n";
    let options = Options {
        allow_secret_env: false,
        node: "n1".parse().expect("a valid name"),
        max_pods: 64,
        max_bytes: 4 << 20,
        field_validation: FieldValidation::Strict,
    };
    let checked = check(&[manifest], &options).expect("a valid manifest");
    let pod = &checked.pods[0];
    let (bundle, revision) = (name(bundle), store.state().next_revision(&name(bundle)));
    let digest = pod.digest();
    let uid = store
        .id()
        .pod_uid(bundle.as_str(), revision, pod.key(), &digest.to_string());
    let stamp = Stamp {
        bundle: &bundle,
        revision,
        uid: &uid,
        digest,
        volumes: "/v",
    };
    let mut draft = draft(&store.state(), &Step::Inject("a", &["x"]), 0);
    draft.request = None;
    draft.bundle.pods = vec![BundlePod {
        volumes: None,
        source: None,
        file: pod.key().file_name(),
        key: pod.key().clone(),
        rendered: render(pod, &stamp, &Materials::default()).into(),
        digest: digest.to_string(),
        revision,
        host_ports: Vec::new(),
        wave: 0,
        uid,
    }];
    draft.bundle.name = bundle;
    draft.bundle.revision = revision;
    store.commit(draft).map(drop)
}

fn record(id: &str) -> Record {
    Record {
        id: id.to_owned(),
        spec: Spec {
            bundle: name("a"),
            components: vec![Component {
                kind: Kind::ApiServer { port: 6443 },
                injected: key(),
                namespace: "kube-system".to_owned(),
                selector: [("component".to_owned(), "kube-apiserver".to_owned())].into(),
            }],
            node_labels: [("seedpod.dev/self-hosted".to_owned(), "yes".to_owned())].into(),
            deadlines: Deadlines::default(),
            stable_for: Duration::from_secs(10),
        },
        generation: 1,
        stage: Stage::Applying,
        start_time: Timestamp::UNIX_EPOCH,
        steps: Vec::new(),
        since: BootTime {
            boot_id: "boot-1".to_owned(),
            since_boot: Duration::ZERO,
        },
        deadline: Some(BootTime {
            boot_id: "boot-1".to_owned(),
            since_boot: Duration::from_millis(1500),
        }),
        failure: None,
        withheld: BTreeSet::new(),
        created: Vec::new(),
        steering: None,
        resumptions: 0,
    }
}

/// One with something in each field.
pub(super) fn full_record() -> Record {
    let mut record = record("fixture");
    record.spec.bundle = name("control-plane");
    record.spec.components.push(Component {
        kind: Kind::LeaderElected {
            lease: "kube-scheduler".to_owned(),
        },
        ..record.spec.components[0].clone()
    });
    record.stage = Stage::Reverting;
    record.steps = vec![StageStep {
        stage: Stage::Applying,
        start_time: Timestamp::UNIX_EPOCH,
        message: "applied".to_owned(),
    }];
    record.failure = Some(Failure {
        stage: Stage::HandingOver,
        reason: "ABORTED".to_owned(),
        message: "why".to_owned(),
    });
    record.withheld = [key()].into();
    record.created = vec![ObjectReference {
        api_version: "apps/v1".to_owned(),
        kind: "DaemonSet".to_owned(),
        namespace: "kube-system".to_owned(),
        name: "kube-apiserver".to_owned(),
    }];
    record.steering = Some(SteeringUsed::None {
        why: "no rights".to_owned(),
    });
    record.resumptions = 1;
    record
}

pub(super) fn material(of: &str) -> Material {
    let secret = |what: &str| Zeroizing::new(format!("{what} of {of}"));
    Material {
        manifests: vec![secret("a Secret"), secret(""), secret("a DaemonSet")],
        kubeconfig: secret("the kubeconfig"),
    }
}

#[derive(Debug, Clone, Copy)]
enum Move {
    Start(&'static str),
    /// To a stage, with the pod withheld or not.
    To(Stage, bool),
    Forget,
    Remove,
    Inject,
}

/// Everything that a handoff does, from the start to the standby that comes back and goes.
fn moves() -> Vec<Move> {
    use Move::{Forget, Inject, Remove, Start, To};
    vec![
        Start("first"),
        To(Stage::HandingOver, true),
        To(Stage::Reverting, false),
        To(Stage::Reverted, false),
        Start("second"),
        To(Stage::HandingOver, true),
        To(Stage::Committed, true),
        To(Stage::StandingIn, false),
        To(Stage::StandingDown, true),
        To(Stage::Committed, true),
        Forget,
        Start("third"),
        Remove,
        Inject,
        Start("fourth"),
    ]
}

fn make(store: &mut Store, one: Move) -> Result<(), CommitError> {
    match one {
        Move::Start(id) => store
            .start_handoff(record(id), &material(id), Some(&request(id)))
            .map(drop),
        Move::To(stage, withheld) => {
            let state = store.state();
            let mut next = Record::clone(state.handoff.as_ref().expect("under way"));
            next.generation += 1;
            next.stage = stage;
            next.withheld = withheld.then(key).into_iter().collect();
            next.failure = (stage == Stage::Reverting).then(|| Failure {
                stage: Stage::HandingOver,
                reason: "ABORTED".to_owned(),
                message: String::new(),
            });
            store.advance_handoff(next).map(drop)
        }
        Move::Forget => store.forget_handoff(),
        Move::Remove => {
            let step = Step::Remove("a");
            store.commit(draft(&store.state(), &step, 0))?;
            store.prune();
            store.forget_handoff()
        }
        Move::Inject => inject(store, "a"),
    }
}

/// What can be seen of a store's handoff: the record, what of the material can be read, and how often the pod has come
/// back.
#[derive(Debug, PartialEq)]
struct Seen {
    record: Option<Record>,
    material: Option<(Vec<String>, String)>,
    has_bundle: bool,
    returned: Option<u64>,
}

fn see(store: &Store) -> Seen {
    let state = store.state();
    let material = state.handoff_material.map(|digest| {
        let material = store.reader().handoff_material(&digest).expect("readable");
        let manifests = material.manifests.iter().map(|it| it.to_string());
        (manifests.collect(), material.kubeconfig.to_string())
    });
    let pod = state.bundles.get(&name("a")).map(|it| it.pods[0].clone());
    let returned = pod.and_then(|pod| {
        let owned = owned_by(store.id(), pod.rendered.as_bytes()).expect("a file of ours");
        assert_eq!(owned.uid, pod.uid);
        let file: serde_json::Value = serde_json::from_str(&pod.rendered).expect("JSON");
        let count = file["metadata"]["annotations"]["seedpod.dev/returned"].as_str();
        count.map(|count| count.parse().expect("a number"))
    });
    Seen {
        record: state.handoff.as_deref().cloned(),
        material,
        has_bundle: state.bundles.contains_key(&name("a")),
        returned,
    }
}

/// The names of the handoff's files.
fn files(disk: &SimDisk) -> Vec<String> {
    use crate::fs::FileSystem as _;
    disk.list(Path::new("/state/handoff")).unwrap_or_default()
}

fn begin() -> (SimDisk, Store) {
    let disk = SimDisk::new(Path::new(DIR));
    let mut store = open(&disk).expect("open");
    inject(&mut store, "a").expect("commit");
    (disk, store)
}

fn expected() -> Vec<Seen> {
    let (disk, mut store) = begin();
    let mut seen = vec![see(&store)];
    for one in moves() {
        make(&mut store, one).expect("a disk without faults");
        seen.push(see(&store));
        let materials = files(&disk)
            .iter()
            .filter(|it| *it != "record.json")
            .count();
        assert_eq!(
            materials,
            usize::from(seen.last().is_some_and(|it| it.material.is_some())),
            "after {one:?}: {:?}",
            files(&disk)
        );
    }
    seen
}

#[test]
fn a_handoff_keeps_what_its_stage_needs_and_a_pod_comes_back_as_another_one() {
    let seen = expected();
    let whole = |of: &str| {
        let material = material(of);
        let manifests = material.manifests.iter().map(|it| it.to_string()).collect();
        Some((manifests, material.kubeconfig.to_string()))
    };
    let kubeconfig = |of: &str| Some((Vec::new(), material(of).kubeconfig.to_string()));
    let kept: Vec<_> = seen.iter().map(|it| it.material.clone()).collect();
    let expected = [
        None,
        whole("first"),
        whole("first"),
        whole("first"),
        None,
        whole("second"),
        whole("second"),
        kubeconfig("second"),
        kubeconfig("second"),
        kubeconfig("second"),
        kubeconfig("second"),
        None,
        whole("third"),
        None,
        None,
        whole("fourth"),
    ];
    assert_eq!(kept, expected);
    let returned: Vec<_> = seen.iter().map(|it| it.returned.unwrap_or(0)).collect();
    assert_eq!(returned, [0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 0, 0, 0]);
}

#[test]
fn after_a_power_cut_between_any_two_calls_the_old_or_the_new_record_is_there_with_its_material() {
    let expected = expected();
    let mut cuts = 0;
    for cut in 0.. {
        let (disk, mut store) = begin();
        disk.set_fault(Fault::PowerCut(cut));
        let mut done = 0;
        for one in moves() {
            if make(&mut store, one).is_err() {
                break;
            }
            done += 1;
        }
        for seed in seeds() {
            let found = disk.after_power_cut(chooser(seed));
            let store = open(&found)
                .unwrap_or_else(|e| panic!("cut {cut}, seed {seed}: {}", crate::error::chain(&e)));
            let seen = see(&store);
            assert!(
                seen == expected[done] || Some(&seen) == expected.get(done + 1),
                "cut {cut}, seed {seed}: neither old nor new after {done}: {seen:?}"
            );
            let materials = files(&found)
                .iter()
                .filter(|it| *it != "record.json")
                .count();
            assert_eq!(materials, usize::from(seen.material.is_some()), "cut {cut}");
            let again = open(&found.after_power_cut(chooser(!seed))).expect("open again");
            assert_eq!(
                see(&again),
                seen,
                "cut {cut}, seed {seed}: lost after a second cut"
            );
        }
        cuts += 1;
        if done == moves().len() {
            break;
        }
    }
    assert!(
        cuts > 60,
        "only {cuts} places to cut: the moves do too little"
    );
}

#[test]
fn a_failing_call_leaves_the_old_record_and_the_next_attempt_works() {
    let expected = expected();
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        for at in 0.. {
            let (disk, mut store) = begin();
            disk.set_fault(Fault::Once(at, kind));
            let mut failed = false;
            for (index, one) in moves().into_iter().enumerate() {
                // These are two changes.
                let is_tried = !matches!(one, Move::Remove);
                let made = make(&mut store, one);
                if is_tried && made.is_err() {
                    failed = true;
                    assert_eq!(see(&store), expected[index], "call {at}");
                    let reopened = open(&disk).expect("open after a failure");
                    assert_eq!(see(&reopened), expected[index], "call {at}");
                }
                if made.is_err() {
                    failed = true;
                    make(&mut store, one).expect("the second attempt");
                }
                assert_eq!(see(&store), expected[index + 1], "call {at}");
            }
            if !failed && disk.calls() <= at {
                break;
            }
        }
    }
}

#[test]
fn a_request_is_remembered_with_the_handoff_that_it_began() {
    let (disk, mut store) = begin();
    make(&mut store, Move::Start("first")).expect("start");
    drop(store);
    let store = open(&disk).expect("open");
    let (fingerprint, record) = store.remembered_handoff("first").expect("remembered");
    assert!(fingerprint.is(&request("first").fingerprint));
    assert!(!fingerprint.is(&request("second").fingerprint));
    assert_eq!(record.id, "first");
    assert!(store.remembered_handoff("second").is_none());
}

#[test]
fn a_record_or_a_material_that_is_damaged_or_gone_stops_the_daemon() {
    use crate::fs::FileSystem as _;
    let (disk, mut store) = begin();
    make(&mut store, Move::Start("first")).expect("start");
    drop(store);
    let folder = Path::new("/state/handoff");
    for file in files(&disk) {
        let path = folder.join(&file);
        let whole = disk.read(&path, 1 << 20).expect("readable");
        let put = |bytes: &[u8]| {
            crate::fs::stage(&disk, folder, &file, bytes, 0o600).expect("staged");
            crate::fs::unveil(&disk, folder, &file).expect("renamed");
        };
        for at in [0, whole.len() / 2, whole.len() - 2] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            put(&damaged);
            let error = open(&disk).expect_err("damaged");
            assert!(
                matches!(
                    error,
                    OpenError::Handoff { .. } | OpenError::Material { .. }
                ),
                "{file} at {at}: {error:?}"
            );
        }
        put(&whole[..whole.len() / 2]);
        open(&disk).expect_err("cut short");
        if file != "record.json" {
            disk.remove_file(&path).expect("removed");
            let error = open(&disk).expect_err("gone");
            let OpenError::Material { source, .. } = &error else {
                panic!("{error:?}")
            };
            assert!(source.is_absent());
            let text = crate::error::chain(&error);
            assert!(!text.contains("a Secret") && !text.contains("the kubeconfig"));
        }
        put(&whole);
        open(&disk).expect("whole again");
    }
    crate::fs::stage(&disk, folder, "x", b"", 0o600).expect("staged");
    crate::fs::unveil(&disk, folder, "x").expect("renamed");
    assert!(matches!(open(&disk), Err(OpenError::Stray { .. })));
}

#[test]
fn a_material_is_encrypted_with_the_first_key_and_anew_when_that_is_another() {
    use crate::fs::FileSystem as _;
    let disk = SimDisk::new(Path::new(DIR));
    let open = |keys: Option<&str>| {
        let keys = keys.map(|text| EncryptionKeys::parse(text).expect("a good key file"));
        Store::open_unlocked(Arc::new(disk.clone()), Path::new(DIR), keys, None)
    };
    let shows = || {
        let names = files(&disk);
        let file = names.iter().find(|it| *it != "record.json");
        let path = Path::new("/state/handoff").join(file.expect("a material"));
        let bytes = disk.read(&path, 1 << 20).expect("readable");
        String::from_utf8_lossy(&bytes).contains("the kubeconfig of first")
    };
    let mut store = open(None).expect("open");
    inject(&mut store, "a").expect("commit");
    make(&mut store, Move::Start("first")).expect("start");
    let plain = see(&store);
    drop(store);
    assert!(shows());
    let store = open(Some(KEYS)).expect("open with keys");
    assert_eq!(see(&store), plain);
    drop(store);
    assert!(!shows(), "it was encrypted when there was a key");
    let error = open(None).expect_err("without the key");
    assert!(crate::error::chain(&error).contains("\"new\""), "{error:?}");
}

#[test]
fn an_older_seedpodd_does_not_use_a_folder_with_a_handoff() {
    use crate::fs::FileSystem as _;
    let (disk, mut store) = begin();
    let path = Path::new("/state/store.json");
    let old = disk.read(path, 1 << 20).expect("readable");
    let old = String::from_utf8(old)
        .expect("text")
        .replace("\"format\":4", "\"format\":3");
    drop(store);
    crate::fs::stage(&disk, Path::new(DIR), "store.json", old.as_bytes(), 0o600).expect("staged");
    crate::fs::unveil(&disk, Path::new(DIR), "store.json").expect("renamed");
    store = open(&disk).expect("open");
    assert!(old.contains("\"format\":3"));
    make(&mut store, Move::Start("first")).expect("start");
    let new = disk.read(path, 1 << 20).expect("readable");
    assert!(String::from_utf8_lossy(&new).contains("\"format\":4"));
}
