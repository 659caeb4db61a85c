//! `seedpod get pods -w`.

use predicates::str::contains;
use seedpod_proto::v1::{self, PodState as State};

use crate::{
    fake::{Fake, Script, Step, always, change, each, pod, refusal, whole},
    tool::{ask, stderr, stdout},
};

/// A watch that breaks once and is refused in the end, so that the tool ends.
fn script() -> Script {
    let (a, b) = (
        pod("a", "uid-a", State::Ready, ""),
        pod("b", "uid-b", State::Starting, "pulls the image"),
    );
    let gone = Step::Send(v1::WatchPodsResponse {
        removed: vec![v1::PodReference {
            bundle: "web".to_owned(),
            namespace: "kube-system".to_owned(),
            name: "a".to_owned(),
        }],
        ..Default::default()
    });
    let long = pod("a-long-name-for-a-pod", "uid-c", State::Ready, "");
    let unavailable = refusal(tonic::Code::Unavailable, "SHUTTING_DOWN", "it stops");
    let denied = refusal(tonic::Code::PermissionDenied, "ROLE_REQUIRED", "no more");
    Script {
        watch_pods: each(vec![
            vec![whole(&[a.clone(), b.clone()]), Step::Fail(unavailable)],
            vec![
                whole(&[a, b]),
                gone,
                change(&[long, pod("b", "uid-b", State::Ready, "")]),
                Step::Fail(denied),
            ],
        ]),
        ..Script::default()
    }
}

#[test]
fn a_watch_prints_a_row_for_each_change() {
    let fake = Fake::start(script());
    let assert = ask(&fake, &["get", "pods", "-w"]).code(1);
    assert_eq!(
        stdout(&assert),
        "\
BUNDLE    NAMESPACE    NAME              STATE      SINCE  READY  RESTARTS     REV  MESSAGE
web       kube-system  a                 Ready      -      0/0    0            3
web       kube-system  b                 Starting   -      0/0    0            3    pulls the image
web       kube-system  a                 Gone
web       kube-system  a-long-name-for-a-pod  Ready      -      0/0    0            3
web       kube-system  b                      Ready      -      0/0    0            3
"
    );
    assert!(
        stderr(&assert).starts_with("error: no more [ROLE_REQUIRED]"),
        "{}",
        stderr(&assert)
    );
}

#[test]
fn programs_get_one_object_per_line() {
    let fake = Fake::start(script());
    let text = stdout(&ask(&fake, &["get", "pods", "--watch", "-o", "json"]).code(1));
    let changes: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let seen: Vec<_> = changes
        .iter()
        .map(|change| {
            (
                change["type"].as_str().expect("a type"),
                change["pod"]["name"].as_str().expect("a name"),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("changed", "a"),
            ("changed", "b"),
            ("removed", "a"),
            ("changed", "a-long-name-for-a-pod"),
            ("changed", "b"),
        ]
    );
    assert_eq!(changes[1]["pod"]["message"], "pulls the image");
    ask(
        &Fake::start(script()),
        &["get", "pods", "b", "-w", "-o", "name"],
    )
    .code(1)
    .stdout("pod/kube-system/b\npod/kube-system/b\n");
    ask(&Fake::start(script()), &["get", "pods", "-w", "-o", "yaml"])
        .code(1)
        .stdout(contains("---\ntype: changed\npod:\n  bundle: web\n"));
}

#[test]
fn a_node_that_goes_away_for_good_ends_the_watch() {
    let unavailable = refusal(tonic::Code::Unavailable, "SHUTTING_DOWN", "it stops");
    let fake = Fake::start(Script {
        watch_pods: always(vec![Step::Fail(unavailable)]),
        ..Script::default()
    });
    ask(&fake, &["get", "pods", "-w"])
        .code(1)
        .stderr(contains("it stops [SHUTTING_DOWN]"));
}
