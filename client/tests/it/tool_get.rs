//! `seedpod get` and `seedpod remove`.

use predicates::{prelude::PredicateBooleanExt as _, str::contains};
use seedpod_proto::v1::{self, PodState as State};

use crate::{
    fake::{Answer, Fake, Script, always, bundle, each, node, pod, pods, refusal},
    tool::{ask, stderr, stdout},
};

fn script() -> Script {
    let mut failed = pod(
        "b",
        "uid-b",
        State::Failed,
        "container c exited with code 1",
    );
    failed.containers = vec![v1::Container {
        name: "c".to_owned(),
        state: v1::container::State::Exited.into(),
        restart_count: 2,
        exit_code: 1,
        ..Default::default()
    }];
    let mut running = pod("a", "uid-a", State::Ready, "");
    running.running_revision = 3;
    running.containers = vec![v1::Container {
        name: "c".to_owned(),
        state: v1::container::State::Running.into(),
        ready: true,
        ..Default::default()
    }];
    Script {
        get_bundle: Some(Box::new(|request| match request.name.as_str() {
            "web" => Answer::Reply(bundle("web", 3, &[("a", "uid-a"), ("b", "uid-b")])),
            name => Answer::Refuse(refusal(
                tonic::Code::NotFound,
                "BUNDLE_NOT_FOUND",
                &format!("there is no bundle {name:?}"),
            )),
        })),
        list_bundles: always(v1::ListBundlesResponse {
            bundles: vec![bundle("web", 3, &[("a", "uid-a"), ("b", "uid-b")])],
            next_page_token: String::new(),
        }),
        list_pods: Some(Box::new(move |request| match request.bundle.as_str() {
            "" | "web" => Answer::Reply(pods(&[running.clone(), failed.clone()])),
            _ => Answer::Reply(pods(&[])),
        })),
        get_node: always(node()),
        ..Script::default()
    }
}

#[test]
fn pods_are_listed_in_columns() {
    let fake = Fake::start(script());
    let assert = ask(&fake, &["get", "pods"]).success();
    assert_eq!(
        stderr(&assert),
        "kube-system/b is Failed: container c exited with code 1
"
    );
    let text = stdout(&assert);
    let words: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        words[0],
        [
            "BUNDLE",
            "NAMESPACE",
            "NAME",
            "STATE",
            "SINCE",
            "READY",
            "RESTARTS",
            "REV"
        ]
    );
    assert_eq!(
        words[1],
        ["web", "kube-system", "a", "Ready", "-", "1/1", "0", "3"]
    );
    assert_eq!(
        words[2],
        ["web", "kube-system", "b", "Failed", "-", "0/1", "2", "3"]
    );
    let wide = stdout(
        &ask(&fake, &["get", "pods", "-o", "wide"])
            .success()
            .stderr(""),
    );
    assert!(
        wide.ends_with(
            "uid-b  container c exited with code 1
"
        ),
        "{wide}"
    );
    assert!(text.lines().all(|line| line == line.trim_end()), "{text:?}");
}

#[test]
fn bundles_are_listed_in_columns() {
    let mut web = bundle("web", 3, &[("a", "uid-a"), ("b", "uid-b")]);
    web.last_good_revision = 2;
    web.status = Some(v1::BundleStatus {
        state: v1::BundleState::Failed.into(),
        message: "kube-system/b has failed.".to_owned(),
        ready_pods: 1,
        ..Default::default()
    });
    web.trial = Some(v1::TrialStatus {
        state: v1::trial_status::State::Pending.into(),
        remaining: Some(prost_types::Duration {
            seconds: 42,
            nanos: 0,
        }),
        ..Default::default()
    });
    let mut script = script();
    script.list_bundles = always(v1::ListBundlesResponse {
        bundles: vec![web],
        next_page_token: String::new(),
    });
    let fake = Fake::start(script);
    let assert = ask(&fake, &["get", "bundles"]).success();
    assert_eq!(
        stderr(&assert),
        "web is Failed: kube-system/b has failed.\n"
    );
    let text = stdout(&assert);
    let words: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        words[0],
        [
            "NAME", "STATE", "READY", "REVISION", "TRIAL", "UPDATED", "AGE"
        ]
    );
    assert_eq!(words[1][..6], ["web", "Failed", "1/2", "3", "42s", "left"]);
    ask(&fake, &["get", "bundles", "-o", "wide"])
        .success()
        .stderr("")
        .stdout(contains("sha256:00").and(contains("kube-system/b has failed.")));
}

/// What a node with 50 pods has: long names, restarts, and a pod that is being replaced.
pub(crate) fn fifty() -> Vec<v1::Pod> {
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(4000);
    (0..50)
        .map(|index| {
            let name = format!("kube-controller-mana{index:03}");
            let mut pod = pod(&name, "uid", State::Replacing, "the old pod is stopping");
            pod.bundle = "control-plane".to_owned();
            pod.revision = 12;
            pod.running_revision = 11;
            pod.state_time = Some(hour_ago.into());
            pod.containers = vec![v1::Container {
                state: v1::container::State::Running.into(),
                restart_count: 12,
                start_time: Some(hour_ago.into()),
                ..Default::default()
            }];
            pod
        })
        .collect()
}

#[test]
fn fifty_pods_read_well_in_100_columns() {
    let fake = Fake::start(Script {
        list_pods: always(pods(&fifty())),
        ..Script::default()
    });
    let text = stdout(&ask(&fake, &["get", "pods"]).success());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 51);
    assert_eq!(
        lines[1],
        "control-plane  kube-system  kube-controller-mana000  Replacing  66m    0/1    12 (66m ago)  11→12"
    );
    let widest = lines.iter().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{widest:?}");
}

#[test]
fn the_node_is_shown_with_its_problems() {
    let mut sick = node();
    sick.problems = vec![v1::Problem {
        reason: "KUBELET_NOT_SEEN".to_owned(),
        message: "The kubelet does not answer; start it.".to_owned(),
    }];
    let fake = Fake::start(Script {
        get_node: each(vec![node(), sick]),
        ..Script::default()
    });
    let well = stdout(&ask(&fake, &["get", "node"]).success());
    assert!(
        well.contains("node-1") && well.contains("Ok") && well.contains("containerd 2.4.0"),
        "{well}"
    );
    let ill = stdout(&ask(&fake, &["get", "node"]).success());
    assert!(
        ill.contains("KUBELET_NOT_SEEN   The kubelet does not answer; start it."),
        "{ill}"
    );
}

#[test]
fn programs_get_json_yaml_and_names() {
    let fake = Fake::start(script());
    let json = stdout(&ask(&fake, &["get", "pods", "-o", "json"]).success());
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["items"][1]["state"], "Failed");
    assert_eq!(json["items"][1]["containers"][0]["exitCode"], 1);
    assert_eq!(json["items"][0]["nodePodName"], "a-node-1");

    let json = stdout(&ask(&fake, &["get", "bundle", "web", "-o", "json"]).success());
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (&json["name"], &json["revision"]),
        (&"web".into(), &3.into())
    );
    assert_eq!(json["createTime"], "2026-09-21T14:13:20Z");

    ask(&fake, &["get", "bundle", "web", "-o", "yaml"])
        .success()
        .stdout(contains("revision: 3\n"));
    ask(&fake, &["get", "pods", "-o", "name"])
        .success()
        .stdout("pod/kube-system/a\npod/kube-system/b\n");
    ask(&fake, &["get", "bundles", "-o", "name"])
        .success()
        .stdout("bundle/web\n");
    ask(&fake, &["get", "node", "-o", "name"])
        .success()
        .stdout("node/node-1\n");
}

#[test]
fn what_is_asked_for_by_name_must_exist() {
    let fake = Fake::start(script());
    ask(&fake, &["get", "pods", "b", "-o", "name"])
        .success()
        .stdout("pod/kube-system/b\n");
    ask(&fake, &["get", "pods", "kube-system/a", "-o", "name"])
        .success()
        .stdout("pod/kube-system/a\n");
    ask(&fake, &["get", "pods", "c"])
        .code(1)
        .stderr(contains("there is no pod \"c\""));
    ask(&fake, &["get", "bundle", "db"])
        .code(1)
        .stderr(contains("[BUNDLE_NOT_FOUND]"));
    ask(&fake, &["get", "pods", "--bundle", "db"])
        .code(1)
        .stderr(contains("[BUNDLE_NOT_FOUND]"));
}

#[test]
fn an_empty_list_leaves_stdout_empty() {
    let fake = Fake::start(Script {
        list_pods: always(pods(&[])),
        ..Script::default()
    });
    ask(&fake, &["get", "pods"])
        .success()
        .stdout("")
        .stderr("There are no pods.\n");
}

#[test]
fn a_removal_is_confirmed_and_waited_for() {
    let fake = Fake::start(Script {
        remove: always(v1::RemoveBundleResponse {
            bundle: Some(bundle("web", 3, &[("a", "uid-a")])),
        }),
        list_pods: each(vec![
            pods(&[pod("a", "uid-a", State::Removing, "stops")]),
            pods(&[]),
        ]),
        ..Script::default()
    });
    let assert = ask(
        &fake,
        &["remove", "web", "--wait", "--expected-revision", "3"],
    )
    .success()
    .stdout("bundle web (revision 3, 1 pod) removed\n");
    assert_eq!(
        stderr(&assert),
        "kube-system/a: Removing (stops)\nkube-system/a: gone\nall pods of bundle web are gone\n"
    );
    assert_eq!(fake.script().removed[0].expected_revision, Some(3));
}

#[test]
fn a_bundle_that_is_not_there_can_be_no_error() {
    let remove = |request: &v1::RemoveBundleRequest| {
        if request.allow_missing {
            return Answer::Reply(v1::RemoveBundleResponse::default());
        }
        Answer::Refuse(refusal(
            tonic::Code::NotFound,
            "BUNDLE_NOT_FOUND",
            "there is no bundle \"web\"",
        ))
    };
    let fake = Fake::start(Script {
        remove: Some(Box::new(remove)),
        ..Script::default()
    });
    ask(&fake, &["remove", "web"])
        .code(1)
        .stderr(contains("there is no bundle \"web\" [BUNDLE_NOT_FOUND]"));
    ask(&fake, &["remove", "web", "--ignore-not-found"])
        .success()
        .stdout("");
}

#[test]
fn the_history_is_forgotten_only_when_that_is_asked_for() {
    let fake = Fake::start(Script {
        remove: always(v1::RemoveBundleResponse {
            bundle: Some(bundle("web", 3, &[])),
        }),
        ..Script::default()
    });
    ask(&fake, &["remove", "web"]).success();
    ask(&fake, &["remove", "web", "--forget-history"]).success();
    let asked: Vec<bool> = fake
        .script()
        .removed
        .iter()
        .map(|request| request.forget_history)
        .collect();
    assert_eq!(asked, [false, true]);
}

#[test]
fn a_removal_that_takes_too_long_exits_with_3() {
    let fake = Fake::start(Script {
        remove: always(v1::RemoveBundleResponse {
            bundle: Some(bundle("web", 3, &[])),
        }),
        list_pods: always(pods(&[pod(
            "a",
            "uid-a",
            State::Removing,
            "ignores SIGTERM",
        )])),
        ..Script::default()
    });
    ask(&fake, &["remove", "web", "--wait", "--timeout", "300ms"])
        .code(3)
        .stderr(contains("pod kube-system/a is Removing: ignores SIGTERM"));
}
