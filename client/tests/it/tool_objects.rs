//! What the tool shows of Secrets and ConfigMaps.

use predicates::{prelude::PredicateBooleanExt as _, str::contains};
use seedpod_proto::v1::{self, ObjectKind, PodState as State, pod_change::Type};

use crate::{
    fake::{
        Answer, Fake, Script, always, bundle, each, injected, node, object, object_change, pod,
        refusal,
    },
    tool::{ask, seedpod, stderr, stdout},
};

fn script() -> Script {
    Script {
        list_objects: Some(Box::new(|request| {
            let mut objects = vec![object(ObjectKind::ConfigMap, "dns")];
            let mut other = object(ObjectKind::Secret, "pki");
            other.namespace = "web".to_owned();
            other.keys = ["a", "b", "c", "d", "e"]
                .map(|key| v1::ObjectKey {
                    key: key.to_owned(),
                    ..Default::default()
                })
                .to_vec();
            other.used_by.clear();
            other.immutable = false;
            objects.extend([object(ObjectKind::Secret, "pki"), other]);
            if request.kind() != ObjectKind::Unspecified {
                objects.retain(|object| object.kind == request.kind);
            }
            if !request.bundle.is_empty() {
                objects.retain(|object| object.bundle == request.bundle);
            }
            Answer::Reply(v1::ListObjectsResponse {
                objects,
                next_page_token: String::new(),
            })
        })),
        get_bundle: Some(Box::new(|request| match request.name.as_str() {
            "web" | "bare" => {
                let mut bundle = bundle(&request.name, 3, &[("a", "uid-a")]);
                bundle.status = Some(v1::BundleStatus {
                    state: v1::BundleState::Ready.into(),
                    pods: vec![pod("a", "uid-a", State::Ready, "")],
                    ..Default::default()
                });
                Answer::Reply(bundle)
            }
            name => Answer::Refuse(refusal(
                tonic::Code::NotFound,
                "BUNDLE_NOT_FOUND",
                &format!("there is no bundle {name:?}"),
            )),
        })),
        list_pods: always(v1::ListPodsResponse::default()),
        events: always(vec![crate::fake::Step::Send(v1::WatchEventsResponse {
            events: vec![v1::Event {
                sequence: 7,
                r#type: v1::EventType::Injected.into(),
                bundle: "web".to_owned(),
                message: "1 pod was added.".to_owned(),
                ..Default::default()
            }],
        })]),
        ..Script::default()
    }
}

#[test]
fn secrets_are_listed_with_their_keys() {
    let fake = Fake::start(script());
    for name in ["secrets", "secret"] {
        ask(&fake, &["get", name]).success().stderr("").stdout(
            "\
BUNDLE  NAMESPACE    NAME  TYPE    KEYS               REV  USED BY
web     kube-system  pki   Opaque  ca.crt,server.key  3    a
web     web          pki   Opaque  a,b,c,+2           3    -
",
        );
    }
    let wide = stdout(&ask(&fake, &["get", "secrets", "-o", "wide"]).success());
    let lines: Vec<&str> = wide.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "BUNDLE  NAMESPACE    NAME  TYPE    KEY         SIZE  DIGEST                    IMMUTABLE  REV  USED BY",
            "web     kube-system  pki   Opaque  ca.crt      1107  hmac-sha256:aaaaaaaaaaaa  yes        3    a",
            "web     kube-system  pki   Opaque  server.key  9     hmac-sha256:bbbbbbbbbbbb  yes        3    a",
        ]
    );
}

#[test]
fn config_maps_have_no_type() {
    let fake = Fake::start(script());
    for name in ["configmaps", "configmap", "cm"] {
        ask(&fake, &["get", name]).success().stdout(
            "\
BUNDLE  NAMESPACE    NAME  KEYS  REV  USED BY
web     kube-system  dns   motd  3    -
",
        );
    }
    ask(&fake, &["get", "cm", "-o", "wide"])
        .success()
        .stdout(contains("dns   motd  12    hmac-sha256:cccccccccccc  no "));
}

#[test]
fn programs_get_whole_digests() {
    let fake = Fake::start(script());
    let json = stdout(&ask(&fake, &["get", "secrets", "-o", "json"]).success());
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let first = &json["items"][0];
    assert_eq!(
        (&first["kind"], &first["type"], &first["immutable"]),
        (&"Secret".into(), &"Opaque".into(), &true.into())
    );
    assert_eq!(
        first["keys"][0],
        serde_json::json!({
            "key": "ca.crt", "size": 1107, "digest": format!("hmac-sha256:{}", "a".repeat(64)),
        })
    );
    assert_eq!(first["usedBy"][0]["name"], "a");
    ask(&fake, &["get", "cm", "-o", "yaml"])
        .success()
        .stdout(contains("kind: ConfigMap").and(contains("size: 12")));
    ask(&fake, &["get", "secrets", "-o", "name"])
        .success()
        .stdout("secret/kube-system/pki\nsecret/web/pki\n");
    ask(&fake, &["get", "cm", "-o", "name"])
        .success()
        .stdout("configmap/kube-system/dns\n");
}

#[test]
fn one_object_is_found_by_name_namespace_and_bundle() {
    let fake = Fake::start(script());
    ask(&fake, &["get", "secrets", "web/pki", "-o", "name"])
        .success()
        .stdout("secret/web/pki\n");
    ask(&fake, &["get", "secrets", "--bundle", "web", "-o", "name"])
        .success()
        .stdout("secret/kube-system/pki\nsecret/web/pki\n");
    ask(&fake, &["get", "secrets", "none"])
        .code(1)
        .stdout("")
        .stderr(contains(
            "there is no Secret \"none\"; `seedpod get secrets` lists all of them",
        ));
    ask(&fake, &["get", "secrets", "--bundle", "db"])
        .code(1)
        .stderr(contains("[BUNDLE_NOT_FOUND]"));
    ask(&fake, &["get", "secrets", "--bundle", "bare"])
        .success()
        .stdout("")
        .stderr("There are no Secrets.\n");
}

#[test]
fn an_object_is_described() {
    let fake = Fake::start(script());
    ask(&fake, &["describe", "secret", "kube-system/pki"])
        .success()
        .stdout(
            "\
Secret:       kube-system/pki
Bundle:       web
Revision:     3
Type:         Opaque, immutable
Used by:      a
Keys:
  ca.crt      1107 bytes  hmac-sha256:aaaaaaaaaaaa
  server.key     9 bytes  hmac-sha256:bbbbbbbbbbbb
",
        );
    let both = stdout(&ask(&fake, &["describe", "secret", "pki"]).success());
    assert!(
        both.contains("kube-system/pki") && both.contains("\n\nSecret:       web/pki\n"),
        "{both}"
    );
    ask(&fake, &["describe", "cm", "dns"])
        .success()
        .stdout(contains("ConfigMap:    kube-system/dns\n").and(contains("Type:         -\n")));
    ask(&fake, &["describe", "configmap", "none"])
        .code(1)
        .stderr(contains("`seedpod get configmaps` lists all"));
}

#[test]
fn a_bundle_is_described_with_its_objects() {
    let fake = Fake::start(script());
    let text = stdout(&ask(&fake, &["describe", "bundle", "web"]).success());
    for line in [
        "Bundle:       web",
        "Last good:    none",
        "State:        Ready",
        "  kube-system/a: Ready",
        "Secrets and ConfigMaps:",
        "  configmap kube-system/dns: motd; used by no pod",
        "  secret kube-system/pki: ca.crt, server.key; used by a",
        "Events:",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(text.contains("1 pod was added."), "{text}");
    ask(&fake, &["describe", "bundle", "db"])
        .code(1)
        .stderr(contains("[BUNDLE_NOT_FOUND]"));
    // A daemon of before there were any.
    let mut old = script();
    old.list_objects = None;
    let fake = Fake::start(old);
    ask(&fake, &["describe", "bundle", "web"])
        .success()
        .stdout(contains("Bundle:       web"))
        .stderr(contains("Its Secrets and ConfigMaps are not known"));
}

fn changed() -> Vec<v1::ObjectChange> {
    let diff = "--- old\n+++ new\n-ca.crt: 9 bytes\n+ca.crt: 10 bytes\n";
    vec![
        object_change(ObjectKind::ConfigMap, "dns", Type::Unchanged, ""),
        object_change(ObjectKind::Secret, "pki", Type::Replaced, diff),
    ]
}

#[test]
fn changes_of_objects_are_printed_like_those_of_pods() {
    let mut reply = injected(bundle("web", 3, &[]), &[("a", Type::Unchanged, "")]);
    reply.object_changes = changed();
    let fake = Fake::start(Script {
        inject: always(reply.clone()),
        rollback: always(v1::RollbackBundleResponse {
            bundle: reply.bundle.clone(),
            changes: reply.changes.clone(),
            object_changes: reply.object_changes.clone(),
            source_revision: 1,
        }),
        ..Script::default()
    });
    let lines = "  = unchanged  kube-system/a\n  = unchanged  configmap kube-system/dns\n  ~ replaced   secret kube-system/pki\n      \
                 --- old\n      +++ new\n      -ca.crt: 9 bytes\n      +ca.crt: 10 bytes\n";
    seedpod(&["inject", "web", "-f", "-", "--dry-run"])
        .env("SEEDPOD_ENDPOINT", &fake.endpoint)
        .write_stdin("kind: Pod")
        .assert()
        .success()
        .stdout(format!(
            "dry run: bundle web would be at revision 3\n{lines}"
        ));
    ask(&fake, &["rollback", "web"]).success().stdout(format!(
        "bundle web is at revision 3, with the content of revision 1\n{lines}"
    ));
    let json = stdout(&ask(&fake, &["rollback", "web", "-o", "json"]).success());
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["objectChanges"][1]["kind"], "Secret");
    assert_eq!(json["objectChanges"][1]["type"], "Replaced");
}

fn revision(number: u64, digit: &str, dns: &str) -> v1::Revision {
    let mut secret = object(ObjectKind::Secret, "pki");
    secret.keys[1].digest = format!("hmac-sha256:{}", digit.repeat(64));
    let mut pods = bundle("web", number, &[("a", "uid-a")]).pods;
    pods[0].digest = format!("sha256:{digit}");
    v1::Revision {
        bundle: "web".to_owned(),
        revision: number,
        pods,
        manifests: vec!["kind: Pod\n".to_owned()],
        objects: vec![object(ObjectKind::ConfigMap, "dns"), secret],
        object_manifests: vec![
            format!("kind: ConfigMap\nmotd: {dns}\n"),
            "kind: Secret\nserver.key: <masked>\n".to_owned(),
        ],
        ..Default::default()
    }
}

#[test]
fn a_diff_tells_which_masked_keys_differ_and_which_pods_see_it() {
    let fake = Fake::start(Script {
        get_revision: Some(Box::new(|request| {
            Answer::Reply(match request.revision {
                2 => revision(2, "b", "old"),
                number => revision(number, "d", "new"),
            })
        })),
        ..Script::default()
    });
    let args = ["diff", "web", "--from", "2", "--to", "3"];
    ask(&fake, &args).success().stdout(
        "--- configmap kube-system/dns (revision 2)\n+++ configmap kube-system/dns (revision 3)\n@@ -1,2 +1,2 @@\n \
         kind: ConfigMap\n-motd: old\n+motd: new\n",
    ).stderr(
        "kube-system/a differs only in what it takes from secret kube-system/pki.\n\
         secret kube-system/pki differs only in what is masked (server.key); --show-secrets shows it.\n",
    );
    let shown = [&args[..], &["--show-secrets"]].concat();
    let shown = ask(&fake, &shown).success();
    assert!(!stderr(&shown).contains("masked"), "{}", stderr(&shown));
}

#[test]
fn the_history_prints_objects_after_pods_and_says_what_is_masked() {
    let fake = Fake::start(Script {
        get_revision: always(revision(3, "b", "x")),
        ..Script::default()
    });
    let manifests =
        "kind: Pod\n---\nkind: ConfigMap\nmotd: x\n---\nkind: Secret\nserver.key: <masked>\n";
    ask(&fake, &["history", "web", "--revision", "3"])
        .success()
        .stdout(manifests)
        .stderr(contains(
            "The values of its Secrets are masked; --show-secrets shows them.",
        ));
    ask(
        &fake,
        &["history", "web", "--revision", "3", "--show-secrets"],
    )
    .success()
    .stderr(contains("masked").not());
}

#[test]
fn the_node_shows_how_secrets_are_kept() {
    let mut plain = node();
    plain.objects = None;
    let fake = Fake::start(Script {
        get_node: each(vec![node(), node(), plain.clone(), plain]),
        ..Script::default()
    });
    ask(&fake, &["get", "node"])
        .success()
        .stdout(contains("ENCRYPTION").and(contains("key-2026-11-25")));
    ask(&fake, &["get", "node", "-o", "wide"]).success().stdout(
        contains("volumes directory                /run/seedpod/volumes\n").and(contains(
            "Secrets in the state directory   encrypted with the key key-2026-11-25\n",
        )),
    );
    ask(&fake, &["get", "node"])
        .success()
        .stdout(contains("none"));
    ask(&fake, &["get", "node", "-o", "wide"])
        .success()
        .stdout(contains("volumes directory                -\n").and(contains("not encrypted")));
}
