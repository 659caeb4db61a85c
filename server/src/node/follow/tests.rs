//! What is told of the way from one look to the next.

use std::sync::Arc;

use jiff::Timestamp;
use seedpod_manifest::{BundleName, PodKey};

use super::changes::Changes;
use crate::{
    events::{EventKind as E, NewEvent},
    node::{
        Bundle, BundlePod, State,
        status::{ContainerStatus, PodState as S, PodStatus, RuntimeView, Termination},
    },
    runtime_cri::{ContainerState, Sandbox},
};

fn bundle() -> BundleName {
    "app".parse().unwrap()
}

fn key() -> PodKey {
    PodKey {
        namespace: "default".to_owned(),
        name: "web".to_owned(),
    }
}

fn pod(state: S) -> PodStatus {
    PodStatus {
        bundle: bundle(),
        key: key(),
        node_pod_name: "web-node1".to_owned(),
        uid: "uid-2".to_owned(),
        revision: 2,
        wave: 0,
        state,
        state_time: Timestamp::UNIX_EPOCH,
        message: format!("it is {}", state.as_str()),
        running_revision: 2,
        sandbox_id: "sandbox-2".to_owned(),
        pod_ips: vec![],
        containers: vec![],
        waits_for: None,
        waiting_since: None,
    }
}

/// A pod whose container is at this attempt: it runs, or has ended with that code; so has the attempt before it.
fn at(state: S, attempt: u32, ended: Option<i32>, last: Option<i32>) -> PodStatus {
    let container = ContainerStatus {
        name: "main".to_owned(),
        id: format!("main-{attempt}"),
        state: if ended.is_some() {
            ContainerState::Exited
        } else {
            ContainerState::Running
        },
        restart_count: attempt,
        image: String::new(),
        image_id: String::new(),
        start_time: None,
        finish_time: None,
        exit_code: ended.unwrap_or(0),
        reason: "Error".to_owned(),
        message: String::new(),
        has_failed: ended.is_some(),
        ready: ended.is_none(),
        probe_message: String::new(),
        last_termination: last.map(|exit_code| Termination {
            exit_code,
            reason: "OOMKilled".to_owned(),
            finish_time: None,
            is_failure: true,
        }),
    };
    PodStatus {
        containers: vec![container],
        ..pod(state)
    }
}

fn state(uid: &str, revision: u64) -> State {
    let pod = BundlePod {
        volumes: None,
        source: None,
        key: key(),
        uid: uid.to_owned(),
        digest: String::new(),
        revision,
        file: String::new(),
        rendered: "{}".into(),
        host_ports: vec![],
        wave: 0,
    };
    let active = Bundle {
        objects: Vec::new(),
        name: bundle(),
        // Another pod of the bundle has changed since this one.
        revision: revision + 1,
        digest: String::new(),
        create_time: Timestamp::UNIX_EPOCH,
        update_time: Timestamp::UNIX_EPOCH,
        pods: vec![pod],
    };
    State {
        bundles: [(bundle(), Arc::new(active))].into(),
        ..State::default()
    }
}

fn sandbox(revision: u64, live: bool) -> Sandbox {
    Sandbox {
        id: format!("sandbox-{revision}"),
        namespace: "default".to_owned(),
        name: "web-node1".to_owned(),
        uid: format!("uid-{revision}"),
        kubelet_uid: format!("uid-{revision}"),
        ready: live,
        created_at: Timestamp::UNIX_EPOCH,
        bundle: Some("app".to_owned()),
        revision: Some(revision),
        digest: None,
        returned: 0,
        containers: vec![],
        ips: vec![],
    }
}

fn look(changes: &mut Changes, pods: &[PodStatus], sandboxes: &[Sandbox]) -> Vec<NewEvent> {
    let view = RuntimeView::Seen(sandboxes);
    changes.since(pods, &state("uid-2", 2), view, &"node1".parse().unwrap())
}

/// What is told of these looks at the pod, after one at a node without it.
fn told(looks: &[PodStatus]) -> Vec<(E, String)> {
    let mut changes = Changes::default();
    assert_eq!(look(&mut changes, &[], &[]), []);
    looks
        .iter()
        .flat_map(|pod| look(&mut changes, std::slice::from_ref(pod), &[]))
        .map(|event| {
            assert_eq!((event.pod, event.revision), (Some(key()), 3));
            (event.kind, event.message)
        })
        .collect()
}

fn kinds(looks: &[PodStatus]) -> Vec<E> {
    told(looks).into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn each_step_of_a_pod_is_told_once() {
    let steps = [
        S::Committed,
        S::Projected,
        S::Starting,
        S::Running,
        S::NotReady,
        S::Ready,
        S::Ready,
        S::NotReady,
        S::Ready,
    ];
    assert_eq!(
        kinds(&steps.map(pod)),
        [E::PodStarted, E::PodReady, E::PodNotReady, E::PodReady]
    );
    assert_eq!(kinds(&[pod(S::Ready)]), [E::PodStarted, E::PodReady]);
    let refused = told(&[S::Projected, S::Refused, S::Refused].map(pod));
    assert_eq!(refused, [(E::PodRefused, "it is REFUSED".to_owned())]);
    // A runtime that is away for a while changes nothing.
    assert_eq!(
        kinds(&[S::Ready, S::Unknown, S::Ready].map(pod)),
        [E::PodStarted, E::PodReady]
    );
    // The sandbox has fallen, and took the containers along.
    assert_eq!(
        kinds(&[S::Ready, S::Failed, S::Failed].map(pod)),
        [E::PodStarted, E::PodReady, E::PodFailed]
    );
}

#[test]
fn each_end_of_a_container_is_told_once_however_fast_it_is_started_again() {
    let events = told(&[
        at(S::Ready, 0, None, None),
        at(S::Failed, 0, Some(3), None),
        at(S::Failed, 0, Some(3), None),
        // The end of attempt 0 was told.
        at(S::Ready, 1, None, Some(3)),
        // That of attempt 1 was not seen.
        at(S::Ready, 2, None, Some(137)),
        // Those of 2, 3 and 4 neither.
        at(S::Failed, 5, Some(1), Some(137)),
    ]);
    let failures: Vec<_> = events
        .iter()
        .filter(|(kind, _)| *kind == E::PodFailed)
        .map(|(_, message)| message.as_str())
        .collect();
    assert_eq!(
        failures,
        [
            "container main has ended with exit code 3 (Error)",
            "container main has ended with exit code 137 (OOMKilled), and was started again",
            "container main has ended 3 times, the last time with exit code 137 (OOMKilled), and was started again",
            "container main has ended with exit code 1 (Error)",
        ]
    );
    // What was ready is so again after each of them.
    let ready = events.iter().filter(|(kind, _)| *kind == E::PodReady);
    assert_eq!(ready.count(), 3, "{events:?}");
}

#[test]
fn a_pod_that_crashed_before_anybody_looked_is_told() {
    assert_eq!(
        kinds(&[at(S::Ready, 1, None, Some(1))]),
        [E::PodFailed, E::PodStarted, E::PodReady]
    );
}

#[test]
fn what_ends_because_it_is_replaced_has_not_failed() {
    let looks = [
        at(S::Ready, 0, None, None),
        at(S::Replacing, 0, Some(143), None),
    ];
    assert_eq!(kinds(&looks), [E::PodStarted, E::PodReady]);
}

#[test]
fn what_an_earlier_content_ended_with_is_not_told_of_the_next_one() {
    let crashed = at(S::Failed, 2, Some(1), Some(1));
    // Committed, not written: what is shown is still the old content's.
    let next = PodStatus {
        uid: "uid-3".to_owned(),
        revision: 3,
        ..at(S::Committed, 2, Some(1), Some(1))
    };
    let of_the_first = kinds(std::slice::from_ref(&crashed)).len();
    assert_eq!(kinds(&[crashed, next]).len(), of_the_first);
}

#[test]
fn the_first_look_tells_only_what_is_wrong() {
    let first = |pod: PodStatus| look(&mut Changes::default(), &[pod], &[]);
    assert_eq!(first(at(S::Ready, 4, None, Some(1))), []);
    assert_eq!(first(pod(S::NotReady)), []);
    let kinds = |events: Vec<NewEvent>| events.into_iter().map(|e| e.kind).collect::<Vec<_>>();
    assert_eq!(kinds(first(pod(S::Refused))), [E::PodRefused]);
    assert_eq!(
        kinds(first(at(S::Failed, 4, Some(1), None))),
        [E::PodFailed]
    );
    // The probes begin anew with the daemon; that is no news of the pod, unless they fail.
    let mut changes = Changes::default();
    assert_eq!(look(&mut changes, &[pod(S::Running)], &[]), []);
    assert_eq!(look(&mut changes, &[pod(S::Ready)], &[]), []);
    let mut changes = Changes::default();
    assert_eq!(look(&mut changes, &[pod(S::Running)], &[]), []);
    let failing = look(&mut changes, &[pod(S::NotReady)], &[]);
    assert_eq!(kinds(failing), [E::PodNotReady]);
}

#[test]
fn what_is_no_longer_demanded_is_told_when_it_has_stopped() {
    let mut changes = Changes::default();
    let stopping = [pod(S::Replacing)];
    assert_eq!(
        look(
            &mut changes,
            &stopping,
            &[sandbox(1, true), sandbox(2, true)]
        ),
        []
    );
    let events = look(
        &mut changes,
        &stopping,
        &[sandbox(1, false), sandbox(2, true)],
    );
    let stopped = &events[0];
    assert_eq!((events.len(), stopped.kind), (1, E::PodStopped));
    assert_eq!((stopped.revision, stopped.pod.as_ref()), (1, Some(&key())));
    // What is demanded has not been stopped when it falls.
    assert_eq!(look(&mut changes, &stopping, &[]), []);
    // Away is not gone.
    let mut changes = Changes::default();
    look(&mut changes, &[], &[sandbox(1, true)]);
    let node = "node1".parse().unwrap();
    let away = RuntimeView::Away("gone");
    assert_eq!(changes.since(&[], &state("uid-2", 2), away, &node), []);
    assert_eq!(look(&mut changes, &[], &[sandbox(1, true)]), []);
}
