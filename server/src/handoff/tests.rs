//! Played handoffs: a node and a cluster that go by tokio's clock (`model`), the machine's traits over them (`played`).

mod closing;
mod model;
mod outcomes;
mod played;
mod random;
mod standby;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use self::{
    model::{Model, Nature, TICK, spec},
    played::Played,
};
use super::{
    Record, Spec, Stage, machine,
    reason::Reason,
    transitions::Moment,
    world::{Ledger as _, Settings},
};
use crate::steer::Phase;

/// A played node, with a daemon on it or not.
struct Play {
    node: Played,
    daemon: Option<JoinHandle<()>>,
    ticking: JoinHandle<()>,
}

impl Drop for Play {
    fn drop(&mut self) {
        self.ticking.abort();
    }
}

impl Play {
    fn new(nature: Nature) -> Self {
        let node = Played {
            model: Arc::new(Mutex::new(Model::new(nature))),
        };
        let ticks = node.clone();
        let ticking = tokio::spawn(async move {
            loop {
                ticks.model().step();
                sleep(TICK).await;
            }
        });
        let mut play = Self {
            node,
            daemon: None,
            ticking,
        };
        play.start_daemon();
        play
    }

    /// With a handoff under way.
    async fn begun(nature: Nature) -> Self {
        let play = Self::new(nature);
        play.begin(spec()).await;
        play
    }

    async fn begin(&self, spec: Spec) {
        // The daemon has started, and found no handoff.
        sleep(TICK).await;
        self.node.model().begin(spec);
    }

    fn start_daemon(&mut self) {
        self.node.model().daemon_runs = true;
        let daemon = machine::start(
            self.node.clone(),
            Settings::default(),
            CancellationToken::new(),
        );
        self.daemon = Some(daemon);
    }

    /// `kill -9`.
    async fn kill_daemon(&mut self) {
        self.node.model().daemon_runs = false;
        if let Some(daemon) = self.daemon.take() {
            daemon.abort();
            assert!(daemon.await.is_err_and(|error| error.is_cancelled()));
        }
    }

    async fn restart_daemon(&mut self) {
        self.kill_daemon().await;
        self.start_daemon();
    }

    async fn lose_power(&mut self) {
        self.kill_daemon().await;
        self.node.model().power_loss();
    }

    /// As the node's actor does it.
    fn abort(&self) {
        let now = self.now();
        let mut model = self.node.model();
        let record = model.record.clone().expect("a handoff");
        if record.stage.is_under_way() {
            let next = record.failed(Reason::Aborted, "aborted", &now);
            model.commit(Some(next));
        }
    }

    fn now(&self) -> Moment {
        self.node.now()
    }

    fn record(&self) -> Arc<Record> {
        self.node.record().expect("a handoff")
    }

    async fn until(&self, what: impl Fn(&Record) -> bool) -> Arc<Record> {
        let begun = Instant::now();
        loop {
            let record = self.record();
            if what(&record) {
                return record;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(1800),
                "still {:?}, {:?}, said {:#?}",
                record.stage,
                record.failure,
                self.node.model().messages,
            );
            sleep(TICK / 2).await;
        }
    }

    async fn until_stage(&self, stage: Stage) -> Arc<Record> {
        self.until(|record| record.stage == stage).await
    }

    async fn until_over(&self) -> Arc<Record> {
        let over = |stage| matches!(stage, Stage::Committed | Stage::Reverted);
        let record = self.until(|record| over(record.stage)).await;
        self.check();
        let model = self.node.model();
        if model.steering == super::SteeringUsed::ByLoopback {
            assert_eq!(model.phase, Some(Phase::Split), "{:?}", record.stage);
        }
        drop(model);
        record
    }

    fn check(&self) {
        assert_eq!(self.node.model().faults, [] as [String; 0]);
    }

    fn assert_nothing_lost(&self) {
        let model = self.node.model();
        assert!(model.asked > 0);
        let few: Vec<_> = model.lost.iter().take(5).collect();
        assert!(few.is_empty(), "{} lost, first {few:#?}", model.lost.len());
    }

    fn reason(&self) -> Option<String> {
        self.record().failure.as_ref().map(|it| it.reason.clone())
    }
}
