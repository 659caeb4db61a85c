//! A kubelet that has not heard from its API server: it starts pods, and stops and replaces none. What is injected,
//! changed and removed there still ends as demanded.

use std::time::{Duration, Instant};

use seedpod_client::Injected;
use seedpod_integration::{ContainerKind, Node, NodeOptions, wait_until};
use serde_json::{Value, json};

use crate::rig::LIMIT;
use crate::scene::Scene;

/// What the kubelet waits at least before it starts again what has crashed.
const BACK_OFF: Duration = Duration::from_secs(10);

fn node() -> Node {
    Node::start(&NodeOptions::unsynced()).expect("start the node")
}

fn restarting(node: &Node) -> Value {
    let command = node.kubelet_restart_command().expect("the rig's program");
    json!({"kubeletRestart": {"command": command}})
}

/// The uid that the runtime's sandbox has for the kubelet, and that of its content.
fn uids(scene: &Scene<'_>, pod: &str) -> Option<(String, String)> {
    let sandbox = scene.running(pod, ContainerKind::Sandbox)?;
    let content = sandbox.annotations.get("seedpod.dev/uid");
    Some((sandbox.uid.clone(), content.unwrap_or(&sandbox.uid).clone()))
}

fn content_uid(injected: &Injected, scene: &Scene<'_>, pod: &str) -> String {
    let name = scene.name(pod);
    let mut pods = injected.bundle.pods.iter();
    let pod = pods.find(|pod| pod.name == name).expect("it is injected");
    pod.uid.clone()
}

/// Injects one pod with a line, and waits until that content, and no other, runs.
fn replace(scene: &Scene<'_>, pod: &str, line: &str) -> (Injected, Duration) {
    let begun = Instant::now();
    let injected = scene
        .inject("bundle", &[scene.pod(pod, line)])
        .expect("inject");
    let wanted = content_uid(&injected, scene, pod);
    let runs = || uids(scene, pod).is_some_and(|(_, content)| content == wanted);
    wait_until(LIMIT, &format!("{pod} runs with {line:?}"), runs).expect("the new content runs");
    scene.wait_for_line(pod, line);
    let took = begun.elapsed();
    println!("{line}: after {took:?}");
    scene.wait_running(&injected.bundle);
    (injected, took)
}

/// Waits until the daemon knows that the kubelet has heard from its API server.
fn wait_for_synced(scene: &Scene<'_>) {
    let is_synced = || {
        let log = scene.log();
        let last = log.lines().rfind(|line| line.contains("the kubelet sync="));
        last.is_some_and(|line| line.contains("sync=Synced"))
    };
    wait_until(LIMIT, "the kubelet is synced", is_synced).expect("it hears from its API server");
}

/// Nothing changes about a pod for a while.
fn stays(scene: &Scene<'_>, pod: &str) {
    let before = scene
        .running(pod, ContainerKind::Container)
        .expect("it runs");
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        let now = scene.running(pod, ContainerKind::Container);
        assert_eq!(now.map(|it| it.id), Some(before.id.clone()));
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn without_a_way_to_restart_the_kubelet_replaced_pods_keep_their_uid() {
    let node = node();
    let scene = Scene::on(&node, "kept");
    let (first, _) = replace(&scene, "web", "one");
    let original = content_uid(&first, &scene, "web");
    for line in ["two", "three", "four"] {
        let (injected, took) = replace(&scene, "web", line);
        assert!(took < BACK_OFF, "the kubelet took it for a crash: {took:?}");
        let (of_kubelet, content) = uids(&scene, "web").expect("it runs");
        assert_eq!(of_kubelet, original, "the kubelet would not start another");
        assert_eq!(content, content_uid(&injected, &scene, "web"));
    }
    stays(&scene, "web");
    let log = scene.log();
    assert!(log.contains("stopping a pod over CRI"), "{log}");

    scene.remove_and_wait("bundle");
    scene.wait_stopped("web");
    assert!(!scene.file("web").exists());
    // The kubelet still has the old one in mind, and takes no other.
    let (_, took) = replace(&scene, "web", "again");
    assert!(took < BACK_OFF, "the kubelet took it for a crash: {took:?}");

    node.start_api_server().expect("start the API server");
    wait_for_synced(&scene);
    stays(&scene, "web");
    let (now, _) = replace(&scene, "web", "synced");
    let (of_kubelet, content) = uids(&scene, "web").expect("it runs");
    assert_eq!(of_kubelet, content);
    assert_eq!(content, content_uid(&now, &scene, "web"));
    scene.remove_and_wait("bundle");
}

#[test]
fn with_a_way_to_restart_the_kubelet_each_content_has_its_own_uid() {
    let node = node();
    let scene = Scene::on_configured(&node, "restart", restarting(&node));
    let restarts = || scene.log().matches("restarted the kubelet").count();
    replace(&scene, "web", "one");
    assert_eq!(restarts(), 0, "nothing is in the way of a new pod");
    let (two, _) = replace(&scene, "web", "two");
    assert_eq!(restarts(), 1);
    let (of_kubelet, content) = uids(&scene, "web").expect("it runs");
    assert_eq!(of_kubelet, content);
    assert_eq!(content, content_uid(&two, &scene, "web"));

    // Several at once share a restart.
    let pods = ["a", "b", "c"];
    let of = |line: &str| pods.map(|pod| scene.pod(pod, line));
    scene.inject_and_wait("more", &of("one"));
    scene.inject_and_wait("more", &of("two"));
    for pod in pods {
        scene.wait_for_line(pod, "two");
    }
    assert!(restarts() <= 2, "{} restarts", restarts());
    scene.remove_and_wait("more");
    for pod in pods {
        scene.wait_stopped(pod);
    }

    node.start_api_server().expect("start the API server");
    wait_for_synced(&scene);
    stays(&scene, "web");
    let before = restarts();
    replace(&scene, "web", "synced");
    assert_eq!(restarts(), before, "a synced kubelet is not restarted");
    scene.remove_and_wait("bundle");
}

#[test]
fn a_restart_command_that_fails_is_a_problem_and_the_uid_is_kept() {
    let node = node();
    let broken =
        json!({"kubeletRestart": {"command": ["/bin/sh", "-c", "echo no kubelet here; exit 7"]}});
    let scene = Scene::on_configured(&node, "broken", broken);
    replace(&scene, "web", "one");
    replace(&scene, "web", "two");
    let info = crate::scene::run(scene.client.get_node()).expect("the node");
    let problem = info
        .problems
        .iter()
        .find(|problem| problem.reason == "KUBELET_RESTART_FAILED")
        .expect("it is reported");
    assert!(problem.message.contains("no kubelet here"), "{problem:?}");
}

#[test]
fn a_daemon_that_is_killed_in_the_middle_brings_it_to_its_end() {
    let node = node();
    for (theme, config) in [("killed", json!({})), ("killed-restart", restarting(&node))] {
        let scene = Scene::on_configured(&node, theme, config);
        replace(&scene, "web", "start");
        // From before the file is written until after the old pod has stopped.
        for (round, delay) in [0, 60, 300, 700].into_iter().enumerate() {
            let line = format!("round {round}");
            let injected = scene
                .inject("bundle", &[scene.pod("web", &line)])
                .expect("inject");
            std::thread::sleep(Duration::from_millis(delay));
            scene.daemon.kill9().expect("kill the daemon");
            scene.daemon.start_again().expect("start it again");
            let wanted = content_uid(&injected, &scene, "web");
            let runs = || uids(&scene, "web").is_some_and(|(_, content)| content == wanted);
            wait_until(LIMIT, &format!("{line} runs"), runs).expect("the demanded content runs");
            scene.wait_for_line("web", &line);
        }
        let bundle = scene.name("bundle");
        let removal = seedpod_client::RemoveBundle::new(&bundle);
        crate::scene::run(scene.client.remove_bundle(&removal)).expect("remove");
        wait_until(LIMIT, "the file is gone", || !scene.file("web").exists()).expect("it goes");
        scene.daemon.kill9().expect("kill the daemon");
        scene.daemon.start_again().expect("start it again");
        scene.wait_stopped("web");
    }
}
