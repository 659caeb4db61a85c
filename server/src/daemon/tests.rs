use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{sync::oneshot, task::JoinHandle};
use tokio_stream::StreamExt;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::*;
use crate::{
    access::testing::{PATIENCE, Scene, unix_channel, until},
    node::Problem,
};

#[derive(Debug, Clone)]
struct FakeNode;

impl Observed for FakeNode {
    async fn alive(&self) {}

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    async fn pods_by_state(&self) -> Option<BTreeMap<&'static str, u64>> {
        None
    }
}

/// A daemon around a node of which the test holds the strings.
struct Daemon {
    scene: Scene,
    shutdown: oneshot::Sender<()>,
    serving: watch::Sender<bool>,
    fail: oneshot::Sender<anyhow::Result<()>>,
    steps: Arc<Mutex<Vec<&'static str>>>,
    ran: JoinHandle<anyhow::Result<()>>,
}

impl Daemon {
    async fn start() -> Self {
        let scene = Scene::new();
        let mut configuration = scene.configuration();
        configuration.listen = None;
        configuration.metrics_address = Some(([127, 0, 0, 1], 0).into());
        let (shutdown, shut_down) = oneshot::channel();
        let (serving, followed) = watch::channel(true);
        let (fail, failed) = oneshot::channel();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let node_steps = Arc::clone(&steps);
        let ran = tokio::spawn(compose(
            configuration,
            async move {
                let _ = shut_down.await;
            },
            async move |_: &Configuration, _: Metrics, stop: CancellationToken| {
                node_steps.lock().unwrap().push("started");
                Ok(Started {
                    routes: node::reflection(Routes::default())?,
                    observed: FakeNode,
                    serving: followed,
                    ended: Box::pin(async move {
                        tokio::select! {
                            () = stop.cancelled() => {
                                node_steps.lock().unwrap().push("stopped");
                                Ok(())
                            }
                            result = failed => result.unwrap(),
                        }
                    }),
                })
            },
        ));
        let daemon = Self {
            scene,
            shutdown,
            serving,
            fail,
            steps,
            ran,
        };
        until("the daemon serves", async || {
            daemon.health("").await.is_ok()
        })
        .await;
        daemon
    }

    fn channel(&self) -> Channel {
        unix_channel(self.scene.path("s"))
    }

    async fn health(&self, service: &str) -> Result<ServingStatus, Code> {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = HealthClient::new(self.channel()).check(request).await;
        answer
            .map(|answer| answer.into_inner().status())
            .map_err(|status| status.code())
    }

    async fn ended(ran: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
        tokio::time::timeout(PATIENCE, ran).await.unwrap().unwrap()
    }
}

const SERVICES: [&str; 3] = [
    "",
    "seedpod.v1.PodInjectionService",
    "seedpod.v1.NodeService",
];

#[tokio::test]
async fn each_service_has_a_health_status_that_follows_the_node() {
    let daemon = Daemon::start().await;
    for service in SERVICES {
        until("it is serving", async || {
            daemon.health(service).await == Ok(ServingStatus::Serving)
        })
        .await;
    }
    assert_eq!(daemon.health("seedpod.v1.Nope").await, Err(Code::NotFound));

    for (serving, status) in [
        (false, ServingStatus::NotServing),
        (true, ServingStatus::Serving),
    ] {
        daemon.serving.send(serving).unwrap();
        for service in SERVICES {
            until("health has followed", async || {
                daemon.health(service).await == Ok(status)
            })
            .await;
        }
    }
}

#[tokio::test]
async fn the_end_is_announced_before_connections_are_drained_and_the_node_stops_last() {
    let daemon = Daemon::start().await;
    let request = HealthCheckRequest::default();
    let mut watched = HealthClient::new(daemon.channel())
        .watch(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        watched.next().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );

    daemon.shutdown.send(()).unwrap();
    let told = tokio::time::timeout(PATIENCE, watched.next())
        .await
        .unwrap();
    assert_eq!(told.unwrap().unwrap().status(), ServingStatus::NotServing);
    let ended = tokio::time::timeout(PATIENCE, watched.next())
        .await
        .unwrap();
    assert!(ended.is_none(), "{ended:?}");

    let begun = std::time::Instant::now();
    Daemon::ended(daemon.ran).await.unwrap();
    // The stream is still held; the drain would take ten seconds.
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    drop(watched);
    assert_eq!(*daemon.steps.lock().unwrap(), ["started", "stopped"]);
    assert!(!daemon.scene.path("s").exists());
}

#[tokio::test]
async fn a_node_that_fails_ends_the_daemon_with_its_reason() {
    let daemon = Daemon::start().await;
    daemon
        .fail
        .send(Err(anyhow::anyhow!("the lock is lost")))
        .unwrap();
    let error = Daemon::ended(daemon.ran).await.unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "the node ended by itself: the lock is lost"
    );
}

#[tokio::test]
async fn a_node_that_cannot_start_leaves_nothing_behind() {
    let scene = Scene::new();
    let result = compose(
        scene.configuration(),
        std::future::pending(),
        async |_: &Configuration, _: Metrics, _: CancellationToken| {
            anyhow::Result::<Started<FakeNode>>::Err(anyhow::anyhow!("state.json is corrupt"))
        },
    )
    .await;
    assert_eq!(
        format!("{:#}", result.unwrap_err()),
        "state.json is corrupt"
    );
    assert!(!scene.path("s").exists());
}

#[tokio::test]
async fn a_daemon_that_cannot_listen_does_not_touch_the_node() {
    let scene = Scene::new();
    let mut configuration = scene.configuration();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    configuration.metrics_address = Some(taken.local_addr().unwrap());
    let result = compose(
        configuration,
        std::future::pending(),
        async |_: &Configuration, _: Metrics, _: CancellationToken| {
            unreachable!("the node was started") as anyhow::Result<Started<FakeNode>>
        },
    )
    .await;
    let error = result.unwrap_err().to_string();
    assert!(error.starts_with("metricsAddress: "), "{error}");
}

#[tokio::test]
async fn reflection_describes_all_services() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let daemon = Daemon::start().await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(daemon.channel())
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.next().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    for name in [
        "seedpod.v1.PodInjectionService",
        "seedpod.v1.NodeService",
        "grpc.health.v1.Health",
    ] {
        assert!(
            names.iter().any(|n| n == name),
            "{name} is not in {names:?}"
        );
    }
}

#[test]
fn a_check_reads_the_tls_files() {
    let scene = Scene::new();
    check(&scene.configuration()).unwrap();
    rustix::fs::unlink(scene.path("server.key")).unwrap();
    let error = format!("{:#}", check(&scene.configuration()).unwrap_err());
    assert!(
        error.contains("tls.keyFile") && error.contains("No such file"),
        "{error}"
    );
}

#[test]
fn a_check_reads_the_encryption_keys() {
    use std::io::Write as _;
    let scene = Scene::new();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut configuration = scene.configuration();
    configuration.encryption_key_file = Some(file.path().to_owned());
    let error = format!("{:#}", check(&configuration).unwrap_err());
    assert!(error.contains("secretEncryption.keyFile: "), "{error}");
    let keys = "apiVersion: seedpod.dev/v1alpha1\nkind: EncryptionKeys\nkeys:\n\
                - name: one\n  secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";
    file.write_all(keys.as_bytes()).unwrap();
    check(&configuration).unwrap();
}

#[test]
fn an_error_is_told_with_its_causes() {
    let error = anyhow::anyhow!("disk").context("store").context("start");
    assert_eq!(crate::error::chain(error.as_ref()), "start: store: disk");
}
