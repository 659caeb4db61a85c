//! The machine's power is lost in the middle of handoffs: the node ends handed back or handed over, and the API answers.
//!
//! `SEEDPOD_TORTURE_HANDOFF_POWER_CUTS` says at how many random instants (1), `SEEDPOD_TORTURE_KILL_SEED` from which seed,
//! which is printed. In the long form the power is cut around each write of the record before that.

use super::arena::{Arena, Strike, What, When};
use super::history::FORWARD;
use crate::kills::{Random, fresh_seed, number};
use crate::render_up::machine;

#[test]
fn a_machine_that_loses_its_power_in_a_handoff_has_one_control_plane_afterwards() {
    let long = number("SEEDPOD_TORTURE_HANDOFF_POWER_CUTS");
    let cuts = long.unwrap_or(1);
    let seed = number("SEEDPOD_TORTURE_KILL_SEED").unwrap_or_else(fresh_seed);
    println!("{cuts} power cuts, SEEDPOD_TORTURE_KILL_SEED={seed}");
    let mut random = Random::new(seed);
    let mut whens = Vec::new();
    if long.is_some() {
        whens.push(When::Written(FORWARD[0]));
        for point in &FORWARD[1..] {
            whens.extend([When::Writing(*point), When::Written(*point)]);
        }
    }
    let node = machine();
    let arena = Arena::new(&node, "power");
    let mut ends = [0, 0];
    let all = whens.len() + usize::try_from(cuts).unwrap();
    for index in 0..all {
        let at_random = || When::After(random.up_to(arena.length()));
        let when = whens.get(index).copied().unwrap_or_else(at_random);
        let strikes: [Strike; 1] = [(when, What::PowerCut)];
        println!("handoff {}: {strikes:?}", index + 1);
        let ended = arena.round(&strikes, &mut random);
        let reason = ended.record.failure.as_ref();
        let reason = reason.and_then(|failure| failure["reason"].as_str());
        let before = ended
            .struck
            .first()
            .map(|(_, record)| record.stage.as_str());
        match before {
            // It came too late.
            None => assert!(ended.is_committed(), "{ended:#?}"),
            // What was being written then may be so or not.
            Some("committed" | "verifying") if ended.is_committed() => {}
            Some("committed") => panic!("handed back after the commit: {ended:#?}"),
            Some(_) => assert_eq!(reason, Some("NODE_REBOOTED"), "{ended:#?}"),
        }
        ends[usize::from(ended.is_committed())] += 1;
        let is_last = index + 1 == all;
        if ended.is_committed() && !is_last {
            arena.take_back();
        } else if !is_last {
            arena.ready();
        }
    }
    println!("{} handed back, {} handed over", ends[0], ends[1]);
}
