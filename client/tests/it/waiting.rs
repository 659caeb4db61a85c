//! Waiting for pods.

use std::time::Duration;

use seedpod_client::{Code, PodState, Wait, WaitError};
use seedpod_proto::v1::{self, PodState as State};

use crate::fake::{Answer, Fake, Script, always, bundle, each, node, pod, pods, refusal};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(400);

/// The bundle `web` at revision 3 with the pods `a` and `b`, whose states change from look to look.
fn web(states: &[[(State, &str); 2]]) -> Script {
    let look = |[a, b]: &[(State, &str); 2]| {
        pods(&[pod("a", "uid-a", a.0, a.1), pod("b", "uid-b", b.0, b.1)])
    };
    Script {
        get_bundle: always(bundle("web", 3, &[("a", "uid-a"), ("b", "uid-b")])),
        list_pods: each(states.iter().map(look).collect()),
        ..Script::default()
    }
}

#[tokio::test]
async fn waits_until_all_pods_run_and_tells_each_change() {
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
        [(State::Starting, ""), (State::Running, "")],
        [(State::Running, ""), (State::Running, "")],
    ]));
    let mut seen = Vec::new();
    let wait = Wait::new(LONG)
        .on_progress(|pods| seen.push(pods.iter().map(|pod| pod.state).collect::<Vec<_>>()));

    let running = fake
        .client()
        .await
        .wait_running("web", 3, wait)
        .await
        .expect("running");

    assert_eq!(running.len(), 2);
    assert_eq!(
        seen,
        [
            [PodState::Projected, PodState::Committed],
            [PodState::Running, PodState::Failed],
            [PodState::Starting, PodState::Running],
            [PodState::Running, PodState::Running],
        ]
    );
}

#[tokio::test]
async fn a_running_pod_of_an_older_content_does_not_count() {
    let mut script = web(&[]);
    script.list_pods = each(vec![
        pods(&[
            pod("a", "older", State::Running, ""),
            pod("b", "uid-b", State::Running, ""),
        ]),
        pods(&[pod("b", "uid-b", State::Running, "")]),
        pods(&[
            pod("a", "uid-a", State::Running, ""),
            pod("b", "uid-b", State::Running, ""),
        ]),
    ]);
    let fake = Fake::start(script);
    fake.client()
        .await
        .wait_running("web", 3, Wait::new(LONG))
        .await
        .expect("running");
    assert_eq!(fake.script().count("ListPods"), 3);
}

#[tokio::test]
async fn the_deadline_tells_which_pod_is_not_there_and_why() {
    let fake = Fake::start(web(&[[
        (State::Running, ""),
        (State::Starting, "pulls the image"),
    ]]));
    let error = fake
        .client()
        .await
        .wait_running("web", 3, Wait::new(SHORT))
        .await
        .expect_err("in vain");
    assert!(matches!(error, WaitError::Deadline { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "after 0.4s pod kube-system/b is Starting: pulls the image"
    );
}

#[tokio::test]
async fn a_pod_that_stays_failed_ends_the_wait() {
    let fake = Fake::start(web(&[[
        (State::Running, ""),
        (State::Failed, "container c exited with code 1"),
    ]]));
    let wait = Wait::new(LONG).patience(Duration::from_millis(300));
    let error = fake
        .client()
        .await
        .wait_running("web", 3, wait)
        .await
        .expect_err("failed");
    assert_eq!(
        error.to_string(),
        "pod kube-system/b has failed: container c exited with code 1"
    );
}

#[tokio::test]
async fn a_runtime_that_cannot_be_asked_ends_the_wait() {
    let unknown = (State::Unknown, "no runtime is configured");
    let fake = Fake::start(web(&[[unknown, unknown]]));
    let wait = Wait::new(LONG).patience(Duration::from_millis(300));
    let error = fake
        .client()
        .await
        .wait_running("web", 3, wait)
        .await
        .expect_err("unknown");
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
    let error = fake
        .client()
        .await
        .wait_running("web", 3, Wait::new(LONG))
        .await
        .expect_err("unknown");
    assert!(matches!(error, WaitError::Unknown { .. }), "{error:?}");
    assert_eq!(fake.script().count("ListPods"), 1);
}

#[tokio::test]
async fn another_revision_ends_the_wait() {
    let mut script = web(&[]);
    script.get_bundle = each(vec![
        bundle("web", 3, &[("a", "uid-a")]),
        bundle("web", 4, &[("a", "newer")]),
    ]);
    script.list_pods = always(pods(&[pod("a", "newer", State::Running, "")]));
    let fake = Fake::start(script);
    let error = fake
        .client()
        .await
        .wait_running("web", 3, Wait::new(LONG))
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

#[tokio::test]
async fn a_removal_ends_the_wait() {
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
    script.list_pods = always(pods(&[pod("a", "uid-a", State::Removing, "")]));
    let fake = Fake::start(script);
    let error = fake
        .client()
        .await
        .wait_running("web", 3, Wait::new(LONG))
        .await
        .expect_err("gone");
    assert!(matches!(error, WaitError::Gone { .. }), "{error:?}");
}

#[tokio::test]
async fn a_restart_of_the_daemon_does_not_end_the_wait() {
    let mut script = web(&[]);
    let mut looks = 0;
    script.list_pods = Some(Box::new(move |_| {
        looks += 1;
        // More in a row than the retries of one call bear.
        if looks <= 6 {
            return Answer::Refuse(refusal(Code::Unavailable, "STOPPING", "the daemon stops"));
        }
        Answer::Reply(pods(&[
            pod("a", "uid-a", State::Running, ""),
            pod("b", "uid-b", State::Running, ""),
        ]))
    }));
    let fake = Fake::start(script);
    fake.client()
        .await
        .wait_running("web", 3, Wait::new(LONG))
        .await
        .expect("running");
}

#[tokio::test]
async fn an_error_that_will_not_pass_ends_the_wait() {
    let mut script = web(&[]);
    script.list_pods = Some(Box::new(|_| {
        Answer::Refuse(refusal(
            Code::PermissionDenied,
            "PERMISSION_DENIED",
            "not for you",
        ))
    }));
    let fake = Fake::start(script);
    let error = fake
        .client()
        .await
        .wait_running("web", 3, Wait::new(LONG))
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
