//! The played cluster's API at its endpoint: what the phases ask it, over HTTP/1.1 and TLS.

use std::{collections::BTreeMap, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::world::{COMPONENTS, State, World};

/// Serves until the runtime ends.
pub(super) fn serve(
    world: Arc<World>,
    listener: std::net::TcpListener,
    certificate: &str,
    key: &str,
) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    listener.set_nonblocking(true).expect("a socket");
    let listener = TcpListener::from_std(listener).expect("a socket");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (world, acceptor) = (Arc::clone(&world), acceptor.clone());
            tokio::spawn(async move {
                if !world.state().api_answers() {
                    return;
                }
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = answer(&world, stream).await;
                }
            });
        }
    });
}

/// One request, one answer.
async fn answer(
    world: &World,
    mut stream: impl AsyncRead + tokio::io::AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let (line, body) = read(&mut stream).await?;
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let call = format!("api {method} {path}");
    let (status, value) = world
        .call(call, |state| {
            state.settle();
            handle(state, &method, path, query, &body)
        })
        .await;
    let text = match value {
        Value::String(text) => text,
        value => value.to_string(),
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0);
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head.lines().next().unwrap_or_default().to_owned(), body))
}

fn handle(state: &mut State, method: &str, path: &str, query: &str, body: &[u8]) -> (u16, Value) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (method, parts.as_slice()) {
        ("GET", ["readyz"]) => (200, json!("ok")),
        ("GET", ["version"]) => (200, version()),
        (
            "GET",
            [
                "api",
                "v1",
                "namespaces",
                namespace,
                "serviceaccounts",
                "default",
            ],
        ) => (
            200,
            object("v1", "ServiceAccount", Some(namespace), "default"),
        ),
        ("GET", ["api", "v1", "nodes"]) => {
            let items: Vec<&Value> = state.registered.values().collect();
            (200, list("v1", "NodeList", &json!(items)))
        }
        ("PATCH", ["api", "v1", "nodes", name]) => {
            let Some(node) = state.registered.get_mut(*name) else {
                return not_found(name);
            };
            let patch: Value = serde_json::from_slice(body).unwrap_or_default();
            if let Some(labels) = patch["metadata"].get("labels") {
                node["metadata"]["labels"] = labels.clone();
            }
            if let Some(taints) = patch["spec"].get("taints") {
                node["spec"]["taints"] = taints.clone();
            }
            (200, node.clone())
        }
        ("GET", ["api", "v1", "namespaces", "kube-system", "pods"]) => {
            (200, list("v1", "PodList", &json!(pods(state, query))))
        }
        ("GET", ["api", "v1", "namespaces", _, "configmaps", name]) => match &state.verified {
            Some(value) => {
                let mut map = object("v1", "ConfigMap", Some(&"kube-system"), name);
                map["data"] = json!({ "verified": value });
                (200, map)
            }
            None => not_found(name),
        },
        (
            "GET",
            [
                "apis",
                "coordination.k8s.io",
                "v1",
                "namespaces",
                _,
                "leases",
                name,
            ],
        ) => {
            state.renewals += 1;
            let mut lease = object(
                "coordination.k8s.io/v1",
                "Lease",
                Some(&"kube-system"),
                name,
            );
            let time = format!("2026-01-01T00:00:00.{:06}Z", state.renewals);
            lease["spec"] = json!({ "holderIdentity": "node-1_x", "renewTime": time });
            (200, lease)
        }
        (
            "PATCH",
            [
                "api",
                "v1",
                "namespaces",
                "default",
                "endpoints",
                "kubernetes",
            ],
        ) => (200, serde_json::from_slice(body).unwrap_or_default()),
        (
            _,
            [
                "apis",
                "discovery.k8s.io",
                "v1",
                "namespaces",
                "default",
                "endpointslices",
                "kubernetes",
            ],
        ) => {
            if method == "PATCH" {
                state.slice = serde_json::from_slice(body).ok();
            }
            let slice = state.slice.clone();
            slice.map_or_else(|| not_found("kubernetes"), |slice| (200, slice))
        }
        _ => not_found(path),
    }
}

/// The self-hosted pods that the query asks for: those of nodes whose handoff has come so far.
fn pods(state: &State, query: &str) -> Vec<Value> {
    let query = query
        .replace("%3D", "=")
        .replace("%2C", ",")
        .replace("%2F", "/");
    let parameters: BTreeMap<&str, &str> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .collect();
    let node = parameters["fieldSelector"].trim_start_matches("spec.nodeName=");
    let committed = state
        .nodes
        .get(node)
        .is_some_and(|node| node.handoff_state() == seedpod_proto::v1::HandoffState::Committed);
    let component = COMPONENTS
        .into_iter()
        .find(|name| parameters["labelSelector"].contains(name));
    let Some(component) = component.filter(|_| committed) else {
        return Vec::new();
    };
    let mut pod = object(
        "v1",
        "Pod",
        Some(&"kube-system"),
        &format!("{component}-x7k2p"),
    );
    pod["status"] = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
    vec![pod]
}

fn version() -> Value {
    let mut version = json!({ "gitVersion": "v1.37.2", "major": "1", "minor": "37" });
    for key in [
        "buildDate",
        "compiler",
        "gitCommit",
        "gitTreeState",
        "goVersion",
        "platform",
    ] {
        version[key] = json!("");
    }
    version
}

fn object(api_version: &str, kind: &str, namespace: Option<&&str>, name: &str) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": { "name": name, "namespace": namespace },
    })
}

fn list(api_version: &str, kind: &str, items: &Value) -> Value {
    json!({ "apiVersion": api_version, "kind": kind, "metadata": {}, "items": items })
}

fn not_found(what: &str) -> (u16, Value) {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": format!("{what} not found"), "reason": "NotFound", "code": 404,
    });
    (404, status)
}
