//! An etcd that no node has: it is on the host, where all nodes with networks of their own reach it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::Node;
use crate::binaries::{self, Tool};
use crate::http::HttpClient;
use crate::pki::{Authority, Identity, Request};
use crate::ports::free_ports;

const NAME: &str = "external-etcd";

/// An etcd of one member that serves with TLS, and lets in whom its own authority knows.
#[derive(Clone, Debug)]
pub struct ExternalEtcd {
    /// `https://ADDRESS:PORT`.
    pub endpoint: String,
    /// The authority of its certificate and of its clients'.
    pub ca: PathBuf,
    /// A client.
    pub client: Identity,
}

impl Node {
    /// Starts an etcd on the host, at its address on the bridge of the nodes. It ends with this node, also with its
    /// power, and stays when the node's cluster is taken down.
    ///
    /// # Errors
    /// Fails when the node has no network of its own, when the program can't be had, or does not serve in time.
    pub fn start_external_etcd(&self) -> Result<ExternalEtcd> {
        let own = self.state().own_network;
        let host = own
            .context("a node in the host's network has no host")?
            .host;
        if self.process(NAME).is_some() {
            bail!("{NAME} of {} runs already", self.dir().display());
        }
        let folder = self.layout.control_plane().join(NAME);
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let authority = Authority::new(NAME)?;
        let ca = folder.join("ca.crt");
        authority.write(&ca)?;
        let address = host.to_string();
        let server = authority.issue(&folder, "server", &Request::server(NAME, &[&address]))?;
        let client = authority.issue(&folder, "client", &Request::user("kube-apiserver"))?;

        let [client_port, peer_port] = free_ports()?;
        let endpoint = format!("https://{host}:{client_port}");
        let peer = format!("http://127.0.0.1:{peer_port}");
        let arguments = vec![
            format!("--name={NAME}"),
            format!("--data-dir={}", folder.join("data").display()),
            format!("--listen-client-urls={endpoint}"),
            format!("--advertise-client-urls={endpoint}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster={NAME}={peer}"),
            "--client-cert-auth=true".to_owned(),
            format!("--trusted-ca-file={}", ca.display()),
            format!("--cert-file={}", server.certificate.display()),
            format!("--key-file={}", server.key.display()),
        ];
        self.launch_in(NAME, &binaries::find(Tool::Etcd)?, arguments, None)?;
        let asker = HttpClient::mutual_tls(client_port, &ca, &client.certificate, &client.key)?;
        let asker = asker.at(host);
        self.wait_serving(NAME, || {
            asker
                .get("/health")
                .is_ok_and(|it| it.body.contains("true"))
        })?;
        Ok(ExternalEtcd {
            endpoint,
            ca,
            client,
        })
    }
}
