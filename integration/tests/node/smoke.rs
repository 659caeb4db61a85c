//! The rig itself: a real kubelet runs what is in its directory.

use std::fs;

use seedpod_integration::{Container, ContainerKind, Node, NodeOptions, wait_until};

use crate::rig::{LIMIT, node, place, pod, unique};

#[test]
fn a_manifest_moved_in_runs_and_stops_when_it_is_removed() {
    let node = node();
    let name = unique("smoke");
    let manifest = place(node, &pod(&name, "first line"));
    assert_eq!(node.first_line(&name, "main", LIMIT).unwrap(), "first line");

    let running = |kind| {
        let full = format!("{name}-{}", node.name());
        let containers = node.containers().unwrap();
        containers
            .iter()
            .any(|it| it.pod == full && it.kind == kind && it.is_running())
    };
    assert!(running(ContainerKind::Sandbox) && running(ContainerKind::Container));

    fs::remove_file(manifest).unwrap();
    wait_until(LIMIT, "the pod stops", || {
        !running(ContainerKind::Sandbox) && !running(ContainerKind::Container)
    })
    .unwrap();
}

#[test]
fn containers_outlive_a_restart_of_containerd_and_of_the_kubelet() {
    // A node of its own: the other tests need theirs to be there all the time.
    let node = &Node::start(&NodeOptions::default()).unwrap();
    let name = unique("survivor");
    let manifest = place(node, &pod(&name, "still here"));
    node.first_line(&name, "main", LIMIT).unwrap();
    let full = format!("{name}-{}", node.name());
    let id = || {
        let containers = node.containers().unwrap();
        let found = containers
            .into_iter()
            .find(|it| it.pod == full && it.name == "main");
        found.filter(Container::is_running).map(|it| it.id)
    };
    let before = id();
    assert!(before.is_some());
    node.restart_containerd().unwrap();
    node.restart_kubelet().unwrap();
    assert_eq!(id(), before);

    fs::remove_file(manifest).unwrap();
    wait_until(LIMIT, "the pod stops", || id().is_none()).unwrap();
}
