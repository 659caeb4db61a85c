//! The pods of a component on one node, and why they are not ready.

use std::collections::BTreeMap;

use k8s_openapi::{
    List,
    api::core::v1::{ContainerStatus, Pod, PodSpec, PodStatus},
};

use super::{
    Kube, KubeError,
    error::shortened,
    wire::{Ask, parameter, path},
};

/// The annotation of a mirror pod, which the kubelet puts there for a static one.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Where the kubelet has a pod from: `api`, `file` or `http`.
const SOURCE: &str = "kubernetes.io/config.source";

/// A pod as a handoff sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodView {
    pub(crate) name: String,
    pub(crate) uid: String,
    /// Whether it is the mirror of a static pod.
    pub(crate) is_mirror: bool,
    /// Whether it is Ready. One that is being deleted is not.
    pub(crate) ready: bool,
    pub(crate) deleting: bool,
    /// Of all its containers together.
    pub(crate) restarts: u32,
    /// The group that its processes have, if it says so.
    pub(crate) gid: Option<u32>,
    /// Why it is not ready, for people. Empty when it is.
    pub(crate) message: String,
}

impl Kube {
    /// The pods on a node that have all these labels, ordered by name.
    pub(crate) async fn pods(
        &self,
        namespace: &str,
        selector: &BTreeMap<String, String>,
        node: &str,
    ) -> Result<Vec<PodView>, KubeError> {
        let labels: Vec<_> = selector
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let query = format!(
            "{}?{}&{}",
            path(&["api", "v1", "namespaces", namespace, "pods"]),
            parameter("fieldSelector", &format!("spec.nodeName={node}")),
            parameter("labelSelector", &labels.join(",")),
        );
        let list: List<Pod> = self.wire.send(&Ask::get(&query)).await?.json()?;
        let mut pods: Vec<_> = list.items.into_iter().map(view).collect();
        pods.sort_by(|a: &PodView, b| a.name.cmp(&b.name));
        Ok(pods)
    }
}

fn view(pod: Pod) -> PodView {
    let metadata = pod.metadata;
    let annotations = metadata.annotations.unwrap_or_default();
    let (spec, status) = (pod.spec.unwrap_or_default(), pod.status.unwrap_or_default());
    let deleting = metadata.deletion_timestamp.is_some();
    let ready = !deleting && has_condition(&status, "Ready", "True");
    let containers = status.container_statuses.iter().flatten();
    let restarts: i32 = containers.map(|it| it.restart_count).sum();
    PodView {
        is_mirror: annotations.contains_key(MIRROR)
            || annotations.get(SOURCE).is_some_and(|it| it != "api"),
        ready,
        deleting,
        restarts: u32::try_from(restarts).unwrap_or_default(),
        gid: gid(&spec),
        message: match (ready, deleting) {
            (true, _) => String::new(),
            (_, true) => "it is being deleted".to_owned(),
            _ => why_not_ready(&status),
        },
        name: metadata.name.unwrap_or_default(),
        uid: metadata.uid.unwrap_or_default(),
    }
}

/// What the only container says, and else the pod.
fn gid(spec: &PodSpec) -> Option<u32> {
    let own = match spec.containers.as_slice() {
        [only] => only
            .security_context
            .as_ref()
            .and_then(|it| it.run_as_group),
        _ => None,
    };
    let of_pod = spec
        .security_context
        .as_ref()
        .and_then(|it| it.run_as_group);
    u32::try_from(own.or(of_pod)?).ok()
}

fn has_condition(status: &PodStatus, kind: &str, value: &str) -> bool {
    status
        .conditions
        .iter()
        .flatten()
        .any(|it| it.type_ == kind && it.status == value)
}

/// What the kubelet says of the container that hinders the pod, or of the pod.
fn why_not_ready(status: &PodStatus) -> String {
    let init = status.init_container_statuses.iter().flatten();
    let main = status.container_statuses.iter().flatten();
    let of_container = init
        .filter(|it| !is_through(it))
        .chain(main)
        .filter(|it| !it.ready)
        .find_map(of_container);
    if let Some(message) = of_container {
        return message;
    }
    if let (Some(reason), message) = (&status.reason, &status.message) {
        return with_message(reason, message.as_deref());
    }
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|it| it.type_ == "PodScheduled" && it.status == "False");
    if let Some(condition) = unscheduled {
        let reason = condition.reason.as_deref().unwrap_or("not scheduled");
        return with_message(reason, condition.message.as_deref());
    }
    match status.phase.as_deref() {
        Some("Running") => "it runs, but is not ready yet".to_owned(),
        Some("Pending") | None => "the kubelet has not started it yet".to_owned(),
        Some(phase) => format!("it has {phase}"),
    }
}

/// Whether an init container has done its work.
fn is_through(it: &ContainerStatus) -> bool {
    let terminated = it
        .state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    terminated.is_some_and(|it| it.exit_code == 0)
}

fn of_container(it: &ContainerStatus) -> Option<String> {
    let state = it.state.as_ref()?;
    let last = it
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("waiting");
        // The usual first seconds of every container.
        if reason == "ContainerCreating" || reason == "PodInitializing" {
            return Some(format!("container {} is being created", it.name));
        }
        let mut message = format!(
            "container {}: {}",
            it.name,
            with_message(reason, waiting.message.as_deref())
        );
        if reason.contains("Image") {
            message = format!("{message} (image {})", it.image);
        }
        if let Some(last) = last {
            message = format!("{message}; it ended with exit code {}", last.exit_code);
        }
        return Some(message);
    }
    if let Some(ended) = &state.terminated {
        return Some(format!(
            "container {} has ended with exit code {}{}",
            it.name,
            ended.exit_code,
            match ended.reason.as_deref() {
                None | Some("Error" | "Completed") => String::new(),
                Some(reason) => format!(" ({reason})"),
            }
        ));
    }
    state.running.as_ref()?;
    Some(match last {
        Some(last) => format!(
            "container {} runs again, but is not ready yet; it ended with exit code {}",
            it.name, last.exit_code
        ),
        None => format!("container {} runs, but is not ready yet", it.name),
    })
}

fn with_message(reason: &str, message: Option<&str>) -> String {
    match message.map(shortened).filter(|it| !it.is_empty()) {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    }
}
