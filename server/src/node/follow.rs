//! Follows what becomes of the pods: judges them whenever something has changed, publishes that, and records the events.

mod changes;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use seedpod_manifest::NodeName;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::changes::Changes;
use super::{
    PodProjection, State,
    status::{Now, Parts, PodStatus, RuntimeView, Specs, judge},
};
use crate::{
    events::EventSink,
    kubelet::KubeletWatch,
    probe::ReadinessWatch,
    runtime_cri::{Observation, ObservationWatch, Seen},
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
    specs: Specs,
    node: NodeName,
    refused_after: Duration,
    events: EventSink,
    publish: watch::Sender<Arc<Vec<PodStatus>>>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    let follower = Follower {
        inlets,
        specs,
        node,
        refused_after,
        events,
        publish,
        changes: Changes::default(),
    };
    tokio::spawn(async move {
        shutdown.run_until_cancelled(follower.run()).await;
        // Who feeds it may stop first; that is no reason to end by itself.
        shutdown.cancelled().await;
    })
}

struct Follower {
    inlets: Inlets,
    specs: Specs,
    node: NodeName,
    refused_after: Duration,
    events: EventSink,
    publish: watch::Sender<Arc<Vec<PodStatus>>>,
    changes: Changes,
}

impl Follower {
    async fn run(mut self) {
        // What runs is known within milliseconds, and till then there is nothing to tell.
        let asked = |observation: &Arc<Observation>| !matches!(observation.seen, Seen::NotYet);
        if self.inlets.observation.wait_for(asked).await.is_err() {
            return;
        }
        loop {
            let due = self.look();
            let due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let inlets = &mut self.inlets;
            tokio::select! {
                () = changed(&mut inlets.state) => {}
                () = changed(&mut inlets.projections) => {}
                () = changed(&mut inlets.observation) => {}
                () = changed(&mut inlets.readiness) => {}
                () = changed(&mut inlets.kubelet) => {}
                () = due => {}
            }
        }
    }

    /// Judges all pods. When that has to be done again though nothing changes.
    fn look(&mut self) -> Option<Instant> {
        let inlets = &mut self.inlets;
        let observation = Arc::clone(&inlets.observation.borrow_and_update());
        let readiness = Arc::clone(&inlets.readiness.borrow_and_update());
        let kubelet = Arc::clone(&inlets.kubelet.borrow_and_update());
        let projections = Arc::clone(&inlets.projections.borrow_and_update());
        let state = Arc::clone(&inlets.state.borrow_and_update());
        let earlier = Arc::clone(&self.publish.borrow());
        let runtime = RuntimeView::from(&*observation);
        let now = Now::read();
        let parts = Parts {
            state: &state,
            projections: &projections,
            runtime,
            readiness: &readiness,
            kubelet: &kubelet,
            specs: &self.specs,
            node: &self.node,
            refused_after: self.refused_after,
            earlier: &earlier,
            now,
        };
        let pods = judge(&parts, None);
        self.specs.keep(&state);
        for event in self.changes.since(&pods, &state, runtime, &self.node) {
            self.events.record(event);
        }
        let due = pods
            .iter()
            .filter_map(|pod| pod.waiting_since)
            .map(|since| since + self.refused_after)
            .filter(|due| *due > now.instant)
            .min()
            .map(Instant::from_std);
        self.publish.send_if_modified(|published| {
            let is_new = **published != pods;
            if is_new {
                *published = Arc::new(pods);
            }
            is_new
        });
        due
    }
}

/// Waits for a change. What nobody publishes any more stays as it is.
async fn changed<T>(inlet: &mut watch::Receiver<T>) {
    if inlet.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
