//! What is around one handoff: the port, the API servers, the cluster, the runtime and the kubelet.

mod group;

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{net::TcpStream, sync::OnceCell, time::timeout};

use super::Groups;
use crate::{
    error::chain,
    handoff::{
        Component, ObjectReference, Record, SteeringUsed,
        reason::Reason,
        world::{Instance, LeaseSeen, NotApplied, PodSeen, Trouble, Who, World},
    },
    kube::{AppliedResult, ApplyError, Kube, Objects},
    kubelet,
    node::NodeHandle,
    probe,
    runtime_cri::{Runtime, Sandbox},
    steer::{Phase, Steerer, served_by},
};

/// How long one question to the API server may take. A healthy one answers within milliseconds.
const QUESTION: Duration = Duration::from_secs(5);

/// How long it may take to say whether anybody serves.
const GLANCE: Duration = Duration::from_secs(2);

/// How often a connection is tried to come to one of two servers, when only the kernel says to which.
const TRIES: usize = 8;

/// A user who may read nodes by RBAC only: a new API server refuses it until that is loaded.
const USER: &str = "system:kube-scheduler";
const USERS_QUESTION: &str = "/api/v1/nodes?limit=1";

/// The node around one record.
pub(super) struct Around<R> {
    pub(super) handle: NodeHandle,
    pub(super) runtime: Option<R>,
    /// Or why the port can't be steered.
    pub(super) steerer: Result<Steerer, String>,
    pub(super) port: u16,
    pub(super) record: Arc<Record>,
    /// Made when it is needed: its credentials are in memory for no longer than that stage.
    pub(super) kube: OnceCell<Kube>,
    pub(super) groups: Arc<Mutex<Groups>>,
}

impl<R: Runtime> Around<R> {
    async fn kube(&self) -> Result<&Kube, Trouble> {
        let make = async || {
            let handle = self.handle.clone();
            let read = tokio::task::spawn_blocking(move || {
                let material = handle.handoff_material().map_err(|error| chain(&error))?;
                Kube::from_kubeconfig(&material.kubeconfig).map_err(|error| chain(&error))
            });
            read.await.unwrap_or_else(|error| Err(error.to_string()))
        };
        let kube = self.kube.get_or_try_init(make).await;
        kube.map_err(|trouble: String| {
            format!("the handoff's kubeconfig cannot be used: {trouble}")
        })
    }

    fn runtime(&self) -> Result<&R, Trouble> {
        let runtime = self.runtime.as_ref();
        runtime.ok_or_else(|| "containerRuntimeEndpoint is not configured".to_owned())
    }

    fn steerer(&self) -> Result<&Steerer, Trouble> {
        self.steerer.as_ref().map_err(Clone::clone)
    }

    /// What runs of a pod.
    async fn sandboxes(&self, who: &Who) -> Result<Vec<Sandbox>, Trouble> {
        let asked = self.runtime()?.sandboxes().await;
        let mut sandboxes = asked.map_err(|error| chain(&error))?;
        sandboxes.retain(|sandbox| sandbox.is_live() && self.is_of(sandbox, who));
        Ok(sandboxes)
    }

    fn is_of(&self, sandbox: &Sandbox, who: &Who) -> bool {
        match who {
            Who::Hosted(uid) => sandbox.kubelet_uid == *uid,
            Who::Injected(pod) => self
                .handle
                .owner_of(sandbox)
                .is_some_and(|(bundle, key)| bundle == self.record.spec.bundle && key == *pod),
        }
    }

    /// Of an injected pod that comes back, not those of the one that stops still: it serves for a moment longer.
    async fn processes(&self, who: &Who) -> Result<BTreeSet<u32>, Trouble> {
        let runtime = self.runtime()?;
        let mut processes = BTreeSet::new();
        let mut sandboxes = self.sandboxes(who).await?;
        if let Who::Injected(pod) = who {
            let bundle = &self.record.spec.bundle;
            sandboxes.retain(|sandbox| self.handle.is_current(sandbox, bundle, pod));
        }
        for sandbox in sandboxes {
            let found = runtime.processes_of(&sandbox.kubelet_uid).await;
            processes.extend(found.map_err(|error| chain(&error))?);
        }
        if processes.is_empty() {
            return Err("it does not run".to_owned());
        }
        Ok(processes)
    }

    /// A connection that one of these processes has taken.
    async fn connection_to(&self, processes: &BTreeSet<u32>) -> Result<TcpStream, Trouble> {
        let mut trouble = "the connections go to another process".to_owned();
        for attempt in 0..TRIES {
            let connected = match &self.steerer {
                Ok(steerer) if attempt % 2 == 0 => steerer.connect().await,
                _ => TcpStream::connect(("127.0.0.1", self.port)).await,
            };
            let stream = match connected {
                Ok(stream) => stream,
                Err(error) => {
                    trouble = format!("connecting to port {}: {error}", self.port);
                    continue;
                }
            };
            match taken_by(stream, processes).await {
                Ok((stream, true)) => return Ok(stream),
                Ok((_, false)) => {}
                Err(error) => trouble = error,
            }
        }
        Err(trouble)
    }

    async fn ask(
        &self,
        processes: &BTreeSet<u32>,
        path: &str,
        user: Option<&str>,
    ) -> Result<(), Trouble> {
        let kube = self.kube().await?;
        let stream = self.connection_to(processes).await?;
        match kube.ask(stream, path, user).await {
            Ok(200) => Ok(()),
            Ok(status) => Err(match user {
                Some(user) => format!("{path} as {user} answered {status}"),
                None => format!("{path} answered {status}"),
            }),
            Err(error) => Err(format!("{path}: {}", chain(&error))),
        }
    }

    async fn objects(&self) -> Result<Objects, NotApplied> {
        let handle = self.handle.clone();
        let read = tokio::task::spawn_blocking(move || read_objects(&handle));
        let read = read.await.unwrap_or_else(|error| Err(error.to_string()));
        read.map_err(|message| NotApplied {
            reason: Reason::MaterialUnusable,
            message,
        })
    }

    async fn kube_to_apply(&self) -> Result<&Kube, NotApplied> {
        self.kube().await.map_err(|message| NotApplied {
            reason: Reason::MaterialUnusable,
            message,
        })
    }
}

impl<R: Runtime> World for Around<R> {
    fn steering(&self) -> SteeringUsed {
        match &self.steerer {
            Ok(steerer) => steerer.used(),
            Err(why) => SteeringUsed::None { why: why.clone() },
        }
    }

    fn steer(&self, phase: Phase, newcomer: &Who) -> Result<(), Trouble> {
        let steerer = self.steerer()?;
        let group = match steerer.used() {
            SteeringUsed::ByMark => self.group_of(newcomer),
            _ => None,
        };
        steerer.set(phase, group).map_err(|error| chain(&error))
    }

    fn phase(&self) -> Option<Phase> {
        self.steerer.as_ref().ok()?.phase()
    }

    fn listeners(&self) -> Result<usize, Trouble> {
        let listeners = self.steerer()?.listeners();
        Ok(listeners.map_err(|error| chain(&error))?.len())
    }

    async fn is_newcomer(&self, who: &Who) -> Result<bool, Trouble> {
        let processes = self.processes(who).await?;
        let connected = timeout(GLANCE, self.steerer()?.connect()).await;
        let stream = connected.map_err(|_| late(GLANCE))?;
        let stream = stream.map_err(|error| chain(&error))?;
        taken_by(stream, &processes).await.map(|(_, by)| by)
    }

    async fn serves(&self, who: &Who) -> Result<Instance, Trouble> {
        within(QUESTION, async {
            let processes = self.processes(who).await?;
            self.ask(&processes, "/readyz", None).await?;
            self.ask(&processes, USERS_QUESTION, Some(USER)).await?;
            Ok(processes)
        })
        .await
    }

    async fn write_and_read(&self, who: &Who) -> Result<(), Trouble> {
        within(QUESTION, async {
            let processes = self.processes(who).await?;
            let kube = self.kube().await?;
            let stream = self.connection_to(&processes).await?;
            let node = self.handle.node_name().as_str();
            answer(kube.write_and_read(stream, node).await)
        })
        .await
    }

    async fn answers(&self) -> Result<(), Trouble> {
        probe::https_answers(self.port, "/readyz", GLANCE).await
    }

    async fn absent(&self) -> Result<Vec<ObjectReference>, NotApplied> {
        let objects = self.objects().await?;
        let kube = self.kube_to_apply().await?;
        kube.absent(&objects).await.map_err(|error| NotApplied {
            reason: Reason::ApplyFailed,
            message: chain(&error),
        })
    }

    async fn apply(&self, waits: impl Fn(Trouble) + Send + Sync) -> Result<usize, NotApplied> {
        let objects = self.objects().await?;
        let kube = self.kube_to_apply().await?;
        let applied = kube.apply(objects, |applied| {
            if applied.result == AppliedResult::Waiting {
                let ObjectReference { kind, name, .. } = &applied.object;
                let message = &applied.message;
                waits(format!(
                    "waiting for {kind} {name} to be applied: {message}"
                ));
            }
        });
        match applied.await {
            Ok(applied) => Ok(applied.len()),
            Err(error) => Err(NotApplied {
                reason: reason_of(&error),
                message: chain(&error),
            }),
        }
    }

    async fn set_labels(&self, labels: &BTreeMap<String, Option<String>>) -> Result<(), Trouble> {
        let node = self.handle.node_name().as_str();
        within(QUESTION, async {
            answer(self.kube().await?.set_labels(node, labels).await)
        })
        .await
    }

    async fn delete(&self, object: &ObjectReference) -> Result<(), Trouble> {
        within(QUESTION, async {
            answer(self.kube().await?.delete(object).await)
        })
        .await
    }

    async fn pods(&self, component: &Component) -> Result<Vec<PodSeen>, Trouble> {
        let (namespace, selector) = (&component.namespace, &component.selector);
        let node = self.handle.node_name().as_str();
        let pods = within(QUESTION, async {
            answer(self.kube().await?.pods(namespace, selector, node).await)
        })
        .await?;
        let api_server = self.record.spec.api_server();
        if api_server.is_some_and(|(it, _)| it == component) {
            let mut own = pods.iter().filter(|pod| !pod.is_mirror);
            self.hosted_has(own.find_map(|pod| pod.gid));
        }
        let seen = pods.into_iter().map(|pod| PodSeen {
            name: pod.name,
            uid: pod.uid,
            is_mirror: pod.is_mirror,
            ready: pod.ready,
            deleting: pod.deleting,
            restarts: pod.restarts,
            message: pod.message,
        });
        Ok(seen.collect())
    }

    async fn lease(&self, name: &str) -> Result<Option<LeaseSeen>, Trouble> {
        let lease = within(QUESTION, async {
            answer(self.kube().await?.lease("kube-system", name).await)
        })
        .await?;
        Ok(lease.map(|lease| LeaseSeen {
            holder: lease.holder.unwrap_or_default(),
            renewed: lease
                .renew_time
                .map(|time| time.to_string())
                .unwrap_or_default(),
        }))
    }

    async fn runs(&self, who: &Who) -> Result<bool, Trouble> {
        Ok(!self.sandboxes(who).await?.is_empty())
    }

    fn kubelet(&self) -> kubelet::Sync {
        self.handle.kubelet().borrow().sync
    }
}

/// Whether one of the processes has taken the connection, which is given back.
async fn taken_by(
    stream: TcpStream,
    processes: &BTreeSet<u32>,
) -> Result<(TcpStream, bool), Trouble> {
    let processes = processes.clone();
    // It reads /proc, and waits a little for a busy server.
    let looked = tokio::task::spawn_blocking(move || {
        let taken = served_by(&stream, &processes);
        (stream, taken)
    });
    let (stream, taken) = looked.await.map_err(|error| error.to_string())?;
    let taken = taken.map_err(|error| format!("the connection was not taken: {error}"))?;
    Ok((stream, taken))
}

async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let answered = timeout(limit, asked).await;
    answered.unwrap_or_else(|_| Err(late(limit)))
}

fn late(limit: Duration) -> Trouble {
    format!("no answer within {} s", limit.as_secs())
}

fn answer<T, E: Error + 'static>(answer: Result<T, E>) -> Result<T, Trouble> {
    answer.map_err(|error| chain(&error))
}

fn read_objects(handle: &NodeHandle) -> Result<Objects, Trouble> {
    let material = handle.handoff_material().map_err(|error| chain(&error))?;
    let manifests: Vec<_> = material.manifests.iter().map(|it| it.as_str()).collect();
    // They were small enough when they came.
    Objects::parse(&manifests, usize::MAX).map_err(|error| chain(&error))
}

fn reason_of(error: &ApplyError) -> Reason {
    match error {
        ApplyError::Refused { .. } | ApplyError::NoNamespace { .. } => Reason::ObjectRefused,
        ApplyError::UnknownKind { .. } => Reason::UnknownKind,
        ApplyError::Conflict { .. } => Reason::FieldManagerConflict,
        ApplyError::Forbidden { .. } | ApplyError::Unauthenticated { .. } => {
            Reason::CredentialsRefused
        }
        ApplyError::Untrusted(_) => Reason::ApiServerUntrusted,
    }
}
