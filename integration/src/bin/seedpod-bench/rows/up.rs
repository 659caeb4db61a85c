//! From a bare machine to a control plane that runs in its own cluster.

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::ours::Came;
use crate::report::{Goal, Row, Unit};
use crate::site::{Site, machine};
use crate::stats::Samples;
use crate::{bootkube, ours};

#[derive(Default)]
struct Side {
    api: Samples,
    node: Samples,
    alone: Samples,
}

impl Side {
    fn push(&mut self, came: Came) {
        self.api.push_ms(came.api);
        self.node.push_ms(came.node);
        self.alone.push_ms(came.alone);
    }
}

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let (mut ours, mut by_hand) = (Side::default(), Side::default());
    for _ in 0..bench.rounds(5, 2) {
        let node = machine()?;
        ours.push(ours::all(&Site::new(&node)?).context("with seedpod up")?);
        drop(node);
        let node = machine()?;
        by_hand.push(bootkube::all(&Site::new(&node)?).context("by hand")?);
    }
    let how = "a new machine each time, with containerd, a kubelet without a cluster, images, keys and certificates; from \
               the start of `seedpod up` (preflight, then each component once the one before is ready), against etcd and a \
               temporary kube-apiserver as processes of the machine, started at once, then the others, and the kubelet \
               restarted as soon as /readyz says yes; looked for at the node's address";
    let end = "until `seedpod up` has ended, after a handoff in which the self-hosted API server had to serve for a while \
               before the injected one gave way, and 3 s of verification; against: the same objects applied, and as soon as \
               their pods run, which need not mean that they serve, the temporary ones are stopped; until the self-hosted \
               pods are Ready";
    let row = |name, goal, ours, alternative, how: &str| Row {
        name,
        alternative_name: "a temporary control plane by hand",
        unit: Unit::Milliseconds,
        ours,
        alternative,
        goal,
        how: how.to_owned(),
    };
    Ok(vec![
        row(
            "from nothing: the API answers",
            Goal::Above(3000.0),
            ours.api,
            by_hand.api,
            how,
        ),
        row(
            "from nothing: the node is Ready",
            Goal::Above(5000.0),
            ours.node,
            by_hand.node,
            how,
        ),
        row(
            "from nothing: the self-hosted control plane is alone and serves",
            Goal::Less,
            ours.alone,
            by_hand.alone,
            end,
        ),
    ])
}
