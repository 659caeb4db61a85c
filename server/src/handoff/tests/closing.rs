//! The injected API server closes its port while something else happens: whoever connects to it then gets no answer.

use std::time::Duration;

use tokio::time::sleep;

use super::{Nature, Play, played::api_server};
use crate::handoff::Stage;

/// Around the instant at which the port is closed, 5 s after the pod was withheld.
fn instants() -> impl Iterator<Item = Duration> {
    (4_600..5_200).step_by(10).map(Duration::from_millis)
}

async fn withheld() -> Play {
    let play = Play::begun(Nature::Good).await;
    play.until(|record| record.withheld.contains(&api_server()))
        .await;
    play
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_starts_then_sends_nobody_there() {
    for instant in instants() {
        let mut play = withheld().await;
        play.kill_daemon().await;
        sleep(instant).await;
        play.start_daemon();
        assert_eq!(play.until_over().await.stage, Stage::Committed);
        play.assert_nothing_lost();
    }
}

#[tokio::test(start_paused = true)]
async fn the_way_back_sends_nobody_there() {
    for instant in instants() {
        let play = withheld().await;
        sleep(instant).await;
        play.abort();
        assert_eq!(play.until_over().await.stage, Stage::Reverted);
        play.assert_nothing_lost();
    }
}
