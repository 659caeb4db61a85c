//! Resident memory with fifty pods.

use anyhow::Result;
use seedpod_client::{ChangeType, InjectPods};

use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::memory::at_rest;
use crate::pods::{Kind, control_plane};
use crate::report::{Goal, Row, Unit};
use crate::stats::Samples;

const PODS: usize = 50;

pub(super) fn measure(bench: &Bench) -> Result<Row> {
    let node = bench.nodes.standalone()?;
    let bound = bench.nodes.bound()?;
    let folder = bench.folder("memory")?;
    let mut daemon = Daemon::on_node(&bench.program, &folder, node)?;
    let bundles = fifty_pods(Kind::Running);

    let (mut ours, mut alternative) = (Samples::default(), Samples::default());
    let (mut our_heap, mut their_heap) = (Samples::default(), Samples::default());
    for round in 0..bench.repetitions(4, 2) {
        daemon.start()?;
        for (bundle, manifests) in &bundles {
            let request = InjectPods::new(bundle.as_str()).manifests(manifests.clone());
            let injected = daemon.inject(&request)?.injected;
            let changed = injected
                .changes
                .iter()
                .any(|change| change.r#type != ChangeType::Unchanged);
            anyhow::ensure!(changed == (round == 0), "only the first round changes pods");
        }
        daemon.wait_running(PODS)?;
        let resident = at_rest(&[daemon.pid()?])?;
        ours.push(resident.total / 1e6);
        our_heap.push(resident.anonymous / 1e6);
        if round + 1 < bench.repetitions(4, 2) {
            daemon.stop()?;
        }

        bound.restart_api_server()?;
        let resident = at_rest(&bound.api_server_pids()?)?;
        alternative.push(resident.total / 1e6);
        their_heap.push(resident.anonymous / 1e6);
    }
    for (bundle, _) in &bundles {
        daemon.remove(bundle)?;
    }
    daemon.stop()?;
    Ok(Row {
        name: "resident memory, idle, 50 pods",
        alternative_name: "etcd + kube-apiserver",
        unit: Unit::Megabytes,
        ours,
        alternative,
        goal: Goal::AtMost(12.0),
        how: format!(
            "VmRSS (1 MB = 10^6 bytes) of `seedpodd` with CRI after 50 pods in 8 bundles were injected and run, and again \
             after each restart and another injection of all; of this RssAnon {:.1} MB. The API server is freshly \
             started and empty (RssAnon {:.0} MB).",
            our_heap.median(),
            their_heap.median()
        ),
    })
}

/// Fifty pods in eight bundles: seven control planes and one pod more.
pub(super) fn fifty_pods(kind: Kind) -> Vec<(String, Vec<String>)> {
    let mut left = PODS;
    (0..)
        .map_while(|plane| {
            let mut manifests = control_plane(kind, plane, 1);
            manifests.truncate(left);
            left -= manifests.len();
            (!manifests.is_empty()).then(|| (format!("plane-{plane}"), manifests))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_pods_are_fifty() {
        let bundles = fifty_pods(Kind::Running);
        let pods: usize = bundles.iter().map(|(_, manifests)| manifests.len()).sum();
        assert_eq!((bundles.len(), pods), (8, 50));
    }
}
