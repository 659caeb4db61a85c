//! What is sent again, and what is not.

use std::time::{Duration, Instant};

use seedpod_client::{Client, Code, Error, InjectPods, RemoveBundle, RetryPolicy};
use seedpod_proto::v1;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::fake::{Answer, Fake, Script, after, bundle, info, injected, node, refusal};

fn busy() -> tonic::Status {
    refusal(Code::Unavailable, "NODE_BUSY", "the node is busy")
}

fn busy_for(delay: Duration) -> tonic::Status {
    let mut details: ErrorDetails = info("NODE_BUSY");
    details.set_retry_info(Some(delay));
    tonic::Status::with_error_details(Code::Unavailable, "the node is busy", details)
}

/// The default policy, only faster.
async fn client(fake: &Fake) -> Client {
    let policy = RetryPolicy::new(4, Duration::from_millis(1), Duration::from_millis(5));
    Client::connect(fake.options().retry(policy))
        .await
        .expect("a connection")
}

#[tokio::test]
async fn an_injection_is_repeated_under_the_same_id() {
    let reply = injected(bundle("web", 1, &[]), &[]);
    let inject = after(vec![Answer::Refuse(busy()), Answer::Refuse(busy())], reply);
    let fake = Fake::start(Script {
        inject,
        ..Script::default()
    });

    client(&fake)
        .await
        .inject(&InjectPods::new("web").manifest("x"))
        .await
        .expect("an answer");

    let sent = &fake.script().injected;
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|request| request == &sent[0]), "{sent:?}");
}

#[tokio::test]
async fn a_broken_connection_is_made_anew() {
    let reply = injected(bundle("web", 1, &[]), &[]);
    let fake = Fake::start(Script {
        inject: after(vec![Answer::Cut], reply),
        ..Script::default()
    });
    client(&fake)
        .await
        .inject(&InjectPods::new("web").manifest("x"))
        .await
        .expect("an answer");
    assert_eq!(fake.script().count("InjectPods"), 2);
}

#[tokio::test]
async fn the_pause_that_the_node_asks_for_is_kept() {
    let pause = Duration::from_millis(300);
    let fake = Fake::start(Script {
        get_node: after(vec![Answer::Refuse(busy_for(pause))], node()),
        ..Script::default()
    });
    let start = Instant::now();
    client(&fake).await.get_node().await.expect("an answer");
    assert!(start.elapsed() >= pause, "{:?}", start.elapsed());
}

#[tokio::test]
async fn no_retry_starts_after_the_deadline() {
    let pause = Duration::from_secs(600);
    let fake = Fake::start(Script {
        get_node: after(vec![Answer::Refuse(busy_for(pause))], node()),
        ..Script::default()
    });
    let error = client(&fake).await.get_node().await.expect_err("too late");
    assert_eq!(error.reason(), Some("NODE_BUSY"));
    assert_eq!(error.retry_delay(), Some(pause));
    assert_eq!(fake.script().count("GetNode"), 1);
}

#[tokio::test]
async fn retries_end() {
    let always_busy = |_: &_| Answer::Refuse(busy());
    let fake = Fake::start(Script {
        get_node: Some(Box::new(always_busy)),
        ..Script::default()
    });
    let error = client(&fake).await.get_node().await.expect_err("busy");
    assert_eq!(error.reason(), Some("NODE_BUSY"));
    assert_eq!(fake.script().count("GetNode"), 5);
}

#[tokio::test]
async fn other_errors_are_final() {
    for code in [
        Code::Aborted,
        Code::ResourceExhausted,
        Code::Internal,
        Code::AlreadyExists,
        Code::InvalidArgument,
    ] {
        let refuse = move |_: &_| Answer::Refuse(refusal(code, "SOME_REASON", "no"));
        let fake = Fake::start(Script {
            inject: Some(Box::new(refuse)),
            ..Script::default()
        });
        let error = client(&fake)
            .await
            .inject(&InjectPods::new("web"))
            .await
            .expect_err("a refusal");
        assert_eq!(error.code(), Some(code));
        assert_eq!(fake.script().injected.len(), 1, "{code:?}");
    }
}

#[tokio::test]
async fn a_removal_is_repeated_only_when_that_is_safe() {
    let base = RemoveBundle::new("web");
    for (request, sent) in [
        (base.clone(), 1),
        (base.clone().allow_missing(true), 1),
        (base.clone().expected_revision(3), 1),
        (base.clone().expected_revision(3).allow_missing(true), 2),
    ] {
        let remove = after(
            vec![Answer::Refuse(busy())],
            v1::RemoveBundleResponse::default(),
        );
        let fake = Fake::start(Script {
            remove,
            ..Script::default()
        });
        let result = client(&fake).await.remove_bundle(&request).await;
        assert_eq!(fake.script().removed.len(), sent, "{request:?}");
        assert_eq!(result.is_ok(), sent == 2, "{request:?}");
    }
}

#[tokio::test]
async fn a_removal_over_a_broken_connection_says_that_its_outcome_is_not_known() {
    let remove = after(vec![Answer::Cut], v1::RemoveBundleResponse::default());
    let fake = Fake::start(Script {
        remove,
        ..Script::default()
    });
    let error = client(&fake)
        .await
        .remove_bundle(&RemoveBundle::new("web"))
        .await
        .expect_err("a broken connection");
    assert!(
        matches!(
            error,
            Error::Broken {
                method: "RemoveBundle",
                ..
            }
        ),
        "{error:?}"
    );
}
