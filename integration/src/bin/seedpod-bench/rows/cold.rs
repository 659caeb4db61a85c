//! From nothing to the first pod: our daemon against etcd and kube-apiserver.

use anyhow::{Context, Result};

use super::first_line::run_injected;
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::report::{Goal, Row, Unit};
use crate::stats::Samples;

pub(super) fn measure(bench: &Bench) -> Result<Row> {
    let node = bench.nodes.standalone()?;
    let bound = bench.nodes.bound()?;
    let (mut ours, mut alternative) = (Samples::default(), Samples::default());
    for round in 0..bench.repetitions(5, 2) {
        let folder = bench.folder(&format!("cold-{round}"))?;
        let mut daemon = Daemon::on_node(&bench.program, &folder, node)?;
        let start = daemon.start()?;
        let (_, times) = run_injected(&daemon, node, &format!("cold-{round}"))?;
        ours.push_ms(start + times.line);
        daemon.stop()?;

        let start = bound.restart_api_server()?;
        bound.bind_kubelet().context("bind the kubelet")?;
        alternative.push_ms(start + bound.run_pod(&format!("cold-{round}"))?);
    }
    Ok(Row {
        name: "RPC -> container's first line, from nothing",
        alternative_name: "etcd + kube-apiserver, then a pod",
        unit: Unit::Milliseconds,
        ours,
        alternative,
        goal: Goal::Less,
        how: "start of `seedpodd` with empty state until it serves, and then from the call to the line; against start of \
              etcd without data until it is healthy, start of kube-apiserver until /readyz, and then from the POST of a \
              pod with spec.nodeName to the line. The time in which the kubelet registers with the new API server is \
              left out, in favour of the alternative."
            .to_owned(),
    })
}
