//! Handoffs to which everything happens: kills, power losses, aborts, full disks, API servers that die.

use std::time::Duration;

use tokio::time::sleep;

use super::{Nature, Play};
use crate::handoff::Stage;

/// splitmix64: the same walk for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

async fn walk(seed: u64) {
    let mut random = Random(seed);
    let nature = match random.below(10) {
        0 => Nature::Hangs,
        1 => Nature::Crashes,
        2 => Nature::DiesAfter(Duration::from_millis(3_000 + random.below(30_000))),
        3 => Nature::DiesAt(Stage::HandingOver),
        4 => Nature::DiesAt(Stage::Verifying),
        5 => Nature::DiesAt(Stage::Draining),
        _ => Nature::Good,
    };
    let mut play = Play::begun(nature).await;
    let mut powered = true;
    for _ in 0..random.below(8) {
        sleep(Duration::from_millis(random.below(9_000))).await;
        match random.below(8) {
            0..3 => {
                play.kill_daemon().await;
                sleep(Duration::from_millis(random.below(3_000))).await;
                play.start_daemon();
            }
            3 => {
                powered = false;
                play.lose_power().await;
                sleep(Duration::from_millis(random.below(5_000))).await;
                play.start_daemon();
            }
            4 => play.abort(),
            5 => {
                play.node.model().disk_fails = true;
                sleep(Duration::from_millis(random.below(8_000))).await;
                play.node.model().disk_fails = false;
            }
            6 => {
                sleep(Duration::from_millis(random.below(15_000))).await;
            }
            _ => {}
        }
    }
    // What can't live any more would be stood in for, for ever.
    let over = |record: &crate::handoff::Record| {
        matches!(
            record.stage,
            Stage::Committed | Stage::Reverted | Stage::StandingIn
        )
    };
    play.until(over).await;
    sleep(Duration::from_secs(400)).await;
    let record = play.until(over).await;
    play.check();
    let model = play.node.model();
    let answers = model.answers();
    assert!(
        answers.is_ok() || matches!(nature, Nature::DiesAfter(_)),
        "{:?} {answers:?} {powered} {:#?}",
        record.stage,
        model.messages
    );
    if record.stage == Stage::Reverted {
        assert_eq!(model.listeners(), 1);
        assert!(!model.labelled);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_it_ends_handed_over_or_handed_back_and_the_api_answers() {
    let walks = std::env::var("SEEDPOD_TORTURE_HANDOFF_WALKS").ok();
    let walks = walks.and_then(|walks| walks.parse().ok()).unwrap_or(60);
    for seed in 0..walks {
        let walked = tokio::spawn(walk(seed)).await;
        assert!(walked.is_ok(), "seed {seed}");
    }
}
