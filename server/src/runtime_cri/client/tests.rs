//! The client against a scripted runtime on a real socket.

use std::{collections::HashMap, path::Path, time::Instant};

use seedpod_proto::cri::{
    ContainerEventResponse, ContainerStatus, ContainerStatusResponse, ExecSyncRequest,
    ExecSyncResponse, GetEventsRequest, ListContainersResponse, ListPodSandboxResponse, PodIp,
    PodSandboxNetworkStatus, PodSandboxStatus, PodSandboxStatusResponse, RemovePodSandboxRequest,
    RemovePodSandboxResponse, StopContainerRequest, StopContainerResponse, StopPodSandboxRequest,
    StopPodSandboxResponse, VersionResponse,
    runtime_service_server::{RuntimeService, RuntimeServiceServer},
};
use tokio::{net::UnixListener, sync::oneshot, task::JoinHandle};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use super::*;

/// A runtime with one sandbox "s1", which holds container "c1", and one image.
#[derive(Clone)]
struct Scripted;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl RuntimeService for Scripted {
    type GetContainerEventsStream = tokio_stream::Empty<Result<ContainerEventResponse, Status>>;

    async fn get_container_events(
        &self,
        _: Request<GetEventsRequest>,
    ) -> Answer<Self::GetContainerEventsStream> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn stop_container(
        &self,
        _: Request<StopContainerRequest>,
    ) -> Answer<StopContainerResponse> {
        Ok(Response::new(StopContainerResponse {}))
    }

    async fn stop_pod_sandbox(
        &self,
        _: Request<StopPodSandboxRequest>,
    ) -> Answer<StopPodSandboxResponse> {
        Ok(Response::new(StopPodSandboxResponse {}))
    }

    async fn remove_pod_sandbox(
        &self,
        _: Request<RemovePodSandboxRequest>,
    ) -> Answer<RemovePodSandboxResponse> {
        Ok(Response::new(RemovePodSandboxResponse {}))
    }

    async fn exec_sync(&self, _: Request<ExecSyncRequest>) -> Answer<ExecSyncResponse> {
        Ok(Response::new(ExecSyncResponse::default()))
    }

    async fn version(&self, _: Request<VersionRequest>) -> Answer<VersionResponse> {
        Ok(Response::new(VersionResponse {
            runtime_name: "scripted".to_owned(),
            runtime_version: "1.2.3".to_owned(),
            ..VersionResponse::default()
        }))
    }

    async fn list_pod_sandbox(
        &self,
        _: Request<ListPodSandboxRequest>,
    ) -> Answer<ListPodSandboxResponse> {
        // Larger than tonic's default limit of 4 MiB.
        let sandbox = |id: &str| seedpod_proto::cri::PodSandbox {
            id: id.to_owned(),
            labels: [("name", "web-n"), ("namespace", "default"), ("uid", "u1")]
                .map(|(key, value)| (format!("io.kubernetes.pod.{key}"), value.to_owned()))
                .into(),
            annotations: [("big".to_owned(), "x".repeat(5 << 20))].into(),
            ..Default::default()
        };
        Ok(Response::new(ListPodSandboxResponse {
            items: vec![sandbox("s1")],
        }))
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<PodSandboxStatusRequest>,
    ) -> Answer<PodSandboxStatusResponse> {
        let ip = if request.get_ref().pod_sandbox_id == "s1" {
            "10.0.0.2"
        } else {
            ""
        };
        let additional_ips = if ip.is_empty() {
            vec![]
        } else {
            vec![PodIp {
                ip: "fd00::2".to_owned(),
            }]
        };
        Ok(Response::new(PodSandboxStatusResponse {
            status: Some(PodSandboxStatus {
                network: Some(PodSandboxNetworkStatus {
                    ip: ip.to_owned(),
                    additional_ips,
                }),
                ..PodSandboxStatus::default()
            }),
        }))
    }

    async fn list_containers(
        &self,
        _: Request<ListContainersRequest>,
    ) -> Answer<ListContainersResponse> {
        Ok(Response::new(ListContainersResponse {
            containers: vec![seedpod_proto::cri::Container {
                id: "c1".to_owned(),
                pod_sandbox_id: "s1".to_owned(),
                labels: [("io.kubernetes.container.name".to_owned(), "web".to_owned())].into(),
                state: 1,
                ..Default::default()
            }],
        }))
    }

    async fn container_status(
        &self,
        request: Request<ContainerStatusRequest>,
    ) -> Answer<ContainerStatusResponse> {
        if request.get_ref().container_id != "c1" {
            return Err(Status::not_found("container"));
        }
        Ok(Response::new(ContainerStatusResponse {
            status: Some(ContainerStatus {
                exit_code: 137,
                reason: "OOMKilled".to_owned(),
                started_at: 2_000_000_000,
                ..ContainerStatus::default()
            }),
            info: if request.get_ref().verbose {
                let info = format!("{{\"pid\": {}}}", std::process::id());
                [("info".to_owned(), info)].into()
            } else {
                HashMap::new()
            },
        }))
    }
}

/// A runtime that serves until it is told to stop.
struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Serving {
    /// Closes the listener and all connections.
    async fn stop(self) {
        self.stop.send(()).expect("it serves");
        self.task.await.expect("it ends");
    }
}

fn serve(socket: &Path) -> Serving {
    let listener = UnixListener::bind(socket).expect("bind");
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        Server::builder()
            .add_service(RuntimeServiceServer::new(Scripted))
            .serve_with_incoming_shutdown(UnixListenerStream::new(listener), async {
                let _ = stopped.await;
            })
            .await
            .expect("serve");
    });
    Serving { stop, task }
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("temporary folder"),
        }
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("cri.sock")
    }

    fn client(&self) -> CriRuntime {
        CriRuntime::new(&format!("unix://{}", self.socket().display())).expect("endpoint")
    }
}

#[tokio::test]
async fn it_asks_for_all_that_the_daemon_needs() {
    let bench = Bench::new();
    let _server = serve(&bench.socket());
    let client = bench.client();

    assert_eq!(client.version().await.unwrap().name, "scripted");
    let sandboxes = client.sandboxes().await.unwrap();
    assert_eq!(sandboxes.len(), 1);
    assert_eq!(sandboxes[0].containers[0].name, "web");
    assert_eq!(
        client.sandbox_ips("s1").await.unwrap(),
        ["10.0.0.2", "fd00::2"]
    );
    assert_eq!(
        client.sandbox_ips("host-network").await.unwrap(),
        Vec::<String>::new()
    );
    let details = client.container_status("c1").await.unwrap();
    assert_eq!(
        (details.exit_code, details.reason.as_str()),
        (137, "OOMKilled")
    );
    assert_eq!(details.started_at.unwrap().as_second(), 2);
    assert!(client.container_status("c2").await.is_err());
    let processes = client.processes_of("u1").await.unwrap();
    assert!(processes.contains(&std::process::id()), "{processes:?}");
    assert_eq!(client.processes_of("u2").await.unwrap(), BTreeSet::new());
}

#[tokio::test]
async fn it_connects_when_the_runtime_comes_and_again_when_it_comes_back() {
    let bench = Bench::new();
    let client = bench.client();
    let error = client.version().await.unwrap_err();
    assert!(
        error.root_cause().contains("No such file"),
        "{}",
        error.root_cause()
    );

    for _ in 0..2 {
        let server = serve(&bench.socket());
        client.version().await.expect("it is there");
        server.stop().await;
        client.version().await.expect_err("it is away");
        #[allow(clippy::disallowed_methods)]
        std::fs::remove_file(bench.socket()).expect("remove the socket");
    }
}

#[tokio::test]
async fn a_runtime_that_hangs_gives_an_error_in_time() {
    let bench = Bench::new();
    // Connections are taken into the backlog, and nobody ever answers.
    let _listener = UnixListener::bind(bench.socket()).unwrap();
    let begin = Instant::now();
    let error = bench.client().sandboxes().await.unwrap_err();
    assert!(begin.elapsed() < QUESTION * 3, "{:?}", begin.elapsed());
    assert!(!error.root_cause().is_empty());
}

#[tokio::test]
async fn only_an_absolute_path_is_an_endpoint() {
    for bad in [
        "",
        "unix://",
        "unix://run/x.sock",
        "run/x.sock",
        "tcp://127.0.0.1:1",
        "http://x",
    ] {
        let error = CriRuntime::new(bad).unwrap_err();
        assert!(
            error.to_string().contains("containerRuntimeEndpoint"),
            "{bad}"
        );
    }
    for good in ["unix:///run/x.sock", "/run/x.sock"] {
        let runtime = CriRuntime::new(good).unwrap();
        assert_eq!(runtime.endpoint(), "unix:///run/x.sock");
    }
}
