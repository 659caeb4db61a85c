//! The node's handoff over gRPC.

use std::collections::BTreeSet;

use seedpod_manifest::PodKey;
use seedpod_proto::v1::{
    AbortHandoffRequest, GetHandoffRequest, HandoffState, RollbackBundleRequest,
    StartHandoffRequest, WatchHandoffRequest, handoff_service_client::HandoffServiceClient,
};
use zeroize::Zeroizing;

use super::*;
use crate::handoff::{Component, Deadlines, Kind, Material, Record, Spec, Stage, SteeringUsed};

impl Bench {
    fn handoffs(&self) -> HandoffServiceClient<Routes> {
        HandoffServiceClient::new(self.routes.clone())
    }

    /// A bundle that was ready once, on a node with a runtime that does not answer.
    async fn ready() -> Self {
        let bench = Self::with_runtime(|folder| {
            let socket = folder.join("no-runtime");
            CriRuntime::new(&format!("unix://{}", socket.display())).ok()
        });
        bench.inject("control-plane", &["apiserver"]).await;
        bench
            .handle
            .mark_ready(&"control-plane".parse().expect("a valid name"), 1)
            .await;
        bench
    }

    async fn begin(&self) -> Arc<Record> {
        let spec = Spec {
            bundle: "control-plane".parse().expect("a valid name"),
            components: vec![Component {
                kind: Kind::ApiServer { port: 6443 },
                injected: apiserver(),
                namespace: "kube-system".to_owned(),
                selector: [].into(),
            }],
            node_labels: [].into(),
            deadlines: Deadlines::default(),
            stable_for: Duration::from_secs(10),
        };
        let material = Material {
            manifests: Vec::new(),
            kubeconfig: Zeroizing::new("secret".to_owned()),
        };
        let begun = self.handle.start_handoff(spec, material, None).await;
        begun.expect("begun")
    }

    async fn to(&self, stage: Stage, withheld: BTreeSet<PodKey>) {
        let state = self.handle.state();
        let mut next = Record::clone(state.handoff.as_ref().expect("a handoff"));
        next.generation += 1;
        next.stage = stage;
        next.withheld = withheld;
        next.steering = Some(SteeringUsed::ByLoopback);
        self.handle.advance_handoff(next).await.expect("advanced");
    }
}

fn apiserver() -> PodKey {
    PodKey {
        namespace: "default".to_owned(),
        name: "apiserver".to_owned(),
    }
}

fn code<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.expect_err("refused");
    (status.code(), reason(&status))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_handoff_there_is_none_to_show() {
    let bench = Bench::new();
    let mut client = bench.handoffs();
    let none = (Code::NotFound, "HANDOFF_NOT_FOUND".to_owned());
    assert_eq!(code(client.get_handoff(GetHandoffRequest {}).await), none);
    let watched = client.watch_handoff(WatchHandoffRequest {}).await;
    assert_eq!(code(watched.map(drop)), none);
    let aborted = client.abort_handoff(AbortHandoffRequest::default()).await;
    assert_eq!(code(aborted), none);
    let started = client.start_handoff(StartHandoffRequest::default()).await;
    assert_eq!(code(started).0, Code::InvalidArgument);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_is_shown_watched_and_aborted() {
    let bench = Bench::ready().await;
    let record = bench.begin().await;
    let mut client = bench.handoffs();
    let shown = client.get_handoff(GetHandoffRequest {}).await.expect("one");
    let shown = shown.into_inner();
    assert_eq!(shown.id, record.id);
    assert_eq!(shown.state(), HandoffState::Applying);
    assert_eq!((shown.generation, shown.steps.len()), (1, 1));
    assert!(shown.deadline.is_some() && shown.steps[0].end_time.is_none());

    let watched = client.watch_handoff(WatchHandoffRequest {}).await;
    let mut watched = watched.expect("a watch").into_inner();
    let first = watched.message().await.expect("an answer").expect("one");
    assert_eq!(first.handoff, Some(shown));
    bench
        .handle
        .handoff_message()
        .send_replace("the API server".to_owned());
    let next = watched.message().await.expect("an answer").expect("one");
    let next = next.handoff.expect("a handoff");
    assert_eq!(
        (next.generation, next.message.as_str()),
        (1, "the API server")
    );
    bench
        .to(Stage::HandingOver, BTreeSet::from([apiserver()]))
        .await;
    let next = watched.message().await.expect("an answer").expect("one");
    let next = next.handoff.expect("a handoff");
    assert_eq!(next.state(), HandoffState::HandingOver);
    assert_eq!(next.withheld[0].name, "apiserver");
    assert_eq!(next.steering.expect("decided").mode, 1);

    // The bundle stays as it is meanwhile.
    let under_way = (Code::FailedPrecondition, "HANDOFF_UNDER_WAY".to_owned());
    let injected = bench
        .pods()
        .inject_pods(request("control-plane", &["x"]))
        .await;
    assert_eq!(code(injected), under_way);
    let mut pods = bench.pods();
    let removed = pods.remove_bundle(RemoveBundleRequest {
        name: "control-plane".to_owned(),
        ..RemoveBundleRequest::default()
    });
    assert_eq!(code(removed.await), under_way);
    let back = pods.rollback_bundle(RollbackBundleRequest {
        name: "control-plane".to_owned(),
        to_revision: 1,
        ..RollbackBundleRequest::default()
    });
    assert_eq!(code(back.await), under_way);

    let id = AbortHandoffRequest {
        id: "another".to_owned(),
    };
    let none = (Code::NotFound, "HANDOFF_NOT_FOUND".to_owned());
    assert_eq!(code(client.abort_handoff(id).await), none);
    let aborted = client.abort_handoff(AbortHandoffRequest::default()).await;
    let aborted = aborted.expect("aborted").into_inner();
    assert_eq!(aborted.state(), HandoffState::Reverting);
    let failure = aborted.failure.expect("why");
    assert_eq!(
        (failure.reason.as_str(), failure.state()),
        ("ABORTED", HandoffState::HandingOver)
    );
    assert_eq!(aborted.steps.len(), 2);
    let next = watched.message().await.expect("an answer").expect("one");
    assert_eq!(
        next.handoff.expect("a handoff").state(),
        HandoffState::Reverting
    );
    drop(watched);

    bench.to(Stage::Reverted, BTreeSet::new()).await;
    bench.begin().await;
    bench
        .to(Stage::Committed, BTreeSet::from([apiserver()]))
        .await;
    let aborted = client.abort_handoff(AbortHandoffRequest::default()).await;
    assert_eq!(
        code(aborted),
        (Code::FailedPrecondition, "HANDED_OVER".to_owned())
    );
    let trial = InjectPodsRequest {
        trial: Some(seedpod_proto::v1::Trial {
            timeout: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            confirmation: 0,
        }),
        ..request("control-plane", &["apiserver"])
    };
    let standby = (Code::FailedPrecondition, "BUNDLE_IS_STANDBY".to_owned());
    assert_eq!(code(bench.pods().inject_pods(trial).await), standby);
    let text = bench.metrics.encode(None);
    assert!(
        text.contains("seedpod_handoff{state=\"COMMITTED\"} 1"),
        "{text}"
    );

    bench.to(Stage::StandingIn, BTreeSet::new()).await;
    let node = bench
        .node()
        .get_node(GetNodeRequest {})
        .await
        .expect("a node");
    let problems = node.into_inner().problems;
    assert!(
        problems.iter().any(|it| it.reason == "STANDING_IN"),
        "{problems:?}"
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_the_handoff_goes_with_its_bundle() {
    let bench = Bench::ready().await;
    bench.begin().await;
    bench
        .to(Stage::Committed, BTreeSet::from([apiserver()]))
        .await;
    let watched = bench.handoffs().watch_handoff(WatchHandoffRequest {}).await;
    let mut watched = watched.expect("a watch").into_inner();
    watched.message().await.expect("an answer").expect("one");
    bench
        .pods()
        .remove_bundle(RemoveBundleRequest {
            name: "control-plane".to_owned(),
            ..RemoveBundleRequest::default()
        })
        .await
        .expect("removed");
    let status = watched.message().await.expect_err("it is gone");
    assert_eq!(status.code(), Code::NotFound);
    bench.end().await;
}
