use jiff::Timestamp;

use super::*;
use crate::node::{BootTime, Confirmation, Terms, Trial};

fn key(name: &str) -> PodKey {
    PodKey {
        namespace: "default".to_owned(),
        name: name.to_owned(),
    }
}

fn pod(name: &str, revision: u64) -> BundlePod {
    BundlePod {
        volumes: None,
        source: None,
        key: key(name),
        uid: format!("{name}-{revision}"),
        digest: String::new(),
        revision,
        file: String::new(),
        rendered: PROBED.into(),
        host_ports: Vec::new(),
        wave: 0,
    }
}

const PROBED: &str = r#"{"spec": {"containers": [{"name": "main", "readinessProbe": {}}]}}"#;
const UNPROBED: &str =
    r#"{"spec": {"containers": [{"name": "main", "readinessProbe": {}}, {"name": "b"}]}}"#;

/// Revision 2 of a bundle.
fn state(pods: Vec<BundlePod>, confirmation: Option<Confirmation>) -> State {
    let name: BundleName = "web".parse().unwrap();
    let mut state = State::default();
    let bundle = Bundle {
        objects: Vec::new(),
        name: name.clone(),
        revision: 2,
        digest: String::new(),
        create_time: Timestamp::UNIX_EPOCH,
        update_time: Timestamp::UNIX_EPOCH,
        pods,
    };
    state.bundles.insert(name.clone(), Arc::new(bundle));
    if let Some(confirmation) = confirmation {
        let trial = Trial {
            terms: Terms {
                timeout: Duration::from_secs(60),
                confirmation,
            },
            begun: BootTime {
                boot_id: String::new(),
                since_boot: Duration::ZERO,
            },
        };
        let on_trial = OnTrial {
            trial,
            confirmed: false,
            fallback: None,
        };
        state.trials.insert(name, on_trial);
    }
    state
}

fn status(pod: &BundlePod, state: PodState, containers: Vec<ContainerStatus>) -> PodStatus {
    PodStatus {
        bundle: "web".parse().unwrap(),
        key: pod.key.clone(),
        node_pod_name: String::new(),
        uid: pod.uid.clone(),
        revision: pod.revision,
        state,
        message: String::new(),
        running_revision: pod.revision,
        sandbox_id: String::new(),
        containers,
        wave: 0,
        state_time: Timestamp::UNIX_EPOCH,
        pod_ips: Vec::new(),
        waits_for: None,
        waiting_since: None,
    }
}

fn container(name: &str, restart_count: u32, exit_code: Option<i32>) -> ContainerStatus {
    ContainerStatus {
        name: name.to_owned(),
        id: String::new(),
        state: match exit_code {
            Some(_) => ContainerState::Exited,
            None => ContainerState::Running,
        },
        restart_count,
        image: String::new(),
        start_time: None,
        exit_code: exit_code.unwrap_or(0),
        reason: String::new(),
        image_id: String::new(),
        finish_time: None,
        message: String::new(),
        has_failed: exit_code.is_some(),
        ready: exit_code.is_none(),
        probe_message: String::new(),
        last_termination: None,
    }
}

fn told(state: &State, statuses: &[PodStatus]) -> Vec<String> {
    let (found, _) = Steady::default().findings(state, statuses, 3, Instant::now());
    found
        .into_iter()
        .map(|command| match command {
            Command::MarkReady { bundle, revision } => format!("{bundle} {revision} is ready"),
            Command::FailTrial { revision, why, .. } => format!("{revision} fails: {why}"),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_bundle_is_ready_when_each_pod_is_and_nothing_else_is_left() {
    use PodState::{Failed, NotReady, Ready, Removing, Replacing, Running, Starting};
    let (a, b) = (pod("a", 1), pod("b", 2));
    let bundle = state(vec![a.clone(), b.clone()], None);
    let ready = ["web 2 is ready"];
    let pods = |of_b| [status(&a, Ready, vec![]), status(&b, of_b, vec![])];
    assert_eq!(told(&bundle, &pods(Ready)), ready);
    for other in [Failed, NotReady, Running, Replacing, Starting, Removing] {
        assert!(told(&bundle, &pods(other)).is_empty(), "{other:?}");
    }
    assert!(told(&bundle, &[]).is_empty(), "nothing is known yet");
    assert!(told(&bundle, &pods(Ready)[..1]).is_empty());
    // Of a content before this one.
    let old = pod("b", 1);
    let stale = [status(&a, Ready, vec![]), status(&old, Ready, vec![])];
    assert!(told(&bundle, &stale).is_empty());
    // One that is no longer demanded, and one that the statuses do not know to be removed yet.
    for state in [Removing, Ready] {
        let more = [
            pods(Ready).to_vec(),
            vec![status(&pod("c", 1), state, vec![])],
        ];
        assert!(told(&bundle, &more.concat()).is_empty(), "{state:?}");
    }
    let mut known = bundle;
    known.ready.insert("web".parse().unwrap());
    assert!(told(&known, &pods(Ready)).is_empty(), "told once");
}

#[test]
fn a_container_that_ends_too_often_fails_a_trial() {
    let pods = vec![pod("a", 2)];
    let of = |container| [status(&pods[0], PodState::Failed, vec![container])];
    let on_trial = state(pods.clone(), Some(Confirmation::Explicit));
    let failed = "2 fails: container main of pod default/a has ended 3 times";
    let crashed = of(container("main", 2, Some(1)));
    assert_eq!(
        told(&on_trial, &crashed),
        [format!("{failed}, the last time with exit code 1")]
    );
    // Running again counts as well, and so does an end with 0 of what must not end.
    assert_eq!(told(&on_trial, &of(container("main", 3, None))), [failed]);
    assert_eq!(
        told(&on_trial, &of(container("main", 2, Some(0)))),
        [format!("{failed}, the last time with exit code 0")]
    );
    assert!(told(&on_trial, &of(container("main", 2, None))).is_empty());
    // Without a trial nothing is undone.
    assert!(told(&state(pods.clone(), None), &crashed).is_empty());
    let mut confirmed = on_trial.clone();
    for on_trial in confirmed.trials.values_mut() {
        on_trial.confirmed = true;
    }
    assert!(told(&confirmed, &crashed).is_empty());
}

#[test]
fn only_what_the_revision_brought_counts_against_it() {
    let (old, new) = (pod("a", 1), pod("b", 2));
    let on_trial = state(
        vec![old.clone(), new.clone()],
        Some(Confirmation::Readiness),
    );
    let crashes = |pod, state| [status(pod, state, vec![container("main", 9, Some(1))])];
    assert!(told(&on_trial, &crashes(&old, PodState::Failed)).is_empty());
    assert_eq!(told(&on_trial, &crashes(&new, PodState::Failed)).len(), 1);
    // These are the containers of the pod that is being replaced.
    assert!(told(&on_trial, &crashes(&new, PodState::Replacing)).is_empty());
}

#[test]
fn an_end_that_is_allowed_is_no_crash() {
    let mut container = container("main", 2, Some(0));
    assert_eq!(ends(&container), 3);
    container.has_failed = false;
    assert_eq!(ends(&container), 2);
}

#[test]
fn what_no_probe_vouches_for_must_run_for_some_time_without_an_end() {
    let mut ours = pod("a", 2);
    ours.rendered = UNPROBED.into();
    let bundle = state(vec![ours.clone()], None);
    let runs = |restarts| {
        [status(
            &ours,
            PodState::Ready,
            vec![container("b", restarts, None)],
        )]
    };
    let fell = [status(
        &ours,
        PodState::Failed,
        vec![container("b", 0, Some(1))],
    )];
    let mut steady = Steady::default();
    let begun = Instant::now();
    let mut look = |statuses: &[PodStatus], after: u64| {
        let now = begun + Duration::from_secs(after);
        let (found, due) = steady.findings(&bundle, statuses, 3, now);
        (found.len(), due.map(|due| due.as_secs()))
    };
    assert_eq!(look(&runs(0), 0), (0, Some(10)));
    assert_eq!(look(&fell, 1), (0, None));
    assert_eq!(look(&runs(1), 2), (0, Some(10)), "anew after an end");
    assert_eq!(
        look(&runs(2), 11),
        (0, Some(10)),
        "also after one that was not seen"
    );
    assert_eq!(look(&runs(2), 20), (0, Some(1)));
    assert_eq!(look(&runs(2), 21), (1, None));
    // What this revision did not bring has run before.
    let mut earlier = ours.clone();
    earlier.revision = 1;
    assert_eq!(
        Steady::must_last(
            state(vec![earlier], None).bundles.values().next().unwrap(),
            None
        ),
        Duration::ZERO
    );
    // A short trial can be confirmed all the same.
    let mut short = state(vec![ours], Some(Confirmation::Readiness));
    let on_trial = short.trials.values_mut().next().unwrap();
    on_trial.trial.terms.timeout = Duration::from_secs(4);
    let bundle = short.bundles.values().next().unwrap();
    let must_last = Steady::must_last(bundle, short.trials.values().next());
    assert_eq!(must_last, Duration::from_secs(2));
}
