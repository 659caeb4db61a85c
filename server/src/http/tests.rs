use std::sync::atomic::{AtomicBool, Ordering};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

use super::*;
use crate::access::testing::PATIENCE;

/// A node that is as the test wants it.
#[derive(Debug, Clone, Default)]
struct FakeNode {
    stuck: Arc<AtomicBool>,
    problem: Option<&'static str>,
}

impl Observed for FakeNode {
    async fn alive(&self) {
        if self.stuck.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let problem = |reason| Problem {
            reason,
            message: "The disk is full.".to_owned(),
        };
        self.problem.map(problem).into_iter().collect()
    }

    async fn pods_by_state(&self) -> Option<BTreeMap<&'static str, u64>> {
        if self.stuck.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        Some(BTreeMap::from([("RUNNING", 3)]))
    }
}

struct Server {
    address: SocketAddr,
    serving: watch::Sender<bool>,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Server {
    async fn start(node: FakeNode) -> Self {
        let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (serving, followed) = watch::channel(true);
        let stop = CancellationToken::new();
        let metrics = Metrics::default();
        let served = tokio::spawn(serve(listener, node, metrics, followed, stop.clone()));
        Self {
            address,
            serving,
            stop,
            served,
        }
    }

    /// Status and head, and body, of a GET.
    async fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: n1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

#[tokio::test]
async fn metrics_are_in_the_format_that_the_content_type_says() {
    let server = Server::start(FakeNode::default()).await;
    let (head, body) = server.get("/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    assert!(
        body.contains("seedpod_pods{state=\"RUNNING\"} 3\n"),
        "{body}"
    );
    assert!(body.ends_with("# EOF\n"), "{body}");
}

#[tokio::test]
async fn a_stuck_actor_is_not_healthy_and_does_not_hide_the_metrics() {
    let node = FakeNode::default();
    let server = Server::start(node.clone()).await;
    assert!(server.get("/healthz").await.0.starts_with("HTTP/1.1 200 "));

    node.stuck.store(true, Ordering::Relaxed);
    // At the same time, since both wait for the actor for a while.
    let (healthz, metrics) = tokio::join!(server.get("/healthz"), server.get("/metrics"));
    assert!(healthz.0.starts_with("HTTP/1.1 503 "), "{healthz:?}");
    assert!(healthz.1.contains("actor"), "{healthz:?}");
    assert!(metrics.0.starts_with("HTTP/1.1 200 "), "{metrics:?}");
    assert!(!metrics.1.contains("seedpod_pods{"), "{metrics:?}");
}

#[tokio::test]
async fn readiness_follows_serving_and_tells_what_is_wrong() {
    let node = FakeNode {
        problem: Some("DISK_FULL"),
        ..FakeNode::default()
    };
    let server = Server::start(node).await;
    let (head, body) = server.get("/readyz").await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && body == "ok\n",
        "{head} {body}"
    );
    let (_, body) = server.get("/readyz?verbose").await;
    assert_eq!(body, "ok\nDISK_FULL: The disk is full.\n");

    server.serving.send(false).unwrap();
    let (head, body) = server.get("/readyz").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(body, "not serving\nDISK_FULL: The disk is full.\n");
}

#[tokio::test]
async fn what_is_not_served_is_not_found() {
    let server = Server::start(FakeNode::default()).await;
    assert!(server.get("/").await.0.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn an_open_connection_does_not_hold_the_end_up() {
    let server = Server::start(FakeNode::default()).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /metrics HTTP/1.1\r\nHost: n1\r\n\r\n")
        .await
        .unwrap();
    assert_ne!(idle.read(&mut [0; 64]).await.unwrap(), 0);
    server.stop.cancel();
    tokio::time::timeout(PATIENCE, server.served)
        .await
        .unwrap()
        .unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, idle.read_to_end(&mut rest)).await;
    assert!(closed.is_ok());
}

#[tokio::test]
async fn silent_connections_cost_places_and_no_more() {
    let server = Server::start(FakeNode::default()).await;
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    // Waits until one of them is gone.
    silent.pop();
    assert!(server.get("/healthz").await.0.starts_with("HTTP/1.1 200 "));
}
