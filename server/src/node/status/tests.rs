use std::sync::Arc;

use super::*;
use crate::{node::Bundle, runtime_cri::Container};

const UID: &str = "uid-new";
const OLD: &str = "uid-old";

fn node() -> NodeName {
    "node1".parse().unwrap()
}

fn key() -> PodKey {
    PodKey {
        namespace: "default".to_owned(),
        name: "web".to_owned(),
    }
}

fn bundle_name() -> BundleName {
    "app".parse().unwrap()
}

/// Bundle "app" at revision 2 with the pod default/web of the given spec.
fn state(spec: &str) -> State {
    let pod = BundlePod {
        key: key(),
        uid: UID.to_owned(),
        digest: String::new(),
        revision: 2,
        file: key().file_name(),
        rendered: format!(r#"{{"kind":"Pod","spec":{spec}}}"#).into(),
        host_ports: vec![],
        wave: 0,
    };
    let bundle = Bundle {
        name: bundle_name(),
        revision: 2,
        digest: String::new(),
        create_time: Timestamp::UNIX_EPOCH,
        update_time: Timestamp::UNIX_EPOCH,
        pods: vec![pod],
    };
    State {
        bundles: [(bundle_name(), Arc::new(bundle))].into(),
        ..State::default()
    }
}

fn projection(uid: &str, phase: ProjectionPhase) -> PodProjection {
    PodProjection {
        bundle: bundle_name(),
        key: key(),
        uid: uid.to_owned(),
        phase,
        waits_for: None,
        error: None,
    }
}

fn sandbox(uid: &str, ready: bool, containers: &[(&str, ContainerState)]) -> Sandbox {
    Sandbox {
        id: format!("sandbox-{uid}"),
        namespace: "default".to_owned(),
        name: "web-node1".to_owned(),
        uid: uid.to_owned(),
        kubelet_uid: uid.to_owned(),
        ready,
        created_at: Timestamp::UNIX_EPOCH,
        bundle: Some("app".to_owned()),
        revision: Some(if uid == OLD { 1 } else { 2 }),
        digest: None,
        containers: containers
            .iter()
            .map(|(name, state)| Container {
                id: format!("{name}-id"),
                name: (*name).to_owned(),
                attempt: 0,
                state: *state,
                image: "sha256:0".to_owned(),
                details: None,
                last_termination: None,
            })
            .collect(),
        ips: Vec::new(),
    }
}

fn exits(codes: &[(&str, i32)]) -> HashMap<String, ContainerDetails> {
    codes
        .iter()
        .map(|(name, exit_code)| {
            let details = ContainerDetails {
                exit_code: *exit_code,
                reason: if *exit_code == 0 {
                    "Completed"
                } else {
                    "Error"
                }
                .to_owned(),
                message: String::new(),
                started_at: Some(Timestamp::UNIX_EPOCH),
                finished_at: Some(Timestamp::UNIX_EPOCH),
                image_id: String::new(),
                log_path: String::new(),
            };
            (format!("{name}-id"), details)
        })
        .collect()
}

const TWO: &str = r#"{"containers":[{"name":"b","image":"b:1"},{"name":"a","image":"a:1"}]}"#;

fn only_status(
    state: &State,
    projections: &[PodProjection],
    view: RuntimeView<'_>,
    details: &HashMap<String, ContainerDetails>,
) -> PodStatus {
    let entries = entries(state, projections, view, &node(), None);
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries[0].status(view, &node(), details)
}

#[test]
fn what_the_file_and_the_sandboxes_say_of_a_wanted_pod() {
    use ContainerState::Running as R;
    use PodState as S;
    use ProjectionPhase as P;
    let new = || sandbox(UID, true, &[("a", R), ("b", R)]);
    let old = |ready| sandbox(OLD, ready, &[]);
    // Projected phase of the new content, what the runtime lists, the state, the running revision, a part of the message.
    type Row = (
        Option<ProjectionPhase>,
        Vec<Sandbox>,
        PodState,
        u64,
        &'static str,
    );
    let rows: [Row; 15] = [
        (None, vec![], S::Committed, 0, "about to be written"),
        (
            Some(P::Pending),
            vec![],
            S::Committed,
            0,
            "about to be written",
        ),
        (
            Some(P::Pending),
            vec![old(true)],
            S::Committed,
            1,
            "about to be written",
        ),
        (Some(P::Written), vec![], S::Projected, 0, "has not started"),
        (
            Some(P::Confirmed),
            vec![],
            S::Projected,
            0,
            "has not started",
        ),
        // An exited one stays listed; it is not running and replaces nothing.
        (
            Some(P::Replacing),
            vec![old(false)],
            S::Projected,
            0,
            "has not started",
        ),
        (
            Some(P::Replacing),
            vec![old(true)],
            S::Replacing,
            1,
            "revision 1 still runs",
        ),
        (
            Some(P::Written),
            vec![old(true)],
            S::Replacing,
            1,
            "for revision 2",
        ),
        (
            Some(P::Replacing),
            vec![new(), old(true)],
            S::Replacing,
            2,
            "revision 1 still runs",
        ),
        (
            Some(P::Replacing),
            vec![new(), old(false)],
            S::Running,
            2,
            "all containers run",
        ),
        (
            Some(P::Confirmed),
            vec![new()],
            S::Running,
            2,
            "all containers run",
        ),
        // The runtime is believed when the projection is behind, as after a restart of the daemon.
        (
            Some(P::Pending),
            vec![new()],
            S::Running,
            2,
            "all containers run",
        ),
        (None, vec![new()], S::Running, 2, "all containers run"),
        (
            Some(P::Confirmed),
            vec![sandbox(UID, true, &[])],
            S::Starting,
            2,
            "container b waits",
        ),
        (
            Some(P::Confirmed),
            vec![sandbox(UID, false, &[])],
            S::Starting,
            0,
            "makes a new one",
        ),
    ];
    for (row, (phase, sandboxes, expected, running, message)) in rows.into_iter().enumerate() {
        let projections: Vec<_> = phase
            .map(|phase| projection(UID, phase))
            .into_iter()
            .collect();
        let state = state(TWO);
        let view = RuntimeView::Seen(&sandboxes);
        let status = only_status(&state, &projections, view, &HashMap::new());
        assert_eq!(status.state, expected, "row {row}: {status:?}");
        assert_eq!(status.running_revision, running, "row {row}: {status:?}");
        assert!(status.message.contains(message), "row {row}: {status:?}");
        assert_eq!(
            (status.uid.as_str(), status.revision),
            (UID, 2),
            "row {row}"
        );
        assert_eq!(status.node_pod_name, "web-node1");
    }
}

#[test]
fn what_the_containers_say() {
    use ContainerState::{Created as C, Exited as E, Running as R, Unknown as U};
    use PodState as S;
    const NEVER: &str = r#"{"restartPolicy":"Never","containers":[{"name":"a"},{"name":"b"}]}"#;
    const ON_FAILURE: &str = r#"{"restartPolicy":"OnFailure","containers":[{"name":"a"}]}"#;
    const INIT: &str =
        r#"{"initContainers":[{"name":"i","image":"i:1"}],"containers":[{"name":"a"}]}"#;
    const SIDECAR: &str = r#"{"restartPolicy":"Never",
        "initContainers":[{"name":"s","restartPolicy":"Always"}],"containers":[{"name":"a"}]}"#;
    type Row = (
        &'static str,
        bool,
        &'static [(&'static str, ContainerState)],
        &'static [(&'static str, i32)],
        PodState,
        &'static str,
    );
    let rows: [Row; 24] = [
        (
            TWO,
            true,
            &[("a", R), ("b", R)],
            &[],
            S::Running,
            "all containers run",
        ),
        (
            TWO,
            true,
            &[("a", R), ("b", C)],
            &[],
            S::Starting,
            "b is made and not started",
        ),
        (
            TWO,
            true,
            &[("a", R)],
            &[],
            S::Starting,
            "b waits to be made from image b:1",
        ),
        (
            TWO,
            true,
            &[("a", R), ("b", E)],
            &[("b", 1)],
            S::Failed,
            "b has ended with exit code 1 (Error)",
        ),
        (
            TWO,
            true,
            &[("a", R), ("b", E)],
            &[("b", 0)],
            S::Failed,
            "exit code 0 (Completed)",
        ),
        (
            TWO,
            true,
            &[("a", R), ("b", E)],
            &[],
            S::Failed,
            "b has ended",
        ),
        (
            TWO,
            true,
            &[("a", C), ("b", E)],
            &[("b", 1)],
            S::Failed,
            "b has ended",
        ),
        (
            TWO,
            true,
            &[("a", R), ("b", U)],
            &[],
            S::Unknown,
            "does not know",
        ),
        (
            TWO,
            false,
            &[("a", E), ("b", E)],
            &[("a", 137), ("b", 0)],
            S::Failed,
            "not running again",
        ),
        (
            NEVER,
            true,
            &[("a", E), ("b", R)],
            &[("a", 0)],
            S::Running,
            "or have ended",
        ),
        (
            NEVER,
            true,
            &[("a", E), ("b", E)],
            &[("a", 0), ("b", 0)],
            S::Running,
            "have ended",
        ),
        (
            NEVER,
            false,
            &[("a", E), ("b", E)],
            &[("a", 0), ("b", 0)],
            S::Running,
            "have ended",
        ),
        (
            NEVER,
            true,
            &[("a", E), ("b", R)],
            &[("a", 2)],
            S::Failed,
            "restart policy is Never",
        ),
        (
            NEVER,
            true,
            &[("a", E), ("b", R)],
            &[],
            S::Unknown,
            "could not be read",
        ),
        (
            ON_FAILURE,
            true,
            &[("a", E)],
            &[("a", 0)],
            S::Running,
            "have ended",
        ),
        (
            ON_FAILURE,
            true,
            &[("a", E)],
            &[("a", 1)],
            S::Failed,
            "exit code 1",
        ),
        (INIT, true, &[], &[], S::Starting, "container i waits"),
        (
            INIT,
            true,
            &[("i", R)],
            &[],
            S::Starting,
            "init container i runs",
        ),
        (
            INIT,
            true,
            &[("i", E)],
            &[("i", 0)],
            S::Starting,
            "container a waits",
        ),
        (
            INIT,
            true,
            &[("i", E)],
            &[("i", 5)],
            S::Failed,
            "i has ended with exit code 5",
        ),
        (
            INIT,
            true,
            &[("i", E), ("a", R)],
            &[("i", 0)],
            S::Running,
            "all containers run",
        ),
        (
            INIT,
            true,
            &[("a", R)],
            &[],
            S::Running,
            "all containers run",
        ),
        (
            SIDECAR,
            true,
            &[("s", R), ("a", R)],
            &[],
            S::Running,
            "all containers run",
        ),
        (
            SIDECAR,
            true,
            &[("s", E), ("a", R)],
            &[("s", 0)],
            S::Failed,
            "s has ended",
        ),
    ];
    for (row, (spec, ready, containers, codes, expected, message)) in rows.into_iter().enumerate() {
        let sandboxes = [sandbox(UID, ready, containers)];
        let state = state(spec);
        let view = RuntimeView::Seen(&sandboxes);
        let projections = [projection(UID, ProjectionPhase::Confirmed)];
        let status = only_status(&state, &projections, view, &exits(codes));
        assert_eq!(status.state, expected, "row {row}: {status:?}");
        assert!(status.message.contains(message), "row {row}: {status:?}");
    }
}

#[test]
fn a_runtime_that_cannot_be_asked_is_unknown_and_the_message_says_why() {
    use ProjectionPhase as P;
    let rows = [
        (
            RuntimeView::NotConfigured,
            P::Written,
            PodState::Unknown,
            "no containerRuntimeEndpoint",
        ),
        (
            RuntimeView::Away("refused"),
            P::Confirmed,
            PodState::Unknown,
            "(refused)",
        ),
        (
            RuntimeView::Away("refused"),
            P::Pending,
            PodState::Committed,
            "about to be written",
        ),
    ];
    for (view, phase, expected, message) in rows {
        let status = only_status(
            &state(TWO),
            &[projection(UID, phase)],
            view,
            &HashMap::new(),
        );
        assert_eq!(status.state, expected, "{status:?}");
        assert!(status.message.contains(message), "{status:?}");
        assert_eq!(
            (status.running_revision, status.sandbox_id.as_str()),
            (0, "")
        );
    }
}

#[test]
fn a_removed_pod_is_listed_until_nothing_of_it_runs() {
    let none = State::default();
    let removing = [projection(OLD, ProjectionPhase::Removing)];
    let running = [sandbox(OLD, true, &[])];
    let ended = [sandbox(OLD, false, &[("a", ContainerState::Exited)])];

    let status = only_status(
        &none,
        &removing,
        RuntimeView::Seen(&running),
        &HashMap::new(),
    );
    assert_eq!(
        (status.state, status.uid.as_str()),
        (PodState::Removing, OLD)
    );
    assert_eq!((status.revision, status.running_revision), (0, 1));
    assert!(status.message.contains("is being stopped"), "{status:?}");

    let status = only_status(&none, &removing, RuntimeView::Seen(&ended), &HashMap::new());
    assert_eq!(
        (status.state, status.running_revision),
        (PodState::Removing, 0)
    );

    // The projection forgot it, as after a restart of the daemon; the runtime did not.
    let status = only_status(&none, &[], RuntimeView::Seen(&running), &HashMap::new());
    assert_eq!(
        (status.state, status.uid.as_str()),
        (PodState::Removing, OLD)
    );
    assert!(entries(&none, &[], RuntimeView::Seen(&ended), &node(), None).is_empty());

    let status = only_status(&none, &removing, RuntimeView::Away("gone"), &HashMap::new());
    assert_eq!(status.state, PodState::Unknown);
    assert!(
        status.message.contains("still runs is not known"),
        "{status:?}"
    );
}

#[test]
fn the_new_owner_of_a_name_does_not_show_as_the_removed_pod() {
    let none = State::default();
    let mut taken = sandbox(UID, true, &[]);
    taken.bundle = Some("other".to_owned());
    let removing = [projection(OLD, ProjectionPhase::Removing)];
    let sandboxes = [taken];
    let view = RuntimeView::Seen(&sandboxes);
    let all = entries(&none, &removing, view, &node(), None);
    let seen: Vec<_> = all
        .iter()
        .map(|entry| {
            (
                entry.bundle.to_string(),
                entry.status(view, &node(), &HashMap::new()),
            )
        })
        .map(|(bundle, status)| (bundle, status.uid, status.running_revision))
        .collect();
    assert_eq!(
        seen,
        [
            ("app".to_owned(), OLD.to_owned(), 0),
            ("other".to_owned(), UID.to_owned(), 2)
        ]
    );
    let one = entries(&none, &removing, view, &node(), Some(&bundle_name()));
    assert_eq!(one.len(), 1);
}

#[test]
fn sandboxes_of_others_are_nobodys_pods() {
    let mut foreign = sandbox(OLD, true, &[]);
    foreign.bundle = None;
    let mut other_node = sandbox(OLD, true, &[]);
    other_node.name = "web-node2".to_owned();
    let sandboxes = [foreign, other_node];
    let view = RuntimeView::Seen(&sandboxes);
    assert!(entries(&State::default(), &[], view, &node(), None).is_empty());
}

#[test]
fn a_kept_uid_of_an_earlier_revision_is_being_replaced() {
    let mut stale = sandbox(UID, true, &[("a", ContainerState::Running)]);
    stale.revision = Some(1);
    let sandboxes = [stale];
    let projections = [projection(UID, ProjectionPhase::Replacing)];
    let view = RuntimeView::Seen(&sandboxes);
    let status = only_status(&state(TWO), &projections, view, &HashMap::new());
    assert_eq!(
        (status.state, status.running_revision),
        (PodState::Replacing, 1)
    );
}

#[test]
fn the_newest_sandbox_of_a_content_counts() {
    let ended = sandbox(UID, false, &[("a", ContainerState::Exited)]);
    let mut fresh = sandbox(UID, true, &[("a", ContainerState::Running)]);
    fresh.id = "fresh".to_owned();
    fresh.created_at = Timestamp::from_second(10).unwrap();
    let sandboxes = [fresh, ended];
    let view = RuntimeView::Seen(&sandboxes);
    let projections = [projection(UID, ProjectionPhase::Confirmed)];
    let state = state(r#"{"containers":[{"name":"a"}]}"#);
    let status = only_status(&state, &projections, view, &HashMap::new());
    assert_eq!(
        (status.state, status.sandbox_id.as_str()),
        (PodState::Running, "fresh")
    );
}

#[test]
fn containers_stand_in_the_order_of_the_manifest_and_show_their_details() {
    use ContainerState::{Exited, Running};
    let sandboxes = [sandbox(
        UID,
        true,
        &[("a", Running), ("b", Exited), ("x", Running)],
    )];
    let view = RuntimeView::Seen(&sandboxes);
    let projections = [projection(UID, ProjectionPhase::Confirmed)];
    let details = exits(&[("b", 3), ("a", 9)]);
    let status = only_status(&state(TWO), &projections, view, &details);
    let seen: Vec<_> = status
        .containers
        .iter()
        .map(|c| {
            (
                c.name.as_str(),
                c.image.as_str(),
                c.exit_code,
                c.start_time.is_some(),
            )
        })
        .collect();
    // A running container has no exit code, whatever the runtime says.
    assert_eq!(
        seen,
        [
            ("b", "b:1", 3, true),
            ("a", "a:1", 0, true),
            ("x", "sha256:0", 0, false)
        ]
    );
}

#[test]
fn what_went_wrong_with_the_file_is_the_message() {
    let mut failed = projection(UID, ProjectionPhase::Pending);
    failed.error = Some("the static pod directory is full".to_owned());
    let view = RuntimeView::Seen(&[]);
    let status = only_status(&state(TWO), &[failed], view, &HashMap::new());
    assert_eq!(status.state, PodState::Committed);
    assert_eq!(status.message, "the static pod directory is full");
}
