//! The startup and readiness probes of pods, with the kubelet's own semantics. (Liveness is the kubelet's business.)
//!
//! `spec.rs` reads what is to be probed, `machine.rs` (pure) has the rules of when and what it amounts to, `task.rs` is
//! the one task that keeps a machine for each running container, and `ask.rs` runs a probe once.

mod ask;
mod expand;
mod machine;
mod spec;
mod task;

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    kubelet::KubeletWatch,
    node::State,
    runtime_cri::{ObservationWatch, Runtime},
};

pub(crate) use self::ask::https_answers;

/// What a probe says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has not said anything yet.
    Pending,
    Passes,
    /// It has failed, as often in a row as its threshold asks for where it has passed before; a container that has
    /// never passed fails with the first failure.
    Fails,
}

/// What the probes of one container say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probed {
    /// `None`: the container has no startup probe.
    pub(crate) startup: Option<Verdict>,
    /// `None`: the container has no readiness probe. It is [`Verdict::Pending`] until the startup probe passes.
    pub(crate) readiness: Option<Verdict>,
    /// The last failure, for people, as in "readiness probe GET http://10.88.0.3:8080/healthz answered 500". Empty when
    /// they pass.
    pub(crate) message: String,
}

/// What the probes say, by the ids of the running containers that have any. A running container with probes that is
/// not in here has not been probed yet.
pub(crate) type Readiness = HashMap<String, Probed>;

/// What is published of the probes.
pub(crate) type ReadinessWatch = watch::Receiver<Arc<Readiness>>;

/// What it looks at.
#[derive(Debug)]
pub(crate) struct Inlets {
    pub(crate) state: watch::Receiver<Arc<State>>,
    pub(crate) observation: ObservationWatch,
    pub(crate) kubelet: KubeletWatch,
}

/// Starts probing. The task ends when `shutdown` is cancelled. `node_ip` is where pods in the host's network are
/// reached when neither their probe nor the kubelet tells.
pub(crate) fn start<R: Runtime>(
    inlets: Inlets,
    runtime: Option<R>,
    node_ip: Option<IpAddr>,
    shutdown: CancellationToken,
) -> (ReadinessWatch, JoinHandle<()>) {
    let (publish, readiness) = watch::channel(Arc::new(Readiness::new()));
    let prober = task::Prober::new(inlets, runtime, node_ip, publish);
    let task = tokio::spawn(async move {
        shutdown.run_until_cancelled(prober.run()).await;
    });
    (readiness, task)
}
