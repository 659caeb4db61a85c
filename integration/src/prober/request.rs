//! One request over one new TLS connection.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::{Asks, slot};
use crate::http::client_config;
use crate::pki::Identity;

/// What the ConfigMaps of the writers are called, followed by the number of the writer's line.
pub(super) const CONFIG_MAP: &str = "seedpod-prober-";
/// The key of the number that was written.
pub(super) const NUMBER: &str = "number";
/// Where they are.
pub(super) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A user at an address.
#[derive(Clone)]
pub(super) struct Client {
    address: SocketAddr,
    server_name: ServerName<'static>,
    tls: TlsConnector,
}

/// An answer whose body is still to come, over a connection of its own.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    connection: JoinHandle<()>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Client {
    pub(super) fn new(
        address: SocketAddr,
        server_name: &str,
        ca: &Path,
        identity: &Identity,
    ) -> Result<Self> {
        let mut config = client_config(ca, &identity.certificate, &identity.key)?;
        // As programs that have just been started: each handshake is a whole one.
        config.resumption = Resumption::disabled();
        Ok(Self {
            address,
            server_name: ServerName::try_from(server_name.to_owned())?,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The status of the answer, all of which has come then.
    pub(super) async fn ask(&self, asks: &Asks, line: usize, number: u64) -> Result<u16> {
        let mut answer = match asks {
            Asks::Read(path) => self.get(path).await?,
            Asks::Write => self.write(line, number).await?,
        };
        while let Some(frame) = answer.response.body_mut().frame().await {
            frame.context("read the body")?;
        }
        Ok(answer.response.status().as_u16())
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, String::new()).await
    }

    /// By server-side apply, which makes what is not there. Those that are under way together write to different objects:
    /// otherwise the server would try them again and again.
    async fn write(&self, line: usize, number: u64) -> Result<Answer> {
        let name = format!("{CONFIG_MAP}{line}-{}", slot(number));
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
            "data": {NUMBER: number.to_string()},
        });
        let path = format!("{CONFIG_MAPS}/{name}?fieldManager=seedpod-prober&force=true");
        self.send(Method::PATCH, &path, object.to_string()).await
    }

    async fn send(&self, method: Method, path: &str, body: String) -> Result<Answer> {
        let stream = TcpStream::connect(self.address).await.context("connect")?;
        let stream = self
            .tls
            .connect(self.server_name.clone(), stream)
            .await
            .context("shake hands")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(async move {
            // What goes wrong shows in the answer.
            let _ = connection.await;
        });
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::ACCEPT, "application/json, */*")
            .header(header::CONTENT_TYPE, "application/apply-patch+yaml")
            .body(Full::new(Bytes::from(body)))?;
        let response = sender.send_request(request).await;
        match response.context("wait for the answer") {
            Ok(response) => Ok(Answer {
                response,
                connection,
            }),
            Err(error) => {
                connection.abort();
                Err(error)
            }
        }
    }
}
