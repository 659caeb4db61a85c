//! Serves gRPC on the listeners until it is told to stop, and then not much longer.

use std::{future::IntoFuture, time::Duration};

use futures_util::FutureExt;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::Server};
use tracing::{Instrument, info, info_span, warn};

use super::{
    Admissions, Listeners,
    connection::Connection,
    listen::{Intake, accept_tcp, accept_unix},
    reload,
};
use crate::{
    config::Limits,
    grpc::{admit::Admit, authorize::Authorize, deadline::Deadline, streams::Streams},
    metrics::Metrics,
};

/// Between two HTTP/2 pings on a connection, and how long the answer may take: a client that is gone without a word
/// is found out after half a minute.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How much a client may send before it is read: per stream, and per connection. hyper's own are a megabyte each,
/// which times all connections would be most of a small node's memory.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// The most streams of one connection: above what one client may have in flight, so that those above are told why.
const MAX_STREAMS: u32 = 64;

/// The most bytes of headers in one request.
const MAX_HEADERS: u32 = 16 * 1024;

/// How long killed connections are waited for.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// Why serving ended although nobody asked for it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("gRPC serving failed")]
    Grpc(#[source] tonic::transport::Error),
    #[error("gRPC serving ended by itself")]
    Ended,
    #[error("a task of the listeners ended by itself")]
    Listener(#[source] Option<tokio::task::JoinError>),
}

/// Serves `routes` until `stop`; requests in flight then have `limits.drain_timeout` to end.
///
/// Nothing holds it longer than that: tonic waits for its connections without a limit, and HTTP/2 connections have
/// been seen to ignore their winding up, so that they are broken in the end.
pub(crate) async fn serve(
    listeners: Listeners,
    routes: Routes,
    limits: &Limits,
    metrics: &Metrics,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let (sender, connections) = mpsc::channel(16);
    let kill = CancellationToken::new();
    let intake = |admissions: &Admissions| Intake {
        connections: sender.clone(),
        admissions: admissions.clone(),
        limits: limits.clone(),
        metrics: metrics.clone(),
        stop: stop.clone(),
        kill: kill.clone(),
    };
    let admissions = || Admissions::new(limits.max_connections, limits.max_connections_per_client);
    // Apart, so that however many come over the network, the operator on the node gets in.
    let [remote, local] = [admissions(), admissions()];

    let mut tasks = JoinSet::new();
    if let Some((listener, credentials)) = listeners.tcp {
        let follow = reload::follow(credentials.clone(), metrics.clone(), stop.clone());
        tasks.spawn(follow.instrument(info_span!("tls")));
        let accept = accept_tcp(listener, credentials, intake(&remote));
        tasks.spawn(accept.instrument(info_span!("tcp")));
    }
    if let Some(socket) = listeners.unix {
        let accept = accept_unix(socket, intake(&local));
        tasks.spawn(accept.instrument(info_span!("unix")));
    }
    drop(sender);

    let grpc = server(limits)
        .layer(metrics.layer())
        .layer(Authorize)
        .layer(Admit::new(limits))
        .layer(Deadline(limits.request_timeout))
        .layer(Streams::new(limits, stop.clone()))
        .add_routes(routes)
        .serve_with_incoming_shutdown(
            ReceiverStream::new(connections).map(Ok::<Connection, std::io::Error>),
            stop.clone().cancelled_owned(),
        )
        .into_future();
    let mut grpc = std::pin::pin!(grpc.fuse());

    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        result = &mut grpc => {
            return Err(result.map_or_else(ServeError::Grpc, |()| ServeError::Ended));
        }
        Some(ended) = tasks.join_next() => return Err(ServeError::Listener(ended.err())),
    }

    let open = || remote.open() + local.open();
    info!(connections = open(), "draining");
    match tokio::time::timeout(limits.drain_timeout, &mut grpc).await {
        Ok(result) => result.map_err(ServeError::Grpc)?,
        Err(_) => {
            warn!(
                connections = open(),
                "limits.drainTimeout is over; breaking connections"
            );
            kill.cancel();
            // Whether or not they all notice in time, nothing of importance can be under way any more.
            let _ = tokio::time::timeout(KILL_GRACE, &mut grpc).await;
        }
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

fn server(limits: &Limits) -> Server {
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(MAX_HEADERS)
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .max_connection_age(limits.max_connection_age)
}
