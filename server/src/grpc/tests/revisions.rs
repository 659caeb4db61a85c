//! Revisions, rollbacks and trials, in process.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use rcgen::{CertificateParams, DnType, KeyPair};
use seedpod_proto::{
    cri::{
        Image, ImageStatusRequest, ImageStatusResponse, PullImageRequest, PullImageResponse,
        image_service_server::{ImageService, ImageServiceServer},
    },
    v1::{
        ConfirmRevisionRequest, GetRevisionRequest, ListRevisionsRequest, Revision,
        RollbackBundleRequest, Trial, TrialConfirmation, revision::Origin, trial_status,
    },
};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Response, transport::Server};

use super::*;
use crate::access::Identity;

/// The images of a node, and what can be pulled.
#[derive(Debug, Clone, Default)]
struct Images {
    there: Arc<Mutex<BTreeSet<String>>>,
    pulled: Arc<Mutex<Vec<String>>>,
}

impl Images {
    fn load(&self, image: &str) {
        self.there.lock().unwrap().insert(image.to_owned());
    }
}

#[tonic::async_trait]
impl ImageService for Images {
    async fn image_status(
        &self,
        request: Request<ImageStatusRequest>,
    ) -> Result<Response<ImageStatusResponse>, Status> {
        let image = request.into_inner().image.unwrap_or_default().image;
        let there = self.there.lock().unwrap().contains(&image);
        Ok(Response::new(ImageStatusResponse {
            image: there.then(Image::default),
        }))
    }

    async fn pull_image(
        &self,
        request: Request<PullImageRequest>,
    ) -> Result<Response<PullImageResponse>, Status> {
        let image = request.into_inner().image.unwrap_or_default().image;
        if !image.starts_with("registry/") {
            return Err(Status::not_found(format!("no registry has {image}")));
        }
        self.load(&image);
        self.pulled.lock().unwrap().push(image);
        Ok(Response::new(PullImageResponse::default()))
    }
}

/// A node whose runtime has images, and nothing that runs.
fn bench_with_images() -> (Bench, Images) {
    let images = Images::default();
    let service = images.clone();
    let bench = Bench::with_runtime(move |folder| {
        let socket = folder.join("cri.sock");
        let listener = UnixListener::bind(&socket).expect("bind");
        let serve = Server::builder()
            .add_service(ImageServiceServer::new(service))
            .serve_with_incoming(UnixListenerStream::new(listener));
        tokio::spawn(serve);
        Some(CriRuntime::new(&socket.display().to_string()).expect("an endpoint"))
    });
    (bench, images)
}

fn pod(name: &str, image: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  containers:\n  - name: main\n    image: {image}\n{more}"
    )
}

fn injection(manifests: &[String]) -> InjectPodsRequest {
    InjectPodsRequest {
        bundle: "app".to_owned(),
        manifests: manifests.to_vec(),
        ..InjectPodsRequest::default()
    }
}

fn trial(confirmation: TrialConfirmation) -> Option<Trial> {
    Some(Trial {
        timeout: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        confirmation: confirmation.into(),
    })
}

fn list() -> ListRevisionsRequest {
    ListRevisionsRequest { name: "app".into() }
}

fn get(revision: u64, show_secrets: bool) -> GetRevisionRequest {
    GetRevisionRequest {
        name: "app".into(),
        revision,
        show_secrets,
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<Response<T>, Status>) -> (Code, String) {
    let status = result.expect_err("a refusal");
    (status.code(), reason(&status))
}

/// A request of somebody with this Organization in the certificate.
pub(super) fn of<T>(organization: &str, message: T) -> Request<T> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "somebody");
    params
        .distinguished_name
        .push(DnType::OrganizationName, organization);
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let mut request = Request::new(message);
    let peer = "192.0.2.1:1".parse().unwrap();
    request
        .extensions_mut()
        .insert(Identity::for_tests(certificate.der(), peer));
    request
}

fn briefly(revisions: &[Revision]) -> Vec<(u64, Origin, bool)> {
    let brief = |revision: &Revision| (revision.revision, revision.origin(), revision.active);
    revisions.iter().map(brief).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn revisions_are_listed_shown_and_rolled_back_to() {
    let bench = Bench::new();
    let mut pods = bench.pods();
    let env =
        "    env:\n    - {name: DB_PASSWORD, value: hunter2}\n    - {name: MODE, value: \"on\"}\n";
    let first = injection(&[pod("a", "example/a:1", env)]);
    pods.inject_pods(first.clone()).await.expect("inject");
    bench.inject("app", &["a", "b"]).await;

    let revisions = pods
        .list_revisions(list())
        .await
        .unwrap()
        .into_inner()
        .revisions;
    let expected = [(2, Origin::Injected, true), (1, Origin::Injected, false)];
    assert_eq!(briefly(&revisions), expected);
    assert!(
        revisions
            .iter()
            .all(|it| it.manifests.is_empty() && !it.good && it.trial.is_none())
    );
    assert_eq!(revisions[1].pods.len(), 1);
    assert!(revisions[1].create_time.is_some());

    let masked = pods.get_revision(get(1, false)).await.unwrap().into_inner();
    let yaml = &masked.manifests[0];
    assert!(
        yaml.contains("<masked>") && !yaml.contains("hunter2"),
        "{yaml}"
    );
    assert!(
        !yaml.contains("seedpod.dev") && !yaml.contains("uid"),
        "{yaml}"
    );
    let active = pods.get_revision(get(0, false)).await.unwrap().into_inner();
    assert_eq!((active.revision, active.manifests.len()), (2, 2));

    // Shown to admins, and what is shown is what was injected.
    for request in [
        Request::new(get(1, true)),
        of("seedpod:injector", get(1, true)),
    ] {
        assert_eq!(
            refusal(pods.get_revision(request).await),
            (Code::PermissionDenied, "ROLE_REQUIRED".to_owned())
        );
    }
    let shown = pods.get_revision(of("seedpod:admin", get(1, true))).await;
    let shown = shown.unwrap().into_inner().manifests;
    assert!(shown[0].contains("hunter2"), "{shown:?}");
    let mut same = injection(&shown);
    same.validate_only = true;
    let same = pods.inject_pods(same).await.unwrap().into_inner();
    assert_eq!(same.bundle.unwrap().digest, revisions[1].digest);

    let rollback = RollbackBundleRequest {
        name: "app".into(),
        request_id: "back".into(),
        ..Default::default()
    };
    let preview = RollbackBundleRequest {
        validate_only: true,
        ..rollback.clone()
    };
    let preview = pods.rollback_bundle(preview).await.unwrap().into_inner();
    assert_eq!(preview.source_revision, 1);
    let diff = &preview.changes[0].diff;
    assert!(
        diff.contains("DB_PASSWORD") && !diff.contains("hunter2"),
        "{diff}"
    );
    let back = pods
        .rollback_bundle(rollback.clone())
        .await
        .unwrap()
        .into_inner();
    let bundle = back.bundle.clone().unwrap();
    assert_eq!((bundle.revision, back.source_revision), (3, 1));
    assert_eq!(bundle.digest, revisions[1].digest);
    let again = pods.rollback_bundle(rollback).await.unwrap().into_inner();
    assert_eq!(again, back, "the same answer");
    let revisions = pods
        .list_revisions(list())
        .await
        .unwrap()
        .into_inner()
        .revisions;
    assert_eq!(revisions[0].origin(), Origin::RolledBack);
    assert_eq!(revisions[0].source_revision, 1);

    let removal = RemoveBundleRequest {
        name: "app".into(),
        ..Default::default()
    };
    pods.remove_bundle(removal).await.expect("remove");
    let revisions = pods
        .list_revisions(list())
        .await
        .unwrap()
        .into_inner()
        .revisions;
    assert_eq!(briefly(&revisions[..1]), [(4, Origin::Removed, true)]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_about_revisions_has_its_code_and_reason() {
    let bench = Bench::new();
    let mut pods = bench.pods();
    let refused = |code, reason: &str| (code, reason.to_owned());
    let none = refused(Code::NotFound, "BUNDLE_NOT_FOUND");
    let confirm = |revision| ConfirmRevisionRequest {
        name: "app".into(),
        revision,
    };
    let back = |to_revision| RollbackBundleRequest {
        name: "app".into(),
        to_revision,
        ..Default::default()
    };
    assert_eq!(refusal(pods.list_revisions(list()).await), none);
    assert_eq!(refusal(pods.get_revision(get(0, false)).await), none);
    assert_eq!(refusal(pods.rollback_bundle(back(0)).await), none);
    assert_eq!(refusal(pods.confirm_revision(confirm(1)).await), none);

    bench.inject("app", &["a"]).await;
    let unknown = refused(Code::NotFound, "REVISION_NOT_FOUND");
    assert_eq!(refusal(pods.get_revision(get(2, false)).await), unknown);
    assert_eq!(refusal(pods.rollback_bundle(back(2)).await), unknown);
    let first = refused(Code::FailedPrecondition, "NO_EARLIER_REVISION");
    assert_eq!(refusal(pods.rollback_bundle(back(0)).await), first);
    let no_trial = refused(Code::FailedPrecondition, "NOT_ON_TRIAL");
    assert_eq!(refusal(pods.confirm_revision(confirm(1)).await), no_trial);
    let stale = refused(Code::Aborted, "STALE_REVISION");
    assert_eq!(refusal(pods.confirm_revision(confirm(7)).await), stale);
    let unsaid = refused(Code::InvalidArgument, "INVALID_REVISION");
    assert_eq!(refusal(pods.confirm_revision(confirm(0)).await), unsaid);
    let bad = RollbackBundleRequest {
        name: "No".into(),
        request_id: "/".into(),
        ..Default::default()
    };
    let error = pods.rollback_bundle(bad).await.unwrap_err();
    let violations = error.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|it| it.field.as_str()).collect();
    assert_eq!(fields, ["name", "request_id"]);

    let removal = RemoveBundleRequest {
        name: "app".into(),
        ..Default::default()
    };
    pods.remove_bundle(removal).await.expect("remove");
    let removal = refused(Code::FailedPrecondition, "REVISION_IS_REMOVAL");
    assert_eq!(refusal(pods.rollback_bundle(back(2)).await), removal);

    // A trial without a runtime.
    let mut on_trial = request("other", &["b"]);
    on_trial.trial = trial(TrialConfirmation::Explicit);
    let no_runtime = refused(Code::FailedPrecondition, "RUNTIME_NOT_CONFIGURED");
    assert_eq!(refusal(pods.inject_pods(on_trial).await), no_runtime);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_is_told_until_it_is_confirmed() {
    let (bench, images) = bench_with_images();
    let mut pods = bench.pods();
    images.load("example/a:1");
    images.load("example/b:1");
    bench.inject("app", &["a"]).await;
    let mut second = request("app", &["b"]);
    second.trial = trial(TrialConfirmation::Explicit);
    second.request_id = "two".into();
    let injected = pods.inject_pods(second.clone()).await.unwrap().into_inner();
    let status = injected.bundle.clone().unwrap().trial.expect("on trial");
    assert_eq!(status.state(), trial_status::State::Pending);
    assert_eq!(status.confirmation(), TrialConfirmation::Explicit);
    assert_eq!(
        (status.timeout.unwrap().seconds, status.fallback_revision),
        (60, 1)
    );
    let remaining = status.remaining.unwrap().seconds;
    assert!((50..=60).contains(&remaining), "{remaining}");

    // The same request again is answered without looking at the images.
    images.there.lock().unwrap().clear();
    let again = pods.inject_pods(second.clone()).await.unwrap().into_inner();
    assert_eq!(again.bundle.unwrap().revision, 2);
    // With another trial it is another request.
    second.trial = trial(TrialConfirmation::Readiness);
    let reused = (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned());
    assert_eq!(refusal(pods.inject_pods(second).await), reused);

    let confirm = ConfirmRevisionRequest {
        name: "app".into(),
        revision: 2,
    };
    for _ in 0..2 {
        let confirmed = pods
            .confirm_revision(confirm.clone())
            .await
            .unwrap()
            .into_inner();
        let revision = confirmed.revision.unwrap();
        assert!(revision.good && revision.active && revision.manifests.is_empty());
        let status = revision.trial.unwrap();
        assert_eq!(
            (status.state(), status.remaining),
            (trial_status::State::Confirmed, None)
        );
    }
    let bundle = pods
        .get_bundle(GetBundleRequest { name: "app".into() })
        .await;
    let bundle = bundle.unwrap().into_inner();
    assert_eq!(bundle.last_good_revision, 2);
    assert_eq!(
        bundle.trial.unwrap().state(),
        trial_status::State::Confirmed
    );

    images.load("example/a:1");
    let mut third = request("app", &["a"]);
    third.trial = trial(TrialConfirmation::Readiness);
    pods.inject_pods(third).await.expect("a good bundle");
    bench.inject("app", &["b"]).await;
    let revisions = pods
        .list_revisions(list())
        .await
        .unwrap()
        .into_inner()
        .revisions;
    let states: Vec<_> = revisions
        .iter()
        .map(|it| it.trial.as_ref().map(seedpod_proto::v1::TrialStatus::state))
        .collect();
    let (over, confirmed) = (trial_status::State::Over, trial_status::State::Confirmed);
    assert_eq!(states, [None, Some(over), Some(confirmed), None]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_trial_is_refused_with_its_field() {
    let bench = Bench::new();
    let mut pods = bench.pods();
    let time = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    for (timeout, confirmation, field) in [
        (None, 0, "trial.timeout"),
        (time(0, 999_999_999), 0, "trial.timeout"),
        (time(-5, 0), 0, "trial.timeout"),
        (time(86_400, 1), 0, "trial.timeout"),
        (time(i64::MAX, i32::MAX), 0, "trial.timeout"),
        (time(60, 0), 9, "trial.confirmation"),
    ] {
        let mut request = request("app", &["a"]);
        request.trial = Some(Trial {
            timeout,
            confirmation,
        });
        let error = pods.inject_pods(request).await.unwrap_err();
        let told = (error.code(), reason(&error));
        assert_eq!(told, (Code::InvalidArgument, "INVALID_TRIAL".to_owned()));
        let violations = error.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, field);
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_looked_at_before_a_trial_changes_anything() {
    let (bench, images) = bench_with_images();
    let mut pods = bench.pods();
    images.load("example/a:1");
    bench.inject("app", &["a"]).await;
    let on_trial = |manifests: &[String]| InjectPodsRequest {
        trial: trial(TrialConfirmation::Readiness),
        ..injection(manifests)
    };
    let never = "    imagePullPolicy: Never\n";

    // Without a trial nothing is looked at; with one, what is unchanged is not either.
    let missing = [manifest("a"), pod("b", "gone:1", never)];
    for validate_only in [true, false] {
        let mut request = on_trial(&missing);
        request.validate_only = validate_only;
        let error = pods.inject_pods(request).await.unwrap_err();
        let told = (error.code(), reason(&error));
        assert_eq!(told, (Code::FailedPrecondition, "IMAGE_MISSING".to_owned()));
        let violations = error.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "manifests[1].spec.containers[0].image");
        assert_eq!(
            error.get_details_error_info().unwrap().metadata["image"],
            "gone:1"
        );
    }
    // What may be pulled is, unless nothing is to be changed.
    let pulled = [pod("b", "registry/b:1", ""), pod("c", "registry/b:1", "")];
    let mut dry = on_trial(&pulled);
    dry.validate_only = true;
    pods.inject_pods(dry).await.expect("it might be pulled");
    assert!(images.pulled.lock().unwrap().is_empty());
    pods.inject_pods(on_trial(&pulled)).await.expect("pulled");
    assert_eq!(*images.pulled.lock().unwrap(), ["registry/b:1"]);
    let error = pods
        .inject_pods(on_trial(&[pod("b", "gone:2", "")]))
        .await
        .unwrap_err();
    let told = (error.code(), reason(&error));
    assert_eq!(
        told,
        (Code::FailedPrecondition, "IMAGE_PULL_FAILED".to_owned())
    );
    assert!(
        error.message().contains("no registry has gone:2"),
        "{error:?}"
    );
    let bundle = pods
        .get_bundle(GetBundleRequest { name: "app".into() })
        .await;
    assert_eq!(bundle.unwrap().into_inner().revision, 2);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_waits_for_a_runtime_that_is_away() {
    let bench = Bench::with_runtime(|folder| {
        let socket = folder.join("none.sock");
        Some(CriRuntime::new(&socket.display().to_string()).expect("an endpoint"))
    });
    let mut request = request("app", &["a"]);
    request.trial = trial(TrialConfirmation::Readiness);
    let error = bench.pods().inject_pods(request).await.unwrap_err();
    let told = (error.code(), reason(&error));
    assert_eq!(
        told,
        (
            Code::Unavailable,
            "CONTAINER_RUNTIME_UNREACHABLE".to_owned()
        )
    );
    assert!(error.get_details_retry_info().is_some());
    bench.end().await;
}
