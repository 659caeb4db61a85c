//! The task that keeps the probes of all running containers, and starts each when it is due.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    task::{AbortHandle, Id, JoinSet},
    time::sleep_until,
};

use super::{
    Inlets, Readiness,
    ask::{Job, run},
    machine::{Kind, Machine, Outcome, Start},
    spec::{ContainerProbes, PodProbes},
};
use crate::{
    kubelet::KubeletView,
    runtime_cri::{Container, ContainerState, Runtime, Sandbox, Seen},
};

/// How many probes run at a time. One takes a millisecond when its container answers, and its time-out when not: only
/// where so many hang at once do others wait for them.
const AT_ONCE: usize = 64;

/// See the module.
pub(super) struct Prober<R> {
    inlets: Inlets,
    runtime: Option<R>,
    node_ip: Option<IpAddr>,
    publish: watch::Sender<Arc<Readiness>>,
    /// What there is to probe in each demanded pod, by uid.
    pods: HashMap<String, Option<Arc<PodProbes>>>,
    /// By the ids of the containers.
    workers: HashMap<String, Worker>,
    running: JoinSet<(String, Kind, Outcome)>,
}

/// The probes of one running container.
struct Worker {
    /// Of the pod, as demanded.
    uid: String,
    probes: Arc<ContainerProbes>,
    machine: Machine,
    place: Place,
    running: Option<AbortHandle>,
}

/// Where a container is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The pod's address, when it is known.
    Pod(Option<String>),
    /// In the host's network; the uid is the kubelet's.
    Host { uid: String },
}

impl Drop for Worker {
    /// What a container says that is no longer asked for is of no use to anybody.
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

impl<R: Runtime> Prober<R> {
    pub(super) fn new(
        inlets: Inlets,
        runtime: Option<R>,
        node_ip: Option<IpAddr>,
        publish: watch::Sender<Arc<Readiness>>,
    ) -> Self {
        Self {
            inlets,
            runtime,
            node_ip,
            publish,
            pods: HashMap::new(),
            workers: HashMap::new(),
            running: JoinSet::new(),
        }
    }

    /// Never ends.
    pub(super) async fn run(mut self) {
        self.read_state();
        self.follow_observation();
        loop {
            self.start_due();
            let wake = self.next_due();
            let changed = tokio::select! {
                changed = self.inlets.state.changed() => {
                    self.read_state();
                    self.follow_observation();
                    changed
                }
                changed = self.inlets.observation.changed() => {
                    self.follow_observation();
                    changed
                }
                Some(ended) = self.running.join_next_with_id() => {
                    match ended {
                        Ok((id, (container, kind, outcome))) => self.take(id, &container, kind, outcome),
                        Err(error) => self.forget(error.id()),
                    }
                    Ok(())
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now).into()), if wake.is_some() => Ok(()),
            };
            if changed.is_err() {
                // The node is being taken apart, and so is this task, in a moment.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Reads the specs of pods that are new, and forgets those that are no longer demanded.
    fn read_state(&mut self) {
        let state = Arc::clone(&self.inlets.state.borrow_and_update());
        let mut before = std::mem::take(&mut self.pods);
        for (_, pod) in state.pods() {
            let probes = before
                .remove(&pod.uid)
                .unwrap_or_else(|| PodProbes::read(&pod.rendered).map(Arc::new));
            self.pods.insert(pod.uid.clone(), probes);
        }
    }

    /// Keeps a worker for each container that runs and has probes, and for no other.
    fn follow_observation(&mut self) {
        let observation = Arc::clone(&self.inlets.observation.borrow_and_update());
        let none = Vec::new();
        let sandboxes = match &observation.seen {
            Seen::Sandboxes(sandboxes) => sandboxes.as_slice(),
            Seen::NotConfigured => none.as_slice(),
            // What runs is not known: what ran goes on being probed, but for pods that are no longer demanded.
            Seen::NotYet | Seen::Away { .. } => {
                self.workers
                    .retain(|_, worker| self.pods.contains_key(&worker.uid));
                return self.publish();
            }
        };
        let mut before = std::mem::take(&mut self.workers);
        for sandbox in sandboxes {
            let Some(Some(pod)) = self.pods.get(&sandbox.uid) else {
                continue;
            };
            let place = Place::of(pod, sandbox);
            for container in &sandbox.containers {
                let Some(probes) = pod.containers.get(&container.name) else {
                    continue;
                };
                if container.state != ContainerState::Running {
                    continue;
                }
                let worker = match before.remove(&container.id) {
                    Some(mut worker) => {
                        worker.place.clone_from(&place);
                        worker
                    }
                    None => Worker::new(&sandbox.uid, probes, place.clone(), start(container)),
                };
                self.workers.insert(container.id.clone(), worker);
            }
        }
        drop(before);
        self.publish();
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        let mut due: Vec<(Instant, String, Kind)> = self
            .workers
            .iter()
            .filter_map(|(id, worker)| Some((worker.due()?, id)))
            .filter(|((_, at), _)| *at <= now)
            .map(|((kind, at), id)| (at, id.clone(), kind))
            .collect();
        due.sort_unstable_by_key(|(at, ..)| *at);
        for (_, id, kind) in due {
            if self.running.len() >= AT_ONCE {
                return;
            }
            let Some(worker) = self.workers.get_mut(&id) else {
                continue;
            };
            let probe = match kind {
                Kind::Startup => &worker.probes.startup,
                Kind::Readiness => &worker.probes.readiness,
            };
            let Some(probe) = probe.clone() else {
                continue;
            };
            let host = worker
                .place
                .host(&self.inlets.kubelet.borrow(), self.node_ip);
            worker.machine.begin(kind, now);
            let runtime = self.runtime.clone();
            let running = self.running.spawn(async move {
                let job = Job {
                    kind,
                    probe: &probe,
                    host: host.as_deref(),
                    container: &id,
                };
                let outcome = run(job, runtime.as_ref()).await;
                (id, kind, outcome)
            });
            worker.running = Some(running);
        }
    }

    /// When the next probe is to be started. `None` when that is for the end of another one to tell.
    fn next_due(&self) -> Option<Instant> {
        if self.running.len() >= AT_ONCE {
            return None;
        }
        let due = self.workers.values().filter_map(Worker::due);
        due.map(|(_, at)| at).min()
    }

    /// Takes a result, unless it is of a worker that is gone.
    fn take(&mut self, id: Id, container: &str, kind: Kind, outcome: Outcome) {
        let worker = self.workers.get_mut(container);
        let Some(worker) = worker.filter(|worker| worker.runs(id)) else {
            return;
        };
        worker.running = None;
        worker.machine.record(kind, outcome);
        self.publish();
    }

    /// After a probe that ended with no result: one that was called off, whose worker is gone.
    fn forget(&mut self, id: Id) {
        for worker in self.workers.values_mut() {
            if worker.runs(id) {
                worker.running = None;
            }
        }
    }

    /// Publishes what the probes say, if that is something new.
    fn publish(&self) {
        self.publish.send_if_modified(|published| {
            let same = published.len() == self.workers.len()
                && self.workers.iter().all(|(id, worker)| {
                    published
                        .get(id)
                        .is_some_and(|probed| worker.machine.says(probed))
                });
            if !same {
                let probed =
                    |(id, worker): (&String, &Worker)| (id.clone(), worker.machine.probed());
                *published = Arc::new(self.workers.iter().map(probed).collect());
            }
            !same
        });
    }
}

impl Worker {
    fn new(uid: &str, probes: &Arc<ContainerProbes>, place: Place, start: Start) -> Self {
        let pace = |probe: &Option<Arc<super::spec::Probe>>| probe.as_ref().map(|probe| probe.pace);
        Self {
            uid: uid.to_owned(),
            probes: Arc::clone(probes),
            machine: Machine::new(pace(&probes.startup), pace(&probes.readiness), start),
            place,
            running: None,
        }
    }

    /// What it is to run next, and when. Nothing while something runs.
    fn due(&self) -> Option<(Kind, Instant)> {
        self.machine.next().filter(|_| self.running.is_none())
    }

    fn runs(&self, id: Id) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.id() == id)
    }
}

impl Place {
    fn of(pod: &PodProbes, sandbox: &Sandbox) -> Self {
        if pod.host_network {
            Self::Host {
                uid: sandbox.kubelet_uid.clone(),
            }
        } else {
            Self::Pod(sandbox.ips.first().cloned())
        }
    }

    fn host(&self, kubelet: &KubeletView, node_ip: Option<IpAddr>) -> Option<String> {
        match self {
            Self::Pod(ip) => ip.clone(),
            Self::Host { uid } => {
                let told = kubelet.pods.get(uid).map(|pod| pod.ip.as_str());
                let told = told.filter(|ip| !ip.is_empty()).map(str::to_owned);
                told.or_else(|| {
                    let ip = node_ip.or_else(routed_address);
                    Some(ip.unwrap_or(Ipv4Addr::LOCALHOST.into()).to_string())
                })
            }
        }
    }
}

/// When the container was started, by the clock that does not jump. One that we have no time of begins now.
fn start(container: &Container) -> Start {
    let now = Instant::now();
    let at = container.details.as_ref().and_then(|it| it.started_at);
    let ago = at.map(|at| Timestamp::now().duration_since(at));
    let ago = ago.and_then(|ago| Duration::try_from(ago).ok());
    let mut hasher = DefaultHasher::new();
    container.id.hash(&mut hasher);
    // 16 bits are enough to spread, and a float has them all.
    let [low, high, ..] = hasher.finish().to_le_bytes();
    Start {
        at: ago.and_then(|ago| now.checked_sub(ago)).unwrap_or(now),
        met: now,
        phase: f32::from(u16::from_le_bytes([low, high])) / f32::from(u16::MAX),
    }
}

/// The address that the default route leaves from. Nothing is sent for it: the destinations are reserved for
/// documentation, and connecting a datagram socket only looks up the route.
fn routed_address() -> Option<IpAddr> {
    let to = |local: IpAddr, remote: IpAddr| {
        let socket = UdpSocket::bind((local, 0)).ok()?;
        socket.connect((remote, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    to(
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv4Addr::new(192, 0, 2, 1).into(),
    )
    .or_else(|| {
        to(
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        )
    })
}

#[cfg(test)]
mod tests;
