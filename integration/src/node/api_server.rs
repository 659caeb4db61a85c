//! etcd and kube-apiserver on the node, and a kubelet bound to them.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{ETCD, KUBE_APISERVER, Node};
use crate::binaries::{self, Tool};
use crate::http::HttpClient;
use crate::pki::{Authority, Identity, Request, write_key_pair};
use crate::ports::free_ports;
use crate::state::ApiServerState;

/// A running kube-apiserver that allows everything to everybody whom it knows.
#[derive(Clone, Debug)]
pub struct ApiServer {
    /// A kubeconfig of a cluster administrator.
    pub kubeconfig: PathBuf,
    /// The address, `https://127.0.0.1:PORT`, or that of a node with a network of its own.
    pub url: String,
    /// Requests as the administrator.
    pub client: HttpClient,
}

/// How long the parts took that [`Node::start_api_server`] started.
#[derive(Clone, Copy, Debug)]
pub struct ApiServerStart {
    /// From the start of etcd until it was healthy.
    pub etcd: Duration,
    /// From the start of kube-apiserver until `/readyz` was ok.
    pub kube_apiserver: Duration,
}

impl Node {
    /// Starts etcd and kube-apiserver, as they are set by default but for admission, which has no
    /// controllers to rely on here. The kubelet is not touched; see [`Node::bind_kubelet`].
    ///
    /// # Errors
    /// Fails when a program can't be had or does not serve in time.
    pub fn start_api_server(&self) -> Result<ApiServerStart> {
        let etcd = binaries::find(Tool::Etcd)?;
        let kube_apiserver = binaries::find(Tool::KubeApiserver)?;
        if self.process(KUBE_APISERVER).is_some() {
            bail!("the API server of {} runs already", self.dir().display());
        }
        let state = self.plan_api_server()?;
        let folder = self.layout.control_plane();

        let start = Instant::now();
        self.launch(ETCD, &etcd, etcd_arguments(&folder, &state))?;
        let client = HttpClient::plain(state.etcd_ports[0]);
        self.wait_serving(ETCD, || {
            client
                .get("/health")
                .is_ok_and(|it| it.body.contains("true"))
        })?;
        let etcd_time = start.elapsed();

        let start = Instant::now();
        self.launch(
            KUBE_APISERVER,
            &kube_apiserver,
            api_server_arguments(&folder, &state, self.address()),
        )?;
        let client = self.administrator(state.port)?;
        self.wait_serving(KUBE_APISERVER, || {
            client.get("/readyz").is_ok_and(|it| it.status == 200)
        })?;
        let kube_apiserver = start.elapsed();
        Ok(ApiServerStart {
            etcd: etcd_time,
            kube_apiserver,
        })
    }

    /// Settles the addresses and certificates of the API server, unless that is done, and starts nothing.
    pub(super) fn plan_api_server(&self) -> Result<ApiServerState> {
        if let Some(state) = self.state().api_server {
            return Ok(state);
        }
        let [port, client_port, peer_port] = free_ports()?;
        let state = ApiServerState {
            port,
            etcd_ports: [client_port, peer_port],
        };
        write_pki(
            &self.layout.control_plane(),
            &self.name(),
            self.address(),
            port,
        )?;
        self.record(|record| record.api_server = Some(state.clone()))?;
        Ok(state)
    }

    /// The node's own API server, once it was started or a kubelet was bound to it.
    ///
    /// # Errors
    /// Fails when there is none.
    pub fn api_server(&self) -> Result<ApiServer> {
        let state = self
            .state()
            .api_server
            .context("the node has no API server")?;
        Ok(ApiServer {
            kubeconfig: self.layout.control_plane().join("admin.kubeconfig"),
            url: format!("https://{}:{}", self.address(), state.port),
            client: self.administrator(state.port)?,
        })
    }

    pub(super) fn administrator(&self, port: u16) -> Result<HttpClient> {
        let [ca, certificate, key] =
            ["ca.crt", "admin.crt", "admin.key"].map(|name| self.layout.control_plane().join(name));
        Ok(HttpClient::mutual_tls(port, &ca, &certificate, &key)?.at(self.address()))
    }

    /// Restarts the kubelet with a kubeconfig for the node's API server, where it registers itself.
    ///
    /// If that does not run, the kubelet is unsynced until it does.
    ///
    /// # Errors
    /// Fails when the kubelet does not start.
    pub fn bind_kubelet(&self) -> Result<()> {
        self.plan_api_server()?;
        self.record(|state| state.kubelet_uses_api_server = true)?;
        self.restart_kubelet()
    }

    /// Restarts the kubelet with this kubeconfig, for an API server that the rig did not plan.
    ///
    /// # Errors
    /// As [`Node::bind_kubelet`].
    pub fn bind_kubelet_with(&self, kubeconfig: &str) -> Result<()> {
        let folder = self.layout.control_plane();
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let file = folder.join("kubelet.kubeconfig");
        fs::write(&file, kubeconfig).with_context(|| format!("write {}", file.display()))?;
        self.record(|state| state.kubelet_uses_api_server = true)?;
        self.restart_kubelet()
    }

    /// Kills etcd and kube-apiserver with SIGKILL and removes their data. Their addresses and certificates
    /// stay, so that a kubelet that is bound to them can be restarted, and is unsynced then.
    ///
    /// # Errors
    /// Fails when one of them does not end.
    pub fn stop_api_server(&self) -> Result<()> {
        for name in [KUBE_APISERVER, ETCD] {
            if let Some(process) = self.process(name) {
                process.kill()?;
            }
        }
        self.record(|state| {
            state
                .processes
                .retain(|name, _| ![KUBE_APISERVER, ETCD].contains(&name.as_str()));
        })?;
        let folder = self.layout.control_plane().join("etcd");
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))
    }
}

pub(super) fn etcd_arguments(folder: &Path, state: &ApiServerState) -> Vec<String> {
    let [client, peer] = state
        .etcd_ports
        .map(|port| format!("http://127.0.0.1:{port}"));
    vec![
        "--name=rig".to_owned(),
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=rig={peer}"),
    ]
}

pub(super) fn api_server_arguments(
    folder: &Path,
    state: &ApiServerState,
    address: Ipv4Addr,
) -> Vec<String> {
    let all = if address.is_loopback() {
        address
    } else {
        Ipv4Addr::UNSPECIFIED
    };
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{}", state.etcd_ports[0]),
        format!("--bind-address={all}"),
        format!("--advertise-address={address}"),
        // The endpoints of the `kubernetes` Service may not be on the loopback interface.
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--secure-port={}", state.port),
        format!("--cert-dir={}", folder.display()),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        "--authorization-mode=AlwaysAllow".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        format!("--service-account-key-file={}", file("service-account.pub")),
        format!(
            "--service-account-signing-key-file={}",
            file("service-account.key")
        ),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        // Nothing here makes the service account that it would demand of each pod.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ]
}

/// Writes all certificates and kubeconfigs.
fn write_pki(folder: &Path, node: &str, address: Ipv4Addr, port: u16) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let authority = Authority::new("rig")?;
    authority.write(&folder.join("ca.crt"))?;
    let address = address.to_string();
    let mut names = vec!["localhost", "127.0.0.1", "kubernetes.default.svc"];
    if !names.contains(&address.as_str()) {
        names.push(&address);
    }
    authority.issue(folder, "server", &Request::server("kube-apiserver", &names))?;
    write_key_pair(
        &folder.join("service-account.key"),
        &folder.join("service-account.pub"),
    )?;
    let node_name = format!("system:node:{node}");
    let kubelet = authority.issue(
        folder,
        "kubelet",
        &Request::client(&node_name, "system:nodes"),
    )?;
    write_kubeconfig(folder, "kubelet", &kubelet, port)?;
    for component in ["kube-controller-manager", "kube-scheduler"] {
        let request = Request::user(&format!("system:{component}"));
        let identity = authority.issue(folder, component, &request)?;
        write_kubeconfig(folder, component, &identity, port)?;
    }
    let admin = authority.issue(folder, "admin", &Request::client("admin", "system:masters"))?;
    write_kubeconfig(folder, "admin", &admin, port)
}

fn write_kubeconfig(folder: &Path, user: &str, identity: &Identity, port: u16) -> Result<()> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "rig", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority": folder.join("ca.crt"),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate": identity.certificate,
            "client-key": identity.key,
        }}],
        "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": user}}],
        "current-context": "rig",
    });
    let file = folder.join(format!("{user}.kubeconfig"));
    fs::write(&file, config.to_string()).with_context(|| format!("write {}", file.display()))
}
