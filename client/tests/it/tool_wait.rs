//! How `seedpod inject --wait` ends: with the truth, and an exit code for each outcome.

use std::fs;

use assert_cmd::assert::Assert;
use predicates::{prelude::PredicateBooleanExt as _, str::contains};
use seedpod_proto::v1::{self, PodState as State, pod_change::Type};

use crate::{
    fake::{
        Answer, Fake, Script, Step, always, bundle, change, each, injected, pod, refusal, watch,
        whole,
    },
    tool::{ask, stderr},
};

/// A node that takes the bundle `web` with the pod `a`, which then is in these states.
fn script(pods: Vec<v1::Pod>) -> Script {
    let reply = injected(
        bundle("web", 3, &[("a", "uid-a")]),
        &[("a", Type::Added, "")],
    );
    let mut pods = pods.into_iter();
    let first = whole(&[pods.next().expect("a pod")]);
    let steps = std::iter::once(first).chain(pods.map(|pod| change(&[pod])));
    Script {
        inject: always(reply),
        get_bundle: always(bundle("web", 3, &[("a", "uid-a")])),
        watch_pods: watch(steps.collect()),
        ..Script::default()
    }
}

fn inject(fake: &Fake, more: &[&str]) -> Assert {
    let file = fake.scratch().join("pod.yaml");
    fs::write(&file, "kind: Pod").expect("written");
    let file = file.display().to_string();
    let args = [&["inject", "web", "-f", &file, "--wait"], more].concat();
    ask(fake, &args)
}

fn logs(texts: &[&str]) -> Vec<Step<v1::GetPodLogsResponse>> {
    let lines = texts
        .iter()
        .map(|text| v1::LogLine {
            container: "app".to_owned(),
            text: (*text).to_owned(),
            ..Default::default()
        })
        .collect();
    vec![Step::Send(v1::GetPodLogsResponse { lines })]
}

/// The pod after its container has ended, or while it runs again.
fn crashed(runs_again: bool) -> v1::Pod {
    let mut pod = pod(
        "a",
        "uid-a",
        State::Failed,
        "container app exits with code 3",
    );
    let end = v1::container::Termination {
        exit_code: 3,
        reason: "Error".to_owned(),
        finish_time: None,
    };
    let mut container = v1::Container {
        name: "app".to_owned(),
        state: v1::container::State::Running.into(),
        restart_count: 2,
        last_termination: Some(end),
        ..Default::default()
    };
    if !runs_again {
        container.state = v1::container::State::Exited.into();
        container.exit_code = 3;
    }
    pod.containers = vec![container];
    pod
}

/// A bundle of which this pod did not get ready in its wave's time.
fn failed_wave(pod: v1::Pod) -> v1::Bundle {
    let mut web = bundle("web", 3, &[("a", "uid-a")]);
    web.status = Some(v1::BundleStatus {
        state: v1::BundleState::Failed.into(),
        message: "kube-system/a is not ready.".to_owned(),
        wave: Some(0),
        pods: vec![pod],
        ..Default::default()
    });
    web
}

fn probed() -> v1::Pod {
    let mut pod = crashed(true);
    pod.state = State::NotReady.into();
    pod.message = "a probe fails".to_owned();
    pod.containers[0].probe_message = "HTTP 500".to_owned();
    pod
}

#[test]
fn a_wave_that_failed_exits_with_5_and_shows_what_the_container_wrote() {
    let mut script = script(vec![probed()]);
    script.get_bundle = always(failed_wave(probed()));
    script.logs = always(logs(&["cannot open /data", "giving up"]));
    let fake = Fake::start(script);
    let assert = inject(&fake, &[]).code(5);
    assert_eq!(
        stderr(&assert),
        "\
kube-system/a: container app (exit code 3, probe: HTTP 500, 2 restarts) has written last:
  | cannot open /data
  | giving up
error: wave 0 of bundle \"web\" did not get ready in its time: kube-system/a is not ready.
hint: `seedpod describe pod` and `seedpod logs` tell more; `seedpod rollback` goes back
"
    );
    let asked = &fake.script().logs_asked[0];
    assert_eq!(
        (
            asked.name.as_str(),
            asked.namespace.as_str(),
            asked.container.as_str()
        ),
        ("a", "kube-system", "app")
    );
    assert_eq!(asked.tail_lines, Some(10));
    assert!(
        asked.previous,
        "it runs again: why it ended was written before"
    );
}

#[test]
fn a_pod_that_ends_soon_after_it_was_ready_is_seen_to_fail() {
    let script = script(vec![pod("a", "uid-a", State::Ready, ""), crashed(false)]);
    let args = ["--stable-for", "20s", "--patience", "200ms"];
    inject(&Fake::start(script), &args)
        .code(5)
        .stderr(contains("error: pod kube-system/a has failed"));
}

#[test]
fn a_pod_that_stays_failed_exits_with_5() {
    let mut script = script(vec![pod("a", "uid-a", State::Starting, ""), crashed(false)]);
    script.logs = always(logs(&["no such host"]));
    inject(&Fake::start(script), &["--patience", "200ms"])
        .code(5)
        .stderr(
            contains("has written last:\n  | no such host\n").and(contains(
                "error: pod kube-system/a has failed: container app exits with code 3\nhint: ",
            )),
        );
}

#[test]
fn a_pod_that_failed_until_time_was_up_shows_what_it_wrote() {
    let mut script = script(vec![crashed(false)]);
    script.logs = Some(Box::new(|request| match request.previous {
        true => Answer::Reply(logs(&["the attempt before"])),
        false => Answer::Reply(Vec::new()),
    }));
    let fake = Fake::start(script);
    let assert = inject(&fake, &["--timeout", "300ms"]).code(3);
    let text = stderr(&assert);
    assert!(
        text.contains(
            "kube-system/a: Failed (container app exits with code 3)\n\
             kube-system/a: container app (exit code 3, 2 restarts) has written last:\n  | the attempt before\n\
             error: after 0.3s pod kube-system/a is Failed: container app exits with code 3\n"
        ),
        "{text}"
    );
    let asked: Vec<bool> = fake
        .script()
        .logs_asked
        .iter()
        .map(|asked| asked.previous)
        .collect();
    assert_eq!(asked, [false, true], "the current attempt first");
}

#[test]
fn a_log_that_cannot_be_read_does_not_hide_the_outcome() {
    let mut script = script(vec![crashed(false)]);
    script.logs = Some(Box::new(|_| {
        Answer::Refuse(refusal(tonic::Code::NotFound, "NO_LOG", "there is no log"))
    }));
    inject(&Fake::start(script), &["--timeout", "300ms"])
        .code(3)
        .stderr(
            contains("container app (exit code 3, 2 restarts) has written nothing\n")
                .and(contains("error: after 0.3s pod kube-system/a is Failed"))
                .and(contains("NO_LOG").not()),
        );
}

#[test]
fn a_pod_that_the_kubelet_refuses_exits_with_6() {
    let refused = pod("a", "uid-a", State::Refused, "host port 80 is taken");
    inject(&Fake::start(script(vec![refused])), &[])
        .code(6)
        .stderr(contains(
            "error: the kubelet refuses pod kube-system/a: host port 80 is taken\n",
        ));
}

#[test]
fn somebody_who_was_faster_exits_with_8() {
    let mut script = script(vec![pod("a", "newer", State::Ready, "")]);
    script.get_bundle = always(bundle("web", 4, &[("a", "newer")]));
    inject(&Fake::start(script), &[])
        .code(8)
        .stderr(contains("is at revision 4 now"));
}

#[test]
fn a_node_that_cannot_tell_exits_with_9() {
    let mut script = script(vec![pod("a", "uid-a", State::Unknown, "")]);
    let mut node = crate::fake::node();
    node.container_runtime = Some(v1::ContainerRuntime {
        state: v1::container_runtime::State::NotConfigured.into(),
        ..Default::default()
    });
    script.get_node = always(node);
    inject(&Fake::start(script), &[])
        .code(9)
        .stderr(contains("it is not known whether pod kube-system/a runs"));
}

fn trial(state: v1::trial_status::State, explicit: bool) -> v1::Bundle {
    let confirmation = if explicit {
        v1::TrialConfirmation::Explicit
    } else {
        v1::TrialConfirmation::Readiness
    };
    let duration = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let mut web = bundle("web", 3, &[("a", "uid-a")]);
    web.trial = Some(v1::TrialStatus {
        state: state.into(),
        timeout: duration(60),
        confirmation: confirmation.into(),
        remaining: duration(60),
        fallback_revision: 2,
    });
    web
}

fn on_trial(explicit: bool) -> Script {
    let pending = trial(v1::trial_status::State::Pending, explicit);
    let confirmed = trial(v1::trial_status::State::Confirmed, explicit);
    Script {
        inject: always(injected(pending.clone(), &[("a", Type::Added, "")])),
        get_bundle: each(vec![pending, confirmed]),
        ..script(vec![
            pod("a", "uid-a", State::Starting, ""),
            pod("a", "uid-a", State::Ready, ""),
        ])
    }
}

#[test]
fn a_trial_is_waited_for_until_it_is_confirmed() {
    let fake = Fake::start(on_trial(false));
    inject(&fake, &["--trial", "60s"])
        .success()
        .stdout(
            "bundle web is at revision 3\n  on trial: unless all pods are ready within 60s, the node goes back to \
             revision 2\n  + added      kube-system/a\n",
        )
        .stderr(
            "kube-system/a: Starting\nkube-system/a: Ready\nrevision 3 of bundle web is confirmed\n",
        );
    let sent = fake.script().injected[0].trial.expect("a trial");
    assert_eq!(sent.timeout.map(|timeout| timeout.seconds), Some(60));
    assert_eq!(sent.confirmation(), v1::TrialConfirmation::Readiness);
}

#[test]
fn a_trial_to_confirm_by_hand_says_how_when_the_pods_are_ready() {
    let fake = Fake::start(on_trial(true));
    inject(&fake, &["--trial", "60s", "--manual-confirm"])
        .success()
        .stdout(contains("unless `seedpod confirm` is given within 60s"))
        .stderr(
            "kube-system/a: Starting\nkube-system/a: Ready\nAll pods are ready; `seedpod confirm web --revision 3` \
             makes the revision stay.\nrevision 3 of bundle web is confirmed\n",
        );
    let sent = fake.script().injected[0].trial.expect("a trial");
    assert_eq!(sent.confirmation(), v1::TrialConfirmation::Explicit);
    inject(&fake, &["--manual-confirm"]).code(2);
}

#[test]
fn a_trial_that_failed_exits_with_7_and_tells_why() {
    let mut script = on_trial(false);
    script.get_bundle = each(vec![
        trial(v1::trial_status::State::Pending, false),
        bundle("web", 4, &[("a", "older")]),
    ]);
    script.list_revisions = always(v1::ListRevisionsResponse {
        revisions: vec![v1::Revision {
            bundle: "web".to_owned(),
            revision: 4,
            origin: v1::revision::Origin::TrialFailed.into(),
            source_revision: 2,
            reason: "container app of kube-system/a ended 3 times".to_owned(),
            ..Default::default()
        }],
    });
    inject(&Fake::start(script), &["--trial", "60s"])
        .code(7)
        .stderr(contains(
            "error: revision 3 of bundle \"web\" did not pass its trial, and the node went back to revision 2, as \
             revision 4: container app of kube-system/a ended 3 times\n",
        ));
}
