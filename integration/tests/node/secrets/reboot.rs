//! After a reboot the volumes are empty, and the kubelet starts first.

use std::time::{Duration, Instant};

use seedpod_integration::{ContainerKind, Node, NodeOptions, wait_until};

use super::parts::{folder, holds_for, names, printing, secret};
use crate::rig::{LIMIT, wait_kubelet};
use crate::scene::Scene;

#[test]
fn pods_wait_for_the_daemon_after_a_reboot_and_then_come_up() {
    let node = Node::start(&NodeOptions::default()).unwrap();
    let scene = Scene::on(&node, "reboot-secrets");
    let waiting = printing(&scene, "waiting", "value");
    let documents = [
        secret("value", &[("value", "still the same")]),
        waiting,
        scene.pod("plain", "needs nothing"),
    ];
    let (injected, _) = scene.inject_and_wait("bundle", &documents);
    let of_pod = folder(&scene, &injected.bundle, "waiting");

    // How long the kubelet is alone: it tries again after 0.5, 1, 2, 4 s and so on.
    for alone in [Duration::from_secs(2), Duration::from_secs(20)] {
        node.cut_power().unwrap();
        scene.daemon.play_reboot(Duration::from_secs(5)).unwrap();
        assert!(names(&scene.daemon.volumes_directory()).is_empty());
        node.power_on().unwrap();
        wait_kubelet(&node, &scene.name("plain"), "running", |it| {
            it["state"]["running"].is_object()
        });
        let waits =
            || !of_pod.exists() && scene.running("waiting", ContainerKind::Container).is_none();
        assert!(holds_for(alone, waits), "it runs without its files");

        let begun = Instant::now();
        scene.daemon.start_again().unwrap();
        let ready = begun.elapsed();
        wait_until(LIMIT * 3, "the pod runs", || {
            scene.running("waiting", ContainerKind::Container).is_some()
        })
        .unwrap();
        println!(
            "the kubelet was alone for {alone:?} and more; seedpodd was ready after {ready:?}, and the pod ran {:?} \
             after its start",
            begun.elapsed()
        );
        assert_eq!(scene.first_line("waiting"), "still the same");
        scene.wait_running(&injected.bundle);
    }
    scene.remove_and_wait("bundle");
}
