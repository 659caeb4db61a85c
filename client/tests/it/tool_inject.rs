//! `seedpod inject`.

use std::fs;

use predicates::{prelude::PredicateBooleanExt as _, str::contains};
use seedpod_proto::v1::{self, PodState as State, pod_change::Type};

use crate::{
    fake::{
        Answer, Fake, Script, always, bad_request, bundle, change, injected, pod, watch, whole,
    },
    tool::{ask, seedpod, stderr, stdout},
};

fn reply() -> v1::InjectPodsResponse {
    injected(
        bundle("web", 3, &[("a", "uid-a")]),
        &[
            ("a", Type::Replaced, ""),
            ("b", Type::Removed, ""),
            ("c", Type::Added, ""),
            ("d", Type::Unchanged, ""),
        ],
    )
}

/// A folder with manifests whose text is their path.
fn folder(fake: &Fake) -> String {
    let root = fake.scratch().join("pods");
    fs::create_dir_all(root.join("deep")).expect("made");
    for name in [
        "b.yml",
        "a.yaml",
        "c.json",
        "readme.md",
        ".hidden.yaml",
        "deep/z.yaml",
    ] {
        fs::write(root.join(name), name).expect("written");
    }
    root.display().to_string()
}

fn sent(fake: &Fake) -> Vec<String> {
    fake.script().injected.pop().expect("a request").manifests
}

#[test]
fn a_directory_is_read_in_the_order_of_its_names() {
    let fake = Fake::start(Script {
        inject: always(reply()),
        ..Script::default()
    });
    let folder = folder(&fake);
    ask(&fake, &["inject", "web", "-f", &folder]).success();
    assert_eq!(sent(&fake), ["a.yaml", "b.yml", "c.json"]);
    ask(&fake, &["inject", "web", "-R", "-f", &folder]).success();
    assert_eq!(sent(&fake), ["a.yaml", "b.yml", "c.json", "deep/z.yaml"]);
    let (first, second) = (format!("{folder}/c.json"), format!("{folder}/a.yaml"));
    ask(&fake, &["inject", "web", "-f", &first, "-f", &second]).success();
    assert_eq!(
        sent(&fake),
        ["c.json", "a.yaml"],
        "files in the order given"
    );
}

#[test]
fn stdin_is_a_file_too() {
    let fake = Fake::start(Script {
        inject: always(reply()),
        ..Script::default()
    });
    seedpod(&[
        "inject",
        "web",
        "-f",
        "-",
        "--request-id",
        "mine",
        "--expected-revision",
        "2",
        "--validation",
        "warn",
    ])
    .env("SEEDPOD_ENDPOINT", &fake.endpoint)
    .write_stdin("kind: Pod")
    .assert()
    .success();
    let sent = fake.script().injected.pop().expect("a request");
    assert_eq!(sent.manifests, ["kind: Pod"]);
    assert_eq!(
        (sent.request_id.as_str(), sent.expected_revision),
        ("mine", Some(2))
    );
    assert_eq!(sent.field_validation(), v1::FieldValidation::Warn);
    seedpod(&["inject", "web", "-f", "-", "-f", "-"])
        .write_stdin("")
        .assert()
        .code(2);
}

#[test]
fn the_changes_are_printed() {
    let fake = Fake::start(Script {
        inject: always(reply()),
        ..Script::default()
    });
    let file = format!("{}/a.yaml", folder(&fake));
    ask(&fake, &["inject", "web", "-f", &file]).success().stderr("").stdout(
        "bundle web is at revision 3\n  ~ replaced   kube-system/a\n  - removed    kube-system/b\n  + added      \
         kube-system/c\n  = unchanged  kube-system/d\n",
    );
    ask(&fake, &["inject", "web", "-f", &file, "-o", "name"])
        .success()
        .stdout("bundle/web\n");
    let json = stdout(&ask(&fake, &["inject", "web", "-f", &file, "-o", "json"]).success());
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["changes"][0]["type"], "Replaced");
}

#[test]
fn a_dry_run_shows_the_diff_and_changes_nothing() {
    let diff = "--- old\n+++ new\n@@ -1 +1 @@\n-image: a:1\n+image: a:2\n";
    let reply = injected(bundle("web", 4, &[]), &[("a", Type::Replaced, diff)]);
    let fake = Fake::start(Script {
        inject: always(reply),
        ..Script::default()
    });
    let file = format!("{}/a.yaml", folder(&fake));
    ask(&fake, &["inject", "web", "-f", &file, "--dry-run"]).success().stdout(
        "dry run: bundle web would be at revision 4\n  ~ replaced   kube-system/a\n      --- old\n      +++ new\n      \
         @@ -1 +1 @@\n      -image: a:1\n      +image: a:2\n",
    );
    assert!(fake.script().injected[0].validate_only);
    let coloured = stdout(
        &ask(
            &fake,
            &[
                "inject",
                "web",
                "-f",
                &file,
                "--dry-run",
                "--color",
                "always",
            ],
        )
        .success(),
    );
    assert!(coloured.contains("\u{1b}[32m+image: a:2"), "{coloured:?}");
    assert!(coloured.contains("\u{1b}[31m-image: a:1"), "{coloured:?}");
}

#[test]
fn waiting_ends_when_the_pods_are_ready() {
    let fake = Fake::start(Script {
        inject: always(reply()),
        get_bundle: always(bundle("web", 3, &[("a", "uid-a")])),
        watch_pods: watch(vec![
            whole(&[pod("a", "uid-a", State::Starting, "pulls the image")]),
            change(&[pod("a", "uid-a", State::Ready, "")]),
        ]),
        ..Script::default()
    });
    let file = format!("{}/a.yaml", folder(&fake));
    let assert = ask(&fake, &["inject", "web", "-f", &file, "--wait"]).success();
    assert_eq!(
        stderr(&assert),
        "kube-system/a: Starting (pulls the image)\nkube-system/a: Ready\n1 pod of bundle web ready\n"
    );
}

#[test]
fn waiting_in_vain_exits_with_3_and_names_the_pod() {
    let fake = Fake::start(Script {
        inject: always(reply()),
        get_bundle: always(bundle("web", 3, &[("a", "uid-a")])),
        watch_pods: watch(vec![whole(&[pod(
            "a",
            "uid-a",
            State::Starting,
            "pulls the image",
        )])]),
        ..Script::default()
    });
    let file = format!("{}/a.yaml", folder(&fake));
    ask(
        &fake,
        &["inject", "web", "-f", &file, "--wait", "--timeout", "300ms"],
    )
    .code(3)
    .stdout(contains("bundle web is at revision 3"))
    .stderr(contains(
        "error: after 0.3s pod kube-system/a is Starting: pulls the image",
    ));
}

#[test]
fn several_pods_that_were_waited_for_in_vain_get_a_line_each() {
    let fake = Fake::start(Script {
        inject: always(reply()),
        get_bundle: always(bundle("web", 3, &[("a", "uid-a"), ("b", "uid-b")])),
        watch_pods: watch(vec![whole(&[
            pod("a", "uid-a", State::Starting, "pulls the image"),
            pod("b", "uid-b", State::Committed, ""),
        ])]),
        ..Script::default()
    });
    let file = format!("{}/a.yaml", folder(&fake));
    ask(&fake, &["inject", "web", "-f", &file, "--wait", "--timeout", "300ms"]).code(3).stderr(contains(
        "error: time is up for 2 pods:\n  kube-system/a is Starting: pulls the image\n  kube-system/b is Committed\n",
    ));
}

#[test]
fn what_the_node_refuses_is_shown_with_the_file_and_the_place() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: b\nspec:\n  containers:\n  - name: c\n    imag: x\n";
    let refuse = |_: &_| {
        Answer::Refuse(bad_request(&[
            (
                "manifests[1].spec.containers[0].imag",
                "is unknown (line 8, column 5)",
                "UNKNOWN_FIELD",
            ),
            ("bundle", "must be a label.", "INVALID_NAME"),
        ]))
    };
    let fake = Fake::start(Script {
        inject: Some(Box::new(refuse)),
        ..Script::default()
    });
    let folder = folder(&fake);
    let (good, bad) = (format!("{folder}/a.yaml"), format!("{folder}/bad.yaml"));
    fs::write(&good, pod.replace("imag:", "image:")).expect("written");
    fs::write(&bad, pod).expect("written");

    let assert = ask(&fake, &["inject", "web", "-f", &good, "-f", &bad])
        .code(1)
        .stdout("");

    let text = stderr(&assert);
    assert!(text.contains(&format!("{bad}:8:5:")), "{text}");
    assert!(
        text.contains(": spec.containers[0].imag: is unknown [UNKNOWN_FIELD]\n"),
        "{text}"
    );
    assert!(text.contains("  8 |     imag: x\n"), "{text}");
    assert!(
        text.contains("error: bundle: must be a label. [INVALID_NAME]\n"),
        "{text}"
    );
    assert!(
        text.ends_with("2 errors; nothing was changed [INVALID_MANIFEST]\n"),
        "{text}"
    );
}

#[test]
fn warnings_go_to_stderr() {
    let mut reply = reply();
    reply.warnings = vec![v1::Warning {
        field: "manifests[0].spec".to_owned(),
        reason: "IGNORED_FIELD".to_owned(),
        description: "The kubelet ignores it.".to_owned(),
    }];
    let fake = Fake::start(Script {
        inject: always(reply),
        ..Script::default()
    });
    let file = format!("{}/a.yaml", folder(&fake));
    let expected = format!("warning: {file}: spec: The kubelet ignores it. [IGNORED_FIELD]\n");
    ask(&fake, &["inject", "web", "-f", &file])
        .success()
        .stderr(expected);
}

#[test]
fn an_injection_of_unknown_outcome_says_how_to_find_out() {
    let hang = Some(Box::new(|_: &_| Answer::Hang) as Box<_>);
    let fake = Fake::start(Script {
        inject: hang,
        ..Script::default()
    });
    let file = format!("{}/a.yaml", folder(&fake));
    ask(
        &fake,
        &[
            "inject",
            "web",
            "-f",
            &file,
            "--request-timeout",
            "200ms",
            "--request-id",
            "mine",
        ],
    )
    .code(3)
    .stderr(contains("--request-id mine").and(contains("InjectPods was not answered")));
}

#[test]
fn what_is_no_manifest_is_refused_before_anything_is_sent() {
    let fake = Fake::start(Script {
        inject: always(reply()),
        ..Script::default()
    });
    let scratch = fake.scratch();
    fs::create_dir(scratch.join("empty")).expect("made");
    fs::write(scratch.join("binary.yaml"), b"kind: Pod\n\xff\xfe").expect("written");
    for (name, complaint) in [
        ("empty", "there is no *.yaml"),
        ("binary.yaml", "binary.yaml:2: it is not UTF-8"),
    ] {
        let path = scratch.join(name).display().to_string();
        ask(&fake, &["inject", "web", "-f", &path])
            .code(2)
            .stderr(contains(complaint));
    }
    assert!(fake.script().injected.is_empty());
}
