//! Handoffs on real components: what was injected gives way to what the cluster itself runs, or comes back, and no
//! request is lost.

mod arena;
mod history;
mod kills;
mod power;
mod state;

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use seedpod_client::cluster::HandoffKind;
use seedpod_client::{Handoff, HandoffComponent, HandoffDeadlines, HandoffState, StartHandoff};
use seedpod_integration::pki::Identity;
use seedpod_integration::prober::{Plan, Prober, Report, User};
use seedpod_integration::{wait_for, wait_until};
use serde_json::Value;

use crate::render_up::{injected, machine};
use crate::rendered::{Cluster, is_ready};
use crate::scene::run;

/// All stages together, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(400);

/// Starts the handoff of the rendered cluster, with the self-hosted objects changed.
fn start(cluster: &Cluster<'_>, ready: Duration, change: impl Fn(String) -> String) -> Handoff {
    let plan = &cluster.rendered.handoff[0];
    let manifests = cluster.rendered.self_hosted.iter();
    let manifests = manifests.map(|file| change(fs::read_to_string(file).unwrap()));
    let kubeconfig = cluster.rendered.kubeconfigs.handoff.as_str();
    let deadlines = HandoffDeadlines {
        ready: Some(ready),
        ..HandoffDeadlines::default()
    };
    let mut request = StartHandoff::new(&plan.bundle, kubeconfig)
        .manifests(manifests)
        .node_labels(plan.node_labels.clone())
        .deadlines(deadlines);
    for component in &plan.components {
        let pod = &component.injected_pod;
        let of_kind = match &component.kind {
            HandoffKind::ApiServer { port } => HandoffComponent::api_server(pod).port(*port),
            HandoffKind::LeaderElected { lease } => HandoffComponent::leader_elected(pod, lease),
        };
        let selector = component.selector.clone();
        request = request.component(of_kind.selector(selector));
    }
    run(cluster.scene.client.start_handoff(&request)).unwrap()
}

/// Waits until the handoff is over, and prints what it has gone through.
fn over(cluster: &Cluster<'_>) -> Handoff {
    let mut last = String::new();
    let over = wait_for(PATIENCE, "the handoff is over", || {
        let handoff = run(cluster.scene.client.get_handoff()).ok()?;
        let now = format!("{:?}: {}", handoff.state, handoff.message);
        if now != last {
            println!("{now}");
            last = now;
        }
        let over = [HandoffState::Committed, HandoffState::Reverted];
        over.contains(&handoff.state).then_some(handoff)
    });
    over.unwrap_or_else(|error| panic!("{error}: {}", cluster.scene.log()))
}

/// Probes as an administrator and as a writer, at both addresses of the node.
fn probe(cluster: &Cluster<'_>) -> Prober {
    let identity = |name: &str| Identity {
        certificate: cluster.folder.join(format!("{name}.crt")),
        key: cluster.folder.join(format!("{name}.key")),
    };
    let admin = identity("admin");
    let mut users = vec![
        User::reader("admin", &admin, "/api/v1/namespaces/default"),
        User::reader("by-rbac", &identity("scheduler"), "/api/v1/nodes?limit=1"),
        User::writer("writer", &admin),
    ];
    // The tests share two processors with others.
    for reader in &mut users[..2] {
        reader.every = Duration::from_millis(25);
    }
    Prober::start(Plan {
        network: cluster.node.network_namespace(),
        addresses: vec![Ipv4Addr::LOCALHOST.into(), cluster.node.address().into()],
        port: 6443,
        ca: cluster.folder.join("ca.crt"),
        server_name: "127.0.0.1".to_owned(),
        users,
        watcher: Some(admin),
    })
    .unwrap()
}

fn assert_nothing_lost(report: &Report) {
    println!("{report}");
    assert!(report.lost().is_empty(), "{report}");
}

#[test]
fn a_node_hands_over_to_its_self_hosted_control_plane_and_loses_no_request() {
    let node = machine();
    let cluster = injected(&node, "handoff");
    let prober = probe(&cluster);
    start(&cluster, Duration::from_secs(200), |manifest| manifest);
    let handoff = over(&cluster);
    let report = prober.finish().unwrap();
    assert_eq!(handoff.state, HandoffState::Committed, "{handoff:#?}");
    assert_eq!(handoff.withheld.len(), 3, "{handoff:#?}");
    assert_nothing_lost(&report);
    // The injected pods are gone, and the cluster works: it makes a pod of a Deployment.
    for component in &cluster.rendered.handoff[0].components {
        let pod = &component.injected_pod;
        assert!(
            !node
                .manifests()
                .join(format!("seedpod_kube-system_{pod}.json"))
                .exists()
        );
    }
    let pods = cluster.pods("k8s-app=kube-apiserver");
    assert!(pods.len() == 1 && pods.iter().all(is_ready), "{pods:?}");
    assert_eq!(cluster.client.get("/readyz").unwrap().status, 200);
}

#[test]
fn a_self_hosted_api_server_with_a_bad_flag_is_handed_back_from_and_no_request_is_lost() {
    let node = machine();
    let cluster = injected(&node, "badflag");
    let prober = probe(&cluster);
    let port = "--secure-port=6443";
    start(&cluster, Duration::from_secs(20), |manifest| {
        manifest.replace(port, "--secure-port=no-number")
    });
    let handoff = over(&cluster);
    let report = prober.finish().unwrap();
    assert_eq!(handoff.state, HandoffState::Reverted, "{handoff:#?}");
    let failure = handoff.failure.as_ref().unwrap();
    println!("{}", failure.message);
    assert_eq!(failure.reason, "POD_NOT_READY", "{handoff:#?}");
    assert!(handoff.withheld.is_empty(), "{handoff:#?}");
    assert_nothing_lost(&report);
    // Nothing of it runs, and the node has lost its label.
    wait_until(PATIENCE, "the self-hosted pods are gone", || {
        cluster.pods("k8s-app=kube-apiserver").is_empty()
    })
    .unwrap();
    let node_object = cluster
        .get(&format!("/api/v1/nodes/{}", node.name()))
        .unwrap();
    for label in cluster.rendered.handoff[0].node_labels.keys() {
        assert_eq!(node_object["metadata"]["labels"][label], Value::Null);
    }
}
