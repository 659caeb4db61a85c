//! A service whose answers a test writes, over a Unix socket or TLS, on a thread of its own.

mod serve;
mod stream;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use seedpod_client::{Client, Options};
use seedpod_proto::v1;
use tempfile::TempDir;
use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

pub(crate) use serve::Tls;
pub(crate) use stream::{Gone, Step, gate};

/// What the service does with one call.
pub(crate) enum Answer<R> {
    Reply(R),
    Refuse(Status),
    /// Never answers.
    Hang,
    /// Cuts all connections instead of answering.
    Cut,
}

type Handler<Q, R> = Box<dyn FnMut(&Q) -> Answer<R> + Send>;

/// The answers, and what was asked.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) inject: Option<Handler<v1::InjectPodsRequest, v1::InjectPodsResponse>>,
    pub(crate) get_bundle: Option<Handler<v1::GetBundleRequest, v1::Bundle>>,
    pub(crate) list_bundles: Option<Handler<v1::ListBundlesRequest, v1::ListBundlesResponse>>,
    pub(crate) list_pods: Option<Handler<v1::ListPodsRequest, v1::ListPodsResponse>>,
    pub(crate) list_objects: Option<Handler<v1::ListObjectsRequest, v1::ListObjectsResponse>>,
    pub(crate) remove: Option<Handler<v1::RemoveBundleRequest, v1::RemoveBundleResponse>>,
    pub(crate) watch_pods: Option<Handler<v1::WatchPodsRequest, Vec<Step<v1::WatchPodsResponse>>>>,
    pub(crate) logs: Option<Handler<v1::GetPodLogsRequest, Vec<Step<v1::GetPodLogsResponse>>>>,
    pub(crate) events: Option<Handler<v1::WatchEventsRequest, Vec<Step<v1::WatchEventsResponse>>>>,
    pub(crate) list_revisions: Option<Handler<v1::ListRevisionsRequest, v1::ListRevisionsResponse>>,
    pub(crate) get_revision: Option<Handler<v1::GetRevisionRequest, v1::Revision>>,
    pub(crate) rollback: Option<Handler<v1::RollbackBundleRequest, v1::RollbackBundleResponse>>,
    pub(crate) confirm: Option<Handler<v1::ConfirmRevisionRequest, v1::ConfirmRevisionResponse>>,
    pub(crate) get_node: Option<Handler<v1::GetNodeRequest, v1::Node>>,
    pub(crate) start_handoff: Option<Handler<v1::StartHandoffRequest, v1::Handoff>>,
    pub(crate) get_handoff: Option<Handler<v1::GetHandoffRequest, v1::Handoff>>,
    pub(crate) watch_handoff:
        Option<Handler<v1::WatchHandoffRequest, Vec<Step<v1::WatchHandoffResponse>>>>,
    pub(crate) abort_handoff: Option<Handler<v1::AbortHandoffRequest, v1::Handoff>>,
    pub(crate) handoffs_started: Vec<v1::StartHandoffRequest>,
    pub(crate) handoffs_aborted: Vec<v1::AbortHandoffRequest>,
    pub(crate) injected: Vec<v1::InjectPodsRequest>,
    pub(crate) removed: Vec<v1::RemoveBundleRequest>,
    pub(crate) pods_watched: Vec<v1::WatchPodsRequest>,
    pub(crate) logs_asked: Vec<v1::GetPodLogsRequest>,
    pub(crate) events_watched: Vec<v1::WatchEventsRequest>,
    pub(crate) rolled_back: Vec<v1::RollbackBundleRequest>,
    pub(crate) confirmed: Vec<v1::ConfirmRevisionRequest>,
    /// The method and `grpc-timeout` of each call.
    pub(crate) calls: Vec<(&'static str, Option<String>)>,
}

impl Script {
    pub(crate) fn count(&self, method: &str) -> usize {
        self.calls
            .iter()
            .filter(|(called, _)| *called == method)
            .count()
    }
}

/// The running service. It ends when this is dropped.
pub(crate) struct Fake {
    pub(crate) endpoint: String,
    script: Arc<Mutex<Script>>,
    _running: serve::Running,
    _directory: TempDir,
}

impl Fake {
    /// On a Unix socket.
    pub(crate) fn start(script: Script) -> Self {
        let directory = tempfile::tempdir().expect("a scratch folder");
        let socket = directory.path().join("seedpod.sock");
        let endpoint = format!("unix://{}", socket.display());
        Self::run(script, directory, endpoint, serve::Listen::Unix(socket))
    }

    /// On a free TCP port of 127.0.0.1, with TLS.
    pub(crate) fn start_tls(script: Script, tls: Tls) -> Self {
        let directory = tempfile::tempdir().expect("a scratch folder");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let endpoint = format!("https://127.0.0.1:{port}");
        Self::run(
            script,
            directory,
            endpoint,
            serve::Listen::Tcp(listener, Box::new(tls)),
        )
    }

    fn run(script: Script, directory: TempDir, endpoint: String, listen: serve::Listen) -> Self {
        let script = Arc::new(Mutex::new(script));
        let running = serve::Running::start(Arc::clone(&script), listen);
        Self {
            endpoint,
            script,
            _running: running,
            _directory: directory,
        }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no test panicked with it")
    }

    pub(crate) fn options(&self) -> Options {
        Options::new(&self.endpoint).expect("an endpoint")
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.options()).await.expect("a connection")
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self._directory.path().to_owned()
    }
}

/// A handler that always answers alike.
pub(crate) fn always<Q, R: Clone + Send + 'static>(reply: R) -> Option<Handler<Q, R>> {
    Some(Box::new(move |_| Answer::Reply(reply.clone())))
}

/// A handler that gives one answer after the other; the last one from then on.
pub(crate) fn each<Q, R: Clone + Send + 'static>(replies: Vec<R>) -> Option<Handler<Q, R>> {
    let mut next = 0;
    Some(Box::new(move |_| {
        let reply = replies[next.min(replies.len() - 1)].clone();
        next += 1;
        Answer::Reply(reply)
    }))
}

/// A handler that first does other things, and from then on answers alike.
pub(crate) fn after<Q, R: Clone + Send + 'static>(
    first: Vec<Answer<R>>,
    reply: R,
) -> Option<Handler<Q, R>> {
    let mut first = first.into_iter();
    Some(Box::new(move |_| {
        first.next().unwrap_or_else(|| Answer::Reply(reply.clone()))
    }))
}

/// A refusal as seedpodd makes them.
pub(crate) fn refusal(code: tonic::Code, reason: &str, message: &str) -> Status {
    Status::with_error_details(code, message, info(reason))
}

pub(crate) fn info(reason: &str) -> ErrorDetails {
    ErrorDetails::with_error_info(
        reason,
        "seedpod.dev",
        [("bundle".to_owned(), "web".to_owned())],
    )
}

/// A refusal because of fields.
pub(crate) fn bad_request(violations: &[(&str, &str, &str)]) -> Status {
    let mut details = info("INVALID_MANIFEST");
    let violations: Vec<FieldViolation> = violations
        .iter()
        .map(|(field, description, reason)| {
            let mut violation = FieldViolation::new(*field, *description);
            violation.reason = (*reason).to_owned();
            violation
        })
        .collect();
    details.set_bad_request(violations);
    Status::with_error_details(
        tonic::Code::InvalidArgument,
        "the manifests are not valid",
        details,
    )
}

pub(crate) fn bundle(name: &str, revision: u64, pods: &[(&str, &str)]) -> v1::Bundle {
    let seconds = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    v1::Bundle {
        name: name.to_owned(),
        revision,
        digest: "sha256:00".to_owned(),
        create_time: seconds(1_790_000_000),
        update_time: seconds(1_790_000_100),
        pods: pods
            .iter()
            .map(|(name, uid)| v1::BundlePod {
                namespace: "kube-system".to_owned(),
                name: (*name).to_owned(),
                uid: (*uid).to_owned(),
                revision,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

pub(crate) fn pod(name: &str, uid: &str, state: v1::PodState, message: &str) -> v1::Pod {
    v1::Pod {
        bundle: "web".to_owned(),
        namespace: "kube-system".to_owned(),
        name: name.to_owned(),
        node_pod_name: format!("{name}-node-1"),
        uid: uid.to_owned(),
        revision: 3,
        state: state.into(),
        message: message.to_owned(),
        ..Default::default()
    }
}

pub(crate) fn pods(pods: &[v1::Pod]) -> v1::ListPodsResponse {
    v1::ListPodsResponse {
        pods: pods.to_vec(),
        next_page_token: String::new(),
    }
}

/// All pods, as the first answer to a watch has them.
pub(crate) fn whole(pods: &[v1::Pod]) -> Step<v1::WatchPodsResponse> {
    Step::Send(v1::WatchPodsResponse {
        whole: true,
        pods: pods.to_vec(),
        removed: Vec::new(),
    })
}

/// Pods that have changed.
pub(crate) fn change(pods: &[v1::Pod]) -> Step<v1::WatchPodsResponse> {
    Step::Send(v1::WatchPodsResponse {
        whole: false,
        pods: pods.to_vec(),
        removed: Vec::new(),
    })
}

/// A watch that stays open after these steps.
pub(crate) fn watch(
    mut steps: Vec<Step<v1::WatchPodsResponse>>,
) -> Option<Handler<v1::WatchPodsRequest, Vec<Step<v1::WatchPodsResponse>>>> {
    steps.push(Step::Stay(None));
    always(steps)
}

pub(crate) fn injected(
    bundle: v1::Bundle,
    changes: &[(&str, v1::pod_change::Type, &str)],
) -> v1::InjectPodsResponse {
    let changes = changes
        .iter()
        .map(|(name, r#type, diff)| v1::PodChange {
            namespace: "kube-system".to_owned(),
            name: (*name).to_owned(),
            r#type: (*r#type).into(),
            diff: (*diff).to_owned(),
        })
        .collect();
    v1::InjectPodsResponse {
        bundle: Some(bundle),
        changes,
        warnings: Vec::new(),
        object_changes: Vec::new(),
    }
}

/// A Secret with two keys that pod `a` uses, or a ConfigMap with one that none does.
pub(crate) fn object(kind: v1::ObjectKind, name: &str) -> v1::Object {
    let key = |key: &str, size, digit: &str| v1::ObjectKey {
        key: key.to_owned(),
        size,
        digest: format!("hmac-sha256:{}", digit.repeat(64)),
    };
    let object = v1::Object {
        bundle: "web".to_owned(),
        kind: kind.into(),
        namespace: "kube-system".to_owned(),
        name: name.to_owned(),
        revision: 3,
        keys: vec![key("motd", 12, "c")],
        ..Default::default()
    };
    match kind {
        v1::ObjectKind::Secret => v1::Object {
            r#type: "Opaque".to_owned(),
            immutable: true,
            keys: vec![key("ca.crt", 1107, "a"), key("server.key", 9, "b")],
            used_by: vec![v1::PodReference {
                bundle: "web".to_owned(),
                namespace: "kube-system".to_owned(),
                name: "a".to_owned(),
            }],
            ..object
        },
        _ => object,
    }
}

pub(crate) fn object_change(
    kind: v1::ObjectKind,
    name: &str,
    r#type: v1::pod_change::Type,
    diff: &str,
) -> v1::ObjectChange {
    v1::ObjectChange {
        kind: kind.into(),
        namespace: "kube-system".to_owned(),
        name: name.to_owned(),
        r#type: r#type.into(),
        diff: diff.to_owned(),
    }
}

pub(crate) fn node() -> v1::Node {
    v1::Node {
        name: "node-1".to_owned(),
        seedpod_version: "9.8.7".to_owned(),
        start_time: Some(prost_types::Timestamp {
            seconds: 1_790_000_000,
            nanos: 0,
        }),
        container_runtime: Some(v1::ContainerRuntime {
            state: v1::container_runtime::State::Connected.into(),
            endpoint: "unix:///run/containerd/containerd.sock".to_owned(),
            name: "containerd".to_owned(),
            version: "2.4.0".to_owned(),
        }),
        kubelet: Some(v1::Kubelet {
            state: v1::kubelet::State::Seen.into(),
            root_directory: "/var/lib/kubelet".to_owned(),
            sync: v1::kubelet::Sync::Synced.into(),
        }),
        bundle_count: 2,
        pod_count: 7,
        limits: Some(v1::Limits {
            max_pods_per_bundle: 64,
            max_bundle_bytes: 4 << 20,
        }),
        objects: Some(v1::Objects {
            volumes_directory: "/run/seedpod/volumes".to_owned(),
            encrypted: true,
            key_name: "key-2026-11-25".to_owned(),
        }),
        ..Default::default()
    }
}
