//! The self-hosted pods get Ready, the API server among them serves, and the kubelet is synced.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{LOOK, Verdict, Work};
use crate::{
    handoff::{
        Component,
        reason::Reason,
        world::{Instance, PodSeen, Who, World},
    },
    kubelet,
};

/// How often running an API server has to serve.
const TIMES: u32 = 5;

/// What is not so yet, and its name should it not come.
pub(super) type NotYet = (Reason, String);

/// For how long all has been well, with the very same pods and processes.
#[derive(Debug, Default)]
pub(super) struct Steady {
    seen: Option<(Vec<(String, u32)>, Instance)>,
    times: u32,
    since: Option<Instant>,
}

impl Steady {
    /// Whether it has lasted for so long.
    pub(super) fn lasts(&self, time: Duration) -> bool {
        self.times >= TIMES && self.lasted() >= time
    }

    fn lasted(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl<W: World> Work<'_, W> {
    pub(super) async fn wait_for_ready(&mut self) -> Verdict {
        let mut steady = Steady::default();
        let stable_for = self.record.spec.stable_for;
        loop {
            match self.look(&mut steady).await {
                Ok(()) if steady.lasts(stable_for) => {
                    return Verdict::Done("the self-hosted pods are Ready and serve".to_owned());
                }
                Ok(()) => self.live.waits(
                    Reason::ApiServerNotServing,
                    format!(
                        "the self-hosted API server has served for {} s of {} s",
                        steady.lasted().as_secs(),
                        stable_for.as_secs()
                    ),
                ),
                Err((reason, message)) => self.live.waits(reason, message),
            }
            sleep(2 * LOOK).await;
        }
    }

    /// Whether all self-hosted pods are Ready and the API server serves, once more.
    pub(super) async fn look(&mut self, steady: &mut Steady) -> Result<(), NotYet> {
        let seen = self.all_ready().await;
        let (pods, instance) = match seen {
            Ok(seen) => seen,
            Err(not_yet) => {
                *steady = Steady::default();
                return Err(not_yet);
            }
        };
        let pods = pods
            .into_iter()
            .map(|pod| (pod.uid, pod.restarts))
            .collect();
        let seen = Some((pods, instance));
        if steady.seen != seen {
            *steady = Steady {
                seen,
                times: 0,
                since: Some(Instant::now()),
            };
        }
        steady.times += 1;
        Ok(())
    }

    async fn all_ready(&mut self) -> Result<(Vec<PodSeen>, Instance), NotYet> {
        let record = self.record;
        let mut pods = Vec::new();
        for component in &record.spec.components {
            pods.push(self.ready_pod(component).await?);
        }
        let api_server = record.spec.api_server().map(|(component, _)| component);
        let index = record
            .spec
            .components
            .iter()
            .position(|it| Some(it) == api_server);
        let Some((pod, component)) = index.and_then(|at| pods.get(at)).zip(api_server) else {
            return Err((Reason::PodNotReady, "there is no API server".to_owned()));
        };
        self.memory.hosted = Some(pod.uid.clone());
        let served = self.world.serves(&Who::Hosted(pod.uid.clone())).await;
        let instance = served.map_err(|trouble| {
            let (namespace, name) = (&component.namespace, &pod.name);
            let message = format!("waiting for {namespace}/{name} to serve: {trouble}");
            (Reason::ApiServerNotServing, message)
        })?;
        Ok((pods, instance))
    }

    /// The Ready pod of a component on this node.
    async fn ready_pod(&self, component: &Component) -> Result<PodSeen, NotYet> {
        let namespace = &component.namespace;
        let pods = self.world.pods(component).await.map_err(|trouble| {
            let message = format!("waiting for an answer about the pods in {namespace}: {trouble}");
            (Reason::PodNotReady, message)
        })?;
        let mut own = pods
            .into_iter()
            .filter(|pod| !pod.is_mirror && !pod.deleting);
        let mut last = None;
        let ready = own.find_map(|pod| {
            if pod.ready {
                return Some(pod);
            }
            last = Some(pod);
            None
        });
        ready.ok_or_else(|| {
            let message = match last {
                None => {
                    let mut labels = component.selector.iter();
                    let first = labels.next();
                    let label =
                        first.map_or(String::new(), |(key, value)| format!("{key}={value}"));
                    format!("waiting for a pod with {label} in {namespace} on this node")
                }
                Some(pod) => {
                    let colon = if pod.message.is_empty() { "" } else { ": " };
                    let restarted = match pod.restarts {
                        0 => String::new(),
                        1 => ", restarted once".to_owned(),
                        times => format!(", restarted {times} times"),
                    };
                    let (name, message) = (&pod.name, &pod.message);
                    format!("waiting for {namespace}/{name} to be Ready{colon}{message}{restarted}")
                }
            };
            (Reason::PodNotReady, message)
        })
    }

    /// The pod of the self-hosted API server.
    pub(super) async fn hosted(&mut self) -> Result<Who, String> {
        if let Some(uid) = &self.memory.hosted {
            return Ok(Who::Hosted(uid.clone()));
        }
        let component = self.record.spec.api_server();
        let (component, _) = component.ok_or("there is no API server")?;
        match self.ready_pod(component).await {
            Ok(pod) => {
                self.memory.hosted = Some(pod.uid.clone());
                Ok(Who::Hosted(pod.uid))
            }
            Err((_, message)) => Err(message),
        }
    }

    pub(super) async fn wait_for_kubelet(&mut self) -> Verdict {
        loop {
            let message = match self.world.kubelet() {
                kubelet::Sync::Synced => {
                    return Verdict::Done("the kubelet is synced".to_owned());
                }
                // One without the Pods API. It runs pods of the API server's, so that it has heard from it.
                kubelet::Sync::Unknown => match self.all_ready().await {
                    Ok(_) => {
                        let came = "the kubelet runs pods of the API server's";
                        return Verdict::Done(came.to_owned());
                    }
                    Err((_, message)) => message,
                },
                kubelet::Sync::Unsynced => {
                    "waiting for the kubelet to hear from its API server".to_owned()
                }
                kubelet::Sync::Down => "waiting for the kubelet to answer".to_owned(),
            };
            self.live.waits(Reason::KubeletNotSynced, message);
            sleep(2 * LOOK).await;
        }
    }
}
