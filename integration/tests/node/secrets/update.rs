//! A bundle changes while its pods read their files.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use seedpod_client::{Bundle, ChangeType, Origin, RollbackBundle, Trial};
use seedpod_integration::{ContainerKind, wait_for, wait_until};
use serde_json::{Value, json};

use super::parts::{folder, mounting, printing, request, secret, uid};
use crate::pods;
use crate::rig::LIMIT;
use crate::scene::{Scene, run};

/// Reads both files over and over, and prints what it has read when that is another than before. After SIGTERM it reads
/// on for two seconds.
const READER: &str = r#"
trap 'stopping=1' TERM
last= reads=0 left=20
while [ "$left" -gt 0 ]; do
  now=$(cat /s/one 2>&1)+$(cat /s/two 2>&1)
  [ "$now" = "$last" ] || echo "read $now"
  last=$now reads=$((reads + 1))
  [ -z "$stopping" ] || { left=$((left - 1)); sleep 0.1; }
done
echo "end $last after $reads reads"
"#;

fn reader(scene: &Scene<'_>, name: &str) -> Value {
    mounting(pods::script(&scene.name(name), READER), "changing")
}

fn changing(value: &str) -> Value {
    secret("changing", &[("one", value), ("two", value)])
}

/// The open log of a pod's container, which can be read on when the kubelet has removed it.
fn open_log(scene: &Scene<'_>, bundle: &Bundle, pod: &str) -> File {
    let full = format!("{}-{}", scene.name(pod), scene.node.name());
    let folder = format!("default_{full}_{}", uid(scene, bundle, pod));
    let file = scene.node.pod_logs().join(folder).join("main/0.log");
    wait_for(LIMIT, "the pod has a log", || File::open(&file).ok()).expect("the pod has a log")
}

/// The messages in a log, without times and streams.
fn messages(log: &mut File) -> Vec<String> {
    let mut text = String::new();
    log.read_to_string(&mut text).expect("read the log");
    let messages = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3));
    messages.map(str::to_owned).collect()
}

/// The inodes and times of a folder and its files.
fn identities(folder: &Path) -> Vec<(u64, i64, i64)> {
    let data = |path: &Path| {
        let data = fs::metadata(path).expect("look at a file");
        (data.ino(), data.mtime_nsec(), data.ctime_nsec())
    };
    ["", "s", "s/value"]
        .map(|name| data(&folder.join(name)))
        .to_vec()
}

#[test]
fn a_running_reader_never_sees_a_change_and_its_successor_sees_nothing_else() {
    let scene = Scene::new("update");
    // It takes one key, so that it sees nothing of what happens to the others.
    let mut other = printing(&scene, "other", "same");
    other["spec"]["volumes"][0]["secret"]["items"] = json!([{"key": "value", "path": "value"}]);
    let documents = |value: &str| {
        let same = secret("same", &[("value", "same"), ("unused", value)]);
        let reader = reader(&scene, "reader");
        [changing(value), same, reader, other.clone()]
    };
    let (first, _) = scene.inject_and_wait("bundle", &documents("a"));
    assert_eq!(scene.first_line("reader"), "read a+a");
    assert_eq!(scene.first_line("other"), "same");
    let mut bundle = first.bundle;
    let untouched = scene.running("other", ContainerKind::Container).unwrap();
    let other_folder = folder(&scene, &bundle, "other");
    let identity = identities(&other_folder);

    for value in ["b", "c"] {
        let mut log = open_log(&scene, &bundle, "reader");
        let old_folder = folder(&scene, &bundle, "reader");
        let old = scene.running("reader", ContainerKind::Container).unwrap();
        let injected = scene.inject("bundle", &documents(value)).expect("inject");
        let types: Vec<ChangeType> = injected.changes.iter().map(|it| it.r#type).collect();
        // By name: other, reader.
        assert_eq!(types, [ChangeType::Unchanged, ChangeType::Replaced]);
        wait_until(LIMIT, "the old container ends", || {
            let is_there = old_folder.join("s/one").exists();
            let runs = scene.node.containers().is_ok_and(|all| {
                let mut all = all.iter();
                all.any(|it| it.id == old.id && it.is_running())
            });
            assert!(
                is_there || !runs,
                "the files of a running container are gone"
            );
            !runs
        })
        .unwrap();
        scene.wait_for_line("reader", &format!("read {value}+{value}"));
        let told = messages(&mut log);
        let before = &told[0]["read ".len()..];
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[1].starts_with(&format!("end {before} after ")),
            "{told:?}"
        );
        assert_ne!(before, format!("{value}+{value}"));
        wait_until(LIMIT, "the old files are gone", || !old_folder.exists()).unwrap();
        bundle = injected.bundle;
        scene.wait_running(&bundle);
        let log = scene
            .node
            .container_log("default", &scene.name("reader"), "main");
        assert_eq!(
            log.unwrap(),
            format!("read {value}+{value}\n"),
            "and nothing else"
        );
    }

    let back = RollbackBundle::new(scene.name("bundle")).to_revision(1);
    let back = run(scene.client.rollback_bundle(&back)).unwrap();
    assert_eq!(back.source_revision, 1);
    scene.wait_for_line("reader", "read a+a");
    scene.wait_running(&back.bundle);

    let same = scene.running("other", ContainerKind::Container).unwrap();
    assert_eq!((same.id, same.pid), (untouched.id, untouched.pid));
    assert_eq!(identities(&other_folder), identity);
    scene.remove_and_wait("bundle");
    let volumes = scene.daemon.volumes_directory();
    wait_until(LIMIT, "all files are gone", || {
        super::parts::names(&volumes).is_empty()
    })
    .unwrap();
}

#[test]
fn a_broken_secret_on_trial_goes_back_to_the_one_before() {
    let scene = Scene::configured("broken", json!({"trial": {"maxCrashes": 2}}));
    let documents = |value: &str| {
        let script = format!(
            "cat /s/value; echo; grep -q good /s/value || exit 3; {}",
            pods::STAY
        );
        let mut pod = mounting(pods::script(&scene.name("web"), &script), "value");
        pod["spec"]["containers"][0]["readinessProbe"] =
            json!({"exec": {"command": ["grep", "-q", "good", "/s/value"]}, "periodSeconds": 1});
        [secret("value", &[("value", value)]), pod]
    };
    let (first, _) = scene.inject_and_wait("bundle", &documents("good one"));
    let name = scene.name("bundle");
    wait_until(LIMIT, "the first revision is good", || {
        let bundle = run(scene.client.get_bundle(&name));
        bundle.is_ok_and(|it| it.last_good_revision == 1)
    })
    .unwrap();
    let trial = Trial::new(Duration::from_secs(600));
    let on_trial = request(&scene, &documents("broken")).trial(trial);
    let injected = run(scene.client.inject(&on_trial)).unwrap();
    let broken = folder(&scene, &injected.bundle, "web");
    wait_until(LIMIT * 2, "the node goes back by itself", || {
        scene
            .bundle("bundle")
            .is_ok_and(|it| it.digest == first.bundle.digest)
    })
    .unwrap();
    let newest = run(scene.client.get_revision(&name, 0)).unwrap();
    assert_eq!(newest.origin, Origin::TrialFailed);
    scene.wait_for_line("web", "good one");
    wait_until(LIMIT, "the broken files are gone", || !broken.exists()).unwrap();
    let bundle = scene.bundle("bundle").unwrap();
    let file = folder(&scene, &bundle, "web").join("s/value");
    assert_eq!(fs::read_to_string(file).unwrap(), "good one");
    scene.remove_and_wait("bundle");
}
