//! `seedpod get` and `seedpod remove`.

use predicates::str::contains;
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
            "READY",
            "STATE",
            "RESTARTS",
            "REVISION"
        ]
    );
    assert_eq!(
        words[1],
        ["web", "kube-system", "a", "1/1", "Ready", "0", "3"]
    );
    assert_eq!(
        words[2],
        ["web", "kube-system", "b", "0/1", "Failed", "2", "3"]
    );
    let wide = stdout(
        &ask(&fake, &["get", "pods", "-o", "wide"])
            .success()
            .stderr(""),
    );
    assert!(
        wide.ends_with(
            "uid-b   container c exited with code 1
"
        ),
        "{wide}"
    );
    assert!(text.lines().all(|line| line == line.trim_end()), "{text:?}");
}

#[test]
fn bundles_are_listed_in_columns() {
    let fake = Fake::start(script());
    let text = stdout(&ask(&fake, &["get", "bundles"]).success());
    let words: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(words[0], ["NAME", "REVISION", "PODS", "UPDATED", "AGE"]);
    assert_eq!(words[1][..3], ["web", "3", "2"]);
    ask(&fake, &["get", "bundle", "web", "-o", "wide"])
        .success()
        .stdout(contains("sha256:00"));
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
