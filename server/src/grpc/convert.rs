//! From the node's types to the API's messages.

use jiff::Timestamp;
use seedpod_manifest::{BundleName, ObjectKind, PodKey};
use seedpod_proto::v1;

use crate::{
    handoff::{Record, Stage, SteeringUsed},
    node::{
        BootTime, Bundle, BundleObject, BundlePod, Change, ChangeKind, Injected, ObjectChange,
        Problem, StoredWarning,
        clock::BootClock,
        status::{BundleState, BundleSummary, ContainerStatus, PodState, PodStatus, Termination},
    },
    runtime_cri::ContainerState,
};

pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
    .normalized()
}

pub(super) fn bundle(bundle: &Bundle) -> v1::Bundle {
    v1::Bundle {
        create_time: Some(timestamp(bundle.create_time)),
        update_time: Some(timestamp(bundle.update_time)),
        ..timeless(bundle)
    }
}

/// The bundle as it would be: it has no times yet.
fn timeless(bundle: &Bundle) -> v1::Bundle {
    v1::Bundle {
        name: bundle.name.to_string(),
        revision: bundle.revision,
        digest: bundle.digest.clone(),
        pods: bundle.pods.iter().map(bundle_pod).collect(),
        ..v1::Bundle::default()
    }
}

fn bundle_pod(pod: &BundlePod) -> v1::BundlePod {
    v1::BundlePod {
        namespace: pod.key.namespace.clone(),
        name: pod.key.name.clone(),
        uid: pod.uid.clone(),
        digest: pod.digest.clone(),
        revision: pod.revision,
        file: pod.file.clone(),
        wave: pod.wave,
    }
}

pub(super) fn injected(injected: &Injected, validate_only: bool) -> v1::InjectPodsResponse {
    let convert = if validate_only { timeless } else { bundle };
    v1::InjectPodsResponse {
        bundle: Some(convert(&injected.bundle)),
        changes: injected.changes.iter().map(change).collect(),
        warnings: injected.warnings.iter().map(warning).collect(),
        object_changes: injected.object_changes.iter().map(object_change).collect(),
    }
}

fn change(change: &Change) -> v1::PodChange {
    v1::PodChange {
        namespace: change.pod.namespace.clone(),
        name: change.pod.name.clone(),
        r#type: change_type(change.kind).into(),
        diff: change.diff.clone(),
    }
}

fn object_change(change: &ObjectChange) -> v1::ObjectChange {
    v1::ObjectChange {
        kind: object_kind(change.object.kind).into(),
        namespace: change.object.namespace.clone(),
        name: change.object.name.clone(),
        r#type: change_type(change.kind).into(),
        diff: change.diff.clone(),
    }
}

fn change_type(kind: ChangeKind) -> v1::pod_change::Type {
    use v1::pod_change::Type;
    match kind {
        ChangeKind::Added => Type::Added,
        ChangeKind::Replaced => Type::Replaced,
        ChangeKind::Removed => Type::Removed,
        ChangeKind::Unchanged => Type::Unchanged,
    }
}

fn object_kind(kind: ObjectKind) -> v1::ObjectKind {
    match kind {
        ObjectKind::ConfigMap => v1::ObjectKind::ConfigMap,
        ObjectKind::Secret => v1::ObjectKind::Secret,
    }
}

/// An object of a bundle, which these pods refer to.
pub(super) fn object(
    bundle: &BundleName,
    object: &BundleObject,
    used_by: Option<&Vec<PodKey>>,
) -> v1::Object {
    let BundleObject { summary, revision } = object;
    let keys = summary.keys.iter().map(|(key, value)| v1::ObjectKey {
        key: key.clone(),
        size: value.size,
        digest: value.digest.to_string(),
    });
    let used_by = used_by.into_iter().flatten().map(|pod| v1::PodReference {
        bundle: bundle.to_string(),
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
    });
    v1::Object {
        bundle: bundle.to_string(),
        kind: object_kind(summary.key.kind).into(),
        namespace: summary.key.namespace.clone(),
        name: summary.key.name.clone(),
        r#type: summary.object_type.clone(),
        immutable: summary.immutable,
        keys: keys.collect(),
        revision: *revision,
        used_by: used_by.collect(),
    }
}

fn warning(warning: &StoredWarning) -> v1::Warning {
    v1::Warning {
        field: warning.field.clone(),
        reason: warning.reason.clone(),
        description: warning.description.clone(),
    }
}

pub(super) fn problem(problem: &Problem) -> v1::Problem {
    v1::Problem {
        reason: problem.reason.to_owned(),
        message: problem.message.clone(),
    }
}

/// The handoff, and what it waits for now.
pub(super) fn handoff(record: &Record, message: &str, clock: &BootClock) -> v1::Handoff {
    let ends = record
        .steps
        .iter()
        .skip(1)
        .map(|step| Some(step.start_time));
    let steps = record.steps.iter().zip(ends.chain([None]));
    let steps = steps.map(|(step, end)| v1::HandoffStep {
        state: handoff_state(step.stage).into(),
        start_time: Some(timestamp(step.start_time)),
        end_time: end.map(timestamp),
        message: step.message.clone(),
    });
    let last = record.steps.last().map(|step| step.start_time);
    let withheld = record.withheld.iter().map(|key| v1::PodReference {
        bundle: record.spec.bundle.to_string(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    });
    v1::Handoff {
        id: record.id.clone(),
        bundle: record.spec.bundle.to_string(),
        state: handoff_state(record.stage).into(),
        message: message.to_owned(),
        start_time: Some(timestamp(record.start_time)),
        state_time: last.map(timestamp),
        deadline: record
            .deadline
            .as_ref()
            .and_then(|at| on_wall_clock(at, clock)),
        failure: record.failure.as_ref().map(|failure| v1::HandoffFailure {
            state: handoff_state(failure.stage).into(),
            reason: failure.reason.clone(),
            message: failure.message.clone(),
        }),
        steps: steps.collect(),
        withheld: withheld.collect(),
        steering: record.steering.as_ref().map(steering),
        generation: record.generation,
    }
}

/// When a moment of this boot is by the wall clock, in whole seconds: it is asked for again and again and should not
/// waver.
fn on_wall_clock(at: &BootTime, clock: &BootClock) -> Option<prost_types::Timestamp> {
    let (now, wall) = (clock.now(), Timestamp::now());
    if at.boot_id != now.boot_id {
        return None;
    }
    let left = jiff::SignedDuration::try_from(at.since_boot).ok()?
        - jiff::SignedDuration::try_from(now.since_boot).ok()?;
    let at = wall.checked_add(left).ok()?;
    let at = at.round(jiff::Unit::Second).ok()?;
    Some(timestamp(at))
}

fn handoff_state(stage: Stage) -> v1::HandoffState {
    match stage {
        Stage::Applying => v1::HandoffState::Applying,
        Stage::WaitingForReady => v1::HandoffState::WaitingForReady,
        Stage::WaitingForKubelet => v1::HandoffState::WaitingForKubelet,
        Stage::Draining => v1::HandoffState::Draining,
        Stage::HandingOver => v1::HandoffState::HandingOver,
        Stage::Verifying => v1::HandoffState::Verifying,
        Stage::Committed => v1::HandoffState::Committed,
        Stage::Reverting => v1::HandoffState::Reverting,
        Stage::Reverted => v1::HandoffState::Reverted,
        Stage::StandingIn => v1::HandoffState::StandingIn,
        Stage::StandingDown => v1::HandoffState::StandingDown,
    }
}

pub(super) fn steering(used: &SteeringUsed) -> v1::Steering {
    let (mode, message) = match used {
        SteeringUsed::ByLoopback => (v1::steering::Mode::ByLoopback, String::new()),
        SteeringUsed::ByMark => (v1::steering::Mode::ByMark, String::new()),
        SteeringUsed::None { why } => (v1::steering::Mode::None, why.clone()),
    };
    v1::Steering {
        mode: mode.into(),
        message,
    }
}

pub(super) fn pod(status: &PodStatus) -> v1::Pod {
    v1::Pod {
        bundle: status.bundle.to_string(),
        namespace: status.key.namespace.clone(),
        name: status.key.name.clone(),
        node_pod_name: status.node_pod_name.clone(),
        uid: status.uid.clone(),
        revision: status.revision,
        state: pod_state(status.state).into(),
        message: status.message.clone(),
        running_revision: status.running_revision,
        sandbox_id: status.sandbox_id.clone(),
        pod_ips: status.pod_ips.clone(),
        containers: status.containers.iter().map(container).collect(),
        state_time: Some(timestamp(status.state_time)),
        wave: status.wave,
    }
}

fn pod_state(state: PodState) -> v1::PodState {
    match state {
        PodState::Committed => v1::PodState::Committed,
        PodState::Projected => v1::PodState::Projected,
        PodState::Starting => v1::PodState::Starting,
        PodState::Running => v1::PodState::Running,
        PodState::Ready => v1::PodState::Ready,
        PodState::NotReady => v1::PodState::NotReady,
        PodState::Failed => v1::PodState::Failed,
        PodState::Refused => v1::PodState::Refused,
        PodState::Replacing => v1::PodState::Replacing,
        PodState::Removing => v1::PodState::Removing,
        PodState::Standby => v1::PodState::Standby,
        PodState::Unknown => v1::PodState::Unknown,
    }
}

fn container(status: &ContainerStatus) -> v1::Container {
    use v1::container::State;
    let state = match status.state {
        ContainerState::Created => State::Created,
        ContainerState::Running => State::Running,
        ContainerState::Exited => State::Exited,
        ContainerState::Unknown => State::Unknown,
    };
    v1::Container {
        name: status.name.clone(),
        id: status.id.clone(),
        state: state.into(),
        restart_count: status.restart_count,
        image: status.image.clone(),
        image_id: status.image_id.clone(),
        start_time: status.start_time.map(timestamp),
        finish_time: status.finish_time.map(timestamp),
        exit_code: status.exit_code,
        reason: status.reason.clone(),
        message: status.message.clone(),
        ready: status.ready,
        probe_message: status.probe_message.clone(),
        last_termination: status.last_termination.as_ref().map(termination),
    }
}

fn termination(end: &Termination) -> v1::container::Termination {
    v1::container::Termination {
        exit_code: end.exit_code,
        reason: end.reason.clone(),
        finish_time: end.finish_time.map(timestamp),
    }
}

/// Without the pods.
pub(super) fn bundle_status(summary: &BundleSummary) -> v1::BundleStatus {
    let state = match summary.state {
        BundleState::Ready => v1::BundleState::Ready,
        BundleState::Progressing => v1::BundleState::Progressing,
        BundleState::Failed => v1::BundleState::Failed,
        BundleState::Standby => v1::BundleState::Standby,
        BundleState::Unknown => v1::BundleState::Unknown,
    };
    v1::BundleStatus {
        state: state.into(),
        message: summary.message.clone(),
        ready_pods: u32::try_from(summary.ready_pods).unwrap_or(u32::MAX),
        wave: summary.wave,
        pods: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_1970_has_positive_nanoseconds() {
        let time = Timestamp::from_nanosecond(-1_500_000_000).unwrap();
        let converted = timestamp(time);
        assert_eq!((converted.seconds, converted.nanos), (-2, 500_000_000));
    }
}
