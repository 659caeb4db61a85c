//! From options to a channel: TCP with TLS 1.3, or a Unix socket.

mod alert;
mod tls;

use std::{io, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Uri};

pub(crate) use alert::Alert;
use alert::Watched;

use crate::{
    Endpoint, Error, Options,
    error::{BoxError, Seconds},
};

/// Why an attempt to connect failed. Stands in the chain below tonic's own error, where `error` looks for it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFailure {
    #[error("{0}")]
    Io(io::Error),
    #[error("{0}")]
    Tls(io::Error),
    #[error("the server does not speak HTTP/2 over TLS")]
    NoHttp2,
    #[error("no connection within {}", Seconds(*.0))]
    Timeout(Duration),
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// All that is needed to connect again and again.
#[derive(Clone)]
struct Connector {
    endpoint: Endpoint,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeout: Duration,
    alert: Alert,
}

impl Connector {
    async fn connect(self) -> Result<TokioIo<Box<dyn Io>>, ConnectFailure> {
        tokio::time::timeout(self.timeout, self.open())
            .await
            .map_err(|_| ConnectFailure::Timeout(self.timeout))?
    }

    async fn open(&self) -> Result<TokioIo<Box<dyn Io>>, ConnectFailure> {
        let stream: Box<dyn Io> = match (&self.endpoint, &self.tls) {
            (Endpoint::Unix(path), _) => Box::new(
                UnixStream::connect(path)
                    .await
                    .map_err(ConnectFailure::Io)?,
            ),
            (Endpoint::Tcp { host, port }, Some((tls, name))) => {
                let tcp = TcpStream::connect((host.as_str(), *port))
                    .await
                    .map_err(ConnectFailure::Io)?;
                tcp.set_nodelay(true).map_err(ConnectFailure::Io)?;
                let stream = tls
                    .connect(name.clone(), tcp)
                    .await
                    .map_err(ConnectFailure::Tls)?;
                if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                    return Err(ConnectFailure::NoHttp2);
                }
                self.alert.take();
                Box::new(Watched {
                    stream,
                    alert: self.alert.clone(),
                })
            }
            (Endpoint::Tcp { .. }, None) => {
                unreachable!("a TCP endpoint is never built without TLS")
            }
        };
        Ok(TokioIo::new(stream))
    }
}

/// A channel that connects when it is first used, and again whenever the connection is lost.
///
/// # Errors
/// [`Error::Options`] when certificates are missing or unreadable.
pub(crate) fn lazy(options: &Options) -> Result<(Channel, Alert), Error> {
    let (endpoint, connector) = parts(options)?;
    let alert = connector.alert.clone();
    let connect = tower::service_fn(move |_: Uri| connector.clone().connect());
    Ok((endpoint.connect_with_connector_lazy(connect), alert))
}

/// A channel that is connected.
///
/// # Errors
/// As [`lazy`], and [`Error::Connect`] and [`Error::Tls`].
pub(crate) async fn eager(options: &Options) -> Result<(Channel, Alert), Error> {
    let (endpoint, connector) = parts(options)?;
    let alert = connector.alert.clone();
    let connect = tower::service_fn(move |_: Uri| connector.clone().connect());
    match endpoint.connect_with_connector(connect).await {
        Ok(channel) => Ok((channel, alert)),
        Err(error) => Err(Error::from_transport(&error, &options.endpoint, &alert)),
    }
}

fn parts(options: &Options) -> Result<(tonic::transport::Endpoint, Connector), Error> {
    let (authority, tls) = match &options.endpoint {
        Endpoint::Unix(_) => ("localhost".to_owned(), None),
        Endpoint::Tcp { host, .. } => {
            let name = options.server_name.as_deref().unwrap_or(host);
            let name = ServerName::try_from(name.to_owned()).map_err(|error| {
                wrong(
                    "server_name",
                    format!("{name:?} is no host name"),
                    Some(error.into()),
                )
            })?;
            let tls = TlsConnector::from(Arc::new(tls::config(options)?));
            let authority = options.endpoint.to_string();
            (
                authority.trim_start_matches("https://").to_owned(),
                Some((tls, name)),
            )
        }
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let origin: Uri = format!("{scheme}://{authority}").parse().map_err(
        |error: tonic::codegen::http::uri::InvalidUri| wrong("endpoint", error.to_string(), None),
    )?;
    // The channel's own address says "http", as TLS is the connector's business and none of tonic's; what the server
    // gets to see is the origin.
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{authority}"))
        .map_err(|error| wrong("endpoint", error.to_string(), None))?
        .origin(origin)
        .user_agent(concat!("seedpod-client/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| wrong("endpoint", error.to_string(), None))?
        // Errors travel in headers, and one that names many fields is large.
        .http2_max_header_list_size(64 << 10)
        // A node that loses power sends no FIN: without pings a call would hang until its deadline.
        .http2_keep_alive_interval(Duration::from_secs(15))
        .keep_alive_timeout(Duration::from_secs(10));
    Ok((
        endpoint,
        Connector {
            endpoint: options.endpoint.clone(),
            tls,
            timeout: options.connect_timeout,
            alert: Alert::default(),
        },
    ))
}

fn wrong(option: &'static str, message: String, source: Option<BoxError>) -> Error {
    Error::Options {
        option,
        message,
        source,
    }
}
