//! How single handoffs end.

use std::time::Duration;

use tokio::time::sleep;

use super::{Nature, Play, spec};
use crate::{
    handoff::{
        Stage, SteeringUsed,
        tests::{model::pod, played::api_server},
    },
    kubelet,
};

/// All stages in which a handoff is under way.
pub(super) const UNDER_WAY: [Stage; 6] = [
    Stage::Applying,
    Stage::WaitingForReady,
    Stage::WaitingForKubelet,
    Stage::Draining,
    Stage::HandingOver,
    Stage::Verifying,
];

#[tokio::test(start_paused = true)]
async fn a_handoff_is_committed_and_loses_nothing() {
    let play = Play::begun(Nature::Good).await;
    let record = play.until_over().await;
    assert_eq!(record.stage, Stage::Committed);
    let stages: Vec<_> = record.steps.iter().map(|step| step.stage).collect();
    assert_eq!(stages[..6], UNDER_WAY);
    assert_eq!(record.withheld, spec().injected());
    assert_eq!(record.steering, Some(SteeringUsed::ByLoopback));
    assert_eq!(record.created.len(), 2);
    assert_eq!(
        (record.failure.as_ref(), record.deadline.as_ref()),
        (None, None)
    );
    // It goes on so.
    sleep(Duration::from_secs(300)).await;
    assert_eq!(play.record().generation, record.generation);
    play.assert_nothing_lost();
    play.check();
}

#[tokio::test(start_paused = true)]
async fn the_leaders_give_way_one_after_the_other_and_the_api_server_last() {
    let play = Play::begun(Nature::Good).await;
    let [first, second] = ["kube-controller-manager", "kube-scheduler"].map(pod);
    let record = play.until(|record| !record.withheld.is_empty()).await;
    assert_eq!(record.stage, Stage::Draining);
    assert_eq!(record.withheld, [first.clone()].into());
    let record = play.until(|record| record.withheld.len() > 1).await;
    assert_eq!(record.stage, Stage::Draining);
    assert_eq!(record.withheld, [first, second].into());
    let record = play
        .until(|record| record.withheld.contains(&api_server()))
        .await;
    assert_eq!(record.stage, Stage::HandingOver);
}

/// Each failure brings the injected control plane back, and no client loses a request.
#[tokio::test(start_paused = true)]
async fn a_self_hosted_api_server_that_does_not_serve_is_handed_back_from() {
    for (nature, reason) in [
        (Nature::NeverStarts, "POD_NOT_READY"),
        (Nature::Crashes, "POD_NOT_READY"),
        (Nature::Hangs, "POD_NOT_READY"),
        (
            Nature::DiesAfter(Duration::from_secs(5)),
            "API_SERVER_NOT_SERVING",
        ),
    ] {
        let play = Play::begun(nature).await;
        let record = play.until_over().await;
        assert_eq!(record.stage, Stage::Reverted, "{nature:?}");
        assert_eq!(play.reason().as_deref(), Some(reason), "{nature:?}");
        assert_eq!(
            record.failure.as_ref().map(|it| it.stage),
            Some(Stage::WaitingForReady)
        );
        // Nothing was ever taken away.
        assert_eq!(play.node.model().listeners(), 1);
        play.assert_nothing_lost();
        let model = play.node.model();
        assert!(!model.applied && !model.labelled, "{nature:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_dies_later_is_handed_back_from() {
    for (stage, reason) in [
        (Stage::WaitingForKubelet, "API_SERVER_NOT_SERVING"),
        (Stage::Draining, "API_SERVER_NOT_SERVING"),
        (Stage::HandingOver, "API_SERVER_NOT_SERVING"),
    ] {
        let play = Play::begun(Nature::DiesAt(stage)).await;
        let record = play.until_over().await;
        assert_eq!(record.stage, Stage::Reverted, "{stage:?}");
        assert_eq!(play.reason().as_deref(), Some(reason), "{stage:?}");
        play.assert_nothing_lost();
    }
    // Here it was alone: it takes as long as an API server takes to start.
    let play = Play::begun(Nature::DiesAt(Stage::Verifying)).await;
    let record = play.until_over().await;
    assert_eq!(record.stage, Stage::Reverted);
    assert_eq!(play.reason().as_deref(), Some("VERIFICATION_FAILED"));
    let model = play.node.model();
    assert!(model.lost.len() < 200, "{}", model.lost.len());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_done_in_time_is_handed_back_with_what_was_waited_for() {
    let play = Play::new(Nature::Good);
    play.node.model().apply_fails = true;
    play.begin(spec()).await;
    assert_eq!(play.until_over().await.stage, Stage::Reverted);
    let failure = play.record().failure.clone().expect("one");
    assert_eq!(
        (failure.stage, &*failure.reason),
        (Stage::Applying, "APPLY_FAILED")
    );
    assert!(
        failure.message.contains("waiting for DaemonSet"),
        "{}",
        failure.message
    );

    let play = Play::new(Nature::Good);
    play.node.model().kubelet = kubelet::Sync::Unsynced;
    play.begin(spec()).await;
    assert_eq!(play.until_over().await.stage, Stage::Reverted);
    assert_eq!(play.reason().as_deref(), Some("KUBELET_NOT_SYNCED"));
    play.assert_nothing_lost();

    let play = Play::new(Nature::Good);
    play.node.model().lease_is_taken = false;
    play.begin(spec()).await;
    assert_eq!(play.until_over().await.stage, Stage::Reverted);
    assert_eq!(play.reason().as_deref(), Some("LEASE_NOT_TAKEN"));
    assert!(play.record().withheld.is_empty());
    play.assert_nothing_lost();
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_without_the_pods_api_has_proved_itself() {
    let play = Play::new(Nature::Good);
    play.node.model().kubelet = kubelet::Sync::Unknown;
    play.begin(spec()).await;
    assert_eq!(play.until_over().await.stage, Stage::Committed);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_can_be_steered_it_goes_on_without() {
    let play = Play::new(Nature::Good);
    let why = "no rights".to_owned();
    play.node.model().steering = SteeringUsed::None { why };
    play.begin(spec()).await;
    assert_eq!(play.until_over().await.stage, Stage::Committed);
    assert_eq!(play.node.model().phase, None);
}

/// However long a stage has been under way.
#[tokio::test(start_paused = true)]
async fn an_abort_in_each_stage_brings_all_back_without_a_loss() {
    for stage in UNDER_WAY {
        for after in [0, 40, 900, 2_000, 4_000, 7_000] {
            let play = Play::begun(Nature::Good).await;
            play.until_stage(stage).await;
            sleep(Duration::from_millis(after)).await;
            if !play.record().stage.is_under_way() {
                continue;
            }
            play.abort();
            let record = play.until_over().await;
            assert_eq!(record.stage, Stage::Reverted);
            assert_eq!(play.reason().as_deref(), Some("ABORTED"));
            assert_eq!(play.node.model().listeners(), 1, "{stage:?} {after}");
            play.assert_nothing_lost();
        }
    }
}

/// It was starting when the self-hosted one came back as the younger one, to which its own connections go then.
#[tokio::test(start_paused = true)]
async fn on_the_way_back_an_injected_api_server_that_does_not_reach_itself_is_let_start() {
    let play = Play::begun(Nature::Good).await;
    play.until_stage(Stage::WaitingForReady).await;
    play.node.model().injected_is_stuck();
    play.abort();
    let begun = tokio::time::Instant::now();
    assert_eq!(play.until_over().await.stage, Stage::Reverted);
    assert!(begun.elapsed() < Duration::from_secs(120));
    assert_eq!(play.node.model().listeners(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_killed_in_each_stage_goes_on_without_a_loss() {
    for stage in UNDER_WAY {
        for after in [0, 40, 900, 2_000, 4_000, 7_000] {
            let mut play = Play::begun(Nature::Good).await;
            play.until_stage(stage).await;
            sleep(Duration::from_millis(after)).await;
            play.kill_daemon().await;
            sleep(Duration::from_millis(after)).await;
            play.start_daemon();
            let record = play.until_over().await;
            assert_eq!(
                record.stage,
                Stage::Committed,
                "{stage:?} {after} {:?}",
                record.failure
            );
            play.assert_nothing_lost();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handoff_that_the_daemon_dies_of_is_given_up() {
    let mut play = Play::begun(Nature::Good).await;
    play.until_stage(Stage::WaitingForReady).await;
    for _ in 0..4 {
        sleep(Duration::from_millis(500)).await;
        play.restart_daemon().await;
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(play.until_over().await.stage, Stage::Reverted);
    assert_eq!(play.reason().as_deref(), Some("DAEMON_RESTARTED"));
    play.assert_nothing_lost();
}

#[tokio::test(start_paused = true)]
async fn a_power_loss_in_each_stage_is_handed_back() {
    for stage in UNDER_WAY {
        let mut play = Play::begun(Nature::Good).await;
        play.until_stage(stage).await;
        sleep(Duration::from_millis(600)).await;
        if play.record().stage != stage {
            continue;
        }
        play.lose_power().await;
        sleep(Duration::from_secs(5)).await;
        play.start_daemon();
        // At once, with no API server to ask.
        let record = play.until(|record| !record.stage.is_under_way()).await;
        assert!(record.withheld.is_empty());
        assert_eq!(play.until_over().await.stage, Stage::Reverted, "{stage:?}");
        assert_eq!(play.reason().as_deref(), Some("NODE_REBOOTED"));
        assert_eq!(play.node.model().answers(), Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_keeps_all_as_it_is_until_there_is_room() {
    for stage in UNDER_WAY {
        let play = Play::begun(Nature::Good).await;
        let before = play.until_stage(stage).await;
        play.node.model().disk_fails = true;
        sleep(Duration::from_secs(15)).await;
        assert_eq!(play.record().generation, before.generation);
        play.node.model().disk_fails = false;
        let record = play.until_over().await;
        assert_eq!(
            record.stage,
            Stage::Committed,
            "{stage:?} {:?}",
            record.failure
        );
        play.assert_nothing_lost();
    }
}

#[tokio::test(start_paused = true)]
async fn it_says_what_it_waits_for() {
    let play = Play::begun(Nature::Crashes).await;
    play.until_stage(Stage::WaitingForReady).await;
    sleep(Duration::from_secs(35)).await;
    let message = play.node.model().message.clone();
    assert_eq!(
        message,
        "waiting for kube-system/kube-apiserver-x7k2p to be Ready: container exits with code 1, restarted 3 times"
    );
}

#[tokio::test(start_paused = true)]
async fn a_handoff_that_is_forgotten_leaves_the_port_alone() {
    let play = Play::begun(Nature::Good).await;
    play.until_stage(Stage::Committed).await;
    play.node.model().commit(None);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(play.node.model().phase, None);
}
