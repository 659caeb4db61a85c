//! `seedpod history`, `rollback`, `confirm` and `diff`.

use predicates::{prelude::PredicateBooleanExt as _, str::contains};
use seedpod_proto::v1::{self, PodState as State, pod_change::Type, revision::Origin};

use crate::{
    fake::{Answer, Fake, Script, always, bundle, injected, pod, refusal, watch, whole},
    tool::{ask, stderr, stdout},
};

fn revision(number: u64, origin: Origin) -> v1::Revision {
    let pods = bundle("web", number, &[("a", "uid-a")]).pods;
    v1::Revision {
        bundle: "web".to_owned(),
        revision: number,
        digest: "sha256:00".to_owned(),
        origin: origin.into(),
        pods,
        manifests: vec![format!("kind: Pod\nimage: a:{number}\n")],
        ..Default::default()
    }
}

fn kept() -> Vec<v1::Revision> {
    let mut active = revision(4, Origin::TrialFailed);
    active.source_revision = 2;
    active.active = true;
    active.good = true;
    active.reason = "container app ended 3 times".to_owned();
    let mut failed = revision(3, Origin::Injected);
    failed.trial = Some(v1::TrialStatus {
        state: v1::trial_status::State::Over.into(),
        ..Default::default()
    });
    vec![active, failed, revision(2, Origin::Injected)]
}

fn script() -> Script {
    Script {
        list_revisions: always(v1::ListRevisionsResponse { revisions: kept() }),
        get_revision: Some(Box::new(|request| {
            let wanted = if request.revision == 0 {
                4
            } else {
                request.revision
            };
            let found = kept().into_iter().find(|kept| kept.revision == wanted);
            match found {
                Some(mut revision) => {
                    if request.show_secrets {
                        revision.manifests[0] += &format!("secret: {wanted}\n");
                    }
                    Answer::Reply(revision)
                }
                None => Answer::Refuse(refusal(
                    tonic::Code::NotFound,
                    "REVISION_NOT_FOUND",
                    "the revision is not kept",
                )),
            }
        })),
        ..Script::default()
    }
}

#[test]
fn the_history_tells_where_each_revision_comes_from() {
    let fake = Fake::start(script());
    ask(&fake, &["history", "web"]).success().stderr("").stdout(
        "\
REVISION     MADE   ORIGIN                PODS   GOOD   TRIAL   NOTE
4 (active)   -      node went back to 2   1      yes    -       container app ended 3 times
3            -      injected              1      no     Over
2            -      injected              1      no     -
",
    );
    ask(&fake, &["history", "web", "-o", "wide"])
        .success()
        .stdout(contains("sha256:00"));
    let json = stdout(&ask(&fake, &["history", "web", "-o", "json"]).success());
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["items"][0]["origin"], "TrialFailed");
    assert_eq!(json["items"][1]["trial"]["state"], "Over");
    ask(&fake, &["history", "web", "-o", "name"])
        .success()
        .stdout("revision/web@4\nrevision/web@3\nrevision/web@2\n");
}

#[test]
fn the_manifests_of_a_revision_can_be_injected_as_they_are_printed() {
    let fake = Fake::start(script());
    ask(&fake, &["history", "web", "--revision", "3"])
        .success()
        .stdout("kind: Pod\nimage: a:3\n")
        .stderr("revision 3 of bundle web: injected, -\n");
    ask(
        &fake,
        &["history", "web", "--revision", "3", "--show-secrets"],
    )
    .success()
    .stdout("kind: Pod\nimage: a:3\nsecret: 3\n");
    ask(&fake, &["history", "web", "--revision", "1"])
        .code(1)
        .stderr(contains("[REVISION_NOT_FOUND]"));
    ask(&fake, &["history", "web", "--show-secrets"]).code(2);
}

#[test]
fn two_revisions_are_compared() {
    let fake = Fake::start(script());
    let expected = |from, to| {
        format!(
            "--- kube-system/a (revision {from})\n+++ kube-system/a (revision {to})\n@@ -1,2 +1,2 @@\n kind: Pod\n\
             -image: a:{from}\n+image: a:{to}\n"
        )
    };
    ask(&fake, &["diff", "web", "--from", "2", "--to", "3"])
        .success()
        .stdout(expected(2, 3));
    ask(&fake, &["diff", "web"])
        .success()
        .stdout(expected(3, 4));
    ask(&fake, &["diff", "web", "--from", "4"])
        .success()
        .stdout("")
        .stderr("Revisions 4 and 4 of bundle web do not differ.\n");
    ask(&fake, &["diff", "web", "--to", "2"])
        .code(1)
        .stderr(contains("keeps no revision of bundle web before 2"));
    let coloured = ask(&fake, &["diff", "web", "--color", "always"]).success();
    assert!(stdout(&coloured).contains("\u{1b}[32m+image: a:4"));
}

#[test]
fn pods_that_were_added_or_differ_only_in_secrets_are_told_apart() {
    let mut script = script();
    script.get_revision = Some(Box::new(|request| {
        let mut revision = revision(request.revision, Origin::Injected);
        revision.manifests = vec!["password: <masked>\n".to_owned()];
        revision.pods[0].digest = format!("sha256:{}", request.revision);
        if request.revision == 3 {
            revision.pods.push(v1::BundlePod {
                namespace: "kube-system".to_owned(),
                name: "b".to_owned(),
                ..Default::default()
            });
            revision.manifests.push("kind: Pod\n".to_owned());
        }
        Answer::Reply(revision)
    }));
    let fake = Fake::start(script);
    ask(&fake, &["diff", "web", "--from", "1", "--to", "2"])
        .success()
        .stdout("")
        .stderr("kube-system/a differs only in what is masked; --show-secrets shows it.\n");
    ask(&fake, &["diff", "web", "--from", "2", "--to", "3"])
        .success()
        .stdout("--- /dev/null\n+++ kube-system/b (revision 3)\n@@ -0,0 +1 @@\n+kind: Pod\n")
        .stderr("kube-system/a differs only in what is masked; --show-secrets shows it.\n");
}

fn reply(changes: &[(&str, Type, &str)]) -> v1::RollbackBundleResponse {
    v1::RollbackBundleResponse {
        bundle: Some(bundle("web", 5, &[("a", "uid-a")])),
        changes: injected(bundle("web", 5, &[]), changes).changes,
        source_revision: 2,
        object_changes: Vec::new(),
    }
}

#[test]
fn a_rollback_is_printed_and_waited_for() {
    let fake = Fake::start(Script {
        rollback: always(reply(&[("a", Type::Replaced, "")])),
        get_bundle: always(bundle("web", 5, &[("a", "uid-a")])),
        watch_pods: watch(vec![whole(&[pod("a", "uid-a", State::Ready, "")])]),
        ..Script::default()
    });
    let args = [
        "rollback",
        "web",
        "--to",
        "2",
        "--wait",
        "--expected-revision",
        "4",
        "--request-id",
        "me",
    ];
    ask(&fake, &args)
        .success()
        .stdout(
            "bundle web is at revision 5, with the content of revision 2\n  ~ replaced   kube-system/a\n",
        )
        .stderr("kube-system/a: Ready\n1 pod of bundle web ready\n");
    assert_eq!(
        fake.script().rolled_back[0],
        v1::RollbackBundleRequest {
            name: "web".to_owned(),
            to_revision: 2,
            expected_revision: Some(4),
            request_id: "me".to_owned(),
            validate_only: false,
        }
    );
    ask(&fake, &["rollback", "web", "-o", "name"])
        .success()
        .stdout("bundle/web\n");
    assert_eq!(fake.script().rolled_back[1].to_revision, 0);
}

#[test]
fn a_rollback_can_be_tried_first() {
    let diff = "--- a\n+++ b\n@@ -1 +1 @@\n-image: a:1\n+image: a:2\n";
    let fake = Fake::start(Script {
        rollback: always(reply(&[("a", Type::Replaced, diff)])),
        ..Script::default()
    });
    ask(&fake, &["rollback", "web", "--dry-run"])
        .success()
        .stdout(
            contains(
                "dry run: bundle web would be at revision 5, with the content of revision 2\n",
            )
            .and(contains("      +image: a:2\n")),
        );
    assert!(fake.script().rolled_back[0].validate_only);
    ask(&fake, &["rollback", "web", "--dry-run", "--wait"]).code(2);
}

#[test]
fn a_rollback_that_is_not_possible_or_of_unknown_outcome_says_so() {
    let mut answers = vec![
        Answer::Refuse(refusal(
            tonic::Code::FailedPrecondition,
            "NO_EARLIER_REVISION",
            "there is no revision to go back to",
        )),
        Answer::Hang,
    ]
    .into_iter();
    let fake = Fake::start(Script {
        rollback: Some(Box::new(move |_| answers.next().expect("two calls"))),
        ..Script::default()
    });
    ask(&fake, &["rollback", "web"])
        .code(1)
        .stderr(contains("[NO_EARLIER_REVISION]"));
    let args = [
        "rollback",
        "web",
        "--request-timeout",
        "200ms",
        "--request-id",
        "mine",
    ];
    ask(&fake, &args)
        .code(3)
        .stderr(contains("--request-id mine"));
}

#[test]
fn a_confirmation_means_the_active_revision_unless_another_is_named() {
    let fake = Fake::start(Script {
        get_bundle: always(bundle("web", 4, &[])),
        confirm: Some(Box::new(|request| match request.revision {
            4 => Answer::Reply(v1::ConfirmRevisionResponse {
                revision: Some(revision(4, Origin::Injected)),
            }),
            _ => Answer::Refuse(refusal(
                tonic::Code::Aborted,
                "STALE_REVISION",
                "revision 3 is not the active one",
            )),
        })),
        ..Script::default()
    });
    ask(&fake, &["confirm", "web"])
        .success()
        .stderr("")
        .stdout("revision 4 of bundle web is confirmed\n");
    let assert = ask(&fake, &["confirm", "web", "--revision", "3"]).code(1);
    assert!(stderr(&assert).contains("[STALE_REVISION]"));
    let json = stdout(&ask(&fake, &["confirm", "web", "-o", "json"]).success());
    assert!(json.contains("\"revision\": 4"), "{json}");
    assert_eq!(fake.script().confirmed[0].name, "web");
}
