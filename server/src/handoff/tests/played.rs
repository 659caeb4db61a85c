//! The machine's traits over the model.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::sleep;

use super::model::{Model, Side, pod};
use crate::{
    handoff::{
        Component, Kind, ObjectReference, Record, SteeringUsed,
        reason::Reason,
        transitions::Moment,
        world::{
            Instance, LeaseSeen, Ledger, NotApplied, NotCommitted, PodSeen, Trouble, Who, World,
        },
    },
    kubelet,
    steer::Phase,
};

/// A daemon's view of the played node. It is of one start: a daemon that was killed sees and does nothing any more.
#[derive(Clone)]
pub(super) struct Played {
    pub(super) model: Arc<Mutex<Model>>,
}

impl Played {
    pub(super) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn latency(&self) {
        sleep(Duration::from_millis(7)).await;
    }

    /// A question to the API server.
    async fn asks(&self) -> Result<(), Trouble> {
        self.latency().await;
        let answer = self.model().api();
        if answer
            .as_ref()
            .is_err_and(|trouble| trouble.starts_with("no answer"))
        {
            sleep(Duration::from_secs(5)).await;
        }
        answer
    }
}

fn side(who: &Who) -> Side {
    match who {
        Who::Injected(_) => Side::Injected,
        Who::Hosted(_) => Side::Hosted,
    }
}

impl World for Played {
    fn steering(&self) -> SteeringUsed {
        self.model().steering.clone()
    }

    fn steer(&self, phase: Phase, _: &Who) -> Result<(), Trouble> {
        let mut model = self.model();
        if let SteeringUsed::None { why } = &model.steering {
            return Err(why.clone());
        }
        model.phase = Some(phase);
        Ok(())
    }

    fn phase(&self) -> Option<Phase> {
        self.model().phase
    }

    fn listeners(&self) -> Result<usize, Trouble> {
        Ok(self.model().listeners())
    }

    async fn is_newcomer(&self, who: &Who) -> Result<bool, Trouble> {
        self.latency().await;
        Ok(self.model().is_newcomer(side(who)))
    }

    async fn serves(&self, who: &Who) -> Result<Instance, Trouble> {
        self.latency().await;
        let model = self.model();
        if matches!(who, Who::Hosted(uid) if *uid != model.uid(Side::Hosted)) {
            return Err("it does not run".to_owned());
        }
        model.ready(side(who)).map(|pid| Instance::from([pid]))
    }

    async fn write_and_read(&self, who: &Who) -> Result<(), Trouble> {
        self.serves(who).await.map(drop)
    }

    async fn answers(&self) -> Result<(), Trouble> {
        self.latency().await;
        self.model().answers()
    }

    async fn absent(&self) -> Result<Vec<ObjectReference>, NotApplied> {
        let not_applied = |message| NotApplied {
            reason: Reason::ApplyFailed,
            message,
        };
        self.asks().await.map_err(not_applied)?;
        let absent = [("DaemonSet", "kube-apiserver"), ("ConfigMap", "stays")];
        let absent = absent.map(|(kind, name)| ObjectReference {
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            namespace: "kube-system".to_owned(),
            name: name.to_owned(),
        });
        Ok(if self.model().applied {
            Vec::new()
        } else {
            absent.into()
        })
    }

    async fn apply(&self, waits: impl Fn(Trouble) + Send + Sync) -> Result<usize, NotApplied> {
        loop {
            match self.asks().await {
                Ok(()) if self.model().apply_fails => {
                    waits("waiting for DaemonSet kube-apiserver to be applied".to_owned());
                }
                Ok(()) => break,
                Err(trouble) => waits(trouble),
            }
            sleep(Duration::from_millis(500)).await;
        }
        self.model().applied = true;
        Ok(7)
    }

    async fn set_labels(&self, labels: &BTreeMap<String, Option<String>>) -> Result<(), Trouble> {
        self.asks().await?;
        self.model().labelled = labels.values().all(Option::is_some);
        Ok(())
    }

    async fn delete(&self, object: &ObjectReference) -> Result<(), Trouble> {
        self.asks().await?;
        match &*object.kind {
            "DaemonSet" => self.model().applied = false,
            "Pod" => self.model().delete_hosted(),
            kind => panic!("{kind} is no workload"),
        }
        Ok(())
    }

    async fn pods(&self, component: &Component) -> Result<Vec<PodSeen>, Trouble> {
        self.asks().await?;
        let model = self.model();
        let Some((ready, restarts, deleting)) = model.hosted_pod() else {
            return Ok(Vec::new());
        };
        let is_api_server = matches!(component.kind, Kind::ApiServer { .. });
        let name = &component.injected.name;
        let seen = |name: String, uid: String| PodSeen {
            name,
            uid,
            is_mirror: false,
            ready,
            deleting,
            restarts,
            message: "container exits with code 1".to_owned(),
        };
        if !is_api_server {
            return Ok(vec![PodSeen {
                ready: true,
                restarts: 0,
                deleting: false,
                ..seen(format!("{name}-x7k2p"), format!("uid-{name}"))
            }])
            .map(|pods| {
                if model.applied && model.labelled {
                    pods
                } else {
                    Vec::new()
                }
            });
        }
        let mirror = PodSeen {
            is_mirror: true,
            ready: true,
            ..seen(format!("{name}-node"), "mirror".to_owned())
        };
        let hosted = seen(format!("{name}-x7k2p"), model.uid(Side::Hosted));
        Ok(vec![mirror, hosted])
    }

    async fn lease(&self, name: &str) -> Result<Option<LeaseSeen>, Trouble> {
        self.asks().await?;
        Ok(self.model().lease(name).map(|(held, renewed)| LeaseSeen {
            holder: if held {
                "somebody".to_owned()
            } else {
                String::new()
            },
            renewed: renewed.to_string(),
        }))
    }

    async fn runs(&self, who: &Who) -> Result<bool, Trouble> {
        self.latency().await;
        let model = self.model();
        Ok(match who {
            Who::Injected(key) => model.injected_runs(key),
            Who::Hosted(uid) if *uid == model.uid(Side::Hosted) => model.runs(Side::Hosted),
            Who::Hosted(_) => false,
        })
    }

    fn kubelet(&self) -> kubelet::Sync {
        self.model().kubelet
    }
}

impl Ledger for Played {
    type World = Self;

    fn record(&self) -> Option<Arc<Record>> {
        self.model().record.clone()
    }

    async fn other_than(&self, record: Option<&Record>) {
        let mut changed = self.model().changed.subscribe();
        loop {
            let known = record.map(|record| record.generation);
            if self.record().map(|record| record.generation) != known {
                return;
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn advance(&self, next: Record) -> Result<(), NotCommitted> {
        self.latency().await;
        let mut model = self.model();
        if model.disk_fails {
            return Err(NotCommitted::Failed("no space left on device".to_owned()));
        }
        let generation = model.record.as_ref().map_or(0, |record| record.generation);
        if next.generation != generation + 1 {
            return Err(NotCommitted::Stale);
        }
        model.commit(Some(next));
        Ok(())
    }

    async fn open(&self, _: &Arc<Record>) -> Self {
        self.latency().await;
        self.clone()
    }

    fn close(&self) {
        self.model().phase = None;
    }

    fn now(&self) -> Moment {
        Moment {
            boot: self.model().boot_time(),
            time: Timestamp::UNIX_EPOCH,
        }
    }

    fn tell(&self, message: String) {
        let mut model = self.model();
        if !message.is_empty() && model.message != message {
            model.messages.push(message.clone());
        }
        model.message = message;
    }
}

/// The API server's pod.
pub(super) fn api_server() -> seedpod_manifest::PodKey {
    pod("kube-apiserver")
}
