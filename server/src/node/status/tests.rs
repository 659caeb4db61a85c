use std::sync::Arc;

use super::*;
use crate::{
    kubelet::{KubeletPod, Sync, Waiting},
    node::{Bundle, BundlePod, ProjectionPhase},
    probe::{Probed, Verdict},
    runtime_cri::{Container, ContainerDetails},
};

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
        volumes: None,
        source: None,
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
        objects: Vec::new(),
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
        returned: 0,
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

fn details(exit_code: i32) -> ContainerDetails {
    ContainerDetails {
        exit_code,
        reason: if exit_code == 0 { "Completed" } else { "Error" }.to_owned(),
        message: String::new(),
        started_at: Some(Timestamp::UNIX_EPOCH),
        finished_at: Some(Timestamp::UNIX_EPOCH),
        image_id: "sha256:1".to_owned(),
        log_path: String::new(),
    }
}

/// Fills in how containers ended.
fn exits(mut sandbox: Sandbox, codes: &[(&str, i32)]) -> Sandbox {
    for container in &mut sandbox.containers {
        let code = codes.iter().find(|(name, _)| *name == container.name);
        container.details = code.map(|(_, code)| details(*code));
    }
    sandbox
}

/// What is looked at in a test, beyond the pod itself.
#[derive(Default)]
struct Scene {
    state: State,
    projections: Vec<PodProjection>,
    sandboxes: Vec<Sandbox>,
    readiness: Readiness,
    kubelet: KubeletView,
    specs: Specs,
    earlier: Vec<PodStatus>,
    /// Seconds since the first judgement.
    after: u64,
}

impl Scene {
    /// Bundle "app" with its pod, the file of which is there.
    fn projected(spec: &str, sandboxes: Vec<Sandbox>) -> Self {
        Self {
            state: state(spec),
            projections: vec![projection(UID, ProjectionPhase::Written)],
            sandboxes,
            ..Self::default()
        }
    }

    fn judge_as(&self, runtime: RuntimeView<'_>, only: Option<&BundleName>) -> Vec<PodStatus> {
        static BEGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        let parts = Parts {
            state: &self.state,
            projections: &self.projections,
            runtime,
            readiness: &self.readiness,
            kubelet: &self.kubelet,
            specs: &self.specs,
            node: &node(),
            refused_after: Duration::from_secs(30),
            earlier: &self.earlier,
            now: Now {
                clock: Timestamp::UNIX_EPOCH + Duration::from_secs(self.after),
                instant: *BEGIN + Duration::from_secs(self.after),
            },
        };
        judge(&parts, only)
    }

    fn judge(&self) -> Vec<PodStatus> {
        self.judge_as(RuntimeView::Seen(&self.sandboxes), None)
    }

    fn only(&self) -> PodStatus {
        let [pod] = self.judge().try_into().expect("one pod");
        pod
    }

    /// Judges now, and again after so many seconds.
    fn only_after(mut self, seconds: u64) -> PodStatus {
        self.earlier = self.judge();
        self.after += seconds;
        self.only()
    }

    fn probed(
        mut self,
        container: &str,
        startup: Option<Verdict>,
        readiness: Option<Verdict>,
    ) -> Self {
        let message = [startup, readiness].contains(&Some(Verdict::Fails));
        let probed = Probed {
            startup,
            readiness,
            message: if message { "tcp probe is refused" } else { "" }.to_owned(),
        };
        self.readiness.insert(format!("{container}-id"), probed);
        self
    }

    fn kubelet(mut self, sync: Sync, pod: Option<KubeletPod>) -> Self {
        let pods = pod.map(|pod| (UID.to_owned(), pod)).into_iter().collect();
        self.kubelet = KubeletView { sync, pods };
        self
    }
}

fn of_kubelet(phase: &str, reason: &str, waiting: &[(&str, &str, &str)]) -> KubeletPod {
    KubeletPod {
        phase: phase.to_owned(),
        reason: reason.to_owned(),
        message: String::new(),
        ip: String::new(),
        waiting: waiting
            .iter()
            .map(|(container, reason, message)| Waiting {
                container: (*container).to_owned(),
                reason: (*reason).to_owned(),
                message: (*message).to_owned(),
            })
            .collect(),
    }
}

const TWO: &str = r#"{"containers":[{"name":"b","image":"b:1"},{"name":"a","image":"a:1"}]}"#;

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
            S::Ready,
            2,
            "all containers run",
        ),
        (
            Some(P::Confirmed),
            vec![new()],
            S::Ready,
            2,
            "all containers run",
        ),
        // The runtime is believed when the projection is behind, as after a restart of the daemon.
        (
            Some(P::Pending),
            vec![new()],
            S::Ready,
            2,
            "all containers run",
        ),
        (None, vec![new()], S::Ready, 2, "all containers run"),
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
        let scene = Scene {
            state: state(TWO),
            projections,
            sandboxes,
            ..Scene::default()
        };
        let status = scene.only();
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
            S::Ready,
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
            S::Ready,
            "or have ended",
        ),
        (
            NEVER,
            true,
            &[("a", E), ("b", E)],
            &[("a", 0), ("b", 0)],
            S::Ready,
            "have ended",
        ),
        (
            NEVER,
            false,
            &[("a", E), ("b", E)],
            &[("a", 0), ("b", 0)],
            S::Ready,
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
            S::Ready,
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
            S::Ready,
            "all containers run",
        ),
        (INIT, true, &[("a", R)], &[], S::Ready, "all containers run"),
        (
            SIDECAR,
            true,
            &[("s", R), ("a", R)],
            &[],
            S::Ready,
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
        let sandbox = exits(sandbox(UID, ready, containers), codes);
        let status = Scene::projected(spec, vec![sandbox]).only();
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
        let scene = Scene {
            state: state(TWO),
            projections: vec![projection(UID, phase)],
            ..Scene::default()
        };
        let status = &scene.judge_as(view, None)[0];
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
    let removing = || vec![projection(OLD, ProjectionPhase::Removing)];
    let running = || vec![sandbox(OLD, true, &[])];
    let ended = || vec![sandbox(OLD, false, &[("a", ContainerState::Exited)])];
    let scene = |projections, sandboxes| Scene {
        projections,
        sandboxes,
        ..Scene::default()
    };

    let status = scene(removing(), running()).only();
    assert_eq!(
        (status.state, status.uid.as_str()),
        (PodState::Removing, OLD)
    );
    assert_eq!((status.revision, status.running_revision), (0, 1));
    assert!(status.message.contains("is being stopped"), "{status:?}");

    let status = scene(removing(), ended()).only();
    assert_eq!(
        (status.state, status.running_revision),
        (PodState::Removing, 0)
    );

    // The projection forgot it, as after a restart of the daemon; the runtime did not.
    let status = scene(vec![], running()).only();
    assert_eq!(
        (status.state, status.uid.as_str()),
        (PodState::Removing, OLD)
    );
    assert!(scene(vec![], ended()).judge().is_empty());

    let status = &scene(removing(), vec![]).judge_as(RuntimeView::Away("gone"), None)[0];
    assert_eq!(status.state, PodState::Unknown);
    assert!(
        status.message.contains("still runs is not known"),
        "{status:?}"
    );
}

#[test]
fn the_new_owner_of_a_name_does_not_show_as_the_removed_pod() {
    let mut taken = sandbox(UID, true, &[]);
    taken.bundle = Some("other".to_owned());
    let scene = Scene {
        projections: vec![projection(OLD, ProjectionPhase::Removing)],
        sandboxes: vec![taken],
        ..Scene::default()
    };
    let seen: Vec<_> = scene
        .judge()
        .into_iter()
        .map(|status| {
            (
                status.bundle.to_string(),
                status.uid,
                status.running_revision,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("app".to_owned(), OLD.to_owned(), 0),
            ("other".to_owned(), UID.to_owned(), 2)
        ]
    );
    let view = RuntimeView::Seen(&scene.sandboxes);
    assert_eq!(scene.judge_as(view, Some(&bundle_name())).len(), 1);
}

#[test]
fn sandboxes_of_others_are_nobodys_pods() {
    let mut foreign = sandbox(OLD, true, &[]);
    foreign.bundle = None;
    let mut other_node = sandbox(OLD, true, &[]);
    other_node.name = "web-node2".to_owned();
    let scene = Scene {
        sandboxes: vec![foreign, other_node],
        ..Scene::default()
    };
    assert!(scene.judge().is_empty());
}

#[test]
fn a_kept_uid_of_an_earlier_revision_is_being_replaced() {
    let mut stale = sandbox(UID, true, &[("a", ContainerState::Running)]);
    stale.revision = Some(1);
    let mut scene = Scene::projected(TWO, vec![stale]);
    scene.projections[0].phase = ProjectionPhase::Replacing;
    let status = scene.kubelet(Sync::Unsynced, None).only();
    assert_eq!(
        (status.state, status.running_revision),
        (PodState::Replacing, 1)
    );
    assert!(
        status.message.contains("does not stop it by itself"),
        "{status:?}"
    );
}

#[test]
fn the_newest_sandbox_of_a_content_counts() {
    let ended = sandbox(UID, false, &[("a", ContainerState::Exited)]);
    let mut fresh = sandbox(UID, true, &[("a", ContainerState::Running)]);
    fresh.id = "fresh".to_owned();
    fresh.created_at = Timestamp::from_second(10).unwrap();
    fresh.ips = vec!["10.0.0.9".to_owned()];
    let spec = r#"{"containers":[{"name":"a"}]}"#;
    let status = Scene::projected(spec, vec![fresh, ended]).only();
    assert_eq!(
        (status.state, status.sandbox_id.as_str()),
        (PodState::Ready, "fresh")
    );
    assert_eq!(status.pod_ips, ["10.0.0.9"]);
}

#[test]
fn containers_stand_in_the_order_of_the_manifest_and_show_their_details() {
    use ContainerState::{Exited, Running};
    let mut sandbox = exits(
        sandbox(UID, true, &[("a", Running), ("b", Exited), ("x", Running)]),
        &[("b", 3), ("a", 9)],
    );
    sandbox.containers[0].attempt = 2;
    sandbox.containers[0].last_termination = Some(details(137));
    let status = Scene::projected(TWO, vec![sandbox]).only();
    let seen: Vec<_> = status
        .containers
        .iter()
        .map(|c| {
            (
                c.name.as_str(),
                c.image.as_str(),
                c.exit_code,
                c.start_time.is_some(),
                c.finish_time.is_some(),
                c.ready,
            )
        })
        .collect();
    // A running container has no exit code, whatever the runtime says.
    assert_eq!(
        seen,
        [
            ("b", "b:1", 3, true, true, false),
            ("a", "a:1", 0, true, false, true),
            ("x", "sha256:0", 0, false, false, true)
        ]
    );
    let [b, a, _] = &status.containers[..] else {
        panic!("{status:?}")
    };
    assert_eq!((b.image_id.as_str(), b.has_failed), ("sha256:1", true));
    assert_eq!((b.last_termination.as_ref(), a.restart_count), (None, 2));
    let last = a.last_termination.as_ref().unwrap();
    assert_eq!((last.exit_code, last.reason.as_str()), (137, "Error"));
    assert!(last.is_failure && last.finish_time.is_some());
}

#[test]
fn probes_decide_whether_what_runs_is_ready() {
    use ContainerState::Running as R;
    use Verdict::{Fails, Passes, Pending};
    const PROBED: &str =
        r#"{"containers":[{"name":"a","startupProbe":{},"readinessProbe":{}},{"name":"b"}]}"#;
    let scene = || Scene::projected(PROBED, vec![sandbox(UID, true, &[("a", R), ("b", R)])]);
    let rows = [
        (None, None, PodState::Ready, "their probes pass"),
        (
            Some(Pending),
            None,
            PodState::Running,
            "its startup probe has not said",
        ),
        (
            Some(Fails),
            None,
            PodState::NotReady,
            "a runs, and its tcp probe is refused",
        ),
        (
            Some(Passes),
            Some(Pending),
            PodState::Running,
            "its readiness probe has not said",
        ),
        (
            Some(Passes),
            Some(Fails),
            PodState::NotReady,
            "a runs, and its tcp probe is refused",
        ),
        (
            Some(Passes),
            Some(Passes),
            PodState::Ready,
            "their probes pass",
        ),
    ];
    for (startup, readiness, expected, message) in rows {
        let status = scene().probed("a", startup, readiness).only();
        assert_eq!(status.state, expected, "{status:?}");
        assert!(status.message.contains(message), "{status:?}");
        let ready = expected == PodState::Ready;
        assert_eq!(status.containers[0].ready, ready, "{status:?}");
        assert!(status.containers[1].ready, "{status:?}");
    }
    // Nobody has probed it yet.
    let status = scene().only();
    assert_eq!(status.state, PodState::Running);
    assert!(
        status
            .message
            .contains("a runs, and its probes have not said"),
        "{status:?}"
    );
    // What the probes said of a container that has ended is over.
    let ended = exits(
        sandbox(UID, true, &[("a", ContainerState::Exited), ("b", R)]),
        &[("a", 1)],
    );
    let status = Scene::projected(PROBED, vec![ended])
        .probed("a", None, Some(Passes))
        .only();
    assert_eq!(status.state, PodState::Failed);
    assert!(!status.containers[0].ready);
}

#[test]
fn a_pod_without_a_sandbox_is_refused_in_time_or_told_what_it_waits_for() {
    use PodState as S;
    let pending = |waiting| Some(of_kubelet("Pending", "", waiting));
    let pull = || {
        pending(&[
            ("a", "ContainerCreating", ""),
            ("b", "FailedMount", "no such path"),
        ])
    };
    let rows = [
        (
            29,
            Sync::Unknown,
            None,
            S::Projected,
            "has not started the pod yet",
        ),
        (30, Sync::Unknown, None, S::Refused, "its log says which"),
        (30, Sync::Unsynced, None, S::Refused, "its log says which"),
        (
            29,
            Sync::Synced,
            None,
            S::Projected,
            "has not started the pod yet",
        ),
        (30, Sync::Synced, None, S::Refused, "does not know the pod"),
        (
            29,
            Sync::Down,
            None,
            S::Projected,
            "the kubelet does not answer",
        ),
        (
            30,
            Sync::Down,
            None,
            S::Starting,
            "the kubelet does not answer",
        ),
        (
            30,
            Sync::Synced,
            pending(&[]),
            S::Starting,
            "waits for a volume",
        ),
        (
            0,
            Sync::Synced,
            pull(),
            S::Projected,
            "FailedMount: no such path",
        ),
        (
            30,
            Sync::Synced,
            pull(),
            S::Starting,
            "FailedMount: no such path",
        ),
        // It says so itself: no need to wait.
        (
            0,
            Sync::Synced,
            Some(of_kubelet("Failed", "NodePorts", &[])),
            S::Refused,
            "(NodePorts)",
        ),
        // What it said before it lost its sync may be over.
        (
            0,
            Sync::Unsynced,
            Some(of_kubelet("Failed", "NodePorts", &[])),
            S::Projected,
            "not started",
        ),
    ];
    for (row, (seconds, sync, pod, expected, message)) in rows.into_iter().enumerate() {
        let status = Scene::projected(TWO, vec![])
            .kubelet(sync, pod)
            .only_after(seconds);
        assert_eq!(status.state, expected, "row {row}: {status:?}");
        assert!(status.message.contains(message), "row {row}: {status:?}");
    }
    let mut replaced = Scene::projected(TWO, vec![]);
    replaced.projections[0].phase = ProjectionPhase::Replacing;
    let status = replaced.kubelet(Sync::Unsynced, None).only_after(30);
    assert_eq!(status.state, S::Starting);
    assert!(status.message.contains("or is restarted"), "{status:?}");
}

#[test]
fn the_kubelet_tells_what_a_container_waits_for() {
    use ContainerState::{Exited, Running};
    use PodState as S;
    const SPEC: &str = r#"{"containers":[{"name":"a","image":"a:1","imagePullPolicy":"Never"}]}"#;
    let back_off = "back-off 40s restarting failed container=a pod=web-node1_default(uid)";
    type Told<'a> = &'a [(&'a str, &'a str, &'a str)];
    let waiting: [(Told<'_>, _, _); 5] = [
        (
            &[("a", "ErrImageNeverPull", "x")],
            false,
            "a:1, which is not on the node and may not be pulled",
        ),
        (
            &[("a", "ImagePullBackOff", "Back-off pulling")],
            false,
            "image a:1: ImagePullBackOff: Back-off pulling",
        ),
        (
            &[("a", "ContainerCreating", "")],
            false,
            "waits to be made from image a:1",
        ),
        (
            &[("b", "ErrImagePull", "")],
            false,
            "waits to be made from image a:1",
        ),
        (
            &[("a", "CrashLoopBackOff", back_off)],
            true,
            "exit code 2 (Error) and is not running again yet; the kubelet starts it again 40s after its end",
        ),
    ];
    for (waiting, has_ended, message) in waiting {
        let containers: &[_] = if has_ended { &[("a", Exited)] } else { &[] };
        let sandbox = exits(sandbox(UID, true, containers), &[("a", 2)]);
        let pod = of_kubelet("Pending", "", waiting);
        let status = Scene::projected(SPEC, vec![sandbox])
            .kubelet(Sync::Synced, Some(pod))
            .only();
        let expected = if has_ended { S::Failed } else { S::Starting };
        assert_eq!(status.state, expected, "{status:?}");
        assert!(status.message.contains(message), "{status:?}");
    }
    // A kubelet that tells nothing leaves what is likely.
    let silent =
        Scene::projected(SPEC, vec![sandbox(UID, true, &[])]).kubelet(Sync::Unsynced, None);
    let status = silent.only_after(30);
    assert!(
        status
            .message
            .contains("most likely the image is not on the node"),
        "{status:?}"
    );

    let evicted = exits(sandbox(UID, false, &[("a", Running)]), &[]);
    let evicted = Sandbox {
        containers: vec![],
        ..evicted
    };
    let pod = of_kubelet("Failed", "Evicted", &[]);
    let status = Scene::projected(SPEC, vec![evicted])
        .kubelet(Sync::Synced, Some(pod))
        .only();
    assert_eq!(
        (status.state, status.message.as_str()),
        (S::Failed, "the kubelet has ended the pod (Evicted)")
    );
}

#[test]
fn a_state_has_the_time_since_when_it_is_so() {
    let mut scene = Scene::projected(TWO, vec![]);
    scene.earlier = scene.judge();
    scene.after = 7;
    let same = scene.only();
    assert_eq!(same.state_time, Timestamp::UNIX_EPOCH);
    scene.earlier = vec![same];
    scene.sandboxes = vec![sandbox(UID, true, &[])];
    let changed = scene.only();
    assert_eq!(changed.state_time.as_second(), 7);
    // The clock for a refusal begins anew with each sandbox that the kubelet makes or loses.
    scene.earlier = vec![changed];
    scene.sandboxes.clear();
    scene.after = 36;
    assert_eq!(scene.only().state, PodState::Projected);
}

#[test]
fn a_pod_that_its_wave_holds_back_says_for_whom_it_waits() {
    let mut scene = Scene::projected(TWO, vec![]);
    let bundle = Arc::make_mut(scene.state.bundles.get_mut(&bundle_name()).unwrap());
    let key = PodKey {
        namespace: "default".to_owned(),
        name: "a-later-one".to_owned(),
    };
    let later = BundlePod {
        key,
        uid: "uid-later".to_owned(),
        wave: 1,
        ..bundle.pods[0].clone()
    };
    bundle.pods.insert(0, later);
    scene.projections.push(PodProjection {
        key: bundle.pods[0].key.clone(),
        waits_for: Some(Waits {
            key: self::key(),
            wave: 0,
            timed_out: false,
        }),
        ..projection("uid-later", ProjectionPhase::Pending)
    });
    let pods = scene.judge();
    assert_eq!((pods[0].state, pods[0].wave), (PodState::Committed, 1));
    assert!(
        pods[0]
            .message
            .starts_with("the pod waits for wave 0: pod default/web is not ready: "),
        "{pods:?}"
    );
    let sum = summary(&pods);
    assert_eq!(
        (sum.state, sum.wave, sum.ready_pods),
        (BundleState::Progressing, Some(0), 0)
    );
    assert!(sum.message.starts_with("default/web: "), "{sum:?}");

    let waits = scene.projections[1].waits_for.as_mut().unwrap();
    waits.timed_out = true;
    let pods = scene.judge();
    assert!(
        pods[0].message.contains("longer than a wave may take"),
        "{pods:?}"
    );
    assert_eq!(summary(&pods).state, BundleState::Failed);
}

#[test]
fn a_bundle_is_as_good_as_its_pods() {
    use PodState as S;
    let pod = |state, revision| PodStatus {
        state,
        revision,
        ..Scene::projected(TWO, vec![]).only()
    };
    let rows = [
        (vec![], BundleState::Ready, "has no pods"),
        (
            vec![pod(S::Ready, 1)],
            BundleState::Ready,
            "its pod is ready",
        ),
        (
            vec![pod(S::Ready, 1), pod(S::Ready, 2)],
            BundleState::Ready,
            "all 2 pods",
        ),
        (
            vec![pod(S::Ready, 1), pod(S::Removing, 0)],
            BundleState::Progressing,
            "default/web: ",
        ),
        (
            vec![pod(S::Ready, 1), pod(S::Replacing, 2)],
            BundleState::Progressing,
            "default/web: ",
        ),
        (
            vec![pod(S::Unknown, 1), pod(S::Ready, 1)],
            BundleState::Unknown,
            "default/web: ",
        ),
        (
            vec![pod(S::Unknown, 1), pod(S::Refused, 1)],
            BundleState::Failed,
            "default/web: ",
        ),
        (
            vec![pod(S::Starting, 1), pod(S::Failed, 1)],
            BundleState::Failed,
            "default/web: ",
        ),
        (
            vec![pod(S::NotReady, 1)],
            BundleState::Progressing,
            "default/web: ",
        ),
    ];
    for (pods, state, message) in rows {
        let sum = summary(&pods);
        assert_eq!(sum.state, state, "{pods:?}");
        assert!(sum.message.contains(message), "{sum:?}");
        let unready = pods.iter().any(|p| p.revision != 0 && p.state != S::Ready);
        assert_eq!(sum.wave.is_some(), unready, "{sum:?}");
    }
}

#[test]
fn what_went_wrong_with_the_file_is_the_message() {
    let mut failed = projection(UID, ProjectionPhase::Pending);
    failed.error = Some("the static pod directory is full".to_owned());
    let mut scene = Scene::projected(TWO, vec![]);
    scene.projections = vec![failed];
    let status = scene.only();
    assert_eq!(status.state, PodState::Committed);
    assert_eq!(status.message, "the static pod directory is full");
}
