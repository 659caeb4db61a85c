//! What befalls a handoff while it is under way.

use std::fs;
use std::net::TcpListener;

use rustix::process::Signal;
use seedpod_client::{Handoff, HandoffState};
use seedpod_integration::{ContainerKind, Node, ProcessRecord, wait_until};
use serde_json::json;

use super::super::{PATIENCE, until};
use crate::rendered::Cluster;
use crate::scene::run;

/// Where something listens that never answers.
pub(super) const HANGING_PORT: u16 = 23790;

/// Takes connections, for as long as the value is kept.
pub(super) fn listen_and_hang(node: &Node) -> TcpListener {
    let address = (node.address(), HANGING_PORT);
    node.in_network(|| TcpListener::bind(address))
        .unwrap()
        .unwrap()
}

/// Waits until the handoff is as it should be, before it is over.
fn wait(cluster: &Cluster<'_>, what: &str, holds: impl Fn(&Handoff) -> bool) -> Handoff {
    until(cluster, what, |handoff| {
        let over = matches!(
            handoff.state,
            HandoffState::Committed | HandoffState::Reverted
        );
        let holds = holds(handoff);
        assert!(holds || !over, "{what}: {handoff:#?}");
        holds
    })
}

pub(super) fn reached(cluster: &Cluster<'_>, state: HandoffState) {
    wait(cluster, &format!("the handoff has come to {state}"), |it| {
        it.state == state
    });
}

pub(super) fn abort_in(cluster: &Cluster<'_>, state: HandoffState) {
    reached(cluster, state);
    run(cluster.scene.client.abort_handoff(None)).unwrap();
}

/// Of the injected pods, the API server is the last to give way.
pub(super) fn abort_at_the_last_moment(cluster: &Cluster<'_>) {
    wait(cluster, "the injected API server gives way", |it| {
        it.state == HandoffState::HandingOver && it.withheld.len() == 3
    });
    run(cluster.scene.client.abort_handoff(None)).unwrap();
}

/// The self-hosted process of a program.
fn hosted(cluster: &Cluster<'_>, program: &str) -> Option<ProcessRecord> {
    let injected = format!("{program}-{}", cluster.node.name());
    let containers = cluster.node.containers().ok()?;
    let container = containers.into_iter().find(|it| {
        it.name == program
            && it.kind == ContainerKind::Container
            && it.is_running()
            && it.pod != injected
    })?;
    ProcessRecord::of(container.pid).ok()
}

/// Ends the self-hosted API server without a word.
pub(super) fn kill_api_server(cluster: &Cluster<'_>) {
    let process = hosted(cluster, "kube-apiserver").unwrap();
    process.kill().unwrap();
}

/// Ends each self-hosted API server when it has served for 5 s.
pub(super) fn kill_each_api_server(cluster: &Cluster<'_>) {
    let served_long = |it: &Handoff| served_for(it).is_some_and(|seconds| seconds >= 5);
    let mut kills = 0;
    loop {
        let handoff = wait(cluster, "the API server has served for 5 s", |it| {
            goes_back_in(it.state) || served_long(it)
        });
        if goes_back_in(handoff.state) {
            break;
        }
        kill_api_server(cluster);
        kills += 1;
        wait(cluster, "that is seen", |it| !served_long(it));
    }
    println!("   {kills} kills");
    assert!(kills > 0);
}

/// How long the self-hosted API server has served, in seconds.
fn served_for(handoff: &Handoff) -> Option<u64> {
    let words = "the self-hosted API server has served for ";
    let seconds = handoff.message.strip_prefix(words)?.split(' ').next()?;
    seconds.parse().ok()
}

/// Kills the kubelet when the pods are ready, and starts it when the handoff takes its way back.
pub(super) fn without_kubelet(cluster: &Cluster<'_>, meanwhile: fn(&Cluster<'_>)) {
    wait(cluster, "the self-hosted API server serves", |it| {
        served_for(it).is_some()
    });
    cluster.node.kill_kubelet().unwrap();
    meanwhile(cluster);
    goes_back(cluster);
    cluster.node.start_kubelet().unwrap();
}

/// Stops the kubelet's process in its tracks, until the handoff takes its way back.
pub(super) fn freeze_kubelet_in(cluster: &Cluster<'_>, state: HandoffState) {
    reached(cluster, state);
    let kubelet = cluster.node.process("kubelet").unwrap();
    kubelet.signal(Signal::STOP).unwrap();
    goes_back(cluster);
    kubelet.signal(Signal::CONT).unwrap();
}

/// The same with the self-hosted scheduler, which has its lease by then.
pub(super) fn freeze_scheduler(cluster: &Cluster<'_>) {
    reached(cluster, HandoffState::HandingOver);
    let scheduler = hosted(cluster, "kube-scheduler").unwrap();
    scheduler.signal(Signal::STOP).unwrap();
    goes_back(cluster);
    scheduler.signal(Signal::CONT).unwrap();
}

fn goes_back(cluster: &Cluster<'_>) {
    wait(cluster, "the handoff takes its way back", |it| {
        goes_back_in(it.state)
    });
}

fn goes_back_in(state: HandoffState) -> bool {
    matches!(state, HandoffState::Reverting | HandoffState::Reverted)
}

/// Has the API server ask somebody about each new DaemonSet who is not there.
pub(super) fn refuse_daemon_sets(cluster: &Cluster<'_>) {
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "nobody"},
        "webhooks": [{
            "name": "nobody.seedpod.dev",
            "clientConfig": {"url": "https://127.0.0.1:9/"},
            "rules": [{
                "apiGroups": ["apps"],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["daemonsets"],
            }],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 1,
        }],
    });
    let file = cluster.folder.join("nobody.yaml");
    fs::write(&file, webhook.to_string()).unwrap();
    cluster.apply(&[file], &[]);
    wait_until(PATIENCE, "no DaemonSet gets in", || {
        !daemon_set_gets_in(cluster)
    })
    .unwrap();
}

pub(super) fn let_daemon_sets_in(cluster: &Cluster<'_>) {
    cluster.kubectl(&["delete", "validatingwebhookconfiguration", "nobody"]);
    wait_until(PATIENCE, "a DaemonSet gets in", || {
        daemon_set_gets_in(cluster)
    })
    .unwrap();
}

/// Whether the API server would take the self-hosted API server's objects. Nothing is made.
fn daemon_set_gets_in(cluster: &Cluster<'_>) -> bool {
    let files = cluster.rendered.self_hosted.iter();
    let mut of_api_server = files.filter(|file| file.ends_with("30-kube-apiserver.yaml"));
    let file = of_api_server.next().unwrap().to_str().unwrap();
    let arguments = ["create", "--dry-run=server", "-f", file];
    cluster.try_kubectl(&arguments).status.success()
}
