//! A bare kubelet gets a control plane, joins it, and is alone again in the end.

use std::fs;
use std::time::Duration;

use seedpod_client::{CheckNode, Client, ConfigureKubelet, InjectPods, ResetNode};
use seedpod_integration::{ContainerKind, ControlPlane, Node, NodeOptions, images, wait_until};
use serde_json::{Value, json};

use crate::rig::unique;
use crate::scene::{Scene, connect_lazy, run, tls_options};

/// For what takes some seconds on an idle machine: a control plane starts.
const LIMIT: Duration = Duration::from_secs(180);

/// What etcd's data stand for, at its usual place on the machine.
const DATA: &str = "/var/lib/etcd";

fn is_ready(plane: &ControlPlane, node: &Node) -> bool {
    let path = format!("/api/v1/nodes/{}", node.name());
    let Ok(answer) = plane.client.get(&path) else {
        return false;
    };
    let node: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let conditions = node["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|it| it["type"] == "Ready" && it["status"] == "True")
}

/// The kubelet's arguments.
fn arguments(node: &Node) -> String {
    let pid = node.process("kubelet").unwrap().pid;
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap()
}

/// A pod that nobody has to schedule.
fn place(plane: &ControlPlane, node: &Node, name: &str) {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "nodeName": node.name(),
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "main",
                "image": images::BUSYBOX,
                "imagePullPolicy": "Never",
                "command": ["sleep", "3600"],
            }],
        },
    });
    let path = "/api/v1/namespaces/default/pods";
    wait_until(LIMIT, "the API server takes a pod", || {
        let answer = plane.client.post(path, &pod.to_string());
        answer.is_ok_and(|it| it.status == 201 || it.status == 409)
    })
    .unwrap();
}

fn runs(node: &Node, pod: &str) -> bool {
    let containers = node.containers().unwrap_or_default();
    containers
        .iter()
        .any(|it| it.pod == pod && it.kind == ContainerKind::Container && it.is_running())
}

fn admin(scene: &Scene<'_>) -> Client {
    connect_lazy(tls_options(&scene.daemon, &scene.daemon.identity("admin")).deadline(LIMIT))
}

#[test]
fn a_bare_kubelet_joins_the_control_plane_that_was_injected_and_is_taken_back() {
    let node = Node::start(&NodeOptions::machine()).unwrap();
    let plane = node.control_plane().unwrap();
    let scene = Scene::on(&node, "bare");
    let client = admin(&scene);
    assert!(!arguments(&node).contains("--kubeconfig"));

    let port = plane.port;
    let check = CheckNode::new()
        .ports([port])
        .images([images::ETCD, "rig.local/none:1"])
        .paths([DATA]);
    let before = run(client.check_node(&check)).unwrap();
    assert!(before.ports[0].free && before.ports[0].pod.is_none());
    assert!(before.images[0].present && !before.images[1].present);
    assert!(!before.paths[0].in_use && before.paths[0].free_bytes > 0);
    assert!(
        before.kubelet_configurable && before.steering.is_possible(),
        "{before:?}"
    );
    assert!(
        before.addresses.contains(&node.address().to_string()),
        "{before:?}"
    );
    assert!(before.kubelet_version.starts_with("v1."), "{before:?}");

    let bundle = scene.name("plane");
    let manifests = plane.pods_in_waves();
    let inject = InjectPods::new(&bundle).manifests(manifests.iter().map(Value::to_string));
    run(client.inject(&inject)).unwrap();
    wait_until(LIMIT, "the API server is ready", || plane.is_ready()).unwrap();

    let (kubeconfig, ca) = plane.kubelet_files().unwrap();
    let configure = ConfigureKubelet::new().kubeconfig(kubeconfig).client_ca(ca);
    let configured = run(client.configure_kubelet(&configure)).unwrap();
    assert!(configured.restarted && configured.changed.len() == 2);
    assert!(arguments(&node).contains("--kubeconfig"));
    wait_until(LIMIT, "the node is ready", || is_ready(&plane, &node)).unwrap();
    let again = run(client.configure_kubelet(&configure)).unwrap();
    assert!(again.changed.is_empty() && !again.restarted);

    let taken = run(client.check_node(&check)).unwrap();
    let holder = &taken.ports[0];
    assert!(
        !holder.free && holder.holder.starts_with("kube-apiserver (pid "),
        "{holder:?}"
    );
    let pod = holder.pod.as_ref().expect("a pod of ours");
    assert_eq!(
        (&pod.bundle, pod.name.as_str()),
        (&bundle, "kube-apiserver")
    );

    // What the API server has placed runs, also over a restart, and ends with the cluster.
    let name = unique("placed");
    place(&plane, &node, &name);
    wait_until(LIMIT, "the placed pod runs", || runs(&node, &name)).unwrap();
    node.restart_kubelet().unwrap();
    assert!(arguments(&node).contains("--kubeconfig"));
    wait_until(LIMIT, "the node is ready again", || is_ready(&plane, &node)).unwrap();

    fs::create_dir_all(node.layout().etcd().join("member/wal")).unwrap();
    assert!(run(client.check_node(&check)).unwrap().paths[0].in_use);
    let reset = ResetNode::new()
        .bundles([&bundle])
        .kubelet(true)
        .directories([DATA])
        .timeout(LIMIT);
    let done = run(client.reset_node(&reset)).unwrap();
    assert_eq!(done.bundles, [bundle.as_str()]);
    assert!(
        done.kubelet_restarted && done.removed.contains(&DATA.to_owned()),
        "{done:?}"
    );
    assert!(!runs(&node, &name));
    assert!(!arguments(&node).contains("--kubeconfig"));
    assert!(!node.layout().kubeconfig().exists() && !node.layout().client_ca().exists());
    assert_eq!(fs::read_dir(node.layout().etcd()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(node.manifests()).unwrap().count(), 0);
    assert!(run(client.check_node(&check)).unwrap().ports[0].free);

    let nothing = run(client.reset_node(&reset)).unwrap();
    assert!(nothing.bundles.is_empty() && nothing.removed.is_empty() && !nothing.kubelet_restarted);
}
