//! Whether the injected control plane is whole again, and nothing is left of what the handoff had made.

use std::fs;

use seedpod_client::cluster::HandoffKind;
use seedpod_client::{Handoff, Wait};
use seedpod_integration::{Container, ContainerKind, wait_until};
use serde_json::Value;

use super::super::PATIENCE;
use crate::rendered::{Cluster, NAMESPACE};
use crate::scene::run;

/// The injected control plane runs, and nothing else does; it serves and holds the leases.
pub(super) fn assert_handed_back(cluster: &Cluster<'_>, what: &str, handoff: &Handoff) {
    let client = &cluster.scene.client;
    let bundle = &handoff.bundle;
    let revision = run(client.get_bundle(bundle)).unwrap().revision;
    run(client.wait_ready(bundle, revision, Wait::new(PATIENCE)))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(cluster.client.get("/readyz").unwrap().status, 200, "{what}");
    assert_nothing_is_left(cluster, what);
    for component in &cluster.rendered.handoff[0].components {
        assert_runs_alone(cluster, what, &component.injected_pod);
        if let HandoffKind::LeaderElected { lease } = &component.kind {
            let before = renewed(cluster, lease);
            wait_until(PATIENCE, &format!("{what}: {lease} is renewed"), || {
                renewed(cluster, lease) != before
            })
            .unwrap();
        }
    }
}

/// The workloads of the handoff, their pods and the node's labels are gone, since it says that it is handed back.
fn assert_nothing_is_left(cluster: &Cluster<'_>, what: &str) {
    let plan = &cluster.rendered.handoff[0];
    for component in &plan.components {
        let name = &component.injected_pod;
        for kind in ["daemonsets", "deployments"] {
            let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/{kind}/{name}");
            assert_eq!(
                cluster.client.get(&path).unwrap().status,
                404,
                "{what}: {path}"
            );
        }
        let labels = component.selector.iter();
        let labels: Vec<String> = labels
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let pods = cluster.pods(&labels.join(","));
        assert!(pods.is_empty(), "{what}: {pods:#?}");
    }
    let node = cluster
        .get(&format!("/api/v1/nodes/{}", plan.node))
        .unwrap();
    for label in plan.node_labels.keys() {
        assert_eq!(node["metadata"]["labels"][label], Value::Null, "{what}");
    }
}

/// The one container of a program is that of the pod in the static pod directory.
fn assert_runs_alone(cluster: &Cluster<'_>, what: &str, pod: &str) {
    let node = cluster.node;
    let file = node
        .manifests()
        .join(format!("seedpod_{NAMESPACE}_{pod}.json"));
    let manifest: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let running: Vec<Container> = node
        .containers()
        .unwrap()
        .into_iter()
        .filter(|it| it.name == pod && it.kind == ContainerKind::Container && it.is_running())
        .collect();
    let [container] = running.as_slice() else {
        panic!("{what}: {running:#?}");
    };
    assert_eq!(container.pod, format!("{pod}-{}", node.name()), "{what}");
    assert_eq!(manifest["metadata"]["uid"], container.uid, "{what}");
}

/// Who has the lease, and since when.
fn renewed(cluster: &Cluster<'_>, lease: &str) -> Option<Value> {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{lease}");
    let lease = cluster.get(&path)?;
    Some(lease["spec"].clone())
}
