//! The services over a real node: its state and its directory on disk, gRPC in process.

mod apply;
mod events;
mod handoff;
mod host;
mod objects;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use seedpod_proto::v1::{
    BundleState, GetBundleRequest, GetNodeRequest, InjectPodsRequest, ListBundlesRequest,
    ListPodsRequest, Pod, PodState, RemoveBundleRequest, WatchPodsRequest, WatchPodsResponse,
    container_runtime, kubelet, node_service_client::NodeServiceClient, pod_change::Type,
    pod_injection_service_client::PodInjectionServiceClient,
};
use tokio::{net::UnixListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt;

use super::*;
use crate::{
    config::{KubeletFiles, KubeletRestart},
    fs::Disk,
    node::{Rules, Setup, start},
    projection::Settings,
};

mod revisions;

struct Bench {
    folder: tempfile::TempDir,
    handle: NodeHandle,
    routes: Routes,
    metrics: Metrics,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Bench {
    fn new() -> Self {
        Self::with_runtime(|_| None)
    }

    fn with_runtime(runtime: impl FnOnce(&Path) -> Option<CriRuntime>) -> Self {
        Self::with(runtime, Rules::default())
    }

    fn with_rules(rules: Rules) -> Self {
        Self::with(|_| None, rules)
    }

    fn with(runtime: impl FnOnce(&Path) -> Option<CriRuntime>, rules: Rules) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        Self::in_folder(folder, runtime, rules, None, KubeletFiles::default())
    }

    /// A node whose kubelet is restarted so and has these files.
    fn in_folder(
        folder: tempfile::TempDir,
        runtime: impl FnOnce(&Path) -> Option<CriRuntime>,
        rules: Rules,
        kubelet_restart: Option<KubeletRestart>,
        kubelet_files: KubeletFiles,
    ) -> Self {
        let runtime = runtime(folder.path());
        let (metrics, stop) = (Metrics::default(), CancellationToken::new());
        let node: NodeName = "node1".parse().expect("a valid name");
        let settings = Settings {
            directory: folder.path().join("manifests"),
            node: node.clone(),
            nudge_for: Duration::from_secs(60),
            repair_drift: true,
            kubelet_restart,
        };
        let state_directory = folder.path().join("state");
        let disk: Arc<dyn crate::fs::FileSystem> = Arc::new(Disk::new(metrics.clone()));
        let setup = Setup {
            fs: disk,
            state_directory: state_directory.clone(),
            encryption_keys: None,
            volumes_directory: folder.path().join("volumes"),
            projection: settings,
            runtime: runtime.clone(),
            kubelet: crate::kubelet::unknown(),
            rules,
            clock: crate::node::clock::BootClock::of_system(),
            metrics: metrics.clone(),
        };
        let host = Host::new(
            Arc::new(Disk::new(metrics.clone())),
            kubelet_files,
            vec![folder.path().join("data")],
            folder.path().join("kubelet"),
        );
        let (handle, tasks) = start(setup, stop.clone()).expect("a fresh node starts");
        let info = NodeInfo {
            node,
            version: "1.2.3",
            start_time: Timestamp::UNIX_EPOCH,
            static_pod_path: folder.path().join("manifests"),
            state_directory,
            volumes_directory: folder.path().join("volumes"),
            encryption_key: None,
            kubelet_root_directory: folder.path().join("kubelet"),
            max_pods_per_bundle: 4,
            max_bundle_bytes: 100_000,
            max_message_bytes: 110_000,
            request_timeout: Duration::from_secs(20),
            host,
        };
        let routes = routes(handle.clone(), runtime, info, metrics.clone());
        Self {
            folder,
            handle,
            routes,
            metrics,
            stop,
            tasks,
        }
    }

    fn pods(&self) -> PodInjectionServiceClient<Routes> {
        PodInjectionServiceClient::new(self.routes.clone())
    }

    fn node(&self) -> NodeServiceClient<Routes> {
        NodeServiceClient::new(self.routes.clone())
    }

    async fn inject(&self, bundle: &str, pods: &[&str]) {
        self.pods()
            .inject_pods(request(bundle, pods))
            .await
            .expect("a good bundle");
    }

    async fn end(self) {
        self.stop.cancel();
        drop(self.routes);
        for task in self.tasks {
            task.await.expect("no panic");
        }
    }
}

fn manifest(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  containers:\n  - name: main\n    image: \
         example/{name}:1\n"
    )
}

fn request(bundle: &str, pods: &[&str]) -> InjectPodsRequest {
    InjectPodsRequest {
        bundle: bundle.to_owned(),
        manifests: pods.iter().map(|name| manifest(name)).collect(),
        ..InjectPodsRequest::default()
    }
}

fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .expect("an ErrorInfo")
        .reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_injected_read_replaced_and_removed() {
    let bench = Bench::new();
    let mut pods = bench.pods();

    let first = pods
        .inject_pods(request("app", &["a", "b"]))
        .await
        .unwrap()
        .into_inner();
    let bundle = first.bundle.unwrap();
    assert_eq!(
        (bundle.name.as_str(), bundle.revision, bundle.pods.len()),
        ("app", 1, 2)
    );
    assert!(bundle.create_time.is_some() && bundle.update_time.is_some());
    assert!(
        first
            .changes
            .iter()
            .all(|c| c.r#type() == Type::Added && c.diff.is_empty())
    );
    let read = pods
        .get_bundle(GetBundleRequest { name: "app".into() })
        .await
        .unwrap();
    let mut read = read.into_inner();
    let status = read.status.take().expect("what runs of it");
    assert_eq!((status.pods.len(), status.ready_pods), (2, 0));
    assert_eq!(read, bundle);

    let mut preview = request("app", &["b", "c"]);
    preview.validate_only = true;
    let preview = pods.inject_pods(preview).await.unwrap().into_inner();
    let kinds: Vec<_> = preview
        .changes
        .iter()
        .map(|change| (change.name.as_str(), change.r#type()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("a", Type::Removed),
            ("b", Type::Unchanged),
            ("c", Type::Added)
        ]
    );
    assert!(
        preview.changes[2].diff.contains("example/c:1"),
        "{preview:?}"
    );
    let would_be = preview.bundle.unwrap();
    assert_eq!((would_be.revision, would_be.update_time), (2, None));
    let read = pods
        .get_bundle(GetBundleRequest { name: "app".into() })
        .await
        .unwrap();
    let mut read = read.into_inner();
    read.status = None;
    assert_eq!(read, bundle, "a validation changes nothing");

    let removal = RemoveBundleRequest {
        name: "app".into(),
        ..Default::default()
    };
    let removed = pods
        .remove_bundle(removal.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(removed.bundle, Some(bundle));
    let error = pods.remove_bundle(removal.clone()).await.unwrap_err();
    assert_eq!(
        (error.code(), reason(&error).as_str()),
        (Code::NotFound, "BUNDLE_NOT_FOUND")
    );
    let lenient = RemoveBundleRequest {
        allow_missing: true,
        ..removal
    };
    assert_eq!(
        pods.remove_bundle(lenient)
            .await
            .unwrap()
            .into_inner()
            .bundle,
        None
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_their_code_and_reason_and_change_nothing() {
    let bench = Bench::new();
    let mut pods = bench.pods();
    bench.inject("app", &["a"]).await;
    let mut first = request("ids", &["i"]);
    first.request_id = "one".to_owned();
    pods.inject_pods(first.clone())
        .await
        .expect("a good bundle");
    pods.inject_pods(first.clone())
        .await
        .expect("the same again");

    type Spoil = fn(&mut InjectPodsRequest);
    let rows: [(Spoil, Code, &str); 9] = [
        (
            |r| r.bundle = "No".into(),
            Code::InvalidArgument,
            "INVALID_BUNDLE_NAME",
        ),
        (
            |r| r.manifests.clear(),
            Code::InvalidArgument,
            "NO_MANIFESTS",
        ),
        (
            |r| r.manifests = vec!["kind: Pod".into()],
            Code::InvalidArgument,
            "INVALID_MANIFEST",
        ),
        // Checked on another thread.
        (
            |r| r.manifests.push(format!("#{}", "x".repeat(50_000))),
            Code::InvalidArgument,
            "INVALID_MANIFEST",
        ),
        // A little over the limit is told by name; far over it, nothing is read at all.
        (
            |r| r.manifests.push(format!("#{}", "x".repeat(105_000))),
            Code::InvalidArgument,
            "INVALID_MANIFEST",
        ),
        (
            |r| r.manifests.push("x".repeat(200_000)),
            Code::OutOfRange,
            "REQUEST_TOO_LARGE",
        ),
        (
            |r| r.manifests.push(manifest("a")),
            Code::AlreadyExists,
            "POD_IN_OTHER_BUNDLE",
        ),
        (
            |r| r.expected_revision = Some(7),
            Code::Aborted,
            "STALE_REVISION",
        ),
        (
            |r| r.request_id = "one".into(),
            Code::AlreadyExists,
            "REQUEST_ID_REUSED",
        ),
    ];
    for (row, (spoil, code, expected)) in rows.into_iter().enumerate() {
        let mut request = request("ids", &["j"]);
        spoil(&mut request);
        let error = pods.inject_pods(request).await.unwrap_err();
        assert_eq!(
            (error.code(), reason(&error).as_str()),
            (code, expected),
            "row {row}: {error:?}"
        );
    }
    let bundles = pods
        .list_bundles(ListBundlesRequest::default())
        .await
        .unwrap()
        .into_inner();
    let seen: Vec<_> = bundles
        .bundles
        .iter()
        .map(|b| (b.name.as_str(), b.revision))
        .collect();
    assert_eq!(seen, [("app", 1), ("ids", 1)]);
    let metrics = bench.metrics.encode(None);
    assert!(
        metrics.contains("seedpod_injections_total{code=\"OK\"} 3"),
        "{metrics}"
    );
    assert!(
        metrics.contains("seedpod_injections_total{code=\"ABORTED\"} 1"),
        "{metrics}"
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_file_is_named_in_the_refusal_and_by_the_node() {
    let bench = Bench::new();
    let path = bench.folder.path().join("manifests/mine.yaml");
    #[allow(clippy::disallowed_methods, reason = "the test plays the other one")]
    std::fs::write(path, manifest("a")).expect("write");
    let error = bench
        .pods()
        .inject_pods(request("app", &["a"]))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), reason(&error).as_str()),
        (Code::AlreadyExists, "FOREIGN_POD")
    );
    assert!(error.message().contains("mine.yaml"), "{}", error.message());
    let node = bench
        .node()
        .get_node(GetNodeRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(node.foreign_files, ["mine.yaml"]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages() {
    let bench = Bench::new();
    let mut pods = bench.pods();
    for bundle in ["one", "three", "two"] {
        let names = [format!("{bundle}-a"), format!("{bundle}-b")];
        bench
            .inject(bundle, &names.each_ref().map(String::as_str))
            .await;
    }
    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListPodsRequest {
            page_size: 4,
            page_token,
            ..Default::default()
        };
        let page = pods.list_pods(request).await.unwrap().into_inner();
        names.extend(page.pods.into_iter().map(|pod| pod.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(
        names,
        ["one-a", "one-b", "three-a", "three-b", "two-a", "two-b"]
    );

    let request = ListBundlesRequest {
        page_size: 2,
        ..Default::default()
    };
    let page = pods.list_bundles(request).await.unwrap().into_inner();
    assert_eq!(page.bundles.len(), 2);
    // The token of one list is none of another.
    let request = ListPodsRequest {
        page_token: page.next_page_token,
        ..ListPodsRequest::default()
    };
    let error = pods.list_pods(request).await.unwrap_err();
    assert_eq!(
        (error.code(), reason(&error).as_str()),
        (Code::InvalidArgument, "INVALID_PAGE_TOKEN")
    );
    let request = ListPodsRequest {
        bundle: "two".into(),
        ..Default::default()
    };
    assert_eq!(
        pods.list_pods(request)
            .await
            .unwrap()
            .into_inner()
            .pods
            .len(),
        2
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_runtime_the_node_says_so_and_the_pods_are_unknown_once_written() {
    let bench = Bench::new();
    bench.inject("app", &["a"]).await;
    let mut pods = bench.pods();
    let written = async {
        loop {
            let list = pods
                .list_pods(ListPodsRequest::default())
                .await
                .unwrap()
                .into_inner();
            if list.pods[0].state() != PodState::Committed {
                return list.pods.into_iter().next().expect("a pod");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let pod = tokio::time::timeout(Duration::from_secs(20), written)
        .await
        .expect("in time");
    assert_eq!(pod.state(), PodState::Unknown);
    assert!(
        pod.message.contains("containerRuntimeEndpoint"),
        "{}",
        pod.message
    );
    assert_eq!((pod.node_pod_name.as_str(), pod.revision), ("a-node1", 1));

    let node = bench
        .node()
        .get_node(GetNodeRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (node.name.as_str(), node.seedpod_version.as_str()),
        ("node1", "1.2.3")
    );
    assert_eq!((node.bundle_count, node.pod_count), (1, 1));
    let runtime = node.container_runtime.unwrap();
    assert_eq!(runtime.state(), container_runtime::State::NotConfigured);
    assert_eq!(node.limits.unwrap().max_pods_per_bundle, 4);
    let problems: Vec<_> = node.problems.iter().map(|p| p.reason.as_str()).collect();
    assert_eq!(
        problems,
        ["KUBELET_NOT_SEEN"],
        "no runtime is a choice and no problem"
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_tells_of_a_runtime_that_is_away_and_of_a_kubelet_that_is_there() {
    let bench = Bench::with_runtime(|folder| {
        let endpoint = format!("unix://{}/cri.sock", folder.display());
        Some(CriRuntime::new(&endpoint).expect("an endpoint"))
    });
    let socket = bench.folder.path().join("kubelet/pod-resources");
    #[allow(clippy::disallowed_methods, reason = "the test plays the kubelet")]
    std::fs::create_dir_all(&socket).expect("folder");
    let _kubelet = UnixListener::bind(socket.join("kubelet.sock")).expect("bind");

    let node = bench
        .node()
        .get_node(GetNodeRequest {})
        .await
        .unwrap()
        .into_inner();
    let runtime = node.container_runtime.unwrap();
    assert_eq!(runtime.state(), container_runtime::State::Unreachable);
    assert!(
        runtime.endpoint.ends_with("/cri.sock"),
        "{}",
        runtime.endpoint
    );
    assert_eq!(node.kubelet.unwrap().state(), kubelet::State::Seen);
    assert_eq!(node.problems[0].reason, "CONTAINER_RUNTIME_UNREACHABLE");
    assert!(
        node.problems[0].message.contains("No such file"),
        "{:?}",
        node.problems
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_injection_goes_on_when_the_client_goes_away() {
    let bench = Bench::new();
    let mut pods = bench.pods();
    // Polled once, and dropped.
    let call = pods.inject_pods(Request::new(request("app", &["a"])));
    assert!(tokio::time::timeout(Duration::ZERO, call).await.is_err());
    let committed = async {
        let get = || GetBundleRequest { name: "app".into() };
        while bench.pods().get_bundle(get()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), committed)
        .await
        .expect("it is committed");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_are_listed_with_what_runs_of_them() {
    let bench = Bench::new();
    bench.inject("one", &["a", "b"]).await;
    bench.inject("two", &["c"]).await;
    let list = bench
        .pods()
        .list_bundles(ListBundlesRequest::default())
        .await
        .unwrap()
        .into_inner();
    for bundle in list.bundles {
        let status = bundle.status.expect("a status");
        assert_eq!((status.pods.len(), status.ready_pods), (0, 0));
        assert_eq!(status.wave, Some(0));
        // Not written yet, or what runs is not known.
        assert!(
            matches!(
                status.state(),
                BundleState::Progressing | BundleState::Unknown
            ),
            "{status:?}"
        );
        assert!(status.message.starts_with("default/"), "{status:?}");
    }
    bench.end().await;
}

async fn next(stream: &mut Streaming<WatchPodsResponse>) -> Result<WatchPodsResponse, Status> {
    let message = tokio::time::timeout(Duration::from_secs(20), stream.message());
    Ok(message
        .await
        .expect("in time")?
        .expect("no end before the daemon's"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_sends_the_whole_and_then_what_changes_until_the_daemon_stops() {
    let bench = Bench::new();
    bench.inject("app", &["a", "b"]).await;
    bench.inject("other", &["x"]).await;
    let request = WatchPodsRequest {
        bundle: "app".into(),
    };
    let mut watch = bench.pods().watch_pods(request).await.unwrap().into_inner();
    let first = next(&mut watch).await.unwrap();
    // What was committed before the call is in it.
    let names: Vec<_> = first.pods.iter().map(|pod| pod.name.as_str()).collect();
    assert_eq!((first.whole, names), (true, vec!["a", "b"]));

    bench.inject("other", &["x", "x2"]).await;
    bench.inject("app", &["b", "c"]).await;
    let mut now: BTreeMap<String, Pod> = first
        .pods
        .into_iter()
        .map(|pod| (pod.name.clone(), pod))
        .collect();
    while now.len() != 2 || now.get("c").map(Pod::state) != Some(PodState::Unknown) {
        let change = next(&mut watch).await.unwrap();
        assert!(!change.whole && change.pods.len() + change.removed.len() > 0);
        for pod in change.pods {
            assert_eq!(pod.bundle, "app");
            now.insert(pod.name.clone(), pod);
        }
        for gone in change.removed {
            assert_eq!(gone.bundle, "app");
            assert!(now.remove(&gone.name).is_some(), "{gone:?}");
        }
    }
    assert!(now.contains_key("b"));

    bench.stop.cancel();
    let end = loop {
        if let Err(end) = next(&mut watch).await {
            break end;
        }
    };
    assert_eq!(
        (end.code(), reason(&end).as_str()),
        (Code::Unavailable, "SHUTTING_DOWN")
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_watcher_gets_the_newest_of_each_pod_and_nothing_between() {
    let bench = Bench::new();
    let mut watch = bench
        .pods()
        .watch_pods(WatchPodsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(next(&mut watch).await.unwrap().pods, []);
    let changes = 30;
    for change in 0..changes {
        let mut request = request("app", &["a"]);
        request.manifests[0] = request.manifests[0].replace(":1", &format!(":{change}"));
        bench.pods().inject_pods(request).await.expect("a good one");
    }
    let mut answers = 0;
    loop {
        let answer = next(&mut watch).await.unwrap();
        answers += 1;
        if answer
            .pods
            .last()
            .is_some_and(|pod| pod.revision == changes)
        {
            break;
        }
    }
    assert!(answers <= 3, "{answers} answers for {changes} changes");
    bench.end().await;
}
