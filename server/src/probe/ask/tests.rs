mod http;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::stream::BoxStream;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic_health::ServingStatus;

use super::*;
use crate::{
    probe::machine::Pace,
    runtime_cri::{ContainerDetails, Executed, RuntimeError, Sandbox},
};

/// A runtime whose programs end as they are told.
#[derive(Clone)]
struct Played {
    answer: Arc<dyn Fn() -> Result<Executed, RuntimeError> + Send + Sync>,
    asked: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Played {
    fn new(answer: impl Fn() -> Result<Executed, RuntimeError> + Send + Sync + 'static) -> Self {
        Self {
            answer: Arc::new(answer),
            asked: Arc::default(),
        }
    }
}

fn error<T>(source: impl Into<Box<dyn Error + Send + Sync>>) -> Result<T, RuntimeError> {
    Err(RuntimeError {
        operation: "played",
        source: source.into(),
    })
}

impl Runtime for Played {
    async fn sandboxes(&self) -> Result<Vec<Sandbox>, RuntimeError> {
        error("not played")
    }

    async fn container_status(&self, _: &str) -> Result<ContainerDetails, RuntimeError> {
        error("not played")
    }

    async fn sandbox_ips(&self, _: &str) -> Result<Vec<String>, RuntimeError> {
        error("not played")
    }

    async fn stop(&self, _: &Sandbox, _: Duration) -> Result<(), RuntimeError> {
        error("not played")
    }

    async fn exec(
        &self,
        container: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<Executed, RuntimeError> {
        assert_eq!((container, limit), ("c1", Duration::from_secs(1)));
        self.asked.lock().unwrap().push(command.to_vec());
        (self.answer)()
    }

    async fn events(&self) -> Result<BoxStream<'static, ()>, RuntimeError> {
        error("not played")
    }
}

/// Runs a readiness probe with a time-out of one second, for a pod at 127.0.0.1.
async fn ask(ask: Ask) -> Outcome {
    ask_runtime(ask, None).await
}

async fn ask_runtime(ask: Ask, runtime: Option<&Played>) -> Outcome {
    let probe = Probe {
        pace: Pace {
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            successes: 1,
            failures: 3,
        },
        ask,
    };
    let job = Job {
        kind: Kind::Readiness,
        probe: &probe,
        host: Some("127.0.0.1"),
        container: "c1",
    };
    run(job, runtime).await
}

fn fails(message: String) -> Outcome {
    Outcome::Failed(message)
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port of nobody's.
async fn closed_port() -> u16 {
    listen().await.1.port()
}

#[tokio::test]
async fn tcp_passes_when_the_port_takes_a_connection() {
    let (listener, address) = listen().await;
    let port = address.port();
    let tcp = |host: Option<&str>| Ask::Tcp {
        host: host.map(str::to_owned),
        port,
    };
    assert_eq!(ask(tcp(None)).await, Outcome::Passed);
    assert_eq!(ask(tcp(Some("localhost"))).await, Outcome::Passed);
    drop(listener);
    assert_eq!(
        ask(tcp(None)).await,
        fails(format!(
            "readiness probe tcp 127.0.0.1:{port} failed: connection refused"
        ))
    );
}

#[tokio::test]
async fn a_pod_without_an_address_is_not_probed() {
    let probe = |ask| Probe {
        pace: Pace {
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            successes: 1,
            failures: 3,
        },
        ask,
    };
    for (ask, message) in [
        (
            Ask::Tcp {
                host: None,
                port: 80,
            },
            "readiness probe tcp ?:80 waits: the pod has no address yet",
        ),
        (
            Ask::Nothing("0 is not a port: use 1 to 65535".to_owned()),
            "readiness probe cannot be run: 0 is not a port: use 1 to 65535",
        ),
    ] {
        let job = Job {
            kind: Kind::Readiness,
            probe: &probe(ask),
            host: None,
            container: "c1",
        };
        assert_eq!(
            run::<Played>(job, None).await,
            Outcome::NotRun(message.to_owned())
        );
    }
}

#[tokio::test]
async fn grpc_passes_when_the_service_serves() {
    let (reporter, service) = tonic_health::server::health_reporter();
    for (name, status) in [
        ("good", ServingStatus::Serving),
        ("bad", ServingStatus::NotServing),
    ] {
        reporter.set_service_status(name, status).await;
    }
    let (listener, address) = listen().await;
    let router = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    let port = address.port();
    let asked = format!("readiness probe grpc {address}");
    for (service, expected) in [
        ("", Outcome::Passed),
        ("good", Outcome::Passed),
        (
            "bad",
            fails(format!("{asked} answered NOT_SERVING for service \"bad\"")),
        ),
        (
            "unknown",
            fails(format!(
                "{asked} answered NotFound for service \"unknown\": service not registered"
            )),
        ),
    ] {
        let service = service.to_owned();
        assert_eq!(ask(Ask::Grpc { port, service }).await, expected);
    }
}

#[tokio::test]
async fn grpc_fails_without_the_health_service_or_a_server() {
    // A server that has another service.
    let (listener, address) = listen().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .unwrap();
    let router = tonic::transport::Server::builder().add_service(reflection);
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    let grpc = |port| Ask::Grpc {
        port,
        service: String::new(),
    };
    assert_eq!(
        ask(grpc(address.port())).await,
        fails(format!(
            "readiness probe grpc {address} answered that it does not have grpc.health.v1.Health"
        ))
    );
    let port = closed_port().await;
    assert_eq!(
        ask(grpc(port)).await,
        fails(format!(
            "readiness probe grpc 127.0.0.1:{port} failed: connection refused"
        ))
    );
    // One that takes connections and says nothing.
    let (_listener, address) = listen().await;
    let begun = Instant::now();
    assert_eq!(
        ask(grpc(address.port())).await,
        fails(format!(
            "readiness probe grpc {address} got no answer within 1 s"
        ))
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
}

fn exec() -> Ask {
    Ask::Exec {
        command: ["check", "--password=secret"].map(str::to_owned).into(),
    }
}

#[tokio::test]
async fn exec_passes_with_exit_code_0() {
    let ended = |exit_code, output: &str| {
        let executed = Executed {
            exit_code,
            output: output.to_owned(),
        };
        Played::new(move || Ok(executed.clone()))
    };
    let good = ended(0, "fine");
    assert_eq!(ask_runtime(exec(), Some(&good)).await, Outcome::Passed);
    assert_eq!(
        *good.asked.lock().unwrap(),
        [["check", "--password=secret"]]
    );

    let bad = ended(3, "\n  no such\tthing\u{1b}[0m \nmore");
    assert_eq!(
        ask_runtime(exec(), Some(&bad)).await,
        fails("readiness probe exec check ended with exit code 3: no suchthing[0m".to_owned())
    );
    let silent = ended(1, "");
    assert_eq!(
        ask_runtime(exec(), Some(&silent)).await,
        fails("readiness probe exec check ended with exit code 1".to_owned())
    );
}

#[tokio::test]
async fn exec_that_takes_too_long_has_failed() {
    let late = Played::new(|| error(tonic::Status::deadline_exceeded("timeout 1s exceeded")));
    assert_eq!(
        ask_runtime(exec(), Some(&late)).await,
        fails("readiness probe exec check did not end within 1 s".to_owned())
    );
    assert_eq!(late.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn exec_that_cannot_be_run_is_tried_again_and_counts_for_nothing() {
    let broken = Played::new(|| {
        error(tonic::Status::unknown(
            "failed to exec in container: failed to start exec \"6886\": OCI runtime exec failed: exec failed: \
             executable file not found",
        ))
    });
    assert_eq!(
        ask_runtime(exec(), Some(&broken)).await,
        Outcome::NotRun(
            "readiness probe exec check could not be run: exec failed: executable file not found"
                .to_owned()
        )
    );
    assert_eq!(broken.asked.lock().unwrap().len(), 3);

    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let flaky = Played::new(move || {
        let mut count = count.lock().unwrap();
        *count += 1;
        if *count < 3 {
            return error("away");
        }
        Ok(Executed {
            exit_code: 0,
            output: String::new(),
        })
    });
    assert_eq!(ask_runtime(exec(), Some(&flaky)).await, Outcome::Passed);
    assert_eq!(
        ask(exec()).await,
        Outcome::NotRun(
            "readiness probe exec check cannot be run: no containerRuntimeEndpoint is configured"
                .to_owned()
        )
    );
}
