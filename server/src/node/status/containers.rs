//! The state of a pod from that of its containers.

use std::collections::HashMap;

use super::{
    ContainerStatus, PodState,
    spec::{RestartPolicy, Role, Spec},
};
use crate::runtime_cri::{Container, ContainerDetails, ContainerState, Sandbox};

type Details = HashMap<String, ContainerDetails>;

/// The sandbox's containers, ordered as in the manifest; what the manifest has not comes last.
pub(super) fn list(sandbox: &Sandbox, spec: &Spec, details: &Details) -> Vec<ContainerStatus> {
    let place = |name: &str| {
        spec.all()
            .position(|(_, _, spec)| spec.name == name)
            .unwrap_or(usize::MAX)
    };
    let mut containers: Vec<&Container> = sandbox.containers.iter().collect();
    containers.sort_by_key(|container| (place(&container.name), container.name.as_str()));
    containers
        .into_iter()
        .map(|container| {
            let details = details.get(&container.id);
            let has_ended = container.state == ContainerState::Exited;
            ContainerStatus {
                name: container.name.clone(),
                id: container.id.clone(),
                state: container.state,
                restart_count: container.attempt,
                image: image_of(container, spec),
                start_time: details.and_then(|details| details.started_at),
                exit_code: details
                    .filter(|_| has_ended)
                    .map_or(0, |details| details.exit_code),
                reason: details.map_or_else(String::new, |details| details.reason.clone()),
            }
        })
        .collect()
}

/// The image as in the manifest. An older runtime tells only the id that the kubelet resolved it to.
fn image_of(container: &Container, spec: &Spec) -> String {
    let wanted = spec
        .all()
        .find(|(_, _, wanted)| wanted.name == container.name);
    match wanted {
        Some((_, _, wanted)) if container.image.starts_with("sha256:") => wanted.image.clone(),
        _ => container.image.clone(),
    }
}

/// What the newest sandbox of the demanded content says of the pod.
pub(super) fn judge(sandbox: &Sandbox, spec: &Spec, details: &Details) -> (PodState, String) {
    let mut worst = (PodState::Running, String::new());
    let mut ended = 0;
    let mut running = 0;
    for (place, (role, policy, wanted)) in spec.all().enumerate() {
        let found = sandbox
            .containers
            .iter()
            .find(|container| container.name == wanted.name);
        let verdict = match found {
            Some(container) => one(container, role, policy, details.get(&container.id)),
            // The kubelet collects ended init containers; that a later one is there says that this one ended well.
            None if role == Role::Init && has_later(sandbox, spec, place) => Verdict::Ended,
            None => Verdict::NotYet(format!(
                "container {} waits to be made from image {}",
                wanted.name, wanted.image
            )),
        };
        let (state, message) = match verdict {
            Verdict::Runs => {
                running += 1;
                continue;
            }
            Verdict::Ended => {
                ended += usize::from(role == Role::Main);
                continue;
            }
            Verdict::NotYet(message) => (PodState::Starting, message),
            Verdict::Failed(message) => (PodState::Failed, message),
            Verdict::Unclear(message) => (PodState::Unknown, message),
        };
        if rank(state) > rank(worst.0) {
            worst = (state, message);
        }
    }
    if worst.0 == PodState::Running {
        return match (running, ended) {
            (_, 0) if sandbox.ready => (PodState::Running, "all containers run".to_owned()),
            (0, 1..) => (
                PodState::Running,
                "all containers have ended with exit code 0".to_owned(),
            ),
            (_, _) if sandbox.ready => (
                PodState::Running,
                "all containers run or have ended with exit code 0".to_owned(),
            ),
            _ => (PodState::Failed, fallen_sandbox()),
        };
    }
    if worst.0 == PodState::Starting && !sandbox.ready {
        let message = "the pod's sandbox has ended before its containers were started; the \
                       kubelet makes a new one";
        return (PodState::Starting, message.to_owned());
    }
    worst
}

fn fallen_sandbox() -> String {
    "the pod's sandbox has ended; the kubelet has not made a new one yet".to_owned()
}

/// Which state is told when containers differ: what needs a person first.
fn rank(state: PodState) -> u8 {
    match state {
        PodState::Failed => 3,
        PodState::Unknown => 2,
        PodState::Starting => 1,
        _ => 0,
    }
}

/// Whether the sandbox has a container that is started after the one at `place`.
fn has_later(sandbox: &Sandbox, spec: &Spec, place: usize) -> bool {
    spec.all().skip(place + 1).any(|(_, _, later)| {
        sandbox
            .containers
            .iter()
            .any(|container| container.name == later.name)
    })
}

/// What is to be said of one container.
enum Verdict {
    Runs,
    /// And need not run again.
    Ended,
    NotYet(String),
    Failed(String),
    Unclear(String),
}

fn one(
    container: &Container,
    role: Role,
    policy: RestartPolicy,
    details: Option<&ContainerDetails>,
) -> Verdict {
    let name = &container.name;
    match (container.state, role) {
        (ContainerState::Running, Role::Main) => Verdict::Runs,
        (ContainerState::Running, Role::Init) => {
            Verdict::NotYet(format!("init container {name} runs and has not ended yet"))
        }
        (ContainerState::Created, _) => {
            Verdict::NotYet(format!("container {name} is made and not started yet"))
        }
        (ContainerState::Unknown, _) => Verdict::Unclear(format!(
            "the container runtime does not know the state of container {name}"
        )),
        (ContainerState::Exited, _) => {
            let may_end = role == Role::Init || policy != RestartPolicy::Always;
            match details {
                Some(details) if details.exit_code == 0 && may_end => Verdict::Ended,
                Some(details) => Verdict::Failed(failure(container, policy, details)),
                None if may_end => Verdict::Unclear(format!(
                    "container {name} has ended, and its exit code could not be read"
                )),
                None => Verdict::Failed(format!(
                    "container {name} has ended and is not running again yet"
                )),
            }
        }
    }
}

fn failure(container: &Container, policy: RestartPolicy, details: &ContainerDetails) -> String {
    let reason = match details.reason.as_str() {
        "" => String::new(),
        reason => format!(" ({reason})"),
    };
    let next = match (policy, container.attempt) {
        (RestartPolicy::Never, _) => ", and its restart policy is Never".to_owned(),
        (_, 0) => " and is not running again yet".to_owned(),
        (_, 1) => " and is not running again yet; it had been restarted once".to_owned(),
        (_, restarts) => {
            format!(" and is not running again yet; it had been restarted {restarts} times")
        }
    };
    format!(
        "container {} has ended with exit code {}{reason}{next}",
        container.name, details.exit_code
    )
}
