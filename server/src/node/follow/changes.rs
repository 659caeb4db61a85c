//! What has happened to the pods from one look at them to the next. Pure.
//!
//! The daemon does not remember over its own restart how the pods were, so the first look is special: a pod that runs
//! then counts as having been so, and only what is wrong then (a container that has failed, a pod that is refused) is
//! told, for the second time perhaps.

use std::collections::{BTreeMap, HashMap};

use seedpod_manifest::{BundleName, NodeName, PodKey};

use crate::{
    events::{EventKind, NewEvent},
    node::{
        State,
        status::{ContainerStatus, PodState, PodStatus, RuntimeView, pod_of},
    },
    runtime_cri::ContainerState,
};

/// How the pods were when they were known last.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Whether the runtime has been seen.
    has_begun: bool,
    pods: HashMap<(BundleName, PodKey), Known>,
    /// What runs of Seedpod's, by the id of the sandbox.
    live: BTreeMap<String, Live>,
}

/// How a pod was. Times in which the runtime was away leave it as it is.
#[derive(Debug)]
struct Known {
    uid: String,
    state: PodState,
    /// Of a pod that ran at the first look: whether its probes have spoken since.
    is_assumed: bool,
    /// By name: the attempt of each container that was seen last.
    attempts: HashMap<String, Attempt>,
}

#[derive(Debug)]
struct Attempt {
    id: String,
    number: u32,
    /// Whether its end was told.
    is_told: bool,
}

#[derive(Debug, Clone)]
struct Live {
    bundle: BundleName,
    key: PodKey,
    uid: String,
    revision: u64,
}

impl Changes {
    /// What has happened until now.
    pub(super) fn since(
        &mut self,
        pods: &[PodStatus],
        state: &State,
        runtime: RuntimeView<'_>,
        node: &NodeName,
    ) -> Vec<NewEvent> {
        let RuntimeView::Seen(sandboxes) = runtime else {
            return Vec::new();
        };
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let mut events = Vec::new();

        let live: BTreeMap<String, Live> = sandboxes
            .iter()
            .filter(|sandbox| sandbox.is_live())
            .filter_map(|sandbox| {
                let (bundle, key) = pod_of(sandbox, node)?;
                let live = Live {
                    bundle,
                    key,
                    uid: sandbox.uid.clone(),
                    revision: sandbox.revision.unwrap_or(0),
                };
                Some((sandbox.id.clone(), live))
            })
            .collect();
        for (id, gone) in &self.live {
            if !live.contains_key(id) && !gone.is_demanded(state) {
                let message = format!("revision {} of the pod has stopped", gone.revision);
                events.push(NewEvent::of_pod(
                    EventKind::PodStopped,
                    &gone.bundle,
                    gone.revision,
                    &gone.key,
                    message,
                ));
            }
        }
        self.live = live;

        let mut known = std::mem::take(&mut self.pods);
        for pod in pods.iter().filter(|pod| pod.revision != 0) {
            let place = (pod.bundle.clone(), pod.key.clone());
            let mut before = known
                .remove(&place)
                .filter(|known| known.uid == pod.uid)
                .unwrap_or_else(|| Known::new(pod, is_first));
            let revision = state
                .bundles
                .get(&pod.bundle)
                .map_or(pod.revision, |bundle| bundle.revision);
            for (kind, message) in before.take(pod) {
                events.push(NewEvent::of_pod(
                    kind,
                    &pod.bundle,
                    revision,
                    &pod.key,
                    message,
                ));
            }
            self.pods.insert(place, before);
        }
        events
    }
}

impl Live {
    fn is_demanded(&self, state: &State) -> bool {
        let bundle = state.bundles.get(&self.bundle);
        let bundle = bundle.filter(|_| !state.is_withheld(&self.bundle, &self.key));
        bundle.is_some_and(|bundle| {
            bundle.pods.iter().any(|pod| {
                pod.key == self.key && pod.uid == self.uid && pod.revision == self.revision
            })
        })
    }
}

impl Known {
    fn new(pod: &PodStatus, is_first: bool) -> Self {
        let is_assumed = is_first && pod.state.is_started();
        let attempts = pod.containers.iter().filter(|_| is_first);
        Self {
            uid: pod.uid.clone(),
            state: if is_assumed {
                pod.state
            } else {
                PodState::Committed
            },
            is_assumed,
            attempts: attempts
                .map(|container| (container.name.clone(), Attempt::new(container, false)))
                .collect(),
        }
    }

    /// Takes over how the pod is now, and tells what that means.
    fn take(&mut self, pod: &PodStatus) -> Vec<(EventKind, String)> {
        // What ends while it is replaced or handed over ends because it is told to; what there is before it is written is an earlier
        // content's, of which all has been told.
        if matches!(
            pod.state,
            PodState::Unknown
                | PodState::Replacing
                | PodState::Removing
                | PodState::Standby
                | PodState::Committed
        ) {
            return Vec::new();
        }
        let mut events: Vec<_> = self
            .ends(&pod.containers)
            .into_iter()
            .map(|message| (EventKind::PodFailed, message))
            .collect();
        if !events.is_empty() {
            // Whatever was true of the container that has ended has to be told again of the next one.
            self.state = PodState::Failed;
            self.is_assumed = false;
        }
        let before = std::mem::replace(&mut self.state, pod.state);
        let message = || pod.message.clone();
        if pod.state == PodState::Refused && before != PodState::Refused {
            events.push((EventKind::PodRefused, message()));
        }
        // The sandbox has fallen, and no container has ended that is told of with its exit code.
        let has_ended = |container: &ContainerStatus| container.state == ContainerState::Exited;
        if pod.state == PodState::Failed
            && before.is_started()
            && !pod.containers.iter().any(has_ended)
        {
            events.push((EventKind::PodFailed, message()));
        }
        if pod.state.is_started() && !before.is_started() {
            events.push((EventKind::PodStarted, "all containers run".to_owned()));
        }
        match (before, pod.state) {
            (PodState::Ready, PodState::NotReady | PodState::Running)
            | (PodState::Running, PodState::NotReady)
                if before == PodState::Ready || self.is_assumed =>
            {
                events.push((EventKind::PodNotReady, message()));
            }
            (PodState::Running, PodState::Ready) if self.is_assumed => {}
            (before, PodState::Ready) if before != PodState::Ready => {
                events.push((EventKind::PodReady, message()));
            }
            _ => {}
        }
        if pod.state != PodState::Running {
            self.is_assumed = false;
        }
        events
    }

    /// The ends of containers that have not been told yet.
    fn ends(&mut self, containers: &[ContainerStatus]) -> Vec<String> {
        let mut messages = Vec::new();
        for container in containers {
            let name = &container.name;
            let before = self.attempts.get(name);
            let (number, was_told) =
                before.map_or((0, false), |before| (before.number, before.is_told));
            // Each attempt until this one has ended. The kubelet may be faster than we look.
            let missed = container.restart_count.saturating_sub(number);
            let untold = missed.saturating_sub(u32::from(was_told));
            if let Some(end) = &container.last_termination
                && untold > 0
                && end.is_failure
            {
                let times = match untold {
                    1 => String::new(),
                    times => format!(" {times} times, the last time"),
                };
                messages.push(format!(
                    "container {name} has ended{times} with exit code {}{}, and was started again",
                    end.exit_code,
                    in_brackets(&end.reason)
                ));
            }
            let is_told = before.is_some_and(|before| before.id == container.id && before.is_told);
            if container.has_failed && !is_told {
                messages.push(format!(
                    "container {name} has ended with exit code {}{}",
                    container.exit_code,
                    in_brackets(&container.reason)
                ));
            }
            let attempt = Attempt::new(container, is_told || container.has_failed);
            self.attempts.insert(name.clone(), attempt);
        }
        messages
    }
}

impl Attempt {
    fn new(container: &ContainerStatus, is_told: bool) -> Self {
        Self {
            id: container.id.clone(),
            number: container.restart_count,
            is_told,
        }
    }
}

fn in_brackets(reason: &str) -> String {
    match reason {
        "" => String::new(),
        reason => format!(" ({reason})"),
    }
}
