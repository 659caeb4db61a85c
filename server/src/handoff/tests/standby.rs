//! After the commit.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Nature, Play, spec};
use crate::handoff::Stage;

#[tokio::test(start_paused = true)]
async fn after_a_power_loss_the_standby_stands_in_and_gives_way_again() {
    let mut play = Play::begun(Nature::Good).await;
    play.until_stage(Stage::Committed).await;
    play.lose_power().await;
    sleep(Duration::from_secs(3)).await;
    let begun = Instant::now();
    play.start_daemon();
    play.until_stage(Stage::StandingIn).await;
    let waited = begun.elapsed();
    assert!(
        waited > Duration::from_secs(9) && waited < Duration::from_secs(12),
        "{waited:?}"
    );
    let served = Instant::now();
    while play.node.model().answers().is_err() {
        sleep(Duration::from_millis(100)).await;
    }
    assert!(
        served.elapsed() < Duration::from_secs(4),
        "{:?}",
        served.elapsed()
    );
    // From here on nothing is lost, whatever it does.
    play.node.model().lost.clear();
    let record = play.until_stage(Stage::Committed).await;
    assert!(record.failure.is_none());
    sleep(Duration::from_secs(120)).await;
    assert_eq!(play.record().stage, Stage::Committed);
    play.assert_nothing_lost();
    play.check();
}

#[tokio::test(start_paused = true)]
async fn a_self_hosted_api_server_that_dies_is_stood_in_for_after_a_minute() {
    let play = Play::begun(Nature::Good).await;
    play.until_stage(Stage::Committed).await;
    sleep(Duration::from_secs(100)).await;
    play.node.model().nature = Nature::DiesAt(Stage::Committed);
    let begun = Instant::now();
    play.until_stage(Stage::StandingIn).await;
    let waited = begun.elapsed();
    assert!(
        waited > Duration::from_secs(59) && waited < Duration::from_secs(63),
        "{waited:?}"
    );
    sleep(Duration::from_secs(10)).await;
    play.node.model().lost.clear();
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(play.record().stage, Stage::StandingIn);
    play.assert_nothing_lost();
    play.check();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_stand_down_stands_in_again_with_pauses() {
    let mut play = Play::new(Nature::Good);
    let mut spec = spec();
    // Standing down may take 30 s then.
    [
        spec.deadlines.drain,
        spec.deadlines.hand_over,
        spec.deadlines.verify,
    ] = [Duration::from_secs(10); 3];
    play.begin(spec).await;
    play.until_stage(Stage::Committed).await;
    play.node.model().lease_is_taken = false;
    play.lose_power().await;
    play.start_daemon();
    play.until_stage(Stage::StandingDown).await;
    play.node.model().lost.clear();
    sleep(Duration::from_secs(1800)).await;
    let record = play.record();
    assert!(record.steps.len() <= 48);
    let downs = record
        .steps
        .iter()
        .filter(|step| step.stage == Stage::StandingDown);
    let downs = downs.count();
    assert!((5..12).contains(&downs), "{downs}");
    let came = record
        .steps
        .iter()
        .find(|step| step.message.contains("LEASE_NOT_TAKEN"));
    assert!(came.is_some(), "{:#?}", record.steps);
    play.assert_nothing_lost();
    play.node.model().lease_is_taken = true;
    play.until_stage(Stage::Committed).await;
    play.check();
}

#[tokio::test(start_paused = true)]
async fn the_daemon_may_be_killed_while_the_standby_stands_in_or_down() {
    for (stage, after) in [
        (Stage::StandingIn, 0),
        (Stage::StandingIn, 3_000),
        (Stage::StandingIn, 12_000),
        (Stage::StandingDown, 0),
        (Stage::StandingDown, 4_000),
        (Stage::StandingDown, 12_000),
    ] {
        let mut play = Play::begun(Nature::Good).await;
        play.until_stage(Stage::Committed).await;
        play.lose_power().await;
        play.start_daemon();
        play.until_stage(stage).await;
        sleep(Duration::from_millis(after)).await;
        play.restart_daemon().await;
        play.until_stage(Stage::Committed).await;
        sleep(Duration::from_secs(30)).await;
        assert_eq!(play.node.model().answers(), Ok(()), "{stage:?} {after}");
        // And power may be lost again.
        play.lose_power().await;
        play.start_daemon();
        play.until_stage(Stage::StandingIn).await;
        play.until_over().await;
    }
}
