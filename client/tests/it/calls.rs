//! What is sent, and what becomes of the answers.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use seedpod_client::{ChangeType, Code, Error, FieldValidation, InjectPods, RemoveBundle, Trial};
use seedpod_proto::v1::{self, pod_change::Type};

use crate::fake::{Answer, Fake, Script, always, bad_request, bundle, injected, node, refusal};

#[tokio::test]
async fn an_injection_is_sent_and_answered_in_full() {
    let reply = injected(
        bundle("web", 3, &[("a", "uid-a")]),
        &[("a", Type::Added, ""), ("b", Type::Removed, "")],
    );
    let fake = Fake::start(Script {
        inject: always(reply),
        ..Script::default()
    });
    let request = InjectPods::new("web")
        .manifest("kind: Pod")
        .manifests(["one", "two"])
        .validate_only(true)
        .expected_revision(2)
        .request_id("my-id")
        .field_validation(FieldValidation::Warn)
        .trial(Trial::new(Duration::from_secs(60)).confirmed_explicitly())
        .allow_secret_env(true);

    let answer = fake
        .client()
        .await
        .inject(&request)
        .await
        .expect("an answer");

    assert_eq!(answer.bundle.revision, 3);
    assert_eq!(answer.bundle.pods[0].uid, "uid-a");
    assert!(answer.bundle.create_time.is_some());
    let changes: Vec<_> = answer
        .changes
        .iter()
        .map(|change| (change.name.as_str(), change.r#type))
        .collect();
    assert_eq!(
        changes,
        [("a", ChangeType::Added), ("b", ChangeType::Removed)]
    );
    let sent = fake.script().injected.pop().expect("a request");
    assert_eq!(
        sent,
        v1::InjectPodsRequest {
            bundle: "web".to_owned(),
            manifests: vec!["kind: Pod".to_owned(), "one".to_owned(), "two".to_owned()],
            validate_only: true,
            request_id: "my-id".to_owned(),
            expected_revision: Some(2),
            field_validation: v1::FieldValidation::Warn.into(),
            trial: Some(v1::Trial {
                timeout: Some(prost_types::Duration {
                    seconds: 60,
                    nanos: 0,
                }),
                confirmation: v1::TrialConfirmation::Explicit.into(),
            }),
            allow_secret_env: true,
        }
    );
}

#[tokio::test]
async fn each_request_gets_an_id_of_its_own() {
    let reply = injected(bundle("web", 1, &[]), &[]);
    let fake = Fake::start(Script {
        inject: always(reply),
        ..Script::default()
    });
    let client = fake.client().await;
    for _ in 0..2 {
        client
            .inject(&InjectPods::new("web"))
            .await
            .expect("an answer");
    }
    let sent = &fake.script().injected;
    assert_eq!(sent[0].request_id.len(), 36, "a UUID");
    assert_ne!(sent[0].request_id, sent[1].request_id);
}

#[tokio::test]
async fn a_refusal_carries_reason_metadata_and_field_violations() {
    let violations = [(
        "manifests[0].spec.containers[0].image",
        "is required.",
        "REQUIRED",
    )];
    let inject = Some(Box::new(move |_: &_| Answer::Refuse(bad_request(&violations))) as Box<_>);
    let fake = Fake::start(Script {
        inject,
        ..Script::default()
    });

    let error = fake
        .client()
        .await
        .inject(&InjectPods::new("web"))
        .await
        .expect_err("a refusal");

    assert_eq!(error.code(), Some(Code::InvalidArgument));
    assert_eq!(error.reason(), Some("INVALID_MANIFEST"));
    assert_eq!(error.field_violations().len(), 1);
    assert_eq!(
        error.field_violations()[0].field,
        "manifests[0].spec.containers[0].image"
    );
    assert_eq!(error.field_violations()[0].description, "is required.");
    assert_eq!(
        error.field_violations()[0].reason.as_deref(),
        Some("REQUIRED")
    );
    assert_eq!(error.server().expect("an answer").metadata["bundle"], "web");
    assert!(!error.is_transient());
    assert_eq!(
        error.to_string(),
        "the manifests are not valid [INVALID_MANIFEST]"
    );
}

#[tokio::test]
async fn an_error_of_another_server_has_no_reason() {
    let fake = Fake::start(Script::default());
    let error = fake.client().await.get_node().await.expect_err("a refusal");
    assert_eq!(
        (error.code(), error.reason()),
        (Some(Code::Unimplemented), None)
    );
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let mut asked = Vec::new();
    let (report, pages) = std::sync::mpsc::channel();
    let list = move |request: &v1::ListBundlesRequest| {
        report
            .send(request.page_token.clone())
            .expect("the test listens");
        let (names, next): (&[&str], _) = match request.page_token.as_str() {
            "" => (&["a", "b"], "second"),
            "second" => (&[], "third"),
            _ => (&["c"], ""),
        };
        let bundles = names.iter().map(|name| bundle(name, 1, &[])).collect();
        Answer::Reply(v1::ListBundlesResponse {
            bundles,
            next_page_token: next.to_owned(),
        })
    };
    let fake = Fake::start(Script {
        list_bundles: Some(Box::new(list)),
        ..Script::default()
    });
    let client = fake.client().await;

    let names: Vec<_> = client
        .list_bundles()
        .await
        .expect("bundles")
        .into_iter()
        .map(|b| b.name)
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    asked.extend(pages.try_iter());
    assert_eq!(asked, ["", "second", "third"]);

    let mut stream = std::pin::pin!(client.stream_bundles());
    assert_eq!(
        stream
            .try_next()
            .await
            .expect("a bundle")
            .expect("a bundle")
            .name,
        "a"
    );
    assert_eq!(
        pages.try_iter().count(),
        1,
        "the second page is only asked for when it is needed"
    );
}

#[tokio::test]
async fn removal_tells_what_was_removed() {
    let reply = v1::RemoveBundleResponse {
        bundle: Some(bundle("web", 4, &[("a", "u")])),
    };
    let fake = Fake::start(Script {
        remove: always(reply),
        ..Script::default()
    });
    let request = RemoveBundle::new("web")
        .expected_revision(4)
        .allow_missing(true);
    let removed = fake
        .client()
        .await
        .remove_bundle(&request)
        .await
        .expect("an answer")
        .expect("a bundle");
    assert_eq!(removed.revision, 4);
    let sent = fake.script().removed.pop().expect("a request");
    assert_eq!(
        (sent.expected_revision, sent.allow_missing),
        (Some(4), true)
    );
}

#[tokio::test]
async fn a_missing_bundle_is_not_found() {
    let get = |_: &_| {
        Answer::Refuse(refusal(
            Code::NotFound,
            "BUNDLE_NOT_FOUND",
            "there is no bundle",
        ))
    };
    let fake = Fake::start(Script {
        get_bundle: Some(Box::new(get)),
        ..Script::default()
    });
    let error = fake
        .client()
        .await
        .get_bundle("web")
        .await
        .expect_err("a refusal");
    assert_eq!(
        (error.code(), error.reason()),
        (Some(Code::NotFound), Some("BUNDLE_NOT_FOUND"))
    );
}

#[tokio::test]
async fn the_node_is_told_with_its_parts() {
    let fake = Fake::start(Script {
        get_node: always(node()),
        ..Script::default()
    });
    let node = fake.client().await.get_node().await.expect("a node");
    assert_eq!(
        node.container_runtime.state,
        seedpod_client::RuntimeState::Connected
    );
    assert_eq!(node.kubelet.state, seedpod_client::KubeletState::Seen);
    assert_eq!(node.limits.max_pods_per_bundle, 64);
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_which_the_server_is_told() {
    let hang = Some(Box::new(|_: &_| Answer::Hang) as Box<_>);
    let fake = Fake::start(Script {
        get_node: hang,
        ..Script::default()
    });
    let client = fake
        .client()
        .await
        .with_deadline(Duration::from_millis(200));

    let error = client.get_node().await.expect_err("no answer");

    assert!(
        matches!(
            error,
            Error::Deadline {
                method: "GetNode",
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "GetNode was not answered within 0.2s");
    let (_, timeout) = fake.script().calls.pop().expect("a call");
    let timeout = timeout.expect("grpc-timeout");
    let (digits, unit) = timeout.split_at(timeout.len() - 1);
    let scale = match unit {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        other => panic!("unit {other}"),
    };
    let seconds = digits.parse::<f64>().expect("a number") * scale;
    assert!(seconds > 0.0 && seconds <= 0.2, "{timeout}");
}

#[tokio::test]
async fn a_deadline_that_the_server_notices_first_is_the_same_error() {
    let late = |_: &_| Answer::Refuse(tonic::Status::deadline_exceeded("too late"));
    let fake = Fake::start(Script {
        get_node: Some(Box::new(late)),
        ..Script::default()
    });
    let error = fake.client().await.get_node().await.expect_err("no answer");
    assert!(matches!(error, Error::Deadline { .. }), "{error:?}");
}
