//! Handoffs, through the SDK and `seedpod handoff`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::StreamExt as _;
use predicates::{prelude::PredicateBooleanExt as _, str::contains};
use seedpod_client::{
    Client, Code, HandoffComponent, HandoffDeadlines, HandoffState, RetryPolicy, StartHandoff,
    SteeringMode,
};
use seedpod_proto::v1::{self, HandoffState as State, handoff_component::Kind};

use crate::{
    fake::{Answer, Fake, Script, Step, always, each, refusal},
    tool::{ask, stdout},
};

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

/// A handoff that has gone through these states, one second each.
fn handoff(states: &[State], message: &str) -> v1::Handoff {
    let steps: Vec<_> = states
        .iter()
        .zip(1..)
        .map(|(state, second)| v1::HandoffStep {
            state: (*state).into(),
            start_time: at(second),
            end_time: at(second + 1)
                .filter(|_| i64::try_from(states.len()).is_ok_and(|all| second < all)),
            message: format!("of {}", state.as_str_name()),
        })
        .collect();
    v1::Handoff {
        id: "h1".to_owned(),
        bundle: "control-plane".to_owned(),
        state: states.last().copied().unwrap_or_default().into(),
        message: message.to_owned(),
        start_time: at(1),
        state_time: steps.last().and_then(|step| step.start_time),
        generation: states.len() as u64,
        steps,
        steering: Some(v1::Steering {
            mode: v1::steering::Mode::ByLoopback.into(),
            message: String::new(),
        }),
        ..v1::Handoff::default()
    }
}

fn reverted() -> v1::Handoff {
    v1::Handoff {
        failure: Some(v1::HandoffFailure {
            state: State::WaitingForReady.into(),
            reason: "DEADLINE_PASSED".to_owned(),
            message: "the pod never got ready".to_owned(),
        }),
        ..handoff(
            &[State::WaitingForReady, State::Reverting, State::Reverted],
            "",
        )
    }
}

fn changed(handoff: v1::Handoff) -> Step<v1::WatchHandoffResponse> {
    Step::Send(v1::WatchHandoffResponse {
        handoff: Some(handoff),
    })
}

async fn client(fake: &Fake) -> Client {
    let policy = RetryPolicy::new(4, Duration::from_millis(1), Duration::from_millis(5));
    Client::connect(fake.options().retry(policy))
        .await
        .expect("a connection")
}

#[tokio::test]
async fn a_request_says_all_that_it_was_told() {
    let fake = Fake::start(Script {
        start_handoff: always(handoff(&[State::Applying], "")),
        ..Script::default()
    });
    let request = StartHandoff::new("control-plane", "credentials")
        .manifests(["kind: DaemonSet", "kind: Secret"])
        .component(HandoffComponent::api_server("kube-apiserver").port(7443))
        .component(
            HandoffComponent::leader_elected("kcm", "kube-controller-manager")
                .namespace("a")
                .injected_namespace("b")
                .selector([("app".to_owned(), "kcm".to_owned())]),
        )
        .node_labels([("l".to_owned(), "v".to_owned())].into())
        .deadlines(HandoffDeadlines {
            ready: Some(Duration::from_secs(600)),
            ..HandoffDeadlines::default()
        })
        .stable_for(Duration::from_millis(1500))
        .request_id("mine");
    let shown = format!("{request:?}");
    assert!(
        !shown.contains("credentials") && !shown.contains("Secret"),
        "{shown}"
    );
    let begun = client(&fake).await.start_handoff(&request).await;
    let begun = begun.expect("begun");
    assert_eq!(begun.state, HandoffState::Applying);
    assert!(begun.is_moving());
    assert_eq!(
        begun.steering.expect("decided").mode,
        SteeringMode::ByLoopback
    );

    let script = fake.script();
    let sent = &script.handoffs_started[0];
    assert_eq!(
        (sent.manifests.len(), sent.kubeconfig.as_str()),
        (2, "credentials")
    );
    assert_eq!(
        (sent.request_id.as_str(), sent.validate_only),
        ("mine", false)
    );
    let [server, kcm] = &sent.components[..] else {
        panic!("{:?}", sent.components)
    };
    assert_eq!((server.kind(), server.port), (Kind::ApiServer, 7443));
    assert_eq!(server.selector["component"], "kube-apiserver");
    assert_eq!(
        (kcm.kind(), kcm.lease.as_str()),
        (Kind::LeaderElected, "kube-controller-manager")
    );
    assert_eq!(
        (kcm.namespace.as_str(), kcm.injected_namespace.as_str()),
        ("a", "b")
    );
    assert_eq!(kcm.selector["app"], "kcm");
    let ready = sent.deadlines.expect("some").ready.expect("given");
    assert_eq!(ready.seconds, 600);
    assert_eq!(sent.stable_for.expect("given").nanos, 500_000_000);
}

#[tokio::test]
async fn a_watch_that_breaks_goes_on_and_does_not_repeat_itself() {
    let first = handoff(&[State::Applying], "");
    let second = handoff(&[State::Applying, State::WaitingForReady], "");
    let stopping = || {
        Step::Fail(refusal(
            Code::Unavailable,
            "SHUTTING_DOWN",
            "the daemon stops",
        ))
    };
    let fake = Fake::start(Script {
        watch_handoff: each(vec![
            vec![changed(first.clone()), stopping()],
            vec![changed(first), changed(second), Step::Stay(None)],
        ]),
        ..Script::default()
    });
    let mut changes = client(&fake).await.watch_handoff();
    let mut next = async || changes.next().await.expect("goes on").expect("no error");
    assert_eq!(next().await.state, HandoffState::Applying);
    assert_eq!(next().await.state, HandoffState::WaitingForReady);
}

#[tokio::test]
async fn an_abort_names_the_handoff_if_it_is_told() {
    let fake = Fake::start(Script {
        abort_handoff: always(reverted()),
        ..Script::default()
    });
    let client = client(&fake).await;
    client.abort_handoff(Some("h1")).await.expect("aborted");
    client.abort_handoff(None).await.expect("aborted");
    let ids: Vec<_> = fake
        .script()
        .handoffs_aborted
        .iter()
        .map(|it| it.id.clone())
        .collect();
    assert_eq!(ids, ["h1", ""]);
}

/// A folder with manifests and a kubeconfig.
fn files() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let manifests = folder.path().join("objects");
    fs::create_dir(&manifests).expect("make folder");
    fs::write(manifests.join("1.yaml"), "kind: DaemonSet\n").expect("write");
    fs::write(manifests.join("2.yaml"), "kind: Deployment\n").expect("write");
    let kubeconfig = folder.path().join("conf");
    fs::write(&kubeconfig, "kind: Config\n").expect("write");
    (folder, manifests, kubeconfig)
}

fn start<'a>(manifests: &'a Path, kubeconfig: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["handoff", "start", "-f"];
    args.push(manifests.to_str().expect("UTF-8"));
    args.push("--kubeconfig");
    args.push(kubeconfig.to_str().expect("UTF-8"));
    args.extend(more);
    args
}

#[test]
fn start_shows_how_it_goes_until_it_is_committed() {
    let (_folder, manifests, kubeconfig) = files();
    let states = [State::Applying, State::WaitingForReady, State::Committed];
    let fake = Fake::start(Script {
        start_handoff: always(handoff(&states[..1], "")),
        watch_handoff: each(vec![vec![
            changed(handoff(&states[..1], "DaemonSet kube-apiserver")),
            changed(handoff(&states[..2], "pod kube-apiserver-x")),
            changed(handoff(&states, "")),
            Step::Stay(None),
        ]]),
        ..Script::default()
    });
    let done = ask(&fake, &start(&manifests, &kubeconfig, &[])).success();
    let done = done.stderr(
        contains("Applying: DaemonSet kube-apiserver\n")
            .and(contains("Applying took 1.0s: of HANDOFF_STATE_APPLYING\n"))
            .and(contains("WaitingForReady: pod kube-apiserver-x\n")),
    );
    done.stdout(contains("Handoff:   h1 of bundle control-plane\n").and(contains("Committed")));
    let script = fake.script();
    let sent = &script.handoffs_started[0];
    assert_eq!(
        (sent.bundle.as_str(), sent.manifests.len()),
        ("control-plane", 2)
    );
    let components: Vec<_> = sent
        .components
        .iter()
        .map(|it| {
            (
                it.kind(),
                it.injected_pod.as_str(),
                it.lease.as_str(),
                it.port,
            )
        })
        .collect();
    let elected = |name| (Kind::LeaderElected, name, name, 0);
    assert_eq!(
        components,
        [
            (Kind::ApiServer, "kube-apiserver", "", 6443),
            elected("kube-controller-manager"),
            elected("kube-scheduler"),
        ]
    );
    assert_eq!(sent.node_labels["seedpod.dev/self-hosted"], "control-plane");
}

#[test]
fn a_handoff_that_was_handed_back_exits_with_7_and_says_why() {
    let (_folder, manifests, kubeconfig) = files();
    let fake = Fake::start(Script {
        start_handoff: always(handoff(&[State::Applying], "")),
        watch_handoff: each(vec![vec![changed(reverted()), Step::Stay(None)]]),
        ..Script::default()
    });
    ask(&fake, &start(&manifests, &kubeconfig, &["-o", "json"]))
        .code(7)
        .stderr(contains("the pod never got ready (DEADLINE_PASSED)"))
        .stdout(contains("\"state\": \"Reverted\""));
    let refuse =
        |_: &_| Answer::Refuse(refusal(Code::FailedPrecondition, "BUNDLE_NOT_READY", "no"));
    let fake = Fake::start(Script {
        start_handoff: Some(Box::new(refuse)),
        ..Script::default()
    });
    ask(&fake, &start(&manifests, &kubeconfig, &[]))
        .code(1)
        .stderr(contains("[BUNDLE_NOT_READY]"));
}

#[test]
fn start_takes_what_is_given_and_may_only_check_or_not_wait() {
    let (_folder, manifests, kubeconfig) = files();
    let fake = Fake::start(Script {
        start_handoff: always(handoff(&[State::Applying], "")),
        ..Script::default()
    });
    let more = [
        "--bundle",
        "cp",
        "--api-server",
        "api",
        "--port",
        "7443",
        "--component",
        "kcm=lease",
        "--node-label",
        "a=b",
        "--deadline",
        "ready=10m",
        "--deadline",
        "hand-over=3s",
        "--stable-for",
        "20s",
        "--request-id",
        "mine",
        "--no-wait",
    ];
    ask(&fake, &start(&manifests, &kubeconfig, &more)).success();
    ask(&fake, &start(&manifests, &kubeconfig, &["--dry-run"]))
        .success()
        .stdout("dry run: the handoff of bundle control-plane could begin\n");
    let script = fake.script();
    let [sent, checked] = &script.handoffs_started[..] else {
        panic!("two calls")
    };
    assert!(checked.validate_only && !sent.validate_only);
    assert_eq!(
        (sent.bundle.as_str(), sent.request_id.as_str()),
        ("cp", "mine")
    );
    assert_eq!(sent.components.len(), 2);
    assert_eq!(sent.components[0].port, 7443);
    assert_eq!(sent.components[1].lease, "lease");
    assert_eq!(sent.node_labels.len(), 1);
    let deadlines = sent.deadlines.expect("some");
    assert_eq!(deadlines.ready.expect("given").seconds, 600);
    assert_eq!(deadlines.hand_over.expect("given").seconds, 3);
    for wrong in [
        &["--deadline", "steady=1s"] as &[&str],
        &["--node-label", "a"],
        &["--port", "0"],
    ] {
        ask(&fake, &start(&manifests, &kubeconfig, wrong)).code(2);
    }
    let conf = kubeconfig.to_str().expect("UTF-8");
    ask(&fake, &["handoff", "start", "--kubeconfig", conf]).code(2);
}

#[test]
fn the_status_is_for_people_and_for_programs() {
    let mut now = handoff(
        &[State::Applying, State::WaitingForReady],
        "pod kube-apiserver-x is not ready",
    );
    now.withheld = vec![v1::PodReference {
        bundle: "control-plane".to_owned(),
        namespace: "kube-system".to_owned(),
        name: "kube-scheduler".to_owned(),
    }];
    let fake = Fake::start(Script {
        get_handoff: always(now.clone()),
        watch_handoff: each(vec![vec![
            changed(now),
            Step::Fail(refusal(Code::NotFound, "HANDOFF_NOT_FOUND", "gone")),
        ]]),
        ..Script::default()
    });
    ask(&fake, &["handoff", "status"]).success().stdout(
        contains("Waits for: pod kube-apiserver-x is not ready\n")
            .and(contains("Steering:  ByLoopback\n"))
            .and(contains("Withheld:  kube-system/kube-scheduler\n"))
            .and(contains(
                "Applying             1.0s  of HANDOFF_STATE_APPLYING\n",
            )),
    );
    let json = stdout(&ask(&fake, &["handoff", "status", "-o", "json"]).success());
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["state"], "WaitingForReady");
    assert_eq!(json["steps"][0]["state"], "Applying");
    assert_eq!(json["startTime"], "1970-01-01T00:00:01Z");
    let lines = stdout(&ask(&fake, &["handoff", "status", "-w", "-o", "json"]).code(1));
    assert_eq!(lines.lines().count(), 1);
    let fake = Fake::start(Script {
        get_handoff: Some(Box::new(|_| {
            Answer::Refuse(refusal(
                Code::NotFound,
                "HANDOFF_NOT_FOUND",
                "there was none",
            ))
        })),
        ..Script::default()
    });
    ask(&fake, &["handoff", "status"])
        .code(1)
        .stderr(contains("there was none [HANDOFF_NOT_FOUND]"));
}

#[test]
fn abort_ends_when_the_injected_pods_are_back() {
    let fake = Fake::start(Script {
        abort_handoff: always(handoff(&[State::Draining, State::Reverting], "")),
        watch_handoff: each(vec![vec![
            changed(handoff(
                &[State::Draining, State::Reverting],
                "the API server",
            )),
            changed(reverted()),
            Step::Stay(None),
        ]]),
        ..Script::default()
    });
    ask(&fake, &["handoff", "abort"])
        .success()
        .stderr(contains("Reverting: the API server"))
        .stdout(contains("Reverted"));
    ask(
        &fake,
        &["handoff", "abort", "--id", "h1", "--no-wait", "-o", "json"],
    )
    .success()
    .stdout(contains("\"state\": \"Reverting\""));
    assert_eq!(fake.script().handoffs_aborted[1].id, "h1");
}
