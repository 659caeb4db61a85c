//! A real control plane in waves, against the same one all at once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use seedpod_client::InjectPods;
use seedpod_integration::{ControlPlane, Node, wait_until};
use serde_json::Value;

use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::nodes::wait_forgotten;
use crate::report::{Goal, Row, Unit};
use crate::stats::Samples;

const BUNDLE: &str = "control-plane";
const LIMIT: Duration = Duration::from_secs(180);

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let node = bench.nodes.bare()?;
    let plane = node.control_plane()?;
    let folder = bench.folder("control-plane")?;
    let mut daemon = Daemon::on_node(&bench.program, &folder, node)?;
    daemon.start()?;
    let (mut waves, mut at_once) = (Side::default(), Side::default());
    for _ in 0..bench.repetitions(5, 2) {
        waves.run(&daemon, node, &plane, &plane.pods_in_waves())?;
        at_once.run(&daemon, node, &plane, &plane.pods())?;
    }
    daemon.stop()?;
    let how = format!(
        "etcd in wave 0, kube-apiserver in 1, kube-controller-manager and kube-scheduler in 2, each with a readiness \
         probe, against the same bundle without waves; the kubelet is bound to that API server and freshly restarted; \
         from just before the call. Restarts of containers until both leases are held, in all {} runs: {} with waves, {} \
         without",
        waves.ready.count(),
        waves.restarts,
        at_once.restarts,
    );
    Ok(vec![
        Row {
            name: "a control plane: RPC -> /readyz of the API server",
            alternative_name: "all at once",
            unit: Unit::Milliseconds,
            ours: waves.ready,
            alternative: at_once.ready,
            // A wave starts when a probe, asked each second, has found the one before ready.
            goal: Goal::Above(1500.0),
            how: how.clone(),
        },
        Row {
            name: "a control plane: RPC -> controller manager and scheduler hold their leases",
            alternative_name: "all at once",
            unit: Unit::Milliseconds,
            ours: waves.held,
            alternative: at_once.held,
            goal: Goal::Less,
            how,
        },
    ])
}

/// What was measured of one way.
#[derive(Default)]
struct Side {
    ready: Samples,
    held: Samples,
    restarts: u64,
}

impl Side {
    /// Injects a control plane, sees it work, removes it, and makes the node as it was.
    fn run(
        &mut self,
        daemon: &Daemon<'_>,
        node: &Node,
        plane: &ControlPlane,
        pods: &[Value],
    ) -> Result<()> {
        let request = InjectPods::new(BUNDLE).manifests(pods.iter().map(Value::to_string));
        let begun = Instant::now();
        let injection = daemon.inject(&request)?;
        wait_until(LIMIT, "the API server is ready", || plane.is_ready())?;
        self.ready.push_ms(begun.elapsed());
        wait_until(LIMIT, "both leases are held", || plane.leases_are_held())?;
        self.held.push_ms(begun.elapsed());
        self.restarts += restarts(node)?;

        daemon.remove(BUNDLE)?;
        for pod in &injection.injected.bundle.pods {
            wait_forgotten(node, &pod.uid)?;
        }
        plane.wipe()?;
        node.restart_kubelet()
    }
}

/// How often the kubelet has restarted the containers of its pods.
fn restarts(node: &Node) -> Result<u64> {
    let answer = node.kubelet().get("/pods")?;
    let pods: Value = serde_json::from_str(&answer.body).context("read the kubelet's pods")?;
    let items = pods["items"]
        .as_array()
        .context("the kubelet has no pods")?;
    let counts = items
        .iter()
        .filter_map(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_u64());
    Ok(counts.sum())
}
