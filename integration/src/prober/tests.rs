use std::convert::Infallible;
use std::sync::atomic::AtomicU8;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request as HttpRequest, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::pki::{Authority, Request};
use crate::wait_until;

const SOON: Duration = Duration::from_secs(20);

/// How the fake API server answers.
const WELL: u8 = 0;
const FORBIDDEN: u8 = 1;
const CUT: u8 = 2;
const SLOWLY: u8 = 3;

/// An API server that has ConfigMaps, and cuts each watch after a moment.
struct Fake {
    mode: Arc<AtomicU8>,
    port: u16,
    /// What was written; the version of the list is its length.
    writes: Arc<Mutex<Vec<Value>>>,
    folder: tempfile::TempDir,
    identity: Identity,
    _runtime: Runtime,
}

impl Fake {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("test").unwrap();
        authority.write(&folder.path().join("ca.crt")).unwrap();
        let issue =
            |name: &str, request: &Request| authority.issue(folder.path(), name, request).unwrap();
        let server = issue("server", &Request::server("server", &["localhost"]));
        let identity = issue("admin", &Request::user("admin"));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(&server.certificate).unwrap()],
                PrivateKeyDer::from_pem_file(&server.key).unwrap(),
            )
            .unwrap();

        let runtime = runtime().unwrap();
        let mode = Arc::<AtomicU8>::default();
        let writes = Arc::<Mutex<Vec<Value>>>::default();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        runtime.spawn({
            let (mode, writes) = (mode.clone(), writes.clone());
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (acceptor, mode, writes) = (acceptor.clone(), mode.clone(), writes.clone());
                    tokio::spawn(async move {
                        let mode = mode.load(Ordering::SeqCst);
                        let Ok(stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        if mode == CUT {
                            return;
                        }
                        let service = service_fn(|request| answer(mode, &writes, request));
                        let _ = http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
            }
        });
        Self {
            mode,
            port,
            writes,
            folder,
            identity,
            _runtime: runtime,
        }
    }

    fn plan(&self, users: Vec<User>) -> Plan {
        Plan {
            network: None,
            addresses: vec!["127.0.0.1".parse().unwrap()],
            port: self.port,
            ca: self.folder.path().join("ca.crt"),
            server_name: "localhost".to_owned(),
            users,
            watcher: None,
        }
    }

    fn mode(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
    }
}

async fn answer(
    mode: u8,
    writes: &Mutex<Vec<Value>>,
    request: HttpRequest<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if mode == SLOWLY {
        tokio::time::sleep(LIMIT + Duration::from_millis(100)).await;
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let mut body = String::new();
    if request.method() == Method::PATCH {
        let text = request.into_body().collect().await.unwrap().to_bytes();
        lock(writes).push(serde_json::from_slice(&text).unwrap());
    } else if query.contains("watch=1") {
        let from = query.split("resourceVersion=").nth(1).unwrap();
        let from: usize = from.parse().unwrap();
        // The watch is cut after a moment, whatever there is.
        tokio::time::sleep(Duration::from_millis(30)).await;
        for (index, object) in lock(writes).iter().enumerate().skip(from) {
            let mut object = object.clone();
            object["metadata"]["resourceVersion"] = json!((index + 1).to_string());
            body += &format!("{}\n", json!({"type": "MODIFIED", "object": object}));
        }
    } else {
        let version = lock(writes).len().to_string();
        body = json!({"metadata": {"resourceVersion": version}}).to_string();
    }
    let status = if mode == FORBIDDEN { 403 } else { 200 };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status.try_into().unwrap();
    Ok(response)
}

fn more(prober: &Prober, count: usize) {
    let goal = prober.requests() + count;
    wait_until(SOON, "requests are made", || prober.requests() >= goal).unwrap();
}

#[test]
fn a_server_that_answers_loses_nothing() {
    let fake = Fake::start();
    let users = vec![
        User::reader("admin", &fake.identity, "/version"),
        User::writer("writer", &fake.identity),
    ];
    let mut plan = fake.plan(users);
    plan.watcher = Some(fake.identity.clone());
    let prober = Prober::start(plan).unwrap();
    more(&prober, 100);
    let report = prober.finish().unwrap();

    assert!(report.requests() >= 100);
    assert_eq!(report.lost(), Vec::<&Record>::new(), "{report}");
    assert!(report.longest() > Duration::ZERO);
    for line in 0..2 {
        assert!(report.records.iter().any(|it| it.line == line), "{report}");
    }
    // It was cut all the time, and has missed nothing.
    let watched = report.watched.clone().unwrap();
    assert!(watched.events >= 2, "{report}");
    assert!(watched.resumed >= 2, "{report}");
    assert_eq!((watched.missed, watched.begun_anew), (0, 0), "{report}");
    assert!(
        report.to_string().contains("writer at 127.0.0.1: "),
        "{report}"
    );
}

#[test]
fn each_kind_of_loss_is_told() {
    let fake = Fake::start();
    let users = vec![User::reader("user", &fake.identity, "/version")];
    let prober = Prober::start(fake.plan(users)).unwrap();
    more(&prober, 10);
    // Of late answers there are no more than two at a time.
    for (mode, requests) in [(FORBIDDEN, 40), (CUT, 20), (SLOWLY, 4), (WELL, 20)] {
        fake.mode(mode);
        more(&prober, requests);
    }
    let report = prober.finish().unwrap();
    let lost = report.lost();
    let is_there = |what: &str, is_it: &dyn Fn(&Record) -> bool| {
        assert!(lost.iter().any(|it| is_it(it)), "no {what}: {report}");
    };
    is_there("status", &|it| it.outcome == Ok(403));
    is_there("error", &|it| it.outcome.is_err());
    is_there("late answer", &|it| {
        it.outcome == Ok(200) && it.latency > LIMIT
    });
    let late = |it: &&&Record| it.outcome == Ok(200);
    assert_eq!(
        report.failed().len(),
        lost.len() - lost.iter().filter(late).count()
    );
    assert!(lost.len() < report.requests(), "{report}");
    assert!(report.longest() > LIMIT);
    let text = report.to_string();
    assert!(
        text.contains("user at 127.0.0.1, status 403 after"),
        "{text}"
    );
    assert!(
        text.contains(&format!("and {} more", lost.len() - 50)),
        "{text}"
    );
}

#[test]
fn a_write_that_the_watch_does_not_tell_of_is_missed() {
    let fake = Fake::start();
    let users = vec![User::writer("writer", &fake.identity)];
    let mut plan = fake.plan(users);
    plan.watcher = Some(fake.identity.clone());
    let prober = Prober::start(plan).unwrap();
    more(&prober, 3);
    // The store forgets one, which has happened.
    lock(&prober.shared.written).insert(u64::MAX, Instant::now());
    let report = prober.finish().unwrap();
    assert_eq!(report.watched.as_ref().unwrap().missed, 1, "{report}");
    assert!(!lock(&fake.writes).is_empty());
}

#[test]
fn a_namespace_that_is_not_there_is_named() {
    let fake = Fake::start();
    let users = vec![User::reader("nobody", &fake.identity, "/version")];
    let mut plan = fake.plan(users);
    plan.network = Some("/proc/self/ns/absent".into());
    let error = Prober::start(plan).unwrap_err();
    assert!(
        format!("{error:#}").contains("network namespace"),
        "{error:#}"
    );
}
