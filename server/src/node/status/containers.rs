//! The state of a pod from that of its containers.

use super::{
    ContainerStatus, Parts, PodState, Termination, kubelet,
    spec::{ContainerSpec, RestartPolicy, Role, Spec},
    wanted::Judged,
};
use crate::{
    kubelet::KubeletPod,
    probe::{self, Probed, Readiness},
    runtime_cri::{Container, ContainerDetails, ContainerState, Sandbox},
};

/// The sandbox's containers, ordered as in the manifest; what the manifest has not comes last.
pub(super) fn list(sandbox: &Sandbox, spec: &Spec, readiness: &Readiness) -> Vec<ContainerStatus> {
    let place = |name: &str| {
        spec.all()
            .position(|(_, _, spec)| spec.name == name)
            .unwrap_or(usize::MAX)
    };
    let mut containers: Vec<&Container> = sandbox.containers.iter().collect();
    containers.sort_by_key(|container| (place(&container.name), container.name.as_str()));
    containers
        .into_iter()
        .map(|container| status(container, spec, readiness))
        .collect()
}

fn status(container: &Container, spec: &Spec, readiness: &Readiness) -> ContainerStatus {
    let wanted = spec.all().find(|(_, _, spec)| spec.name == container.name);
    let should_end =
        |exit_code| wanted.is_some_and(|(role, policy, _)| exit_code == 0 && may_end(role, policy));
    let details = container.details.as_ref();
    let end = details.filter(|_| container.state == ContainerState::Exited);
    let probed = readiness.get(&container.id);
    let runs = container.state == ContainerState::Running;
    ContainerStatus {
        name: container.name.clone(),
        id: container.id.clone(),
        state: container.state,
        restart_count: container.attempt,
        image: match wanted {
            // An older runtime tells only the id that the kubelet resolved it to.
            Some((_, _, wanted)) if container.image.starts_with("sha256:") => wanted.image.clone(),
            _ => container.image.clone(),
        },
        image_id: details.map_or_else(String::new, |details| details.image_id.clone()),
        start_time: details.and_then(|details| details.started_at),
        finish_time: end.and_then(|details| details.finished_at),
        exit_code: end.map_or(0, |details| details.exit_code),
        reason: details.map_or_else(String::new, |details| details.reason.clone()),
        message: details.map_or_else(String::new, |details| details.message.clone()),
        has_failed: end.is_some_and(|end| !should_end(end.exit_code)),
        ready: runs
            && match wanted {
                Some((_, _, wanted)) => matches!(probes(wanted, probed), Probes::Pass),
                None => true,
            },
        probe_message: probed
            .filter(|_| runs)
            .map_or_else(String::new, |probed| probed.message.clone()),
        last_termination: container.last_termination.as_ref().map(|end| Termination {
            exit_code: end.exit_code,
            reason: end.reason.clone(),
            finish_time: end.finished_at,
            is_failure: !should_end(end.exit_code),
        }),
    }
}

/// What the newest sandbox of the demanded content says of the pod. `has_waited`: longer than it should take.
pub(super) fn judge(sandbox: &Sandbox, spec: &Spec, parts: &Parts<'_>, has_waited: bool) -> Judged {
    let known = kubelet::pod(parts.kubelet, &sandbox.kubelet_uid);
    let mut worst = Judged::new(PodState::Ready, "");
    let (mut ended, mut running, mut probed) = (0, 0, 0);
    for (place, (role, policy, wanted)) in spec.all().enumerate() {
        let found = sandbox
            .containers
            .iter()
            .find(|container| container.name == wanted.name);
        let verdict = match found {
            Some(container) => {
                let probed = parts.readiness.get(&container.id);
                one(container, role, policy, probes(wanted, probed), known)
            }
            // The kubelet collects ended init containers; that a later one is there says that this one ended well.
            None if role == Role::Init && has_later(sandbox, spec, place) => Verdict::Ended,
            None => Verdict::NotMade(not_made(wanted, known, has_waited)),
        };
        let judged = match verdict {
            Verdict::Runs => {
                running += 1;
                probed += usize::from(wanted.is_probed());
                continue;
            }
            Verdict::Ended => {
                ended += usize::from(role == Role::Main);
                continue;
            }
            Verdict::NotMade(message) => Judged::waiting(PodState::Starting, message),
            Verdict::NotYet(message) => Judged::new(PodState::Starting, message),
            Verdict::Unprobed(message) => Judged::new(PodState::Running, message),
            Verdict::Unready(message) => Judged::new(PodState::NotReady, message),
            Verdict::Failed(message) => Judged::new(PodState::Failed, message),
            Verdict::Unclear(message) => Judged::new(PodState::Unknown, message),
        };
        if rank(judged.state) > rank(worst.state) {
            worst = judged;
        }
    }
    if sandbox.ready || rank(worst.state) > rank(PodState::Starting) {
        if worst.state == PodState::Ready {
            worst.message = all_well(running, ended, probed);
        }
        return worst;
    }
    // What the kubelet ends for good, as when it evicts the pod, it does not start again.
    if let Some(known) = known
        && known.phase == "Failed"
    {
        let message = format!("the kubelet has ended the pod{}", kubelet::why(known));
        return Judged::new(PodState::Failed, message);
    }
    match (worst.state, running, ended) {
        (PodState::Ready, 0, 1..) => Judged::new(PodState::Ready, all_well(running, ended, probed)),
        (PodState::Starting, ..) => Judged::waiting(
            PodState::Starting,
            "the pod's sandbox has ended before its containers were started; the kubelet makes a \
             new one",
        ),
        _ => Judged::new(
            PodState::Failed,
            "the pod's sandbox has ended; the kubelet has not made a new one yet",
        ),
    }
}

fn all_well(running: usize, ended: usize, probed: usize) -> String {
    match (running, ended, probed) {
        (_, 0, 0) => "all containers run",
        (_, 0, _) => "all containers run, and their probes pass",
        (0, _, _) => "all containers have ended with exit code 0",
        (_, _, 0) => "all containers run or have ended with exit code 0",
        _ => "all containers run or have ended with exit code 0, and their probes pass",
    }
    .to_owned()
}

/// Which state is told when containers differ: what needs a person first.
fn rank(state: PodState) -> u8 {
    match state {
        PodState::Failed => 5,
        PodState::Unknown => 4,
        PodState::Starting => 3,
        PodState::NotReady => 2,
        PodState::Running => 1,
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

/// Whether the container may end with exit code 0 and need not run again.
fn may_end(role: Role, policy: RestartPolicy) -> bool {
    role == Role::Init || policy != RestartPolicy::Always
}

/// What the probes of a container say.
enum Probes {
    Pass,
    Pending(&'static str),
    Fail(String),
}

fn probes(wanted: &ContainerSpec, probed: Option<&Probed>) -> Probes {
    use probe::Verdict as V;
    if !wanted.is_probed() {
        return Probes::Pass;
    }
    let Some(probed) = probed else {
        return Probes::Pending("its probes have");
    };
    let fails = |which| match probed.message.as_str() {
        "" => Probes::Fail(format!("its {which} probe fails")),
        // "readiness probe GET ... answered 500".
        message => Probes::Fail(format!("its {message}")),
    };
    match (probed.startup, probed.readiness) {
        (Some(V::Fails), _) => fails("startup"),
        (Some(V::Pending), _) => Probes::Pending("its startup probe has"),
        (_, Some(V::Fails)) => fails("readiness"),
        (_, Some(V::Pending)) => Probes::Pending("its readiness probe has"),
        (None | Some(V::Passes), None | Some(V::Passes)) => Probes::Pass,
    }
}

/// What a container waits for that is not made yet.
fn not_made(wanted: &ContainerSpec, known: Option<&KubeletPod>, has_waited: bool) -> String {
    let ContainerSpec { name, image, .. } = wanted;
    let waiting = known.and_then(|known| kubelet::of_container(known, name));
    match waiting {
        Some(waiting) if waiting.reason == "ErrImageNeverPull" => format!(
            "container {name} waits for image {image}, which is not on the node and may not be \
             pulled (ErrImageNeverPull)"
        ),
        Some(waiting) => format!(
            "container {name} waits to be made from image {image}: {}",
            kubelet::text(waiting)
        ),
        None if !has_waited => format!("container {name} waits to be made from image {image}"),
        None if !wanted.may_be_pulled() => format!(
            "container {name} still waits to be made from image {image}: most likely the image is \
             not on the node, and it may not be pulled; the kubelet's log says why"
        ),
        None => format!(
            "container {name} still waits to be made from image {image}: most likely the image is \
             being pulled, or cannot be; the kubelet's log says why"
        ),
    }
}

/// What is to be said of one container.
enum Verdict {
    Runs,
    /// And need not run again.
    Ended,
    /// It runs, and its probes have not said anything yet.
    Unprobed(String),
    /// It runs, and a probe fails.
    Unready(String),
    NotMade(String),
    NotYet(String),
    Failed(String),
    Unclear(String),
}

fn one(
    container: &Container,
    role: Role,
    policy: RestartPolicy,
    probes: Probes,
    known: Option<&KubeletPod>,
) -> Verdict {
    let name = &container.name;
    match (container.state, role) {
        (ContainerState::Running, Role::Main) => match probes {
            Probes::Pass => Verdict::Runs,
            Probes::Pending(which) => Verdict::Unprobed(format!(
                "container {name} runs, and {which} not said anything yet"
            )),
            Probes::Fail(message) => {
                Verdict::Unready(format!("container {name} runs, and {message}"))
            }
        },
        (ContainerState::Running, Role::Init) => {
            Verdict::NotYet(format!("init container {name} runs and has not ended yet"))
        }
        (ContainerState::Created, _) => {
            let waiting = known.and_then(|known| kubelet::of_container(known, name));
            let why = waiting.map_or_else(String::new, |why| format!(": {}", kubelet::text(why)));
            Verdict::NotYet(format!("container {name} is made and not started yet{why}"))
        }
        (ContainerState::Unknown, _) => Verdict::Unclear(format!(
            "the container runtime does not know the state of container {name}"
        )),
        (ContainerState::Exited, _) => {
            let may_end = may_end(role, policy);
            match &container.details {
                Some(details) if details.exit_code == 0 && may_end => Verdict::Ended,
                Some(details) => Verdict::Failed(failure(container, policy, details, known)),
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

fn failure(
    container: &Container,
    policy: RestartPolicy,
    details: &ContainerDetails,
    known: Option<&KubeletPod>,
) -> String {
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
    let waiting = known.and_then(|known| kubelet::of_container(known, &container.name));
    let pause = match waiting {
        Some(waiting) => match kubelet::back_off(waiting) {
            Some(pause) => format!("; the kubelet starts it again {pause} after its end"),
            None => format!("; the kubelet says {}", kubelet::text(waiting)),
        },
        None => String::new(),
    };
    format!(
        "container {} has ended with exit code {}{reason}{next}{pause}",
        container.name, details.exit_code
    )
}
