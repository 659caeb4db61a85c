//! A played node with a played cluster: two API servers on one port, leases, a kubelet, and clients that ask all the
//! time. It goes by tokio's clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use seedpod_manifest::PodKey;
use tokio::{sync::watch, time::Instant};

use crate::{
    handoff::{Component, Deadlines, Kind, Record, Spec, Stage, SteeringUsed, Step},
    kubelet,
    node::BootTime,
    steer::Phase,
};

pub(super) const TICK: Duration = Duration::from_millis(25);

/// How the self-hosted API server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    Good,
    /// Its image is not there.
    NeverStarts,
    /// A bad flag.
    Crashes,
    /// No way to its etcd: it listens and hangs, and ends after 20 s.
    Hangs,
    /// It gets Ready and dies so long after.
    DiesAfter(Duration),
    /// It dies for good when the record has come to this stage.
    DiesAt(Stage),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Injected,
    Hosted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Gone,
    Starting(Instant),
    /// Since when its own connections come to itself.
    Listening(Option<Instant>),
    Serving(Instant),
    Hanging(Instant),
    /// It serves until it closes its listener, and says that it is not ready.
    Dying(Instant),
    Closed(Instant),
    CrashedUntil(Instant),
    Broken,
}

#[derive(Debug)]
struct Server {
    life: Life,
    uid: u64,
    restarts: u32,
    /// Another one with each start.
    pid: u32,
}

#[derive(Debug, Default)]
struct Lease {
    holder: Option<Side>,
    renewed: u64,
    renews_at: Option<Instant>,
}

pub(super) struct Model {
    began: Instant,
    boots: u32,
    pub(super) record: Option<Arc<Record>>,
    pub(super) changed: watch::Sender<u64>,
    pub(super) message: String,
    pub(super) messages: Vec<String>,
    pub(super) daemon_runs: bool,
    pub(super) phase: Option<Phase>,
    pub(super) steering: SteeringUsed,
    pub(super) nature: Nature,
    pub(super) lease_is_taken: bool,
    pub(super) kubelet: kubelet::Sync,
    pub(super) disk_fails: bool,
    pub(super) apply_fails: bool,
    servers: BTreeMap<Side, Server>,
    /// By index.
    group: Vec<Side>,
    leases: BTreeMap<String, Lease>,
    stopping: BTreeMap<PodKey, Instant>,
    pub(super) applied: bool,
    pub(super) labelled: bool,
    /// Being deleted; a controller makes it anew if it is wanted.
    deleted: bool,
    /// After a power loss the kubelet runs the API's pods when it has heard from the API server again.
    knows_pods_at: Option<Instant>,
    knows_pods: bool,
    pub(super) lost: Vec<String>,
    pub(super) asked: u64,
    pub(super) faults: Vec<String>,
    unserved: Option<Instant>,
    next_id: u64,
}

pub(super) fn pod(name: &str) -> PodKey {
    PodKey {
        namespace: "kube-system".to_owned(),
        name: name.to_owned(),
    }
}

pub(super) fn spec() -> Spec {
    let component = |name: &str, kind| Component {
        kind,
        injected: pod(name),
        namespace: "kube-system".to_owned(),
        selector: BTreeMap::from([("app".to_owned(), name.to_owned())]),
    };
    let lease = |name: &str| Kind::LeaderElected {
        lease: name.to_owned(),
    };
    Spec {
        bundle: "control-plane".parse().expect("a name"),
        components: vec![
            component("kube-controller-manager", lease("kube-controller-manager")),
            component("kube-scheduler", lease("kube-scheduler")),
            component("kube-apiserver", Kind::ApiServer { port: 6443 }),
        ],
        node_labels: BTreeMap::from([("seedpod.dev/self-hosted".to_owned(), "x".to_owned())]),
        deadlines: Deadlines::default(),
        stable_for: Duration::from_secs(10),
    }
}

impl Model {
    pub(super) fn new(nature: Nature) -> Self {
        let began = Instant::now();
        let server = |life, uid, pid| Server {
            life,
            uid,
            restarts: 0,
            pid,
        };
        let injected = server(Life::Serving(began), 1, 101);
        let hosted = server(Life::Gone, 2, 102);
        let lease = |name: &str| {
            let held = Lease {
                holder: Some(Side::Injected),
                renewed: 1,
                renews_at: Some(began),
            };
            (name.to_owned(), held)
        };
        Self {
            began,
            boots: 1,
            record: None,
            changed: watch::channel(0).0,
            message: String::new(),
            messages: Vec::new(),
            daemon_runs: false,
            phase: None,
            steering: SteeringUsed::ByLoopback,
            nature,
            lease_is_taken: true,
            kubelet: kubelet::Sync::Synced,
            disk_fails: false,
            apply_fails: false,
            servers: BTreeMap::from([(Side::Injected, injected), (Side::Hosted, hosted)]),
            group: vec![Side::Injected],
            leases: BTreeMap::from([lease("kube-controller-manager"), lease("kube-scheduler")]),
            stopping: BTreeMap::new(),
            applied: false,
            labelled: false,
            deleted: false,
            knows_pods_at: None,
            knows_pods: true,
            lost: Vec::new(),
            asked: 0,
            faults: Vec::new(),
            unserved: None,
            next_id: 1000,
        }
    }

    pub(super) fn boot_time(&self) -> BootTime {
        BootTime {
            boot_id: format!("boot-{}", self.boots),
            since_boot: Duration::from_secs(100) + self.began.elapsed(),
        }
    }

    pub(super) fn commit(&mut self, record: Option<Record>) {
        self.record = record.map(Arc::new);
        self.changed.send_modify(|count| *count += 1);
        self.check_record();
    }

    /// As the node's actor begins one.
    pub(super) fn begin(&mut self, spec: Spec) {
        let now = self.boot_time();
        let limit = spec.deadlines.apply;
        self.commit(Some(Record {
            id: "h1".to_owned(),
            generation: 1,
            stage: Stage::Applying,
            start_time: Timestamp::UNIX_EPOCH,
            steps: vec![Step {
                stage: Stage::Applying,
                start_time: Timestamp::UNIX_EPOCH,
                message: String::new(),
            }],
            since: now.clone(),
            deadline: Some(now.after(limit)),
            failure: None,
            withheld: BTreeSet::new(),
            created: Vec::new(),
            steering: None,
            resumptions: 0,
            spec,
        }));
    }

    fn check_record(&mut self) {
        let Some(record) = self.record.clone() else {
            return;
        };
        let all = record.spec.injected();
        match record.stage {
            Stage::Reverting | Stage::Reverted | Stage::StandingIn
                if !record.withheld.is_empty() =>
            {
                self.fault("something is withheld on the way back");
            }
            Stage::Committed if record.withheld != all => self.fault("not all is withheld"),
            _ => {}
        }
    }

    fn fault(&mut self, what: &str) {
        let stage = self.record.as_ref().map(|record| record.stage);
        let at = self.began.elapsed();
        self.faults.push(format!("{at:?} {stage:?}: {what}"));
    }

    pub(super) fn power_loss(&mut self) {
        self.boots += 1;
        self.group.clear();
        self.phase = None;
        self.daemon_runs = false;
        for server in self.servers.values_mut() {
            server.life = match server.life {
                Life::Broken => Life::Broken,
                _ => Life::Gone,
            };
        }
        for lease in self.leases.values_mut() {
            lease.renews_at = None;
        }
        (self.knows_pods, self.knows_pods_at) = (false, None);
        self.unserved = None;
    }

    fn withheld(&self, name: &str) -> bool {
        let record = self.record.as_ref();
        record.is_some_and(|record| record.withheld.contains(&pod(name)))
    }

    fn wanted(&self, side: Side) -> bool {
        match side {
            Side::Injected => !self.withheld("kube-apiserver"),
            Side::Hosted => self.applied && self.labelled && !self.deleted && self.knows_pods,
        }
    }

    /// Goes on to now.
    pub(super) fn step(&mut self) {
        let now = Instant::now();
        for side in [Side::Injected, Side::Hosted] {
            self.step_server(side, now);
        }
        if self.deleted && matches!(self.servers[&Side::Hosted].life, Life::Gone | Life::Broken) {
            self.deleted = false;
            let id = self.id();
            let hosted = self.servers.get_mut(&Side::Hosted).expect("there");
            (hosted.uid, hosted.restarts) = (id, 0);
        }
        self.step_leases(now);
        self.ask(now);
        if self.target().is_some_and(|side| self.serves_clients(side)) {
            let at = *self.knows_pods_at.get_or_insert(now);
            self.knows_pods |= now - at > Duration::from_secs(3);
        }
        self.check_unserved(now);
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn step_server(&mut self, side: Side, now: Instant) {
        let (wanted, reaches_itself) = (self.wanted(side), self.reaches_itself(side));
        let nature = match side {
            Side::Injected => Nature::Good,
            Side::Hosted => self.nature,
        };
        let stage = self.record.as_ref().map(|record| record.stage);
        let life = self.servers[&side].life;
        let next = match life {
            Life::Broken => {
                self.group.retain(|it| *it != side);
                life
            }
            _ if matches!(nature, Nature::DiesAt(at) if Some(at) == stage)
                && !matches!(life, Life::Gone) =>
            {
                Life::Broken
            }
            Life::Gone if wanted && nature != Nature::NeverStarts => {
                let pid = u32::try_from(self.id()).expect("small");
                self.servers.get_mut(&side).expect("there").pid = pid;
                Life::Starting(now + Duration::from_millis(700))
            }
            Life::Starting(until) if now >= until => {
                if nature == Nature::Crashes {
                    Life::CrashedUntil(now + Duration::from_secs(10))
                } else {
                    self.joins(side);
                    if nature == Nature::Hangs {
                        Life::Hanging(now + Duration::from_secs(20))
                    } else {
                        Life::Listening(None)
                    }
                }
            }
            Life::CrashedUntil(until) if now >= until => {
                let id = u32::try_from(self.id()).expect("small");
                let server = self.servers.get_mut(&side).expect("there");
                server.restarts += 1;
                server.pid = id;
                if wanted {
                    Life::Starting(now + Duration::from_millis(700))
                } else {
                    Life::Gone
                }
            }
            Life::Listening(_) if !reaches_itself => Life::Listening(None),
            Life::Listening(None) => Life::Listening(Some(now)),
            Life::Listening(Some(since)) if now - since >= Duration::from_millis(1200) => {
                Life::Serving(now)
            }
            Life::Serving(since) if matches!(nature, Nature::DiesAfter(time) if now - since >= time) =>
            {
                self.group.retain(|it| *it != side);
                Life::CrashedUntil(now + Duration::from_secs(10))
            }
            Life::Hanging(until) if now >= until => {
                self.group.retain(|it| *it != side);
                Life::CrashedUntil(now + Duration::from_secs(1))
            }
            Life::Dying(until) if now >= until => {
                if self.target() == Some(side) && self.group.len() > 1 {
                    self.lost
                        .push(format!("{side:?} closed while clients came to it"));
                }
                self.group.retain(|it| *it != side);
                Life::Closed(now + Duration::from_millis(500))
            }
            Life::Closed(until) if now >= until => Life::Gone,
            other => other,
        };
        let next = match next {
            Life::Serving(_) if !wanted => Life::Dying(now + Duration::from_secs(5)),
            Life::Listening(_) | Life::Hanging(_) if !wanted => {
                self.group.retain(|it| *it != side);
                Life::Closed(now + Duration::from_millis(500))
            }
            Life::Starting(_) | Life::CrashedUntil(_) if !wanted => Life::Gone,
            other => other,
        };
        self.servers.get_mut(&side).expect("there").life = next;
    }

    fn joins(&mut self, side: Side) {
        if !self.group.is_empty() {
            if self.daemon_runs {
                // The keeper.
                if self.phase.is_some() {
                    self.phase = Some(Phase::Split);
                }
                if self.phase != Some(Phase::Split) && self.steering == SteeringUsed::ByLoopback {
                    self.fault("a newcomer joins and nothing steers");
                }
            }
        } else if self.daemon_runs && self.phase.is_some() {
            self.phase = Some(Phase::Split);
        } else {
            self.phase = None;
        }
        self.group.push(side);
    }

    /// Where clients go. `None`: nobody listens.
    fn target(&self) -> Option<Side> {
        match self.phase {
            Some(Phase::Younger | Phase::Swapped) => self.group.last().copied(),
            _ => self.group.first().copied(),
        }
    }

    /// Where the newcomer's route leads.
    fn newcomer(&self) -> Option<Side> {
        match self.phase {
            Some(Phase::Swapped) => self.group.first().copied(),
            _ => self.group.last().copied(),
        }
    }

    fn reaches_itself(&self, side: Side) -> bool {
        self.newcomer() == Some(side) || self.phase.is_none()
    }

    fn serves_clients(&self, side: Side) -> bool {
        matches!(self.servers[&side].life, Life::Serving(_) | Life::Dying(_))
    }

    fn ask(&mut self, _: Instant) {
        self.asked += 1;
        let stage = self.record.as_ref().map(|record| record.stage);
        let at = self.began.elapsed();
        match self.target() {
            None => self.lost.push(format!("{at:?} {stage:?} nobody listens")),
            Some(side) if !self.serves_clients(side) => {
                let phase = self.phase;
                self.lost.push(format!(
                    "{at:?} {stage:?} {side:?} does not serve, {phase:?}"
                ));
            }
            // The kernel spreads them.
            Some(_)
                if self.phase.is_none()
                    && self.group.iter().any(|it| !self.serves_clients(*it)) =>
            {
                self.lost.push(format!("{at:?} {stage:?} not steered"));
            }
            Some(_) => {}
        }
    }

    fn step_leases(&mut self, now: Instant) {
        let api = self.target().is_some_and(|side| self.serves_clients(side));
        let names: Vec<_> = self.leases.keys().cloned().collect();
        for name in names {
            let key = pod(&name);
            if self.withheld(&name) {
                self.stopping
                    .entry(key.clone())
                    .or_insert(now + Duration::from_secs(1));
            } else {
                self.stopping.remove(&key);
            }
            let injected = self.stopping.get(&key).is_none_or(|until| now < *until);
            let hosted = self.hosted_runs() && self.lease_is_taken;
            let lease = self.leases.get_mut(&name).expect("there");
            let alive = |side| match side {
                Side::Injected => injected,
                Side::Hosted => hosted,
            };
            if lease.holder.is_some_and(|side| !alive(side)) {
                (lease.holder, lease.renews_at) = (None, Some(now + Duration::from_secs(1)));
            }
            if api && lease.renews_at.is_none_or(|at| now >= at) {
                if lease.holder.is_none() {
                    lease.holder = [Side::Injected, Side::Hosted]
                        .into_iter()
                        .find(|it| alive(*it));
                }
                if lease.holder.is_some() {
                    lease.renewed += 1;
                }
                lease.renews_at = Some(now + Duration::from_secs(2));
            }
        }
    }

    /// Whether the self-hosted controller manager and scheduler do.
    fn hosted_runs(&self) -> bool {
        self.applied && self.labelled && self.knows_pods && self.nature != Nature::NeverStarts
    }

    /// While nothing serves because the injected one gave way, the way back is taken soon.
    fn check_unserved(&mut self, now: Instant) {
        let record = self.record.as_ref();
        let bad = record.is_some_and(|record| {
            !matches!(record.stage, Stage::Committed)
                && record.withheld.contains(&pod("kube-apiserver"))
                && !matches!(self.servers[&Side::Hosted].life, Life::Serving(_))
        });
        if !bad || !self.daemon_runs || self.disk_fails {
            self.unserved = None;
            return;
        }
        let since = *self.unserved.get_or_insert(now);
        if now - since > Duration::from_secs(12) {
            self.unserved = Some(now);
            self.fault("nothing serves and the way back is not taken");
        }
    }

    // What the world shows.

    pub(super) fn listeners(&self) -> usize {
        self.group.len()
    }

    pub(super) fn is_newcomer(&self, side: Side) -> bool {
        self.newcomer() == Some(side)
    }

    /// Its process, when it is ready and can be reached by one of the routes.
    pub(super) fn ready(&self, side: Side) -> Result<u32, String> {
        let reached = self.newcomer() == Some(side) || self.target() == Some(side);
        match self.servers[&side].life {
            Life::Serving(_) if reached => Ok(self.servers[&side].pid),
            Life::Serving(_) => Err("the connections go to another process".to_owned()),
            Life::Dying(_) => Err("/readyz answered 500".to_owned()),
            other => Err(format!("it is {other:?}")),
        }
    }

    pub(super) fn answers(&self) -> Result<(), String> {
        match self.target() {
            Some(side) if matches!(self.servers[&side].life, Life::Serving(_)) => Ok(()),
            other => Err(format!("{other:?} does not serve")),
        }
    }

    /// Whether a question to the API server is answered.
    pub(super) fn api(&self) -> Result<(), String> {
        match self.target() {
            None => Err("connection refused".to_owned()),
            Some(side) if self.serves_clients(side) => Ok(()),
            Some(_) => Err("no answer within 5 s".to_owned()),
        }
    }

    pub(super) fn runs(&self, side: Side) -> bool {
        !matches!(
            self.servers[&side].life,
            Life::Gone | Life::Broken | Life::CrashedUntil(_)
        )
    }

    pub(super) fn injected_runs(&self, key: &PodKey) -> bool {
        if *key == pod("kube-apiserver") {
            return self.runs(Side::Injected);
        }
        let until = self.stopping.get(key);
        until.is_none_or(|until| Instant::now() < *until)
    }

    pub(super) fn uid(&self, side: Side) -> String {
        format!("uid-{}", self.servers[&side].uid)
    }

    pub(super) fn lease(&self, name: &str) -> Option<(bool, u64)> {
        let lease = self.leases.get(name)?;
        Some((lease.holder.is_some(), lease.renewed))
    }

    /// Whether the self-hosted pods are objects of the cluster, and how the API server's does: Ready, restarts.
    pub(super) fn hosted_pod(&self) -> Option<(bool, u32, bool)> {
        let server = &self.servers[&Side::Hosted];
        let leaves = matches!(server.life, Life::Dying(_) | Life::Closed(_));
        let there = (self.applied && self.labelled) || leaves;
        let ready = matches!(server.life, Life::Serving(since)
            if since.elapsed() > Duration::from_secs(1));
        there.then_some((ready, server.restarts, self.deleted || leaves))
    }

    /// The injected API server was starting when the self-hosted one came back.
    pub(super) fn injected_is_stuck(&mut self) {
        let mut live = |side, life| self.servers.get_mut(&side).expect("there").life = life;
        live(Side::Injected, Life::Listening(None));
        live(Side::Hosted, Life::Serving(Instant::now()));
        self.group = vec![Side::Injected, Side::Hosted];
        self.phase = Some(Phase::Split);
    }

    pub(super) fn delete_hosted(&mut self) {
        self.deleted = true;
        self.step_server(Side::Hosted, Instant::now());
    }
}
