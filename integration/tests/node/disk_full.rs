//! The disk of the state directory is full.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use seedpod_client::Code;
use seedpod_integration::{ContainerKind, wait_until};
use serde_json::{Value, json};

use crate::programs::grpcurl;
use crate::rig::LIMIT;
use crate::scene::{Scene, run};

/// A small file system, mounted apart from the node's folder so that a killed test does not keep the node from being
/// removed.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("seedpod-full-")
            .tempdir()
            .unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs"])
            .arg(folder.path());
        assert!(mount.status().unwrap().success(), "mount a tmpfs");
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Leaves not a byte.
    fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        for size in [4096, 1] {
            loop {
                match file.write_all(&vec![b'x'; size]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}

fn health(scene: &Scene<'_>) -> String {
    let socket = scene.daemon.socket();
    let answer = grpcurl(
        &[
            "-plaintext",
            "-unix",
            "-d",
            r#"{"service": "seedpod.v1.PodInjectionService"}"#,
            socket.to_str().unwrap(),
            "grpc.health.v1.Health/Check",
        ],
        "",
    )
    .success();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["status"].as_str().unwrap().to_owned()
}

fn has_problem(scene: &Scene<'_>, reason: &str) -> bool {
    let node = run(scene.client.get_node()).unwrap();
    node.problems.iter().any(|problem| problem.reason == reason)
}

#[test]
fn a_full_disk_keeps_the_old_revision_and_recovers_when_there_is_room() {
    let disk = SmallDisk::new();
    let state = disk.path().join("state");
    let scene = Scene::configured("full", json!({"stateDirectory": state}));
    let (first, _) = scene.inject_and_wait("bundle", &[scene.pod("web", "one")]);
    let container = scene.running("web", ContainerKind::Container).unwrap();
    let file = fs::read(scene.file("web")).unwrap();
    assert_eq!(health(&scene), "SERVING");

    disk.fill();
    let second = [scene.pod("web", "two")];
    for _ in 0..3 {
        let error = scene.inject("bundle", &second).unwrap_err();
        assert_eq!(error.code(), Some(Code::ResourceExhausted), "{error}");
        assert_eq!(error.reason(), Some("DISK_FULL"));
    }
    let error = scene
        .inject("other", &[scene.pod("other", "x")])
        .unwrap_err();
    assert_eq!(error.reason(), Some("DISK_FULL"), "{error}");
    // Nothing has changed, and what is there is still told.
    assert_eq!(scene.bundle("bundle").unwrap(), first.bundle);
    assert_eq!(
        scene.bundle("other").unwrap_err().code(),
        Some(Code::NotFound)
    );
    assert_eq!(fs::read(scene.file("web")).unwrap(), file);
    assert!(!scene.file("other").exists());
    let same = scene.running("web", ContainerKind::Container).unwrap();
    assert_eq!(same.id, container.id);
    assert!(has_problem(&scene, "DISK_FULL"));
    wait_until(LIMIT, "health says NOT_SERVING", || {
        health(&scene) == "NOT_SERVING"
    })
    .unwrap();
    let ready = scene.daemon.metrics().get("/readyz").unwrap();
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("DISK_FULL"), "{}", ready.body);

    // A full disk does not keep the daemon from starting again, either.
    scene.daemon.kill9().unwrap();
    scene.daemon.launch().unwrap();
    wait_until(LIMIT, "the daemon answers again", || {
        scene
            .bundle("bundle")
            .is_ok_and(|bundle| bundle == first.bundle)
    })
    .unwrap();
    let error = scene.inject("bundle", &second).unwrap_err();
    assert_eq!(error.reason(), Some("DISK_FULL"), "{error}");

    disk.make_room();
    wait_until(LIMIT, "the daemon recovers by itself", || {
        scene.daemon.is_ready() && health(&scene) == "SERVING" && !has_problem(&scene, "DISK_FULL")
    })
    .unwrap();
    let (second, _) = scene.inject_and_wait("bundle", &second);
    assert_eq!(second.bundle.revision, 2);
    scene.wait_for_line("web", "two");
}
