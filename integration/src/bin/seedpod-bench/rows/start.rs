//! From the start of the program to its first answer.

use anyhow::Result;
use seedpod_client::InjectPods;

use super::memory::fifty_pods;
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::pods::Kind;
use crate::report::{Goal, Row, Unit};
use crate::stats::Samples;

pub(super) fn measure(bench: &Bench) -> Result<Row> {
    let folder = bench.folder("start")?;
    let mut daemon = Daemon::without_node(&bench.program, &folder)?;
    daemon.start()?;
    for (bundle, manifests) in fifty_pods(Kind::Sent) {
        let request = InjectPods::new(bundle).manifests(manifests);
        let injection = daemon.inject(&request)?;
        daemon.wait_projected(&injection.injected.bundle)?;
    }
    daemon.stop()?;

    let bound = bench.nodes.bound()?;
    let (mut ours, mut alternative) = (Samples::default(), Samples::default());
    for _ in 0..bench.repetitions(5, 2) {
        for _ in 0..bench.repetitions(6, 5) {
            ours.push_ms(daemon.start()?);
            daemon.stop()?;
        }
        alternative.push_ms(bound.restart_api_server()?);
    }
    Ok(Row {
        name: "start -> serving",
        alternative_name: "etcd + kube-apiserver to /readyz",
        unit: Unit::Milliseconds,
        ours,
        alternative,
        goal: Goal::AtMost(30.0),
        how: "from the spawn of `seedpodd` with 50 pods in its state, their files in place and mutual TLS on, to the \
              answer of GetNode over the Unix socket; against etcd without data and kube-apiserver, one after the other."
            .to_owned(),
    })
}
