//! Handoffs on real components: what was injected gives way to what the cluster itself runs, or comes back, and no
//! request is lost. `lossless` has those that succeed, `failures` what can go wrong, `reboot` what comes after.

mod arena;
mod failures;
mod history;
mod kills;
mod lossless;
mod power;
mod reboot;
mod state;

use std::fs;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use seedpod_client::cluster::HandoffKind;
use seedpod_client::{Handoff, HandoffComponent, HandoffDeadlines, HandoffState, StartHandoff};
use seedpod_integration::prober::{Plan, Prober};

use crate::rendered::Cluster;
use crate::scene::run;

/// All stages together, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(400);

/// Starts the handoff of the rendered cluster, with the self-hosted objects changed.
fn start(cluster: &Cluster<'_>, ready: Duration, change: impl Fn(String) -> String) -> Handoff {
    let deadlines = HandoffDeadlines {
        ready: Some(ready),
        ..HandoffDeadlines::default()
    };
    start_within(cluster, deadlines, None, change)
}

fn start_within(
    cluster: &Cluster<'_>,
    deadlines: HandoffDeadlines,
    stable_for: Option<Duration>,
    change: impl Fn(String) -> String,
) -> Handoff {
    let plan = &cluster.rendered.handoff[0];
    let manifests = cluster.rendered.self_hosted.iter();
    let manifests = manifests.map(|file| change(fs::read_to_string(file).unwrap()));
    let kubeconfig = cluster.rendered.kubeconfigs.handoff.as_str();
    let mut request = StartHandoff::new(&plan.bundle, kubeconfig)
        .manifests(manifests)
        .node_labels(plan.node_labels.clone())
        .deadlines(deadlines);
    if let Some(time) = stable_for {
        request = request.stable_for(time);
    }
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
    until(cluster, "the handoff is over", |handoff| {
        let now = format!("{:?}: {}", handoff.state, handoff.message);
        if now != last {
            println!("{now}");
            last = now;
        }
        [HandoffState::Committed, HandoffState::Reverted].contains(&handoff.state)
    })
}

/// Watches the handoff until it is as it should be: to ask again and again would take the node's time.
fn until(cluster: &Cluster<'_>, what: &str, mut holds: impl FnMut(&Handoff) -> bool) -> Handoff {
    let watched = async {
        let mut changes = cluster.scene.client.watch_handoff();
        while let Some(handoff) = changes.try_next().await.unwrap() {
            if holds(&handoff) {
                return handoff;
            }
        }
        panic!("{what}: nothing is told any more")
    };
    let in_time = run(async { tokio::time::timeout(PATIENCE, watched).await });
    in_time.unwrap_or_else(|_| panic!("not in time: {what}: {}", cluster.scene.log()))
}

/// Probes as an administrator, as somebody who may only what RBAC says, and as a writer, at both addresses of the node.
/// Each reader and the writer do so once in this time.
fn probe_each(cluster: &Cluster<'_>, read: Duration, write: Duration) -> Prober {
    let plan = Plan::of_node(cluster.node, &cluster.folder, 6443, read, write);
    Prober::start(plan).unwrap()
}
