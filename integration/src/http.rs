//! A small blocking HTTP client for what listens on the loopback interface or at a node's address.
//!
//! It speaks HTTP/1.0, in which an answer ends with its connection: nothing to frame and to decode.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const TIMEOUT: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// A client of one server, on 127.0.0.1 unless another address is said.
#[derive(Clone, Debug)]
pub struct HttpClient {
    address: Ipv4Addr,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
}

impl HttpClient {
    /// A client without TLS.
    #[must_use]
    pub fn plain(port: u16) -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST,
            port,
            tls: None,
        }
    }

    /// A client that shows a certificate and trusts one CA; all are PEM files.
    ///
    /// # Errors
    /// Fails when a file can't be read or used.
    pub fn mutual_tls(port: u16, ca: &Path, certificate: &Path, key: &Path) -> Result<Self> {
        let config = client_config(ca, certificate, key)?;
        Ok(Self {
            address: Ipv4Addr::LOCALHOST,
            port,
            tls: Some(Arc::new(config)),
        })
    }

    /// The same client of another address.
    #[must_use]
    pub fn at(self, address: Ipv4Addr) -> Self {
        Self { address, ..self }
    }

    /// Sends a GET.
    ///
    /// # Errors
    /// Fails when there is no answer. An error status is an answer.
    pub fn get(&self, path: &str) -> Result<Response> {
        self.request("GET", path, "")
    }

    /// Sends a POST of JSON.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub fn post(&self, path: &str, body: &str) -> Result<Response> {
        self.request("POST", path, body)
    }

    /// Sends a DELETE.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub fn delete(&self, path: &str) -> Result<Response> {
        self.request("DELETE", path, "")
    }

    /// The certificate that the server shows, DER: it tells servers apart that share a port.
    ///
    /// # Errors
    /// Fails when there is no TLS, or nobody answers.
    pub fn certificate(&self) -> Result<Vec<u8>> {
        let Some(config) = &self.tls else {
            bail!("a server without TLS shows no certificate")
        };
        let mut stream = self.connect()?;
        let name = ServerName::IpAddress(self.address.into());
        let mut connection = ClientConnection::new(Arc::clone(config), name)?;
        while connection.is_handshaking() {
            let what = || format!("shake hands with {}:{}", self.address, self.port);
            connection.complete_io(&mut stream).with_context(what)?;
        }
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        Ok(shown.context("the server shows no certificate")?.to_vec())
    }

    fn connect(&self) -> Result<TcpStream> {
        let Self { address, port, .. } = self;
        let stream = TcpStream::connect((*address, *port))
            .with_context(|| format!("connect to {address}:{port}"))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(stream)
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Result<Response> {
        let Self { address, port, .. } = self;
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json, */*\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let stream = self.connect()?;
        let answer = match &self.tls {
            None => exchange(stream, &request),
            Some(config) => {
                let name = ServerName::IpAddress((*address).into());
                let connection = ClientConnection::new(Arc::clone(config), name)?;
                exchange(StreamOwned::new(connection, stream), &request)
            }
        };
        let answer = answer.with_context(|| format!("{method} {address}:{port}{path}"))?;
        parse(&answer)
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // Many servers close without TLS's closing message; a cut body shows when it is parsed.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof && !answer.is_empty() => {}
        other => {
            other?;
        }
    }
    Ok(answer)
}

fn parse(answer: &[u8]) -> Result<Response> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        bail!("no HTTP answer: {text:?}")
    };
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let Some(status) = status else {
        bail!("no HTTP status: {head:?}")
    };
    Ok(Response {
        status,
        body: body.to_owned(),
    })
}

/// What a client needs that shows a certificate and trusts one CA; all are PEM files.
pub(crate) fn client_config(ca: &Path, certificate: &Path, key: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate)?;
    }
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("read the key {}", key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(certificate)?, key)?)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .with_context(|| format!("read the certificates of {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_told_apart() {
        let answer = parse(b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\nnothing").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (404, "nothing"));
        assert!(parse(b"gibberish").is_err());
    }
}
