//! Waiting for pods.

use std::time::Duration;

use seedpod_client::{Code, PodState, Wait, WaitError};
use seedpod_proto::v1::{self, PodState as State};

use crate::fake::{
    Answer, Fake, Script, Step, always, bundle, change, each, node, pod, pods, refusal, watch,
    whole,
};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(400);

/// The bundle `web` at revision 3 with the pods `a` and `b`, whose states change from answer to answer.
fn web(states: &[[(State, &str); 2]]) -> Script {
    let look = |[a, b]: &[(State, &str); 2]| {
        whole(&[pod("a", "uid-a", a.0, a.1), pod("b", "uid-b", b.0, b.1)])
    };
    Script {
        get_bundle: always(bundle("web", 3, &[("a", "uid-a"), ("b", "uid-b")])),
        watch_pods: watch(states.iter().map(look).collect()),
        ..Script::default()
    }
}

async fn ready(fake: &Fake, wait: Wait<'_>) -> Result<Vec<seedpod_client::Pod>, WaitError> {
    fake.client().await.wait_ready("web", 3, wait).await
}

#[tokio::test]
async fn waits_until_all_pods_are_ready_and_tells_each_change() {
    let fake = Fake::start(web(&[
        [
            (State::Projected, "waits for the kubelet"),
            (State::Committed, ""),
        ],
        [
            (State::Projected, "waits for the kubelet"),
            (State::Committed, ""),
        ],
        [(State::Running, ""), (State::Failed, "exit code 1")],
        [(State::NotReady, ""), (State::Ready, "")],
        [(State::Ready, ""), (State::Ready, "")],
    ]));
    let mut seen = Vec::new();
    let wait = Wait::new(LONG)
        .on_progress(|pods| seen.push(pods.iter().map(|pod| pod.state).collect::<Vec<_>>()));

    let running = ready(&fake, wait).await.expect("ready");

    assert_eq!(running.len(), 2);
    assert_eq!(
        seen,
        [
            [PodState::Projected, PodState::Committed],
            [PodState::Running, PodState::Failed],
            [PodState::NotReady, PodState::Ready],
            [PodState::Ready, PodState::Ready],
        ]
    );
    assert_eq!(fake.script().pods_watched.len(), 1);
    let timeouts: Vec<_> = fake.script().calls.clone();
    assert!(
        timeouts
            .iter()
            .all(|(method, timeout)| (*method == "WatchPods") == timeout.is_none()),
        "only the watch has no deadline: {timeouts:?}"
    );
}

#[tokio::test]
async fn containers_that_run_are_enough_for_who_waits_for_that() {
    let fake = Fake::start(web(&[
        [(State::Starting, ""), (State::Running, "")],
        [(State::NotReady, "probe failed"), (State::Running, "")],
    ]));
    let running = fake
        .client()
        .await
        .wait_running("web", 3, Wait::new(LONG))
        .await;
    assert_eq!(running.expect("running").len(), 2);
}

#[tokio::test]
async fn a_ready_pod_of_an_older_content_does_not_count() {
    let mut script = web(&[]);
    script.watch_pods = watch(vec![
        whole(&[
            pod("a", "older", State::Ready, ""),
            pod("b", "uid-b", State::Ready, ""),
        ]),
        change(&[pod("a", "uid-a", State::Ready, "")]),
    ]);
    let fake = Fake::start(script);
    let mut looks = 0;
    let wait = Wait::new(LONG).on_progress(|_| looks += 1);
    ready(&fake, wait).await.expect("ready");
    assert_eq!(looks, 2);
}

#[tokio::test]
async fn the_deadline_tells_which_pod_is_not_there_and_why() {
    let fake = Fake::start(web(&[[
        (State::Ready, ""),
        (State::Starting, "pulls the image"),
    ]]));
    let error = ready(&fake, Wait::new(SHORT)).await.expect_err("in vain");
    assert!(matches!(error, WaitError::Deadline { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "after 0.4s pod kube-system/b is Starting: pulls the image"
    );
}

#[tokio::test]
async fn a_pod_that_stays_failed_ends_the_wait_and_names_the_container() {
    let mut failed = pod(
        "b",
        "uid-b",
        State::Failed,
        "container c exited with code 1",
    );
    let container = |name: &str, state: v1::container::State, exit_code| v1::Container {
        name: name.to_owned(),
        state: state.into(),
        exit_code,
        ..Default::default()
    };
    failed.containers = vec![
        container("init", v1::container::State::Exited, 0),
        container("c", v1::container::State::Exited, 1),
        container("d", v1::container::State::Running, 0),
    ];
    let mut script = web(&[]);
    script.watch_pods = watch(vec![whole(&[pod("a", "uid-a", State::Ready, ""), failed])]);
    let fake = Fake::start(script);
    let wait = Wait::new(LONG).patience(Duration::from_millis(300));
    let error = ready(&fake, wait).await.expect_err("failed");
    assert_eq!(
        error.to_string(),
        "pod kube-system/b has failed: container c exited with code 1"
    );
    assert!(
        matches!(&error, WaitError::Failed { container: Some(name), .. } if name == "c"),
        "{error:?}"
    );
}

#[tokio::test]
async fn pods_that_are_ready_for_too_short_a_time_are_not_enough_where_they_must_be_stable() {
    let ready = [(State::Ready, ""), (State::Ready, "")];
    let fake = Fake::start(web(&[ready]));
    let wait = || Wait::new(SHORT).stable_for(SHORT / 4);
    self::ready(&fake, wait()).await.expect("stable");
    let error = self::ready(&fake, wait().stable_for(LONG)).await;
    assert!(
        matches!(error, Err(WaitError::Unstable { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_pod_that_the_kubelet_refuses_ends_the_wait() {
    let fake = Fake::start(web(&[[
        (State::Ready, ""),
        (State::Refused, "its host port is taken"),
    ]]));
    let wait = Wait::new(LONG).patience(Duration::from_millis(100));
    let error = ready(&fake, wait).await.expect_err("refused");
    assert!(matches!(error, WaitError::Refused { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the kubelet refuses pod kube-system/b: its host port is taken"
    );
}

#[tokio::test]
async fn a_wave_that_timed_out_ends_the_wait() {
    let states = [(State::NotReady, "probe failed"), (State::Committed, "")];
    let mut failed = bundle("web", 3, &[("a", "uid-a"), ("b", "uid-b")]);
    failed.status = Some(v1::BundleStatus {
        state: v1::BundleState::Failed.into(),
        message: "kube-system/a is not ready: probe failed.".to_owned(),
        wave: Some(0),
        pods: vec![pod("a", "uid-a", State::NotReady, "probe failed")],
        ..Default::default()
    });
    let mut script = web(&[states]);
    script.get_bundle = each(vec![
        bundle("web", 3, &[("a", "uid-a"), ("b", "uid-b")]),
        failed,
    ]);
    let error = ready(&Fake::start(script), Wait::new(LONG))
        .await
        .expect_err("timed out");
    assert!(
        matches!(&error, WaitError::Wave { wave: 0, pods, .. } if pods.len() == 1),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "wave 0 of bundle \"web\" did not get ready in its time: kube-system/a is not ready: probe failed."
    );
}

#[tokio::test]
async fn a_runtime_that_cannot_be_asked_ends_the_wait() {
    let unknown = (State::Unknown, "no runtime is configured");
    let fake = Fake::start(web(&[[unknown, unknown]]));
    let wait = Wait::new(LONG).patience(Duration::from_millis(300));
    let error = ready(&fake, wait).await.expect_err("unknown");
    assert!(matches!(error, WaitError::Unknown { .. }), "{error:?}");
}

#[tokio::test]
async fn a_node_without_a_runtime_is_not_waited_for() {
    let unknown = (State::Unknown, "no runtime is configured");
    let mut without = node();
    without.container_runtime = Some(v1::ContainerRuntime {
        state: v1::container_runtime::State::NotConfigured.into(),
        ..Default::default()
    });
    let fake = Fake::start(Script {
        get_node: always(without),
        ..web(&[[unknown, unknown]])
    });
    let error = ready(&fake, Wait::new(LONG)).await.expect_err("unknown");
    assert!(matches!(error, WaitError::Unknown { .. }), "{error:?}");
    assert_eq!(fake.script().count("GetBundle"), 1);
}

#[tokio::test]
async fn another_revision_ends_the_wait() {
    let mut script = web(&[]);
    script.get_bundle = each(vec![
        bundle("web", 3, &[("a", "uid-a")]),
        bundle("web", 4, &[("a", "newer")]),
    ]);
    script.watch_pods = watch(vec![whole(&[pod("a", "newer", State::Ready, "")])]);
    let error = ready(&Fake::start(script), Wait::new(LONG))
        .await
        .expect_err("superseded");
    assert!(
        matches!(
            error,
            WaitError::Superseded {
                revision: 3,
                active: 4,
                ..
            }
        ),
        "{error:?}"
    );
}

/// The bundle is there at the first look and gone at the next ones.
fn removed() -> Script {
    let mut script = web(&[]);
    let mut first = Some(bundle("web", 3, &[("a", "uid-a")]));
    script.get_bundle = Some(Box::new(move |_| match first.take() {
        Some(bundle) => Answer::Reply(bundle),
        None => Answer::Refuse(refusal(
            Code::NotFound,
            "BUNDLE_NOT_FOUND",
            "there is no bundle",
        )),
    }));
    script.watch_pods = watch(vec![whole(&[pod("a", "uid-a", State::Removing, "")])]);
    script
}

#[tokio::test]
async fn a_removal_ends_the_wait() {
    let error = ready(&Fake::start(removed()), Wait::new(LONG))
        .await
        .expect_err("gone");
    assert!(matches!(error, WaitError::Gone { .. }), "{error:?}");
}

/// The history of a revision 3 that failed its trial, and of what came after it.
fn failed_trial(source_revision: u64) -> v1::ListRevisionsResponse {
    let revision = |revision, origin: v1::revision::Origin, reason: &str| v1::Revision {
        bundle: "web".to_owned(),
        revision,
        origin: origin.into(),
        reason: reason.to_owned(),
        source_revision,
        ..Default::default()
    };
    v1::ListRevisionsResponse {
        revisions: vec![
            revision(5, v1::revision::Origin::Injected, ""),
            revision(4, v1::revision::Origin::TrialFailed, "pod a crash-loops"),
            revision(3, v1::revision::Origin::Injected, ""),
        ],
    }
}

#[tokio::test]
async fn a_node_that_went_back_is_told_from_somebody_who_injected_anew() {
    let mut script = web(&[]);
    script.get_bundle = always(bundle("web", 5, &[("a", "newest")]));
    script.list_revisions = always(failed_trial(2));
    let error = ready(&Fake::start(script), Wait::new(LONG))
        .await
        .expect_err("rolled back");
    assert_eq!(
        error.to_string(),
        "revision 3 of bundle \"web\" did not pass its trial, and the node went back to revision 2, as revision 4: \
         pod a crash-loops"
    );
    let mut script = removed();
    script.list_revisions = always(failed_trial(0));
    let error = ready(&Fake::start(script), Wait::new(LONG))
        .await
        .expect_err("removed");
    assert_eq!(
        error.to_string(),
        "revision 3 of bundle \"web\" did not pass its trial, and the node removed the bundle: pod a crash-loops"
    );
}

fn trial(state: v1::trial_status::State) -> v1::Bundle {
    let mut bundle = bundle("web", 3, &[("a", "uid-a")]);
    bundle.trial = Some(v1::TrialStatus {
        state: state.into(),
        ..Default::default()
    });
    bundle
}

#[tokio::test]
async fn a_trial_is_waited_for_until_it_is_confirmed_whatever_the_pods_do() {
    let pending = trial(v1::trial_status::State::Pending);
    let fake = Fake::start(Script {
        get_bundle: each(vec![
            pending.clone(),
            pending,
            trial(v1::trial_status::State::Confirmed),
        ]),
        watch_pods: watch(vec![
            whole(&[pod("a", "uid-a", State::Ready, "")]),
            change(&[pod("a", "uid-a", State::Failed, "")]),
        ]),
        ..Script::default()
    });
    let wait = Wait::new(LONG).patience(Duration::ZERO);
    let client = fake.client().await;
    let pods = client.wait_confirmed("web", 3, wait).await;
    assert_eq!(pods.expect("confirmed").len(), 1);
    assert_eq!(fake.script().count("GetBundle"), 3);
}

#[tokio::test]
async fn a_trial_that_nobody_confirms_is_waited_for_in_vain() {
    let script = |bundle| Script {
        get_bundle: always(bundle),
        watch_pods: watch(vec![whole(&[pod("a", "uid-a", State::Ready, "")])]),
        ..Script::default()
    };
    let fake = Fake::start(script(trial(v1::trial_status::State::Pending)));
    let client = fake.client().await;
    let error = client
        .wait_confirmed("web", 3, Wait::new(SHORT))
        .await
        .expect_err("in vain");
    assert!(matches!(error, WaitError::Unconfirmed { .. }), "{error:?}");

    let fake = Fake::start(script(bundle("web", 3, &[("a", "uid-a")])));
    let client = fake.client().await;
    let error = client
        .wait_confirmed("web", 3, Wait::new(LONG))
        .await
        .expect_err("no trial");
    assert!(matches!(error, WaitError::NotOnTrial { .. }), "{error:?}");
}

#[tokio::test]
async fn a_restart_of_the_daemon_does_not_end_the_wait() {
    let mut script = web(&[]);
    let mut looks = 0;
    script.watch_pods = Some(Box::new(move |_| {
        looks += 1;
        let stopping = || refusal(Code::Unavailable, "SHUTTING_DOWN", "the daemon stops");
        // More in a row than the retries of one stream bear.
        match looks {
            1..=6 => Answer::Refuse(stopping()),
            7 => Answer::Reply(vec![
                whole(&[pod("a", "uid-a", State::Starting, "")]),
                Step::Fail(stopping()),
            ]),
            _ => Answer::Reply(vec![
                whole(&[
                    pod("a", "uid-a", State::Ready, ""),
                    pod("b", "uid-b", State::Ready, ""),
                ]),
                Step::Stay(None),
            ]),
        }
    }));
    ready(&Fake::start(script), Wait::new(LONG))
        .await
        .expect("ready");
}

#[tokio::test]
async fn an_error_that_will_not_pass_ends_the_wait() {
    let mut script = web(&[]);
    script.watch_pods = Some(Box::new(|_| {
        Answer::Refuse(refusal(
            Code::PermissionDenied,
            "PERMISSION_DENIED",
            "not for you",
        ))
    }));
    let error = ready(&Fake::start(script), Wait::new(LONG))
        .await
        .expect_err("refused");
    assert!(
        matches!(&error, WaitError::Client(error) if error.reason() == Some("PERMISSION_DENIED")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_removed_bundle_is_waited_for_until_its_last_pod_is_gone() {
    let removing = pod("a", "uid-a", State::Removing, "stops");
    let list_pods = each(vec![
        pods(std::slice::from_ref(&removing)),
        pods(&[removing]),
        v1::ListPodsResponse::default(),
    ]);
    let fake = Fake::start(Script {
        list_pods,
        ..Script::default()
    });
    fake.client()
        .await
        .wait_removed("web", Wait::new(LONG))
        .await
        .expect("gone");
    assert_eq!(fake.script().count("ListPods"), 3);
}

#[tokio::test]
async fn a_bundle_that_comes_back_ends_the_wait_for_its_removal() {
    let fake = Fake::start(Script {
        list_pods: always(pods(&[pod("a", "uid-a", State::Starting, "")])),
        ..Script::default()
    });
    let error = fake
        .client()
        .await
        .wait_removed("web", Wait::new(LONG))
        .await
        .expect_err("back");
    assert!(
        matches!(error, WaitError::InjectedAgain { .. }),
        "{error:?}"
    );
}
