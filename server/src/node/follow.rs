//! Follows what becomes of the pods: judges them whenever something has changed, publishes that, and records the events.

use std::sync::Arc;

use seedpod_manifest::NodeName;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{PodProjection, Rules, State, status::PodStatus};
use crate::{
    events::EventSink, kubelet::KubeletWatch, probe::ReadinessWatch, runtime_cri::ObservationWatch,
    store::StoreId,
};

/// What it looks at.
#[derive(Debug)]
pub(super) struct Inlets {
    pub(super) state: watch::Receiver<Arc<State>>,
    pub(super) projections: watch::Receiver<Arc<Vec<PodProjection>>>,
    pub(super) observation: ObservationWatch,
    pub(super) readiness: ReadinessWatch,
    pub(super) kubelet: KubeletWatch,
}

/// Starts the task. It ends when `shutdown` is cancelled.
pub(super) fn start(
    inlets: Inlets,
    id: Arc<StoreId>,
    node: NodeName,
    rules: Rules,
    events: EventSink,
    publish: watch::Sender<Arc<Vec<PodStatus>>>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        shutdown.cancelled().await;
        drop((inlets, id, node, rules, events, publish));
    })
}
