//! Handing over, and the machine's memory before and after.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use seedpod_client::Handoff;

use crate::bench::Bench;
use crate::bootkube::Temporary;
use crate::ours;
use crate::report::{Goal, Row, Unit};
use crate::site::{Site, machine};
use crate::stats::Samples;

/// What was measured of one way.
#[derive(Default)]
struct Side {
    took: Samples,
    before: Samples,
    after: Samples,
}

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let (mut ours, mut by_hand) = (Side::default(), Side::default());
    let mut states: Vec<(String, Samples)> = Vec::new();
    for _ in 0..bench.rounds(5, 2) {
        let node = machine()?;
        let site = Site::new(&node)?;
        ours::until_handoff(&site).context("with seedpod up")?;
        ours.before.push(site.memory()?.total / 1e6);
        let handoff = ours::hand_over(&site)?;
        ours.took.push_ms(note(&handoff, &mut states)?);
        ours.after.push(site.memory()?.total / 1e6);
        drop(site);
        drop(node);

        let node = machine()?;
        let site = Site::new(&node)?;
        let temporary = Temporary::start(&site).context("by hand")?;
        by_hand.before.push(site.memory()?.total / 1e6);
        let begun = Instant::now();
        temporary.pivot().context("by hand")?;
        by_hand.took.push_ms(begun.elapsed());
        by_hand.after.push(site.memory()?.total / 1e6);
    }
    let mut how = "from StartHandoff to COMMITTED as the node has noted it; against: from the first object applied until the \
                   temporary control plane is stopped and the self-hosted pods are Ready. Medians of ours by state:"
        .to_owned();
    for (state, samples) in &states {
        // Writing to a string cannot fail.
        let _ = write!(how, " {state} {:.1} s", samples.median() / 1e3);
    }
    let memory = |more: &str| {
        format!(
            "VmRSS (1 MB = 10^6 bytes) of all processes of the machine together, at rest: containerd and its shims, the \
             kubelet, seedpodd, etcd and the control plane; {more}"
        )
    };
    let before = memory("the same machine before the handoff and after it");
    let by_hands = memory(&format!(
        "by hand with an idle seedpodd too; before the handoff that was {:.0} MB",
        by_hand.before.median()
    ));
    Ok(vec![
        Row {
            name: "a handoff",
            alternative_name: "bootkube's way by hand",
            unit: Unit::Milliseconds,
            ours: ours.took,
            alternative: by_hand.took,
            goal: Goal::Less,
            how,
        },
        Row {
            name: "the machine's memory after the handoff",
            alternative_name: "before it",
            unit: Unit::Megabytes,
            ours: ours.after.clone(),
            alternative: ours.before,
            goal: Goal::Times(1.1),
            how: before,
        },
        Row {
            name: "the machine's memory after the handoff",
            alternative_name: "bootkube's way by hand",
            unit: Unit::Megabytes,
            ours: ours.after,
            alternative: by_hand.after,
            goal: Goal::Times(1.1),
            how: by_hands,
        },
    ])
}

/// Notes how long each state took, and returns how long all did.
fn note(handoff: &Handoff, states: &mut Vec<(String, Samples)>) -> Result<Duration> {
    let mut all = Duration::ZERO;
    for step in &handoff.steps {
        let (Some(start), Some(end)) = (step.start_time, step.end_time) else {
            continue;
        };
        let took = end.duration_since(start).context("was the clock set?")?;
        all += took;
        let name = step.state.to_string();
        match states.iter_mut().find(|(state, _)| *state == name) {
            Some((_, samples)) => samples.push_ms(took),
            None => {
                let mut samples = Samples::default();
                samples.push_ms(took);
                states.push((name, samples));
            }
        }
    }
    Ok(all)
}
