//! Whatever goes wrong before the commit, the injected control plane is back, and no request was lost.
//!
//! One cluster serves for all failures, one after another: what one leaves behind, the next one would stumble over. In the end a
//! handoff without a fault works, and the node loses its power.
//!
//! `SEEDPOD_TORTURE_HANDOFF_FAILURES` says how often all of them are gone through; without it, some are, once.
//! `SEEDPOD_TORTURE_HANDOFF_FAILURE` leaves only those of which the name contains this, or one of several between bars.

mod back;
mod cases;
mod meddling;

use std::time::{Duration, Instant};

use seedpod_client::{Handoff, HandoffDeadlines, HandoffState};
use seedpod_integration::prober::Report;

use self::back::assert_handed_back;
use self::cases::CASES;
use super::{over, probe_each, reboot, start_within};
use crate::kills::number;
use crate::render_up::{injected, machine};
use crate::rendered::{Cluster, is_ready};
use crate::scene::run;

/// What makes a handoff fail, and what is to come of it.
struct Case {
    name: &'static str,
    /// Whether it is among those of every day.
    daily: bool,
    /// Changes each file of the self-hosted objects.
    change: fn(String) -> String,
    deadlines: HandoffDeadlines,
    stable_for: Duration,
    /// Before the handoff begins.
    prepare: fn(&Cluster<'_>),
    /// While it is under way.
    meddle: fn(&Cluster<'_>),
    /// When it is over.
    undo: fn(&Cluster<'_>),
    /// Where it fails.
    state: HandoffState,
    /// How the failure may be called.
    reasons: &'static [&'static str],
    /// What it tells of.
    says: &'static str,
    /// Whether nobody serves for a while: the self-hosted API server is killed when it is the only one.
    loses: bool,
}

/// From one request to the next: there is much else to do here for a machine.
const PROBES: Duration = Duration::from_millis(100);

const NO_DEADLINES: HandoffDeadlines = HandoffDeadlines {
    apply: None,
    ready: None,
    kubelet: None,
    drain: None,
    hand_over: None,
    verify: None,
};

/// Nothing is wrong: what the cases begin with.
const NONE: Case = Case {
    name: "",
    daily: false,
    change: |manifest| manifest,
    deadlines: NO_DEADLINES,
    stable_for: Duration::from_secs(3),
    prepare: |_| {},
    meddle: |_| {},
    undo: |_| {},
    state: HandoffState::WaitingForReady,
    reasons: &[],
    says: "",
    loses: false,
};

impl Case {
    /// Tells how many requests were made meanwhile.
    fn run(&self, cluster: &Cluster<'_>) -> usize {
        println!("== {}", self.name);
        let begun = Instant::now();
        (self.prepare)(cluster);
        let prober = probe_each(cluster, PROBES, 2 * PROBES);
        start_within(cluster, self.deadlines, Some(self.stable_for), self.change);
        (self.meddle)(cluster);
        let handoff = over(cluster);
        (self.undo)(cluster);
        self.assert_failed(&handoff);
        assert_handed_back(cluster, self.name, &handoff);
        let report = prober.finish().unwrap();
        println!("== {}: {:.0} s", self.name, begun.elapsed().as_secs_f64());
        if self.loses {
            println!("{report}");
        } else {
            assert_none_failed(&report);
        }
        report.requests()
    }

    /// It has gone back, for the reason that there was.
    fn assert_failed(&self, handoff: &Handoff) {
        let name = self.name;
        assert_eq!(
            handoff.state,
            HandoffState::Reverted,
            "{name}: {handoff:#?}"
        );
        assert!(handoff.withheld.is_empty(), "{name}: {handoff:#?}");
        let failure = handoff.failure.as_ref().unwrap();
        println!(
            "   in {}, {}: {}",
            failure.state, failure.reason, failure.message
        );
        assert_eq!(failure.state, self.state, "{name}: {handoff:#?}");
        let reason = failure.reason.as_str();
        assert!(self.reasons.contains(&reason), "{name}: {handoff:#?}");
        assert!(failure.message.contains(self.says), "{name}: {handoff:#?}");
    }
}

/// Nobody got an error, another status than 2xx, or no answer at all. What was slower than 2 s is told: beside other tests a
/// write may take so long, whoever serves.
fn assert_none_failed(report: &Report) {
    println!("{report}");
    let failed = report.failed();
    assert!(failed.is_empty(), "requests were lost: {failed:#?}");
    let watched = report.watched.as_ref().unwrap();
    assert_eq!(watched.missed, 0, "{watched:?}");
}

#[test]
fn each_failure_is_handed_back_from_and_then_a_handoff_works_and_survives_reboots() {
    let rounds = number("SEEDPOD_TORTURE_HANDOFF_FAILURES");
    let only = std::env::var("SEEDPOD_TORTURE_HANDOFF_FAILURE").unwrap_or_default();
    let node = machine();
    let cluster = injected(&node, "failures");
    let _hanging = meddling::listen_and_hang(&node);
    let (mut count, mut requests, begun) = (0, 0, Instant::now());
    for _ in 0..rounds.unwrap_or(1) {
        let cases = CASES.iter().filter(|case| rounds.is_some() || case.daily);
        let named = |case: &&Case| only.split('|').any(|part| case.name.contains(part));
        for case in cases.filter(named) {
            requests += case.run(&cluster);
            count += 1;
        }
    }
    println!(
        "{count} failures with {requests} requests in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    assert_hands_over(&cluster);
    reboot::assert_survives_reboots(&cluster, rounds.is_some());
}

/// Without a fault it works, and after that there is no way back.
fn assert_hands_over(cluster: &Cluster<'_>) {
    println!("== without a fault");
    let prober = probe_each(cluster, PROBES, 2 * PROBES);
    start_within(cluster, NO_DEADLINES, None, |manifest| manifest);
    let handoff = over(cluster);
    let report = prober.finish().unwrap();
    assert_eq!(handoff.state, HandoffState::Committed, "{handoff:#?}");
    assert_none_failed(&report);
    let pods = cluster.pods("k8s-app=kube-apiserver");
    assert!(pods.len() == 1 && pods.iter().all(is_ready), "{pods:?}");

    let refused = run(cluster.scene.client.abort_handoff(None)).unwrap_err();
    println!("{refused}");
    assert_eq!(refused.reason(), Some("HANDED_OVER"), "{refused}");
    let after = run(cluster.scene.client.get_handoff()).unwrap();
    assert_eq!(after.generation, handoff.generation, "{after:#?}");
}
