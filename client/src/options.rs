//! How to connect.

use std::{fmt, path::PathBuf, time::Duration};

use crate::{Endpoint, Error, RetryPolicy};

/// Where PEM text comes from.
#[derive(Clone)]
pub(crate) enum Pem {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Pem {
    /// # Errors
    /// [`Error::Options`] when the file cannot be read.
    pub(crate) fn read(&self, option: &'static str) -> Result<Vec<u8>, Error> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::File(path) => std::fs::read(path).map_err(|source| Error::Options {
                option,
                message: format!("cannot read {}", path.display()),
                source: Some(source.into()),
            }),
        }
    }
}

impl fmt::Debug for Pem {
    /// Without the bytes, which may be a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

/// How to connect: where, with which certificates, and how patiently.
///
/// Over TCP a CA, a client certificate and its key are required, since `seedpodd` lets nobody in without. Files are
/// read by [`Client::connect`](crate::Client::connect), not before.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) endpoint: Endpoint,
    pub(crate) ca: Option<Pem>,
    pub(crate) certificate: Option<Pem>,
    pub(crate) key: Option<Pem>,
    pub(crate) server_name: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) connect_wait: Duration,
    pub(crate) deadline: Duration,
    pub(crate) retry: RetryPolicy,
}

impl Options {
    /// Options for an endpoint: `https://host:10290`, `host:10290` or `unix:///run/seedpod/seedpod.sock`.
    ///
    /// # Errors
    /// [`Error::Options`] when the endpoint is none of these.
    pub fn new(endpoint: &str) -> Result<Self, Error> {
        endpoint
            .parse()
            .map(Self::for_endpoint)
            .map_err(|error: crate::EndpointError| Error::Options {
                option: "endpoint",
                message: error.to_string(),
                source: None,
            })
    }

    /// Options for an endpoint that was read already.
    pub fn for_endpoint(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            ca: None,
            certificate: None,
            key: None,
            server_name: None,
            connect_timeout: Duration::from_secs(10),
            connect_wait: Duration::ZERO,
            deadline: Duration::from_secs(30),
            retry: RetryPolicy::default(),
        }
    }

    /// The PEM file of the CA (or of several) that the server's certificate must come from.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(Pem::File(path.into()));
        self
    }

    /// The same as [`Self::ca_file`], from memory.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(Pem::Bytes(pem.into()));
        self
    }

    /// The PEM files of the client's certificate (with its intermediates, if any) and private key.
    pub fn client_certificate_files(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.certificate = Some(Pem::File(certificate.into()));
        self.key = Some(Pem::File(key.into()));
        self
    }

    /// The same as [`Self::client_certificate_files`], from memory.
    pub fn client_certificate_pem(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.certificate = Some(Pem::Bytes(certificate.into()));
        self.key = Some(Pem::Bytes(key.into()));
        self
    }

    /// The name or IP address that the server's certificate must be for, when it is not the endpoint's host.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// The most time for one attempt to connect, with its TLS handshake. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long [`Client::connect`](crate::Client::connect) keeps on trying while nobody answers, as for a node that
    /// is still booting. Default: zero, one attempt. A failed TLS handshake is never tried again.
    pub fn connect_wait(mut self, wait: Duration) -> Self {
        self.connect_wait = wait;
        self
    }

    /// The most time for one call with all its retries, also told to the server as `grpc-timeout`. Default: 30 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How often and when calls that are safe to repeat are repeated.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }
}
