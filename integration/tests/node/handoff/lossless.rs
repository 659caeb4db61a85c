//! Whole handoffs, while clients never cease to ask: with each way of steering no request is lost, and without any of
//! them some are.
//!
//! `SEEDPOD_TORTURE_HANDOFFS` says how many there are of each (one), and has one without steering follow. It is for a
//! machine that does nothing else: then a request that takes more than two seconds is lost too.

use std::time::Duration;

use seedpod_client::{Handoff, HandoffState, PodState, Steering, SteeringMode};
use seedpod_integration::prober::Report;
use seedpod_integration::{KubeletAccess, Node, NodeNetwork, NodeOptions, wait_until};

use super::{over, probe_each, start};
use crate::kills::number;
use crate::render_up::injected;
use crate::rendered::{Cluster, is_ready};
use crate::rig::LIMIT;
use crate::scene::run;

/// How many requests a run has to consist of to say something: alone on a machine, and beside other tests.
const ENOUGH: usize = 5_000;
const ENOUGH_BESIDE_OTHERS: usize = 500;

/// How often each user opens a connection at each address. Beside other tests, all of them together do so each 10 ms:
/// there are six.
const EVERY: Duration = Duration::from_millis(10);
const EVERY_BESIDE_OTHERS: Duration = Duration::from_millis(60);

fn rounds() -> Option<u64> {
    number("SEEDPOD_TORTURE_HANDOFFS")
}

/// A bare machine, with IPv6 or without.
fn machine(ipv6: bool) -> Node {
    let options = NodeOptions {
        kubelet_access: KubeletAccess::Cluster,
        network: NodeNetwork::Own { ipv6 },
        ..NodeOptions::machine()
    };
    Node::start(&options).unwrap()
}

/// Hands over from before the self-hosted API server starts until after the injected one is gone.
fn hand_over(cluster: &Cluster<'_>) -> (Handoff, Report) {
    let every = rounds().map_or(EVERY_BESIDE_OTHERS, |_| EVERY);
    let prober = probe_each(cluster, every, every);
    start(cluster, Duration::from_secs(200), |manifest| manifest);
    let handoff = over(cluster);
    let report = prober.finish().unwrap();
    println!("{report}");
    assert_eq!(handoff.state, HandoffState::Committed, "{handoff:#?}");
    assert_eq!(handoff.withheld.len(), 3, "{handoff:#?}");
    (handoff, report)
}

fn assert_nothing_lost(report: &Report) {
    if rounds().is_some() {
        assert!(report.requests() >= ENOUGH, "{report}");
        assert!(report.lost().is_empty(), "{report}");
    } else {
        // Among other tests an answer may be late for want of a processor, which says nothing of who gave it.
        assert!(report.requests() >= ENOUGH_BESIDE_OTHERS, "{report}");
        assert!(report.failed().is_empty(), "{report}");
    }
}

fn steering(handoff: &Handoff) -> &Steering {
    handoff.steering.as_ref().expect("how it was steered")
}

/// The injected pods are gone, and the self-hosted API server serves.
fn assert_handed_over(cluster: &Cluster<'_>) {
    for component in &cluster.rendered.handoff[0].components {
        let pod = &component.injected_pod;
        let file = format!("seedpod_kube-system_{pod}.json");
        assert!(!cluster.node.manifests().join(file).exists(), "{pod}");
    }
    let pods = cluster.pods("k8s-app=kube-apiserver");
    assert!(pods.len() == 1 && pods.iter().all(is_ready), "{pods:?}");
    assert_eq!(cluster.client.get("/readyz").unwrap().status, 200);
}

fn loses_nothing(ipv6: bool, mode: &SteeringMode) {
    for round in 1..=rounds().unwrap_or(1) {
        println!("handoff {round}, steered {mode:?}");
        let node = machine(ipv6);
        let cluster = injected(&node, "lossless");
        let (handoff, report) = hand_over(&cluster);
        assert_eq!(steering(&handoff).mode, *mode, "{handoff:#?}");
        assert_nothing_lost(&report);
        // Its API server has gone; it went on with the other where it was.
        let watched = report.watched.as_ref().unwrap();
        assert!(watched.resumed >= 1, "{report}");
        assert_eq!((watched.missed, watched.begun_anew), (0, 0), "{report}");
        assert_handed_over(&cluster);
    }
}

#[test]
fn a_node_hands_over_to_its_self_hosted_control_plane_and_loses_no_request() {
    loses_nothing(true, &SteeringMode::ByLoopback);
}

#[test]
fn a_node_without_ipv6_hands_over_and_loses_no_request_either() {
    loses_nothing(false, &SteeringMode::ByMark);
    if rounds().is_some() {
        loses_some();
    }
}

/// Without IPv6, and without the right to mark packets: the drain alone.
fn loses_some() {
    println!("a handoff that is not steered");
    let node = machine(false);
    let cluster = injected(&node, "unsteered");
    cluster.scene.daemon.lose_net_admin().unwrap();
    cluster.scene.daemon.restart().unwrap();
    // It probes the pods anew.
    let bundle = &cluster.rendered.handoff[0].bundle;
    wait_until(LIMIT, "the injected pods are known to be ready", || {
        let pods = run(cluster.scene.client.list_pods(Some(bundle)));
        pods.is_ok_and(|pods| pods.len() == 3 && pods.iter().all(|it| it.state == PodState::Ready))
    })
    .unwrap();
    let (handoff, report) = hand_over(&cluster);
    let Steering { mode, message, .. } = steering(&handoff);
    println!("{mode:?}: {message}");
    assert_eq!(*mode, SteeringMode::None, "{handoff:#?}");
    assert!(message.contains("CAP_NET_ADMIN"), "{message}");
    assert!(report.requests() >= ENOUGH, "{report}");
    assert!(!report.lost().is_empty(), "{report}");
    assert_handed_over(&cluster);
}
