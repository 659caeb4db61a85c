//! Against a Pods API on a real socket that the test plays.

#![allow(
    clippy::disallowed_methods,
    reason = "the test plays the kubelet, which makes its socket"
)]

use std::{path::Path, sync::Mutex, time::Duration};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use prost::Message as _;
use seedpod_proto::kubelet::{
    self as api, EventType, ListPodsRequest, ListPodsResponse, WatchPodsEvent, WatchPodsRequest,
    pods_server::{Pods, PodsServer},
};
use tokio::{
    net::UnixListener,
    sync::{broadcast, mpsc},
};
use tokio_stream::wrappers::{BroadcastStream, UnixListenerStream};
use tonic::{Request, Response, Status};

use super::*;

/// A kubelet: what it answers, and what it tells of then.
#[derive(Clone)]
struct Played {
    pods: Arc<Mutex<Result<Vec<Vec<u8>>, Status>>>,
    changes: broadcast::Sender<WatchPodsEvent>,
    tells_changes: bool,
}

#[tonic::async_trait]
impl Pods for Played {
    async fn list_pods(
        &self,
        _: Request<ListPodsRequest>,
    ) -> Result<Response<ListPodsResponse>, Status> {
        let pods = self.pods.lock().expect("not poisoned").clone()?;
        Ok(Response::new(ListPodsResponse { pods }))
    }

    type WatchPodsStream = BoxStream<'static, Result<WatchPodsEvent, Status>>;

    async fn watch_pods(
        &self,
        _: Request<WatchPodsRequest>,
    ) -> Result<Response<Self::WatchPodsStream>, Status> {
        if !self.tells_changes {
            return Err(Status::unimplemented("not yet"));
        }
        let changes = self.changes.subscribe();
        let pods = self.pods.lock().expect("not poisoned").clone()?;
        let whole = event(EventType::InitialSyncComplete, Vec::new());
        let first = pods
            .into_iter()
            .map(|pod| event(EventType::Added, pod))
            .chain([whole]);
        let changes = BroadcastStream::new(changes).filter_map(|it| std::future::ready(it.ok()));
        Ok(Response::new(
            stream::iter(first).chain(changes).map(Ok).boxed(),
        ))
    }
}

fn event(kind: EventType, pod: Vec<u8>) -> WatchPodsEvent {
    WatchPodsEvent {
        r#type: kind.into(),
        pod,
    }
}

fn pod(uid: &str, phase: &str, waiting: Option<&str>) -> Vec<u8> {
    let container = waiting.map(|reason| api::ContainerStatus {
        name: "main".into(),
        state: Some(api::ContainerState {
            waiting: Some(api::ContainerStateWaiting {
                reason: reason.into(),
                message: "because".into(),
            }),
        }),
    });
    api::Pod {
        metadata: Some(api::ObjectMeta {
            name: "web".into(),
            namespace: "default".into(),
            uid: uid.into(),
        }),
        status: Some(api::PodStatus {
            phase: phase.into(),
            host_ip: "10.0.0.1".into(),
            container_statuses: container.into_iter().collect(),
            ..api::PodStatus::default()
        }),
    }
    .encode_to_vec()
}

struct Kubelet {
    root: tempfile::TempDir,
    played: Played,
    /// Of its own, so that its end is the end of all connections.
    serving: Option<tokio::runtime::Runtime>,
}

impl Kubelet {
    fn new(pods: Result<Vec<Vec<u8>>, Status>) -> Self {
        let (changes, _) = broadcast::channel(16);
        let root = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir(root.path().join("pods-api")).expect("make the folder");
        Self {
            root,
            played: Played {
                pods: Arc::new(Mutex::new(pods)),
                changes,
                tells_changes: true,
            },
            serving: None,
        }
    }

    fn root(&self) -> &Path {
        self.root.path()
    }

    fn serve(&mut self) {
        let socket = self.root().join("pods-api/pods-api.sock");
        let _ = std::fs::remove_file(&socket);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(socket).expect("bind")
        };
        let served = tonic::transport::Server::builder()
            .add_service(PodsServer::new(self.played.clone()))
            .serve_with_incoming(UnixListenerStream::new(listener));
        runtime.spawn(served);
        self.serving = Some(runtime);
    }

    /// The socket stays, as after a `kill -9`.
    fn kill(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.shutdown_background();
        }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn until(view: &mut KubeletWatch, what: &str, is: impl Fn(&KubeletView) -> bool) {
    let seen = view.wait_for(|view| is(view));
    let seen = tokio::time::timeout(Duration::from_secs(20), seen).await;
    let last = seen.is_err();
    assert!(!last, "waited in vain: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsynced_kubelet_becomes_a_synced_one_dies_and_comes_back() {
    let mut kubelet = Kubelet::new(Err(Status::failed_precondition("Kubelet is initializing")));
    let stop = CancellationToken::new();
    let (mut view, task) = start(kubelet.root(), stop.clone());
    view.changed().await.expect("alive");
    assert_eq!(view.borrow_and_update().sync, Sync::Unknown, "no socket");
    kubelet.serve();
    until(&mut view, "unsynced", |view| view.sync == Sync::Unsynced).await;
    let pods = vec![
        pod("u1", "Running", None),
        pod("u2", "Pending", Some("ErrImageNeverPull")),
    ];
    *kubelet.played.pods.lock().expect("not poisoned") = Ok(pods);
    until(&mut view, "synced", |view| view.sync == Sync::Synced).await;
    let seen = Arc::clone(&view.borrow());
    assert_eq!(seen.pods.len(), 2);
    assert_eq!(seen.pods["u1"].phase, "Running");
    assert_eq!(seen.pods["u1"].ip, "10.0.0.1");
    assert_eq!(seen.pods["u2"].waiting[0].reason, "ErrImageNeverPull");

    let change = |kind, pod| kubelet.played.changes.send(event(kind, pod));
    change(EventType::Modified, pod("u2", "Running", None)).expect("heard");
    until(&mut view, "modified", |view| {
        view.pods["u2"].phase == "Running"
    })
    .await;
    change(EventType::Deleted, pod("u1", "", None)).expect("heard");
    until(&mut view, "deleted", |view| !view.pods.contains_key("u1")).await;

    kubelet.kill();
    until(&mut view, "down", |view| view.sync == Sync::Down).await;
    assert_eq!(view.borrow().pods.len(), 0, "not known any more");
    kubelet.serve();
    until(&mut view, "synced again", |view| view.sync == Sync::Synced).await;
    stop.cancel();
    task.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_tells_of_no_changes_is_asked_again_and_again() {
    let mut kubelet = Kubelet::new(Ok(vec![pod("u1", "Pending", None)]));
    kubelet.played.tells_changes = false;
    kubelet.serve();
    let stop = CancellationToken::new();
    let (mut view, task) = start(kubelet.root(), stop.clone());
    until(&mut view, "listed", |view| view.pods.contains_key("u1")).await;
    *kubelet.played.pods.lock().expect("not poisoned") = Ok(vec![pod("u1", "Running", None)]);
    until(&mut view, "listed again", |view| {
        view.pods["u1"].phase == "Running"
    })
    .await;
    stop.cancel();
    task.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_changed_is_not_told_again() {
    let mut kubelet = Kubelet::new(Ok(vec![pod("u1", "Running", None)]));
    kubelet.serve();
    let stop = CancellationToken::new();
    let (mut view, task) = start(kubelet.root(), stop.clone());
    until(&mut view, "synced", |view| view.sync == Sync::Synced).await;
    view.mark_unchanged();
    let (told, mut tells) = mpsc::channel(1);
    let changes = kubelet.played.changes.clone();
    let same = event(EventType::Modified, pod("u1", "Running", None));
    changes.send(same).expect("heard");
    let other = event(EventType::Added, pod("u2", "Pending", None));
    changes.send(other).expect("heard");
    let mut follower = view.clone();
    tokio::spawn(async move {
        let _ = follower.changed().await;
        let seen = follower.borrow().pods.len();
        let _ = told.send(seen).await;
    });
    // The first news is the second event.
    assert_eq!(tells.recv().await, Some(2));
    stop.cancel();
    task.await.expect("no panic");
}
