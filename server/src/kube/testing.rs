//! An API server for tests: real TLS and HTTP, and a small memory for objects.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use crate::access::testing::{Authority, Issued};

/// A request that was seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// With the query.
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    /// Which connection it came over, and whether that had a client certificate.
    pub(crate) connection: usize,
    pub(crate) has_certificate: bool,
}

/// What is answered instead of what the memory says.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Status(u16, Value),
    /// With `Retry-After`.
    Later(u16, u32),
    Hang,
    /// The connection is cut.
    Cut,
}

/// A refusal as an API server words it.
pub(crate) fn refusal(code: u16, reason: &str, message: &str, details: &Value) -> Reply {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": message, "details": details,
    });
    Reply::Status(code, status)
}

struct Rule {
    method: Method,
    part: String,
    left: usize,
    reply: Reply,
}

#[derive(Default)]
struct Memory {
    objects: BTreeMap<String, Value>,
    version: u64,
    rules: Vec<Rule>,
    seen: Vec<Seen>,
    open: usize,
}

pub(crate) struct FakeApi {
    pub(crate) address: SocketAddr,
    pub(crate) authority: Authority,
    pub(crate) client: Issued,
    memory: Arc<Mutex<Memory>>,
    task: JoinHandle<()>,
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeApi {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener)
    }

    pub(crate) fn on(listener: TcpListener) -> Self {
        let authority = Authority::new();
        let server = authority.issue(ExtendedKeyUsagePurpose::ServerAuth, |params| {
            let address = "127.0.0.1".parse().unwrap();
            params.subject_alt_names.push(SanType::IpAddress(address));
        });
        let client = authority.client("admin", "system:masters");
        let address = listener.local_addr().unwrap();
        let memory = Arc::<Mutex<Memory>>::default();
        let acceptor = acceptor(&authority, &server);
        let task = tokio::spawn(serve(listener, acceptor, Arc::clone(&memory)));
        Self {
            address,
            authority,
            client,
            memory,
            task,
        }
    }

    /// With a client certificate.
    pub(crate) fn kubeconfig(&self) -> String {
        self.kubeconfig_with(&json!({
            "client-certificate-data": STANDARD.encode(&self.client.certificate),
            "client-key-data": STANDARD.encode(&self.client.key),
        }))
    }

    pub(crate) fn kubeconfig_with(&self, user: &Value) -> String {
        kubeconfig(self.address, &self.authority, user)
    }

    /// So many of the requests with this method and this part of the path are answered so.
    pub(crate) fn reply(&self, method: Method, part: &str, times: usize, reply: Reply) {
        self.memory.lock().unwrap().rules.push(Rule {
            method,
            part: part.to_owned(),
            left: times,
            reply,
        });
    }

    pub(crate) fn put(&self, path: &str, object: Value) {
        let mut memory = self.memory.lock().unwrap();
        memory.objects.insert(path.to_owned(), object);
    }

    pub(crate) fn object(&self, path: &str) -> Option<Value> {
        self.memory.lock().unwrap().objects.get(path).cloned()
    }

    /// How many connections are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.memory.lock().unwrap().open
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.memory.lock().unwrap().seen.clone()
    }
}

pub(crate) fn kubeconfig(address: SocketAddr, authority: &Authority, user: &Value) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {
            "server": format!("https://{address}"),
            "certificate-authority-data": STANDARD.encode(&authority.certificate),
        }}],
        "users": [{"name": "u", "user": user}],
    })
    .to_string()
}

fn acceptor(authority: &Authority, server: &Issued) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(server.key.as_bytes()).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, memory: Arc<Mutex<Memory>>) {
    let count = AtomicUsize::new(0);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let connection = count.fetch_add(1, Ordering::Relaxed);
        let (acceptor, memory) = (acceptor.clone(), Arc::clone(&memory));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            memory.lock().unwrap().open += 1;
            let counted = Arc::clone(&memory);
            let has_certificate = stream.get_ref().1.peer_certificates().is_some();
            let service = service_fn(move |request| {
                answer(Arc::clone(&memory), connection, has_certificate, request)
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
            counted.lock().unwrap().open -= 1;
        });
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

async fn answer(
    memory: Arc<Mutex<Memory>>,
    connection: usize,
    has_certificate: bool,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let headers = head.headers.iter();
    let seen = Seen {
        method: head.method.clone(),
        path: head.uri.to_string(),
        headers: headers
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes());
                (name.to_string(), value.into_owned())
            })
            .collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
        connection,
        has_certificate,
    };
    let reply = {
        let mut memory = memory.lock().unwrap();
        memory.seen.push(seen.clone());
        memory.reply(&seen)
    };
    let (code, retry_after, value) = match reply {
        Reply::Status(code, value) => (code, None, value),
        Reply::Later(code, seconds) => (code, Some(seconds), json!("later")),
        Reply::Hang => return std::future::pending().await,
        Reply::Cut => return Err(Cut),
    };
    let mut response = Response::builder().status(code);
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds);
    }
    Ok(response.body(Full::from(value.to_string())).unwrap())
}

impl Memory {
    fn reply(&mut self, seen: &Seen) -> Reply {
        let rule = self.rules.iter_mut().find(|rule| {
            rule.left > 0 && rule.method == seen.method && seen.path.contains(&rule.part)
        });
        if let Some(rule) = rule {
            rule.left -= 1;
            return rule.reply.clone();
        }
        let path = seen.path.split('?').next().unwrap().to_owned();
        let not_found = || refusal(404, "NotFound", "not found", &Value::Null);
        match seen.method {
            Method::GET if path == "/readyz" || path == "/livez" => Reply::Status(200, json!("ok")),
            Method::GET => match discovery(&path).or_else(|| self.objects.get(&path).cloned()) {
                Some(value) => Reply::Status(200, value),
                None => not_found(),
            },
            Method::DELETE => match self.objects.remove(&path) {
                Some(_) => Reply::Status(200, json!({"kind": "Status", "status": "Success"})),
                None => not_found(),
            },
            Method::PATCH => self.patch(&path, seen),
            _ => not_found(),
        }
    }

    fn patch(&mut self, path: &str, seen: &Seen) -> Reply {
        let namespace = path
            .split_once("/namespaces/")
            .and_then(|(_, rest)| rest.split_once('/'))
            .map(|(namespace, _)| namespace);
        if let Some(namespace) = namespace
            && !["default", "kube-system"].contains(&namespace)
            && !self
                .objects
                .contains_key(&format!("/api/v1/namespaces/{namespace}"))
        {
            let message = format!("namespaces \"{namespace}\" not found");
            return refusal(404, "NotFound", &message, &json!({"kind": "namespaces"}));
        }
        let dry = seen.path.contains("dryRun=All");
        let mut object: Value = serde_json::from_str(&seen.body).unwrap();
        let old = self.objects.get(path).cloned();
        let mut plain = old.clone().unwrap_or_default();
        if let Some(metadata) = plain["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        let changed = plain != object;
        let version = if changed && !dry {
            self.version += 1;
            json!(self.version.to_string())
        } else {
            old.as_ref().map_or(Value::Null, |old| {
                old["metadata"]["resourceVersion"].clone()
            })
        };
        object["metadata"]["resourceVersion"] = version;
        if !dry {
            self.objects.insert(path.to_owned(), object.clone());
        }
        Reply::Status(if old.is_some() { 200 } else { 201 }, object)
    }
}

fn discovery(path: &str) -> Option<Value> {
    let kinds: &[(&str, &str, bool)] = match path {
        "/api/v1" => &[
            ("namespaces", "Namespace", false),
            ("configmaps", "ConfigMap", true),
            ("secrets", "Secret", true),
            ("nodes", "Node", false),
        ],
        "/apis/apps/v1" => &[("daemonsets", "DaemonSet", true)],
        "/apis/rbac.authorization.k8s.io/v1" => &[("clusterroles", "ClusterRole", false)],
        "/apis/apiextensions.k8s.io/v1" => &[(
            "customresourcedefinitions",
            "CustomResourceDefinition",
            false,
        )],
        _ => return None,
    };
    let resources: Vec<_> = kinds
        .iter()
        .map(|(name, kind, namespaced)| {
            json!({"name": name, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": ["get", "patch"]})
        })
        .collect();
    Some(json!({"kind": "APIResourceList", "groupVersion": "", "resources": resources}))
}
