//! Requests that are lost while handing over.

use std::time::Duration;

use anyhow::{Context, Result};
use seedpod_integration::prober::Report;

use crate::bench::Bench;
use crate::bootkube::Temporary;
use crate::ours;
use crate::report::{Goal, Row, Unit};
use crate::site::{Site, machine};
use crate::stats::Samples;

/// From one request of a user at an address to the next.
const EVERY: Duration = Duration::from_millis(10);

#[derive(Default)]
struct Side {
    lost: Samples,
    requests: Samples,
    /// The longest time to an answer, or to the loss.
    longest: Samples,
}

impl Side {
    fn push(&mut self, report: &Report) {
        self.lost.push(report.lost().len() as f64);
        self.requests.push(report.requests() as f64);
        self.longest.push_ms(report.longest());
    }
}

pub(super) fn measure(bench: &Bench) -> Result<Row> {
    let (mut ours, mut by_hand) = (Side::default(), Side::default());
    for _ in 0..bench.rounds(5, 2) {
        let node = machine()?;
        let site = Site::new(&node)?;
        ours::until_handoff(&site).context("with seedpod up")?;
        let prober = site.probe(EVERY)?;
        ours::hand_over(&site)?;
        ours.push(&prober.finish()?);
        drop(site);
        drop(node);

        let node = machine()?;
        let site = Site::new(&node)?;
        let temporary = Temporary::start(&site).context("by hand")?;
        let prober = site.probe(EVERY)?;
        temporary.pivot().context("by hand")?;
        by_hand.push(&prober.finish()?);
    }
    let how = format!(
        "an administrator, a user by RBAC and a writer ask every {} ms at 127.0.0.1 and at the node's address, each time over \
         a new TLS connection, from before the self-hosted API server starts until the other one is gone; lost: an error, \
         none of 2xx, or more than 2 s. Of {:.0} requests (median), the longest took {:.0} ms; by hand of {:.0}, {:.0} ms. By \
         hand the two API servers cannot share the port: the self-hosted one crashes until the temporary one is gone, and \
         then waits for its back-off",
        EVERY.as_millis(),
        ours.requests.median(),
        ours.longest.quantile(1.0),
        by_hand.requests.median(),
        by_hand.longest.quantile(1.0),
    );
    Ok(Row {
        name: "requests lost in a handoff",
        alternative_name: "the port fought over",
        unit: Unit::Requests,
        ours: ours.lost,
        alternative: by_hand.lost,
        goal: Goal::AtMost(0.0),
        how,
    })
}
