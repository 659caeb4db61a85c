//! `ApplyObjects`, against an API server of the test's own.

use futures_util::StreamExt as _;
use http::Method;
use seedpod_proto::v1::{
    ApplyObjectsRequest, ApplyObjectsResponse, apply_objects_response::Result as Outcome,
    handoff_service_client::HandoffServiceClient,
};
use serde_json::json;

use super::*;
use crate::kube::testing::{FakeApi, Reply, refusal};

const PATIENCE: Duration = Duration::from_secs(20);
const PATH: &str = "/api/v1/namespaces/default/configmaps/a";

fn request(api: &FakeApi, names: &[&str]) -> ApplyObjectsRequest {
    ApplyObjectsRequest {
        manifests: names
            .iter()
            .map(|name| {
                format!(
                    "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{k: v}}\n"
                )
            })
            .collect(),
        kubeconfig: api.kubeconfig(),
        ..ApplyObjectsRequest::default()
    }
}

impl Bench {
    fn handoff(&self) -> HandoffServiceClient<Routes> {
        HandoffServiceClient::new(self.routes.clone())
    }

    /// What came, and how it ended.
    async fn apply(
        &self,
        request: ApplyObjectsRequest,
    ) -> (Vec<ApplyObjectsResponse>, Result<(), Status>) {
        let mut stream = match self.handoff().apply_objects(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return (Vec::new(), Err(status)),
        };
        let mut answers = Vec::new();
        let all = async {
            while let Some(answer) = stream.message().await? {
                answers.push(answer);
            }
            Ok(())
        };
        let result = tokio::time::timeout(PATIENCE, all).await.expect("it ends");
        (answers, result)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_object_is_told_with_what_became_of_it() {
    let (bench, api) = (Bench::new(), FakeApi::start().await);
    api.reply(Method::PATCH, PATH, 1, Reply::Later(503, 0));
    let (answers, result) = bench.apply(request(&api, &["a", "b"])).await;
    result.expect("all applied");
    let told = |answers: &[ApplyObjectsResponse]| {
        let mut told: Vec<_> = answers
            .iter()
            .map(|it| (it.object.clone().unwrap().name, it.result()))
            .collect();
        told.sort_by_key(|it| it.0.clone());
        told
    };
    assert_eq!(
        told(&answers),
        [
            ("a".to_owned(), Outcome::Waiting),
            ("a".to_owned(), Outcome::Created),
            ("b".to_owned(), Outcome::Created),
        ]
    );
    let object = answers.last().unwrap().object.clone().unwrap();
    assert_eq!(
        (object.api_version.as_str(), object.kind.as_str()),
        ("v1", "ConfigMap")
    );
    assert_eq!(object.namespace, "default");
    assert!(answers[0].message.contains("503"), "{answers:?}");

    let (answers, _) = bench.apply(request(&api, &["a", "b"])).await;
    assert!(answers.iter().all(|it| it.result() == Outcome::Unchanged));
    let mut dry = request(&api, &["c"]);
    dry.validate_only = true;
    let (answers, result) = bench.apply(dry).await;
    result.expect("a good object");
    assert_eq!(answers[0].result(), Outcome::Created);
    assert_eq!(api.object(&PATH.replace("/a", "/c")), None);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_has_its_code_reason_and_field() {
    let (bench, api) = (Bench::new(), FakeApi::start().await);
    let good = request(&api, &["a"]);
    let with = |change: &dyn Fn(&mut ApplyObjectsRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let other = FakeApi::start().await;
    let untrusted = other
        .kubeconfig()
        .replace(&other.address.to_string(), &api.address.to_string());
    let rows = [
        (
            with(&|it| it.manifests.clear()),
            Code::InvalidArgument,
            "NO_MANIFESTS",
            "manifests",
        ),
        (
            with(&|it| it.manifests.push("kind: A".into())),
            Code::InvalidArgument,
            "INVALID_MANIFEST",
            "manifests[1].apiVersion",
        ),
        (
            with(&|it| it.kubeconfig = "{}".into()),
            Code::InvalidArgument,
            "INVALID_KUBECONFIG",
            "kubeconfig.current-context",
        ),
        (
            with(&|it| it.timeout = seconds(0)),
            Code::InvalidArgument,
            "INVALID_TIMEOUT",
            "timeout",
        ),
        (
            with(&|it| it.timeout = seconds(-1)),
            Code::InvalidArgument,
            "INVALID_TIMEOUT",
            "timeout",
        ),
        (
            with(&|it| it.timeout = seconds(99_999)),
            Code::InvalidArgument,
            "INVALID_TIMEOUT",
            "timeout",
        ),
        (
            with(&|it| {
                it.manifests = vec!["{apiVersion: v1, kind: Cat, metadata: {name: c}}".into()];
            }),
            Code::InvalidArgument,
            "UNKNOWN_KIND",
            "manifests[0]",
        ),
        (
            with(&|it| it.manifests.push("x".repeat(100_001))),
            Code::InvalidArgument,
            "INVALID_MANIFEST",
            "manifests",
        ),
    ];
    for (request, code, expected, field) in rows {
        let status = bench.apply(request).await.1.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected));
        let violations = status
            .get_details_bad_request()
            .expect("fields")
            .field_violations;
        assert_eq!(violations[0].field, field);
    }

    let conflict = json!({"causes": [
        {"reason": "FieldManagerConflict", "field": ".data.k", "message": "conflict with \"kubectl\" using v1"}]});
    api.reply(
        Method::PATCH,
        PATH,
        1,
        refusal(409, "Conflict", "", &conflict),
    );
    let status = bench.apply(good.clone()).await.1.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Aborted, "FIELD_MANAGER_CONFLICT")
    );
    let metadata = status.get_details_error_info().unwrap().metadata;
    assert_eq!(
        (metadata["field"].as_str(), metadata["manager"].as_str()),
        ("data.k", "kubectl")
    );

    api.reply(Method::PATCH, PATH, 99, Reply::Later(503, 0));
    let (answers, result) = bench.apply(with(&|it| it.timeout = seconds(1))).await;
    let status = result.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unavailable, "OBJECTS_NOT_APPLIED")
    );
    assert!(
        status.message().contains("ConfigMap default/a"),
        "{status:?}"
    );
    assert_eq!(
        answers.len(),
        1,
        "the same reason is told once: {answers:?}"
    );

    let mut stranger = good;
    stranger.kubeconfig = untrusted;
    stranger.timeout = seconds(1);
    let status = bench.apply(stranger).await.1.unwrap_err();
    assert!(status.message().contains("TLS handshake"), "{status:?}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_on_without_the_client() {
    let (bench, api) = (Bench::new(), FakeApi::start().await);
    api.reply(Method::PATCH, PATH, 1, Reply::Hang);
    let mut stream = bench
        .handoff()
        .apply_objects(request(&api, &["a"]))
        .await
        .unwrap()
        .into_inner();
    let patched = async {
        while !api.seen().iter().any(|it| it.method == Method::PATCH) {
            // The stream is read, so that the call goes on.
            let next = tokio::time::timeout(Duration::from_millis(5), stream.next()).await;
            assert!(next.is_err(), "it hangs");
        }
    };
    tokio::time::timeout(PATIENCE, patched)
        .await
        .expect("it is asked");
    drop(stream);
    // The hanging connection is cut when the task has ended, and the one after it is never made.
    let cut = async {
        while api.open_connections() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, cut)
        .await
        .expect("it is cancelled");
    assert_eq!(api.object(PATH), None);
    bench.end().await;
}
