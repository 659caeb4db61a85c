//! What `seedpod render` writes, on real components: injected, and self-hosted beside that.

use std::thread;
use std::time::{Duration, Instant};

use seedpod_client::cluster::HandoffKind;
use seedpod_integration::{KubeletAccess, Node, NodeOptions, wait_until};
use serde_json::{Value, json};

use crate::rendered::{Cluster, NAMESPACE, is_ready};

/// What a rollout takes: the newcomer's start, 30 s in which it has to serve, and the end of the old one.
const ROLLOUT: Duration = Duration::from_secs(180);

const PROGRAMS: [&str; 3] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

fn lease(cluster: &Cluster<'_>, name: &str) -> Option<String> {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{name}");
    let lease = cluster.get(&path)?;
    let holder = lease["spec"]["holderIdentity"].as_str()?;
    Some(holder.to_owned()).filter(|holder| !holder.is_empty())
}

/// A machine whose kubelet lets in whom the cluster knows, once it has joined.
pub(crate) fn machine() -> Node {
    let options = NodeOptions {
        kubelet_access: KubeletAccess::Cluster,
        ..NodeOptions::machine()
    };
    Node::start(&options).unwrap()
}

/// Injects all, and has the kubelet join.
pub(crate) fn injected<'node>(node: &'node Node, theme: &str) -> Cluster<'node> {
    let cluster = Cluster::render(node, theme);
    cluster.inject();
    assert_eq!(cluster.client.get("/readyz").unwrap().status, 200);
    let bootstrap = &cluster.rendered.bootstrap;
    cluster.apply(bootstrap, &["--dry-run=server"]);
    cluster.apply(bootstrap, &[]);
    cluster.join();
    for program in &PROGRAMS[1..] {
        wait_until(ROLLOUT, &format!("the lease {program} is held"), || {
            lease(&cluster, program).is_some()
        })
        .unwrap();
    }
    let account = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default");
    cluster.wait(&account, "the default service account is there", |_| true);
    cluster
}

/// Applies the self-hosted objects, labels the node as the handoff does, and waits for the pods of all components.
fn self_host(cluster: &Cluster<'_>) {
    let objects = &cluster.rendered.self_hosted;
    cluster.apply(objects, &["--dry-run=server"]);
    cluster.apply(objects, &[]);
    // A second time there is nothing to do, and no conflict.
    cluster.apply(objects, &[]);
    let handoff = &cluster.rendered.handoff[0];
    let path = "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app";
    let daemon_set = format!("/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/kube-apiserver");
    cluster.wait(&daemon_set, "the DaemonSet is looked at", |it| {
        it["status"]["observedGeneration"].is_u64()
    });
    let pods = cluster.get(path).unwrap();
    let placed = |pod: &&Value| pod["spec"]["nodeName"].is_string();
    let placed = pods["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(placed)
        .count();
    assert_eq!(placed, 0, "pods before the node's turn: {pods}");
    for (key, value) in &handoff.node_labels {
        cluster.kubectl(&["label", "node", &handoff.node, &format!("{key}={value}")]);
    }
    for component in &handoff.components {
        let labels: Vec<String> = component
            .selector
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        wait_until(
            ROLLOUT,
            &format!("{} is self-hosted", component.injected_pod),
            || {
                let pods = cluster.pods(&labels.join(","));
                pods.len() == 1 && pods.iter().all(is_ready)
            },
        )
        .unwrap_or_else(|error| {
            panic!(
                "{error}: {}",
                cluster.kubectl(&["get", "pods,events", "-A", "-o", "wide"])
            )
        });
    }
}

#[test]
fn the_rendered_control_plane_comes_up_and_the_self_hosted_one_runs_beside_it() {
    let node = machine();
    let cluster = injected(&node, "render");
    let handoff = cluster.rendered.handoff[0].clone();
    self_host(&cluster);

    // Both forms run, the injected ones under the names that the handoff is told.
    for component in &handoff.components {
        let mirror = format!("{}-{}", component.injected_pod, handoff.node);
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{mirror}");
        let pod = cluster.wait(&path, "the injected pod has a mirror", is_ready);
        assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
        // A selector of self-hosted pods finds no injected one.
        for (key, value) in &component.selector {
            assert_ne!(pod["metadata"]["labels"][key], json!(value), "{mirror}");
        }
        if let HandoffKind::LeaderElected { lease: name } = &component.kind {
            assert!(lease(&cluster, name).is_some(), "{name}");
        }
    }
    // The self-hosted API server tells where it is; the injected one does not.
    let endpoints = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    let slice = cluster.wait(endpoints, "the API server has an endpoint", |it| {
        it["endpoints"][0]["addresses"].is_array()
    });
    assert_eq!(slice["endpoints"][0]["addresses"], json!([node.address()]));
    let discovery: Value = serde_json::from_str(
        &cluster
            .client
            .get("/.well-known/openid-configuration")
            .unwrap()
            .body,
    )
    .unwrap();
    assert_eq!(
        discovery["issuer"],
        "https://kubernetes.default.svc.cluster.local"
    );
    // The API server finds the kubelet, and is let in.
    let logs = cluster.kubectl(&["logs", "-n", NAMESPACE, "daemonset/kube-apiserver"]);
    assert!(logs.contains("Serving securely"), "{logs}");
    // A drain has to leave what is alone.
    let pods = cluster.pods("k8s-app=kube-scheduler");
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": NAMESPACE},
    });
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction");
    let answer = cluster.client.post(&path, &eviction.to_string()).unwrap();
    assert_eq!(answer.status, 429, "{}", answer.body);
}

/// Takes the injected pods away, as a handoff does in the end, without its care for requests.
fn remove_injected(cluster: &Cluster<'_>) {
    cluster.remove_injected();
    wait_until(ROLLOUT, "the self-hosted programs have the leases", || {
        PROGRAMS[1..].iter().all(|program| {
            let pods = cluster.pods(&format!("k8s-app={program}"));
            let holder = lease(cluster, program).unwrap_or_default();
            pods.len() == 1 && !holder.is_empty()
        }) && cluster
            .client
            .get("/readyz")
            .is_ok_and(|it| it.status == 200)
    })
    .unwrap();
}

fn names(cluster: &Cluster<'_>, program: &str) -> Vec<String> {
    let pods = cluster.pods(&format!("k8s-app={program}"));
    let ready = pods.iter().filter(|pod| is_ready(pod));
    let names = ready.filter_map(|pod| pod["metadata"]["name"].as_str());
    names.map(str::to_owned).collect()
}

/// Waits until a program has one ready pod, and none of these.
fn wait_replaced(cluster: &Cluster<'_>, program: &str, old: &[String]) {
    wait_until(ROLLOUT, &format!("{program} has another pod"), || {
        let pods = cluster.pods(&format!("k8s-app={program}"));
        let new = names(cluster, program);
        pods.len() == 1 && new.len() == 1 && !old.contains(&new[0])
    })
    .unwrap_or_else(|error| {
        panic!(
            "{error}: {}",
            cluster.kubectl(&["get", "pods", "-A", "-o", "wide"])
        )
    });
}

#[test]
fn a_self_hosted_control_plane_of_one_node_can_be_changed_and_does_not_lock_itself_out() {
    let node = machine();
    let cluster = injected(&node, "rollout");
    self_host(&cluster);
    remove_injected(&cluster);

    // The only scheduler is deleted, and schedules the next one; so with the only controller manager.
    for program in &PROGRAMS[1..] {
        let old = names(&cluster, program);
        cluster.kubectl(&["delete", "pod", "-n", NAMESPACE, "--wait=false", &old[0]]);
        wait_replaced(&cluster, program, &old);
    }
    // The same by a rollout, and of the API server too, which serves all the time.
    for (kind, program) in [
        ("deployment", PROGRAMS[1]),
        ("deployment", PROGRAMS[2]),
        ("daemonset", PROGRAMS[0]),
    ] {
        let old = names(&cluster, program);
        let what = format!("{kind}/{program}");
        cluster.kubectl(&["rollout", "restart", "-n", NAMESPACE, &what]);
        wait_replaced(&cluster, program, &old);
    }

    // A flag that does not exist: the newcomer crashes, and the API goes on.
    let old = names(&cluster, PROGRAMS[0]);
    let patch = json!([{
        "op": "add",
        "path": "/spec/template/spec/containers/0/command/-",
        "value": "--no-such-flag",
    }]);
    cluster.kubectl(&[
        "patch",
        "daemonset",
        "-n",
        NAMESPACE,
        PROGRAMS[0],
        "--type=json",
        "-p",
        &patch.to_string(),
    ]);
    wait_until(ROLLOUT, "the newcomer has crashed", || {
        cluster.pods("k8s-app=kube-apiserver").iter().any(|pod| {
            let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
            restarts.as_u64().is_some_and(|restarts| restarts >= 2)
        })
    })
    .unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        let answer = cluster.client.get("/readyz").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(names(&cluster, PROGRAMS[0]), old);
    cluster.kubectl(&[
        "rollout",
        "undo",
        "-n",
        NAMESPACE,
        "daemonset/kube-apiserver",
    ]);
    wait_until(ROLLOUT, "the newcomer is gone", || {
        cluster.pods("k8s-app=kube-apiserver").len() == 1
    })
    .unwrap();
}
