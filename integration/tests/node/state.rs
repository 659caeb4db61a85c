//! The state directory: one daemon at a time, and what cannot be read is never taken as absent.

use std::fs;
use std::path::{Path, PathBuf};

use seedpod_client::Code;
use seedpod_integration::ContainerKind;
use serde_json::json;

use crate::programs::{Ended, seedpodd};
use crate::scene::Scene;

/// The file of a bundle's revision.
fn revision_file(scene: &Scene<'_>, bundle: &str, revision: u64) -> PathBuf {
    scene
        .daemon
        .state_directory()
        .join("bundles")
        .join(scene.name(bundle))
        .join(format!("{revision:020}.json"))
}

fn refused(config: &Path) -> String {
    let Ended {
        code,
        stdout,
        stderr,
    } = seedpodd(config);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    stderr
}

#[test]
fn a_second_daemon_on_the_same_state_directory_is_refused() {
    let scene = Scene::new("lock");
    let (injected, _) = scene.inject_and_wait("bundle", &[scene.pod("web", "hello")]);
    // Another daemon in all but the state directory.
    let second = Scene::prepared(
        scene.node,
        "lock",
        json!({"stateDirectory": scene.daemon.state_directory()}),
    );
    let error = refused(&second.daemon.config_file());
    let pid = scene.daemon.process().unwrap().pid;
    assert!(
        error.contains(&format!(
            "another seedpodd (pid {pid}) uses this state directory"
        )),
        "{error}"
    );
    assert!(error.contains("stateDirectory"), "{error}");
    // The first one did not notice.
    assert_eq!(scene.bundle("bundle").unwrap(), injected.bundle);
    scene.inject_and_wait("bundle", &[scene.pod("web", "again")]);

    // The lock of one that was killed is free.
    scene.daemon.kill9().unwrap();
    second.daemon.start_again().unwrap();
    second.daemon.stop().unwrap();
}

#[test]
fn corrupt_state_is_refused_and_the_way_out_in_the_message_works() {
    let scene = Scene::new("corrupt");
    let (first, _) = scene.inject_and_wait("bundle", &[scene.pod("web", "one")]);
    let pods = [scene.pod("web", "two"), scene.pod("new", "two")];
    scene.inject_and_wait("bundle", &pods);
    scene.daemon.stop().unwrap();
    let file = revision_file(&scene, "bundle", 2);
    let whole = fs::read(&file).unwrap();
    let projected = ["web", "new"].map(|pod| fs::read(scene.file(pod)).unwrap());
    let container = scene.running("web", ContainerKind::Container).unwrap();

    let middle = whole.len() / 2;
    let mut flipped = whole.clone();
    flipped[middle] ^= 0x20;
    for damaged in [&whole[..middle], &[][..], &flipped[..]] {
        fs::write(&file, damaged).unwrap();
        let error = refused(&scene.daemon.config_file());
        assert!(
            error.contains(&format!("{} is corrupt", file.display())),
            "{error}"
        );
        assert!(
            error.contains("move this file out of the state directory"),
            "{error}"
        );
        assert_eq!(fs::read(&file).unwrap(), damaged);
    }
    // Reading it as "no bundles" would have stopped every pod.
    assert_eq!(
        ["web", "new"].map(|pod| fs::read(scene.file(pod)).unwrap()),
        projected
    );
    let still = scene.running("web", ContainerKind::Container).unwrap();
    assert_eq!(still.id, container.id);

    // The way out: back to the last revision that is whole.
    fs::rename(
        &file,
        scene.node.layout().scratch().join(scene.name("moved")),
    )
    .unwrap();
    scene.daemon.start_again().unwrap();
    assert_eq!(scene.bundle("bundle").unwrap(), first.bundle);
    scene.wait_running(&first.bundle);
    scene.wait_for_line("web", "one");
    scene.wait_stopped("new");
    // And on from there.
    scene.inject_and_wait("bundle", &[scene.pod("web", "three")]);
    scene.wait_for_line("web", "three");
}

#[test]
fn a_state_directory_without_its_head_is_refused() {
    let scene = Scene::new("headless");
    scene.inject_and_wait("bundle", &[scene.pod("web", "one")]);
    scene.daemon.stop().unwrap();
    let head = scene.daemon.state_directory().join("store.json");
    fs::remove_file(&head).unwrap();
    let error = refused(&scene.daemon.config_file());
    assert!(
        error.contains(&format!("{} is missing", head.display())),
        "{error}"
    );
    assert!(scene.file("web").exists());
    assert!(!head.exists(), "a new one would make the pods foreign");
    assert!(scene.running("web", ContainerKind::Container).is_some());
}

#[test]
fn an_empty_state_directory_takes_no_pods_of_another_store_away() {
    let scene = Scene::new("anew");
    scene.inject_and_wait("bundle", &[scene.pod("web", "one")]);
    scene.daemon.stop().unwrap();
    fs::remove_dir_all(scene.daemon.state_directory()).unwrap();
    scene.daemon.start_again().unwrap();
    assert_eq!(
        scene.bundle("bundle").unwrap_err().code(),
        Some(Code::NotFound)
    );
    // Whose it is cannot be told any more, so it is foreign.
    let error = scene
        .inject("bundle", &[scene.pod("web", "two")])
        .unwrap_err();
    assert_eq!(error.reason(), Some("FOREIGN_FILE"));
    assert!(scene.running("web", ContainerKind::Container).is_some());
}
