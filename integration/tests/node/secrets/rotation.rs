//! Encryption is turned on, and its key changed, under running pods.

use std::fs;
use std::path::Path;

use seedpod_integration::{ContainerKind, wait_until};
use serde_json::{Value, json};

use super::needle::{Needle, files_with};
use super::parts::{ask, names, printing, secret};
use crate::programs::{seedpod, seedpodd};
use crate::rig::LIMIT;
use crate::scene::Scene;

/// Long enough that chance does not make it.
const VALUE: &str = "a-value-that-is-looked-for-71d0a4";

/// Changes the configuration of a daemon that was stopped.
fn configure(scene: &Scene<'_>, key: &str, value: Value) {
    let file = scene.daemon.config_file();
    let text = fs::read(&file).expect("read the configuration");
    let mut config: Value = serde_json::from_slice(&text).expect("it is JSON");
    config[key] = value;
    fs::write(&file, config.to_string()).expect("write the configuration");
}

/// The names of the keys in a key file, the first one first.
fn keys(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("read the key file");
    let names = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- name: "));
    names
        .map(|name| name.trim_matches('"').to_owned())
        .collect()
}

#[test]
fn encryption_is_turned_on_and_its_key_is_replaced_while_the_pods_run() {
    let scene = Scene::new("rotation");
    let documents = |more: &str| {
        [
            secret("value", &[("value", VALUE)]),
            secret("more", &[("value", more)]),
            printing(&scene, "web", "value"),
        ]
    };
    scene.inject_and_wait("bundle", &documents("one"));
    let before = scene.running("web", ContainerKind::Container).unwrap();
    let state = scene.daemon.state_directory();
    let needles = Needle::of(VALUE);
    let contains_value = || !files_with(&state, &needles, "".as_ref()).is_empty();
    assert!(contains_value(), "it is not encrypted yet");

    let file = scene.node.layout().scratch().join(scene.name("keys.yaml"));
    let path = file.to_str().unwrap();
    seedpod(&["config", "encryption-key", path]).success();
    configure(&scene, "secretEncryption", json!({"keyFile": file}));
    let restarted = |key: &str| {
        scene.daemon.restart().unwrap();
        let node = ask(&scene, "NodeService/GetNode", &json!({}));
        let node: Value = serde_json::from_str(&node).unwrap();
        assert_eq!(node["objects"]["encrypted"], true);
        assert_eq!(node["objects"]["keyName"], key);
        assert!(!contains_value(), "it is in clear");
        let now = scene.running("web", ContainerKind::Container).unwrap();
        assert_eq!((&now.id, now.pid), (&before.id, before.pid));
    };
    let first = keys(&file).remove(0);
    restarted(&first);
    let objects = || {
        let folder = state.join("objects");
        let files = names(&folder).into_iter();
        let read = |name: String| (fs::read(folder.join(&name)).unwrap(), name);
        files.map(read).collect::<Vec<_>>()
    };
    let of_first = objects();

    seedpod(&["config", "encryption-key", "--rotate", path]).success();
    let [second, old] = &keys(&file)[..] else {
        panic!("{:?}", keys(&file))
    };
    assert_eq!(*old, first);
    restarted(second);
    let of_second = objects();
    assert_eq!(of_first.len(), of_second.len());
    for (one, other) in of_first.iter().zip(&of_second) {
        assert_eq!(one.1, other.1);
        assert_ne!(one.0, other.0, "{} is encrypted with the old key", one.1);
    }

    seedpod(&["config", "encryption-key", "--prune", "1", path]).success();
    assert_eq!(keys(&file), std::slice::from_ref(second));
    restarted(second);
    // What is made of the contents is the same, and new ones come.
    let injected = scene.inject("bundle", &documents("two")).unwrap();
    assert_eq!(injected.bundle.revision, 2);
    assert_eq!(injected.changes.len(), 1);
    let now = scene.running("web", ContainerKind::Container).unwrap();
    assert_eq!(now.id, before.id, "nothing that it sees has changed");

    a_missing_key_stops_the_daemon_and_no_pod(&scene, &file, second, &before.id);
    scene.remove_and_wait("bundle");
}

fn a_missing_key_stops_the_daemon_and_no_pod(
    scene: &Scene<'_>,
    file: &Path,
    key: &str,
    container: &str,
) {
    let aside = file.with_extension("aside");
    scene.daemon.stop().unwrap();
    fs::rename(file, &aside).unwrap();
    seedpod(&["config", "encryption-key", file.to_str().unwrap()]).success();
    let ended = seedpodd(&scene.daemon.config_file());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(key), "{ended:?}");
    let now = scene.running("web", ContainerKind::Container).unwrap();
    assert_eq!(now.id, container);

    fs::rename(&aside, file).unwrap();
    scene.daemon.start_again().unwrap();
    wait_until(LIMIT, "the pod is known again", || {
        scene.pods("bundle").len() == 1
    })
    .unwrap();
    let now = scene.running("web", ContainerKind::Container).unwrap();
    assert_eq!(now.id, container);
}
