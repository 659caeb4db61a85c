//! The composition of the daemon: what is started in which order, what ends it, and how it ends.
//!
//! Sockets are bound first, so that a daemon that cannot listen touches nothing; then the node starts; only then is
//! anything accepted. The end is the other way round: NOT_SERVING, drain, stop the node.

mod logging;
mod node;
mod supervision;

use std::{error::Error, time::Duration};

use anyhow::{Context, bail};
use futures_util::future::BoxFuture;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tracing::{error, info};

use crate::{
    access::{self, Listeners},
    config::Configuration,
    http::{self, Observed},
    metrics::Metrics,
};

pub(crate) use logging::init_logging;
pub(crate) use supervision::termination;

/// How long the node may take to stop when nothing is asked of it any more.
const NODE_STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A started node, as far as the daemon around it is concerned.
pub(crate) struct Started<O> {
    /// All services but health.
    pub(crate) routes: Routes,
    /// For metrics, probes and the watchdog.
    pub(crate) observed: O,
    /// Whether requests can be served; what health and readiness say.
    pub(crate) serving: watch::Receiver<bool>,
    /// Resolves when the node's tasks have ended: with `Ok` when they were told to.
    pub(crate) ended: BoxFuture<'static, anyhow::Result<()>>,
}

/// Runs the daemon until `shutdown` resolves, and then ends it in order.
///
/// # Errors
/// When it cannot start, or when a part of it ends that must not.
pub async fn run(
    configuration: Configuration,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    compose(configuration, shutdown, node::start).await
}

/// Finds out whether the daemon could start with this configuration, as far as that is told by files that it only
/// reads.
///
/// # Errors
/// What is wrong with the TLS files or the encryption keys.
pub(crate) fn check(configuration: &Configuration) -> anyhow::Result<()> {
    if let Some(listen) = &configuration.listen {
        access::Credentials::load(&listen.tls)?;
    }
    node::encryption_keys(configuration)?;
    Ok(())
}

async fn compose<O: Observed>(
    configuration: Configuration,
    shutdown: impl Future<Output = ()>,
    start: impl AsyncFnOnce(&Configuration, Metrics, CancellationToken) -> anyhow::Result<Started<O>>,
) -> anyhow::Result<()> {
    let metrics = Metrics::default();
    let listeners = Listeners::bind(&configuration).await?;
    let http = match configuration.metrics_address {
        Some(address) => Some(http::bind(address).await?),
        None => None,
    };

    let stop_node = CancellationToken::new();
    let Started {
        routes,
        observed,
        serving,
        mut ended,
    } = start(&configuration, metrics.clone(), stop_node.clone()).await?;

    let (reporter, health) = tonic_health::server::health_reporter();
    let routes = routes.add_service(health);
    let [stop_health, stop, stop_watching] = [(); 3].map(|()| CancellationToken::new());
    let (ready, readiness) = watch::channel(*serving.borrow());
    let mut health = tokio::spawn(supervision::follow_health(
        reporter,
        serving,
        ready,
        stop_health.clone(),
    ));
    let mut tasks = JoinSet::new();
    tasks.spawn(supervision::watchdog(
        observed.clone(),
        stop_watching.clone(),
    ));
    if let Some(listener) = http {
        info!(address = %listener.local_addr()?, "listening, HTTP for metrics and health");
        let stop = stop_watching.clone();
        tasks.spawn(http::serve(
            listener,
            observed,
            metrics.clone(),
            readiness,
            stop,
        ));
    }

    let limits = configuration.limits.clone();
    let mut grpc = {
        let stop = stop.clone();
        tokio::spawn(async move { access::serve(listeners, routes, &limits, &metrics, stop).await })
    };
    info!(node = %configuration.node_name, version = env!("CARGO_PKG_VERSION"), "serving");
    supervision::notify(&[sd_notify::NotifyState::Ready]);

    // What ends by itself ends the daemon, and the service manager starts it anew: half a daemon is worse than none.
    let mut node_ended = false;
    let failure = tokio::select! {
        () = shutdown => None,
        result = &mut grpc => Some(flatten(result).err().context_or("gRPC serving ended by itself")),
        result = &mut ended => {
            node_ended = true;
            Some(result.err().context_or("the node ended by itself"))
        }
        result = &mut health => Some(result.err().context_or("health ended by itself")),
        Some(result) = tasks.join_next() => Some(result.err().context_or("a task ended by itself")),
    };
    match &failure {
        None => info!("stopping"),
        Some(error) => error!(
            error = format!("{error:#}"),
            "stopping because of a failure"
        ),
    }
    supervision::notify(&[sd_notify::NotifyState::Stopping]);

    // Whoever asks for health hears of the end before connections are wound up.
    stop_health.cancel();
    let reporter = if health.is_finished() {
        None
    } else {
        health.await.ok()
    };
    stop.cancel();
    if let Some(reporter) = reporter {
        supervision::end_watches(reporter).await;
    }
    let served = if grpc.is_finished() {
        Ok(())
    } else {
        flatten(grpc.await)
    };

    // Nobody asks for anything any more.
    stop_node.cancel();
    let stopped = if node_ended {
        Ok(())
    } else {
        let stopped = tokio::time::timeout(NODE_STOP_TIMEOUT, ended).await;
        stopped.context("the node did not stop in time").flatten()
    };
    stop_watching.cancel();
    while tasks.join_next().await.is_some() {}

    // What failed first tells most.
    failure.map_or(Ok(()), Err).and(served).and(stopped)?;
    info!("stopped");
    Ok(())
}

fn flatten<E: Error + Send + Sync + 'static>(
    joined: Result<Result<(), E>, tokio::task::JoinError>,
) -> anyhow::Result<()> {
    match joined {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Err(error) => bail!("a task failed: {error}"),
    }
}

/// For ends that are failures even when they give no error.
trait ContextOr {
    fn context_or(self, what: &'static str) -> anyhow::Error;
}

impl<E: Into<anyhow::Error>> ContextOr for Option<E> {
    fn context_or(self, what: &'static str) -> anyhow::Error {
        match self {
            Some(error) => error.into().context(what),
            None => anyhow::Error::msg(what),
        }
    }
}

#[cfg(test)]
mod tests;
