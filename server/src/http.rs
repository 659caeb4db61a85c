//! Plain HTTP for those who watch the daemon:
//!
//! - `/metrics`: Prometheus' metrics
//! - `/healthz`: 200 while the daemon lives: its actor answers
//! - `/readyz`: 200 while requests are served; else 503 with what is wrong. `?verbose` tells it in any case

use std::{collections::BTreeMap, fmt::Write, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    metrics::{CONTENT_TYPE, Metrics},
    node::Problem,
};

/// Scrapers and probes are few; whoever opens more than this waits.
const MAX_CONNECTIONS: usize = 16;
/// The longest time for a request's head, and between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest life of a connection. Scrapers open the next one by themselves.
const CONNECTION_LIFE: Duration = Duration::from_secs(120);
/// How long the actor may take to answer before the daemon counts as dead.
const ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long counting the pods may take before metrics are given without.
const PODS_TIMEOUT: Duration = Duration::from_secs(3);

/// What can be seen of the node from outside.
pub(crate) trait Observed: Clone + Send + Sync + 'static {
    /// Resolves when the node's actor has answered.
    fn alive(&self) -> impl Future<Output = ()> + Send;

    /// What is wrong now.
    fn problems(&self) -> Vec<Problem>;

    /// How many pods are in each state. `None`: that cannot be told now.
    fn pods_by_state(&self) -> impl Future<Output = Option<BTreeMap<&'static str, u64>>> + Send;
}

/// Whether the node's actor answers within `limit`.
pub(crate) async fn is_alive<O: Observed>(observed: &O, limit: Duration) -> bool {
    tokio::time::timeout(limit, observed.alive()).await.is_ok()
}

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("metricsAddress: cannot listen on {address}")]
pub(crate) struct BindError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// Binds `metricsAddress`.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| BindError { address, source })
}

#[derive(Clone)]
struct App<O> {
    observed: O,
    metrics: Metrics,
    serving: watch::Receiver<bool>,
}

/// Serves until `stop`. Does not wait for connections then: nothing is lost with them.
pub(crate) async fn serve<O: Observed>(
    listener: TcpListener,
    observed: O,
    metrics: Metrics,
    serving: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let router = Router::new()
        .route("/metrics", get(metrics_text::<O>))
        .route("/healthz", get(healthz::<O>))
        .route("/readyz", get(readyz::<O>))
        .with_state(App {
            observed,
            metrics,
            serving,
        });
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));

    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept HTTP connections; trying on");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (router, stop) = (router.clone(), stop.clone());
        tokio::spawn(async move {
            let _place = place;
            let _ = stop
                .run_until_cancelled(tokio::time::timeout(
                    CONNECTION_LIFE,
                    connection(stream, router),
                ))
                .await;
        });
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    // A place first: whoever has none yet waits in the kernel's queue and costs no descriptor.
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn connection(stream: TcpStream, router: Router) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(16 * 1024);
    let service = TowerToHyperService::new(router);
    if let Err(error) = builder
        .serve_connection(TokioIo::new(stream), service)
        .await
    {
        debug!(error, "HTTP connection ended");
    }
}

async fn metrics_text<O: Observed>(State(app): State<App<O>>) -> impl IntoResponse {
    let pods = tokio::time::timeout(PODS_TIMEOUT, app.observed.pods_by_state());
    let pods = pods.await.ok().flatten();
    (
        [(header::CONTENT_TYPE, CONTENT_TYPE)],
        app.metrics.encode(pods.as_ref()),
    )
}

async fn healthz<O: Observed>(State(app): State<App<O>>) -> impl IntoResponse {
    if is_alive(&app.observed, ALIVE_TIMEOUT).await {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        let text = format!(
            "the node's actor has not answered for {} s\n",
            ALIVE_TIMEOUT.as_secs()
        );
        (StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

async fn readyz<O: Observed>(
    State(app): State<App<O>>,
    RawQuery(query): RawQuery,
) -> impl IntoResponse {
    let serving = *app.serving.borrow();
    let verbose = query.is_some_and(|query| {
        query
            .split('&')
            .any(|pair| pair == "verbose" || pair.starts_with("verbose="))
    });
    let (code, mut text) = if serving {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not serving\n".to_owned())
    };
    if verbose || !serving {
        for problem in app.observed.problems() {
            let _ = writeln!(text, "{}: {}", problem.reason, problem.message);
        }
    }
    (code, text)
}

#[cfg(test)]
mod tests;
