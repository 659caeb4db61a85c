//! After the commit: a node that has lost its power answers again without help.

use std::time::{Duration, Instant};

use seedpod_client::HandoffState;
use seedpod_integration::{ContainerKind, wait_until};

use super::{PATIENCE, until};
use crate::rendered::{Cluster, is_ready};
use crate::scene::run;

/// A node that is handed over loses its power, once or in all the ways of below.
pub(super) fn assert_survives_reboots(cluster: &Cluster<'_>, all: bool) {
    println!("== a reboot");
    reboot(cluster);
    assert_answers(cluster);
    assert_in_its_cluster(cluster);
    if !all {
        return;
    }
    println!("== a reboot, and another one before anything answers");
    reboot(cluster);
    reboot(cluster);
    assert_answers(cluster);
    assert_in_its_cluster(cluster);

    println!("== a reboot, and another one while the standby stands in");
    reboot(cluster);
    assert_answers(cluster);
    assert_eq!(state(cluster), Some(HandoffState::StandingIn));
    reboot(cluster);
    assert_answers(cluster);
    assert_in_its_cluster(cluster);

    println!("== a reboot, and another one while the standby gives way");
    reboot(cluster);
    assert_answers(cluster);
    until(cluster, "the standby gives way", |it| {
        it.state == HandoffState::StandingDown
    });
    reboot(cluster);
    assert_answers(cluster);
    assert_in_its_cluster(cluster);
}

/// Everything ends at once, and is started again by nobody but what starts a node.
fn reboot(cluster: &Cluster<'_>) {
    let daemon = &cluster.scene.daemon;
    cluster.node.cut_power().unwrap();
    daemon.play_reboot(Duration::from_secs(5)).unwrap();
    cluster.node.power_on().unwrap();
    daemon.start_again().unwrap();
}

fn state(cluster: &Cluster<'_>) -> Option<HandoffState> {
    let handoff = run(cluster.scene.client.get_handoff()).ok()?;
    Some(handoff.state)
}

fn assert_answers(cluster: &Cluster<'_>) {
    let begun = Instant::now();
    wait_until(PATIENCE, "the API server answers", || {
        let answer = cluster.client.get("/readyz");
        answer.is_ok_and(|it| it.status == 200)
    })
    .unwrap_or_else(|error| panic!("{error}: {}", cluster.scene.log()));
    println!("it answers after {:.1} s", begun.elapsed().as_secs_f64());
    let handoff = run(cluster.scene.client.get_handoff()).unwrap();
    let last = handoff.steps.iter().rev().take(2);
    let mut last = last.map(|step| step.state);
    // Nothing else could have brought it back.
    assert!(
        last.any(|state| state == HandoffState::StandingIn),
        "{handoff:#?}"
    );
}

/// In the end the cluster's own serves, and the standby has given way.
fn assert_in_its_cluster(cluster: &Cluster<'_>) {
    let begun = Instant::now();
    let committed = until(cluster, "the standby has given way", |it| {
        it.state == HandoffState::Committed
    });
    println!(
        "the standby has given way after {:.1} s more",
        begun.elapsed().as_secs_f64()
    );
    assert_eq!(committed.withheld.len(), 3, "{committed:#?}");
    assert_eq!(cluster.client.get("/readyz").unwrap().status, 200);
    let node = cluster.node;
    let containers = node.containers().unwrap();
    for component in &cluster.rendered.handoff[0].components {
        let program = &component.injected_pod;
        let pods = cluster.pods(&format!("k8s-app={program}"));
        assert!(pods.len() == 1 && pods.iter().all(is_ready), "{pods:#?}");
        let running: Vec<&str> = containers
            .iter()
            .filter(|it| it.kind == ContainerKind::Container && it.is_running())
            .filter(|it| it.name == *program)
            .map(|it| it.pod.as_str())
            .collect();
        assert_eq!(running, [pods[0]["metadata"]["name"].as_str().unwrap()]);
    }
}
