//! The kubelet and containerd restart in the middle of an injection.

use seedpod_client::{PodState, RuntimeState};
use seedpod_integration::{ContainerKind, Node, NodeOptions, wait_until};

use crate::rig::LIMIT;
use crate::scene::{Scene, run};

/// A node of the test's own: the other tests need theirs to be there all the time.
fn node() -> Node {
    Node::start(&NodeOptions::default()).unwrap()
}

/// A first revision that runs, then a second one: a pod changed, one removed, one untouched, one added; and `between`
/// right after it. In the end all is as the second revision demands.
fn replace_while(node: &Node, between: impl FnOnce(&Scene<'_>)) {
    let scene = Scene::on(node, "restart");
    let first = ["changed", "removed", "same"].map(|name| scene.pod(name, "one"));
    scene.inject_and_wait("bundle", &first);
    let untouched = scene.running("same", ContainerKind::Container).unwrap();

    let second = [
        scene.pod("added", "two"),
        scene.pod("changed", "two"),
        scene.pod("same", "one"),
    ];
    let injected = scene.inject("bundle", &second).unwrap();
    between(&scene);

    let pods = scene.wait_running(&injected.bundle);
    assert_eq!(pods.len(), 3, "{pods:?}");
    for name in ["added", "changed"] {
        scene.wait_for_line(name, "two");
    }
    scene.wait_stopped("removed");
    let same = scene.running("same", ContainerKind::Container).unwrap();
    assert_eq!((same.id, same.pid), (untouched.id, untouched.pid));
    for (name, revision) in [("added", "2"), ("changed", "2"), ("same", "1")] {
        let sandbox = scene.running(name, ContainerKind::Sandbox).unwrap();
        assert_eq!(sandbox.annotations["seedpod.dev/revision"], revision);
    }
    // Nothing is left to do, and nothing is wrong.
    wait_until(LIMIT, "the projection is done", || {
        let metrics = scene.daemon.metrics().get("/metrics").unwrap().body;
        metrics
            .lines()
            .any(|line| line == "seedpod_projection_queue 0")
    })
    .unwrap();
    let problems = run(scene.client.get_node()).unwrap().problems;
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn a_kubelet_that_restarts_in_the_middle_of_an_injection_ends_up_right() {
    let node = node();
    replace_while(&node, |_| node.restart_kubelet().unwrap());
}

#[test]
fn a_containerd_that_restarts_in_the_middle_of_an_injection_ends_up_right() {
    let node = node();
    replace_while(&node, |_| node.restart_containerd().unwrap());
}

#[test]
fn everything_restarts_in_the_middle_of_an_injection_and_ends_up_right() {
    let node = node();
    replace_while(&node, |scene| {
        scene.daemon.kill9().unwrap();
        node.restart_containerd().unwrap();
        node.restart_kubelet().unwrap();
        scene.daemon.start_again().unwrap();
    });
}

#[test]
fn a_runtime_that_is_away_is_unknown_and_never_nothing() {
    let node = node();
    let scene = Scene::on(&node, "away");
    let (injected, _) = scene.inject_and_wait("bundle", &[scene.pod("web", "one")]);
    let before = scene.running("web", ContainerKind::Container).unwrap();

    node.process("containerd").unwrap().kill().unwrap();
    let node_now = run(scene.client.get_node()).unwrap();
    assert_eq!(node_now.container_runtime.state, RuntimeState::Unreachable);
    let reasons: Vec<&str> = node_now
        .problems
        .iter()
        .map(|it| it.reason.as_str())
        .collect();
    assert!(
        reasons.contains(&"CONTAINER_RUNTIME_UNREACHABLE"),
        "{reasons:?}"
    );
    assert_eq!(scene.pods("bundle")[0].state, PodState::Unknown);
    // What is durable does not need a runtime.
    let second = scene.inject("bundle", &[scene.pod("web", "two")]).unwrap();
    assert_eq!(second.bundle.revision, injected.bundle.revision + 1);

    node.restart_containerd().unwrap();
    scene.wait_running(&second.bundle);
    scene.wait_for_line("web", "two");
    let now = scene.running("web", ContainerKind::Container).unwrap();
    assert_ne!(now.id, before.id);
}
