//! What the daemon says of pods, for each state that a real kubelet and runtime bring about.

use std::time::Instant;

use futures_util::{Stream, StreamExt};
use seedpod_client::{ContainerState, Error, Pod, PodState, PodsUpdate};
use seedpod_integration::{ContainerKind, free_ports};
use serde_json::{Value, json};

use crate::pods::{self, Asks, STAY, in_wave};
use crate::rig::{LIMIT, place, unique};
use crate::scene::{Scene, run};

type Updates = Box<dyn Stream<Item = Result<PodsUpdate, Error>> + Send + Unpin>;

fn watch(scene: &Scene<'_>) -> Updates {
    Box::new(scene.client.watch_pods(Some(&scene.name("bundle"))))
}

/// Watches until the pods are as wanted, and returns them.
fn until(updates: &mut Updates, what: &str, holds: impl Fn(&[Pod]) -> bool) -> Vec<Pod> {
    let mut last = Vec::new();
    let found = run(async {
        let found = async {
            loop {
                let update = updates.next().await.expect("no end").expect("an update");
                last = update.pods;
                if holds(&last) {
                    return;
                }
            }
        };
        tokio::time::timeout(LIMIT, found).await
    });
    assert!(found.is_ok(), "not in time: {what}: {last:?}");
    last
}

/// Injects one pod and waits until it is as wanted.
fn inject_until(scene: &Scene<'_>, pod: Value, what: &str, holds: impl Fn(&Pod) -> bool) -> Pod {
    scene.inject("bundle", &[pod]).unwrap();
    let pods = until(&mut watch(scene), what, |pods| {
        pods.first().is_some_and(&holds)
    });
    pods.into_iter().next().unwrap()
}

#[test]
fn a_pod_without_probes_is_ready_when_it_runs_and_has_its_address() {
    let scene = Scene::new("ready");
    let pod = scene.pod("web", "hello");
    let pod = inject_until(&scene, pod, "ready", |pod| pod.state == PodState::Ready);
    assert_eq!(pod.message, "all containers run");
    assert_eq!(pod.pod_ips.len(), 1, "{pod:?}");
    assert!(pod.pod_ips[0].parse::<std::net::IpAddr>().is_ok());
    let container = &pod.containers[0];
    assert!(container.ready && container.start_time.is_some());
    assert!(container.image_id.starts_with("sha256:"), "{pod:?}");
    assert!(pod.state_time.unwrap() >= container.start_time.unwrap());
    let listed = &scene.pods("bundle")[0];
    assert_eq!(listed, &pod, "the list says the same as the watch");
}

#[test]
fn a_missing_image_is_named_while_the_pod_starts() {
    let scene = Scene::new("image");
    let pod = pods::without_image(&scene.name("web"));
    let named = |pod: &Pod| {
        pod.message
            .contains("rig.local/missing:1, which is not on the node")
    };
    let pod = inject_until(&scene, pod, "the image is named", named);
    assert_eq!(pod.state, PodState::Starting);
    assert!(pod.message.contains("ErrImageNeverPull"), "{pod:?}");
}

#[test]
fn a_crashing_pod_has_failed_with_its_code_and_what_the_kubelet_does_next() {
    let scene = Scene::new("crash");
    let pod = pods::crashing(&scene.name("web"), "about to fail", 3);
    let pod = inject_until(&scene, pod, "in its pause", |pod| {
        pod.state == PodState::Failed
            && pod.containers[0].restart_count > 0
            && pod.message.contains("after its end")
    });
    assert!(pod.message.contains("exit code 3 (Error)"), "{pod:?}");
    let container = &pod.containers[0];
    assert_eq!(container.state, ContainerState::Exited);
    assert_eq!(container.exit_code, Some(3));
    // Not compared with its start: containerd takes that time when it has been told of the start, which may be later.
    assert!(container.finish_time.is_some() && !container.ready);
    let last = container.last_termination.as_ref().expect("the first end");
    assert_eq!((last.exit_code, last.reason.as_str()), (3, "Error"));
}

#[test]
fn a_container_that_the_kernel_kills_for_its_memory_says_so() {
    let scene = Scene::new("hungry");
    let pod = pods::out_of_memory(&scene.name("web"));
    let pod = inject_until(&scene, pod, "killed", |pod| pod.state == PodState::Failed);
    assert!(pod.message.contains("exit code 137 (OOMKilled)"), "{pod:?}");
}

fn is_refused(pod: &Pod) -> bool {
    pod.state == PodState::Refused
}

#[test]
fn a_pod_that_may_not_be_on_the_node_is_refused_with_the_kubelets_reason() {
    let scene = Scene::new("selects");
    let mut pod = pods::script(&scene.name("web"), STAY);
    pod["spec"]["nodeSelector"] = json!({"seedpod.dev/no-such": "label"});
    let pod = inject_until(&scene, pod, "refused", is_refused);
    let reason = "the kubelet has refused the pod (NodeAffinity)";
    assert!(pod.message.contains(reason), "{pod:?}");
}

/// The port was free when the bundle was checked; then somebody else's pod took it.
#[test]
fn a_pod_whose_port_is_taken_meanwhile_is_refused_with_the_kubelets_reason() {
    let scene = Scene::new("taken");
    let [port] = free_ports().unwrap();
    let with_port = |name: &str| {
        let mut pod = pods::script(name, &format!("echo up; {STAY}"));
        pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": port}]);
        pod
    };
    let first = scene.probed("first", Asks::Exec);
    let second = in_wave(with_port(&scene.name("second")), 1);
    let bundle = [in_wave(first.readiness(), 0), second];
    scene.inject("bundle", &bundle).unwrap();
    let mut updates = watch(&scene);
    let waiting = until(&mut updates, "held back", |pods| {
        pods[0].state == PodState::NotReady && pods[1].message.contains("waits for wave 0")
    });
    assert_eq!(waiting[1].state, PodState::Committed, "{waiting:?}");

    let foreign = unique("foreign");
    let manifest = place(scene.node, &with_port(&foreign));
    scene.node.first_line(&foreign, "main", LIMIT).unwrap();
    first.pass();
    let all = until(&mut updates, "refused", |pods| is_refused(&pods[1]));
    std::fs::remove_file(manifest).unwrap();
    let reason = "the kubelet has refused the pod (NodePorts)";
    assert!(all[1].message.contains(reason), "{all:?}");
    assert_eq!(all[0].state, PodState::Ready);
}

#[test]
fn a_killed_container_is_told_within_a_moment_and_so_is_its_successor() {
    let scene = Scene::new("killed");
    scene.inject_and_wait("bundle", &[scene.pod("web", "hello")]);
    let mut updates = watch(&scene);
    until(&mut updates, "ready", |pods| {
        pods[0].state == PodState::Ready
    });
    let container = scene.running("web", ContainerKind::Container).unwrap();
    let killed = Instant::now();
    let signal = std::process::Command::new("kill")
        .args(["-9", &container.pid.to_string()])
        .status()
        .unwrap();
    assert!(signal.success());
    let failed = until(&mut updates, "told", |pods| {
        pods[0].containers.first().map(|it| it.id.as_str()) != Some(&container.id)
            || pods[0].state == PodState::Failed
    });
    println!("killed, and told after {:?}", killed.elapsed());
    assert!(failed[0].message.contains("exit code 137"), "{failed:?}");
    let again = until(&mut updates, "ready again", |pods| {
        pods[0].state == PodState::Ready && pods[0].containers[0].restart_count == 1
    });
    println!("and ready again after {:?}", killed.elapsed());
    let last = again[0].containers[0].last_termination.as_ref().unwrap();
    assert_eq!(last.exit_code, 137);
}

#[test]
fn a_watch_goes_on_over_a_restart_of_the_runtime() {
    let node = seedpod_integration::Node::start(&seedpod_integration::NodeOptions::default());
    let node = node.unwrap();
    let scene = Scene::on(&node, "away");
    scene.inject_and_wait("bundle", &[scene.pod("web", "hello")]);
    let mut updates = watch(&scene);
    let before = until(&mut updates, "ready", |pods| {
        pods[0].state == PodState::Ready
    });
    node.restart_containerd().unwrap();
    let away = until(&mut updates, "unknown", |pods| {
        pods[0].state == PodState::Unknown
    });
    assert!(
        away[0]
            .message
            .contains("the container runtime does not answer"),
        "{away:?}"
    );
    let back = until(&mut updates, "ready again", |pods| {
        pods[0].state == PodState::Ready
    });
    assert_eq!(back[0].containers, before[0].containers);
    // It hears of events again.
    let container = scene.running("web", ContainerKind::Container).unwrap();
    let killed = Instant::now();
    let signal = std::process::Command::new("kill")
        .args(["-9", &container.pid.to_string()])
        .status()
        .unwrap();
    assert!(signal.success());
    until(&mut updates, "told", |pods| {
        pods[0].state == PodState::Failed
    });
    println!(
        "killed after the restart, and told after {:?}",
        killed.elapsed()
    );
}
