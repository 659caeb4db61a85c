//! A pod through the daemon against a pod through a running API server.

use anyhow::Result;

use super::first_line::run_injected;
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::report::{Goal, Row, Unit};
use crate::stats::Samples;

pub(super) fn measure(bench: &Bench) -> Result<Row> {
    let node = bench.nodes.standalone()?;
    let bound = bench.nodes.bound()?;
    bound.bind_kubelet()?;
    let folder = bench.folder("warm")?;
    let mut daemon = Daemon::on_node(&bench.program, &folder, node)?;
    daemon.start()?;
    let (mut ours, mut alternative) = (Samples::default(), Samples::default());
    for round in 0..bench.repetitions(20, 5) {
        let name = format!("warm-{round}");
        let (_, times) = run_injected(&daemon, node, &name)?;
        ours.push_ms(times.line);
        alternative.push_ms(bound.run_pod(&name)?);
    }
    daemon.stop()?;
    Ok(Row {
        name: "RPC -> container's first line, everything running",
        alternative_name: "a pod through a running kube-apiserver",
        unit: Unit::Milliseconds,
        ours,
        alternative,
        goal: Goal::Less,
        how: "from the call to the line, with the daemon running; against the POST of a pod with spec.nodeName to a \
              running kube-apiserver whose kubelet has run a pod before; a node for each side."
            .to_owned(),
    })
}
