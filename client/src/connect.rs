//! From options to a channel: TCP with TLS 1.3, or a Unix socket.

use std::{sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Uri};

use crate::{
    Endpoint, Error, Options,
    error::{BoxError, Seconds},
    options::Pem,
};

/// Why an attempt to connect failed. Stands in the chain below tonic's own error, where `error` looks for it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFailure {
    #[error("{0}")]
    Io(std::io::Error),
    #[error("{0}")]
    Tls(std::io::Error),
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
                Box::new(stream)
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
pub(crate) fn lazy(options: &Options) -> Result<Channel, Error> {
    let (endpoint, connector) = parts(options)?;
    Ok(endpoint
        .connect_with_connector_lazy(tower::service_fn(move |_: Uri| connector.clone().connect())))
}

/// A channel that is connected.
///
/// # Errors
/// As [`lazy`], and [`Error::Connect`] and [`Error::Tls`].
pub(crate) async fn eager(options: &Options) -> Result<Channel, Error> {
    let (endpoint, connector) = parts(options)?;
    endpoint
        .connect_with_connector(tower::service_fn(move |_: Uri| connector.clone().connect()))
        .await
        .map_err(|error| Error::from_transport(&error, &options.endpoint))
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
            let tls = TlsConnector::from(Arc::new(tls_config(options)?));
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
        // A node that loses power sends no FIN: without pings a call would hang until its deadline.
        .http2_keep_alive_interval(Duration::from_secs(15))
        .keep_alive_timeout(Duration::from_secs(10));
    Ok((
        endpoint,
        Connector {
            endpoint: options.endpoint.clone(),
            tls,
            timeout: options.connect_timeout,
        },
    ))
}

fn tls_config(options: &Options) -> Result<ClientConfig, Error> {
    let ca = required(
        options.ca.as_ref(),
        "ca",
        "the CA of the server's certificate is required over TCP",
    )?;
    let chain = required(
        options.certificate.as_ref(),
        "certificate",
        "a client certificate is required over TCP",
    )?;
    let key = required(
        options.key.as_ref(),
        "key",
        "the client certificate's key is required over TCP",
    )?;

    let mut roots = RootCertStore::empty();
    for certificate in certificates(&ca, "ca")? {
        roots.add(certificate).map_err(|error| {
            wrong(
                "ca",
                "a certificate in it cannot be used".to_owned(),
                Some(error.into()),
            )
        })?;
    }
    let chain = certificates(&chain, "certificate")?;
    // The cause is left out: it could quote the file.
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| {
        wrong(
            "key",
            "there is no private key in PEM form in it".to_owned(),
            None,
        )
    })?;

    // The provider is named, since a process may hold several and has no default until somebody installs one.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| {
            wrong(
                "tls",
                "TLS 1.3 is not available".to_owned(),
                Some(error.into()),
            )
        })?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| {
            wrong(
                "key",
                "it does not fit the client certificate".to_owned(),
                Some(error.into()),
            )
        })?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn required(pem: Option<&Pem>, option: &'static str, message: &str) -> Result<Vec<u8>, Error> {
    pem.ok_or_else(|| wrong(option, message.to_owned(), None))?
        .read(option)
}

fn certificates(pem: &[u8], option: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(option, "it is not PEM".to_owned(), Some(error.into())))?;
    if found.is_empty() {
        return Err(wrong(
            option,
            "there is no certificate in PEM form in it".to_owned(),
            None,
        ));
    }
    Ok(found)
}

fn wrong(option: &'static str, message: String, source: Option<BoxError>) -> Error {
    Error::Options {
        option,
        message,
        source,
    }
}
