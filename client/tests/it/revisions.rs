//! Revisions, rollbacks and confirmations.

use std::time::Duration;

use seedpod_client::{
    BundleState, ChangeType, Code, Error, Origin, RollbackBundle, TrialConfirmation, TrialState,
};
use seedpod_proto::v1;

use crate::fake::{Answer, Fake, Script, after, always, bundle, injected, pod, refusal};

fn revision(number: u64) -> v1::Revision {
    v1::Revision {
        bundle: "web".to_owned(),
        revision: number,
        origin: v1::revision::Origin::RolledBack.into(),
        source_revision: 1,
        good: true,
        active: true,
        trial: Some(v1::TrialStatus {
            state: v1::trial_status::State::Pending.into(),
            confirmation: v1::TrialConfirmation::Explicit.into(),
            remaining: Some(prost_types::Duration {
                seconds: 42,
                nanos: 500_000_000,
            }),
            fallback_revision: 1,
            ..Default::default()
        }),
        manifests: vec!["password: hunter2".to_owned()],
        ..Default::default()
    }
}

#[tokio::test]
async fn revisions_are_listed_and_read() {
    let fake = Fake::start(Script {
        list_revisions: always(v1::ListRevisionsResponse {
            revisions: vec![revision(3), revision(2)],
        }),
        get_revision: Some(Box::new(|request| {
            let mut revision = revision(request.revision);
            revision.reason = format!("secrets: {}", request.show_secrets);
            Answer::Reply(revision)
        })),
        ..Script::default()
    });
    let client = fake.client().await;
    let listed = client.list_revisions("web").await.expect("a list");
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (listed[0].origin, listed[0].source_revision),
        (Origin::RolledBack, 1)
    );
    let trial = listed[0].trial.as_ref().expect("a trial");
    assert_eq!(
        (trial.state, trial.confirmation, trial.fallback_revision),
        (TrialState::Pending, TrialConfirmation::Explicit, 1)
    );
    assert_eq!(trial.remaining, Some(Duration::from_millis(42_500)));

    let read = client.get_revision("web", 2).await.expect("a revision");
    assert_eq!((read.revision, read.reason.as_str()), (2, "secrets: false"));
    assert!(
        !format!("{read:?}").contains("hunter2"),
        "manifests are never printed"
    );
    let bare = client.get_revision_with_secrets("web", 2).await;
    assert_eq!(bare.expect("a revision").reason, "secrets: true");
}

#[tokio::test]
async fn a_rollback_is_repeated_under_the_same_id() {
    let changes = injected(
        bundle("web", 4, &[]),
        &[("a", v1::pod_change::Type::Replaced, "")],
    )
    .changes;
    let reply = v1::RollbackBundleResponse {
        bundle: Some(bundle("web", 4, &[])),
        changes,
        source_revision: 2,
        object_changes: Vec::new(),
    };
    let busy = refusal(Code::Unavailable, "BUSY", "the node is busy");
    let fake = Fake::start(Script {
        rollback: after(vec![Answer::Refuse(busy)], reply),
        ..Script::default()
    });
    let request = RollbackBundle::new("web")
        .to_revision(2)
        .expected_revision(3);
    let done = fake.client().await.rollback_bundle(&request).await;
    let done = done.expect("an answer");
    assert_eq!((done.bundle.revision, done.source_revision), (4, 2));
    assert_eq!(done.changes[0].r#type, ChangeType::Replaced);
    let sent = &fake.script().rolled_back;
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0], sent[1]);
    assert_eq!(
        sent[0],
        v1::RollbackBundleRequest {
            name: "web".to_owned(),
            to_revision: 2,
            expected_revision: Some(3),
            request_id: request.id().to_owned(),
            validate_only: false,
        }
    );
    assert_eq!(request.id().len(), 36, "a UUID");
}

#[tokio::test]
async fn a_confirmation_names_the_revision() {
    let fake = Fake::start(Script {
        confirm: Some(Box::new(|request| {
            Answer::Reply(v1::ConfirmRevisionResponse {
                revision: (request.revision == 3).then(|| revision(3)),
            })
        })),
        ..Script::default()
    });
    let client = fake.client().await;
    let confirmed = client.confirm_revision("web", 3).await.expect("confirmed");
    assert_eq!(confirmed.revision, 3);
    let error = client.confirm_revision("web", 4).await;
    assert!(
        matches!(
            error,
            Err(Error::Answer {
                field: "revision",
                ..
            })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_bundle_tells_what_runs_of_it() {
    let mut web = bundle("web", 3, &[("a", "uid-a")]);
    web.last_good_revision = 2;
    web.status = Some(v1::BundleStatus {
        state: v1::BundleState::Progressing.into(),
        message: "kube-system/a pulls its image.".to_owned(),
        ready_pods: 1,
        wave: Some(0),
        pods: vec![pod("a", "uid-a", v1::PodState::Starting, "")],
    });
    let fake = Fake::start(Script {
        get_bundle: always(web),
        ..Script::default()
    });
    let bundle = fake.client().await.get_bundle("web").await.expect("one");
    assert_eq!(bundle.last_good_revision, 2);
    let status = bundle.status.expect("a status");
    assert_eq!(
        (status.state, status.ready_pods, status.wave),
        (BundleState::Progressing, 1, Some(0))
    );
    assert_eq!(status.pods[0].name, "a");
}
