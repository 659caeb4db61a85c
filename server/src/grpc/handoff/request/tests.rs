use std::{collections::HashMap, time::Duration};

use seedpod_proto::v1::{HandoffComponent, HandoffDeadlines, handoff_component};
use tonic_types::StatusExt;

use super::*;

fn component(kind: handoff_component::Kind, name: &str) -> HandoffComponent {
    HandoffComponent {
        kind: kind.into(),
        injected_pod: name.to_owned(),
        selector: HashMap::from([("component".to_owned(), name.to_owned())]),
        ..HandoffComponent::default()
    }
}

fn good() -> StartHandoffRequest {
    use handoff_component::Kind::{ApiServer, LeaderElected};
    StartHandoffRequest {
        bundle: "control-plane".to_owned(),
        manifests: vec!["a".to_owned()],
        kubeconfig: "k".to_owned(),
        components: vec![
            component(ApiServer, "kube-apiserver"),
            HandoffComponent {
                lease: "kube-scheduler".to_owned(),
                ..component(LeaderElected, "kube-scheduler")
            },
        ],
        request_id: "r".to_owned(),
        ..StartHandoffRequest::default()
    }
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

#[test]
fn what_is_not_said_has_its_default() {
    let Start {
        spec,
        material,
        request,
    } = Start::parse(good()).expect("a good request");
    assert_eq!(spec.stable_for, Duration::from_secs(10));
    assert_eq!(spec.deadlines, crate::handoff::Deadlines::default());
    let [server, scheduler] = &spec.components[..] else {
        panic!("{:?}", spec.components)
    };
    assert_eq!(server.kind, Kind::ApiServer { port: 6443 });
    assert_eq!(server.injected.to_string(), "kube-system/kube-apiserver");
    assert_eq!(server.namespace, "kube-system");
    let lease = "kube-scheduler".to_owned();
    assert_eq!(scheduler.kind, Kind::LeaderElected { lease });
    assert_eq!(material.manifests.len(), 1);
    assert_eq!(request.expect("with an id").id, "r");
    let validates = StartHandoffRequest {
        validate_only: true,
        request_id: "/".to_owned(),
        ..good()
    };
    assert!(Start::parse(validates).expect("good").request.is_none());
}

#[test]
fn each_bad_field_is_named_with_its_reason() {
    type Row = (fn(&mut StartHandoffRequest), &'static str, &'static str);
    let rows: [Row; 20] = [
        (|r| r.bundle.clear(), "bundle", "INVALID_BUNDLE_NAME"),
        (|r| r.manifests.clear(), "manifests", "NO_MANIFESTS"),
        (|r| r.kubeconfig.clear(), "kubeconfig", "INVALID_KUBECONFIG"),
        (|r| r.components.clear(), "components", "INVALID_HANDOFF"),
        (
            |r| drop(r.components.remove(0)),
            "components",
            "INVALID_HANDOFF",
        ),
        (
            |r| r.components[1] = component(handoff_component::Kind::ApiServer, "b"),
            "components",
            "INVALID_HANDOFF",
        ),
        (
            |r| r.components[1].injected_pod = "kube-apiserver".to_owned(),
            "components[1].injected_pod",
            "INVALID_HANDOFF",
        ),
        (
            |r| r.components[0].kind = 0,
            "components[0].kind",
            "INVALID_HANDOFF",
        ),
        (
            |r| r.components[0].kind = 9,
            "components[0].kind",
            "INVALID_HANDOFF",
        ),
        (
            |r| r.components[1].injected_pod.clear(),
            "components[1].injected_pod",
            "INVALID_HANDOFF",
        ),
        (
            |r| r.components[1].injected_namespace = "A".to_owned(),
            "components[1].injected_namespace",
            "INVALID_HANDOFF",
        ),
        (
            |r| r.components[1].namespace = "a.b".to_owned(),
            "components[1].namespace",
            "INVALID_HANDOFF",
        ),
        (
            |r| r.components[1].selector.clear(),
            "components[1].selector",
            "INVALID_HANDOFF",
        ),
        (
            |r| r.components[0].port = 65_536,
            "components[0].port",
            "INVALID_HANDOFF",
        ),
        (
            |r| r.components[1].port = 1,
            "components[1].port",
            "INVALID_HANDOFF",
        ),
        (
            |r| r.components[1].lease.clear(),
            "components[1].lease",
            "INVALID_HANDOFF",
        ),
        (
            |r| r.components[0].lease = "a".to_owned(),
            "components[0].lease",
            "INVALID_HANDOFF",
        ),
        (
            |r| drop(r.node_labels.insert("a b".to_owned(), String::new())),
            "node_labels",
            "INVALID_HANDOFF",
        ),
        (
            |r| drop(r.node_labels.insert("a".to_owned(), "-".to_owned())),
            "node_labels",
            "INVALID_HANDOFF",
        ),
        (
            |r| r.request_id = "/".to_owned(),
            "request_id",
            "INVALID_REQUEST_ID",
        ),
    ];
    for (spoil, field, reason) in rows {
        let mut request = good();
        spoil(&mut request);
        let status = Start::parse(request).expect_err(field);
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        let found = status.get_details_bad_request().expect("details");
        let found: Vec<_> = found
            .field_violations
            .iter()
            .map(|it| (it.field.as_str(), it.reason.as_str()))
            .collect();
        assert_eq!(found, [(field, reason)]);
    }
}

#[test]
fn times_are_bounded() {
    let with = |ready, stable_for| {
        Start::parse(StartHandoffRequest {
            deadlines: Some(HandoffDeadlines {
                ready,
                ..HandoffDeadlines::default()
            }),
            stable_for,
            ..good()
        })
    };
    let spec = with(seconds(3600), seconds(0)).expect("good").spec;
    assert_eq!(spec.deadlines.ready, Duration::from_secs(3600));
    assert_eq!(spec.stable_for, Duration::ZERO);
    // It leaves a short deadline a chance.
    let spec = with(seconds(10), None).expect("good").spec;
    assert_eq!(spec.stable_for, Duration::from_secs(5));
    let negative = Some(prost_types::Duration {
        seconds: 0,
        nanos: -1,
    });
    for (ready, stable_for, field) in [
        (seconds(0), None, "deadlines.ready"),
        (seconds(-5), None, "deadlines.ready"),
        (seconds(86_401), None, "deadlines.ready"),
        (seconds(i64::MAX), None, "deadlines.ready"),
        (seconds(30), seconds(30), "stable_for"),
        (None, negative, "stable_for"),
    ] {
        let status = with(ready, stable_for).expect_err(field);
        assert!(status.message().starts_with(field), "{status:?}");
    }
}

#[test]
fn all_bad_fields_are_told_at_once() {
    let status = Start::parse(StartHandoffRequest::default()).expect_err("empty");
    let found = status.get_details_bad_request().expect("details");
    let found: Vec<_> = found
        .field_violations
        .iter()
        .map(|it| it.field.as_str())
        .collect();
    assert_eq!(found, ["bundle", "manifests", "kubeconfig", "components"]);
}

#[test]
fn the_fingerprint_is_over_everything_but_the_id() {
    let print = |request: StartHandoffRequest| {
        let start = Start::parse(request).expect("good");
        start.request.expect("with an id").fingerprint
    };
    let base = print(good());
    let same = StartHandoffRequest {
        request_id: "other".to_owned(),
        ..good()
    };
    assert_eq!(print(same), base);
    let spoils: [fn(&mut StartHandoffRequest); 9] = [
        |r| r.bundle = "other".to_owned(),
        |r| r.manifests.push("b".to_owned()),
        |r| r.kubeconfig.push('x'),
        |r| r.components[0].port = 6444,
        |r| r.components[1].lease = "other".to_owned(),
        |r| {
            drop(
                r.components[1]
                    .selector
                    .insert("a".to_owned(), "b".to_owned()),
            );
        },
        |r| drop(r.node_labels.insert("a".to_owned(), "b".to_owned())),
        |r| r.stable_for = seconds(3),
        |r| {
            r.deadlines = Some(HandoffDeadlines {
                verify: seconds(3),
                ..HandoffDeadlines::default()
            });
        },
    ];
    for spoil in spoils {
        let mut request = good();
        spoil(&mut request);
        assert_ne!(print(request.clone()), base, "{request:?}");
    }
    assert_eq!(
        base.to_string(),
        "sha256:52af94b570bcc6c2c639fc9e8a305e083c8909230d2549f7c4e2b466131a7421",
        "it is kept on disks and never changes"
    );
}

#[test]
fn what_cannot_be_read_is_told_with_its_field() {
    let start = Start::parse(StartHandoffRequest {
        manifests: vec!["kind: [".to_owned()],
        ..good()
    });
    let status = start
        .expect("good fields")
        .read(1 << 20)
        .expect_err("no YAML");
    assert_eq!(crate::grpc::status::reason_of(&status), "INVALID_MANIFEST");
    assert!(status.message().contains("manifests[0]"), "{status:?}");
    let start = Start::parse(StartHandoffRequest {
        manifests: vec![
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n".to_owned(),
        ],
        kubeconfig: "users: secret".to_owned(),
        ..good()
    });
    let status = start
        .expect("good fields")
        .read(1 << 20)
        .expect_err("no kubeconfig");
    assert_eq!(
        crate::grpc::status::reason_of(&status),
        "INVALID_KUBECONFIG"
    );
    assert!(status.message().starts_with("kubeconfig"), "{status:?}");
    assert!(!status.message().contains("secret"));
}
