//! HTTP probes against servers that answer word for word.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::{Ask, HttpAsk, Outcome, ask, closed_port, fails, listen};

/// A server that answers each request by its target.
struct Server {
    address: SocketAddr,
    /// The requests' heads.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::start_with(None, answer).await
    }

    async fn start_with(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let (listener, address) = listen().await;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, seen, answer) = (tls.clone(), Arc::clone(&seen), Arc::clone(&answer));
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &seen, &*answer).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &seen, &*answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// What is asked, as messages have it.
    fn asked(&self, path: &str) -> String {
        format!("readiness probe GET http://{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> Outcome {
        ask(Ask::Http(self.probe(path))).await
    }

    fn probe(&self, path: &str) -> HttpAsk {
        HttpAsk {
            https: false,
            host: None,
            port: self.address.port(),
            path: path.to_owned(),
            headers: Vec::new(),
        }
    }
}

async fn serve<S>(
    mut stream: S,
    seen: &Mutex<Vec<String>>,
    answer: &(dyn Fn(&str) -> String + Sync),
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let answer = answer(head.split(' ').nth(1).unwrap());
    seen.lock().unwrap().push(head);
    let _ = stream.write_all(answer.as_bytes()).await;
    if answer.contains("hangs") {
        // Until the other side has had enough.
        let _ = stream.read_u8().await;
    }
    let _ = stream.shutdown().await;
}

/// A whole answer with a body.
fn status(code: &str) -> String {
    format!("HTTP/1.1 {code} Some\r\nContent-Length: 6\r\n\r\nsecret")
}

fn redirect(code: u16, location: &str) -> String {
    format!("HTTP/1.1 {code} Some\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn a_status_from_200_to_399_passes() {
    let server = Server::start(|target| status(&target[1..])).await;
    for code in ["200", "206", "299", "300", "307", "399"] {
        assert_eq!(
            server.get(&format!("/{code}")).await,
            Outcome::Passed,
            "{code}"
        );
    }
    for code in ["400", "404", "500", "503"] {
        let path = format!("/{code}");
        assert_eq!(
            server.get(&path).await,
            fails(format!("{} answered {code}", server.asked(&path)))
        );
    }
}

#[tokio::test]
async fn the_request_is_that_of_the_kubelet() {
    let server = Server::start(|_| status("200")).await;
    server.get("/healthz?full=1").await;
    let port = server.address.port();
    assert_eq!(
        server.requests(),
        [format!(
            "GET /healthz?full=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: kube-probe/1.37\r\n\
             Accept: */*\r\nConnection: close\r\n\r\n"
        )]
    );
}

#[tokio::test]
async fn headers_of_the_probe_take_the_place_of_the_defaults() {
    let server = Server::start(|_| status("200")).await;
    let with = async |headers: &[(&str, &str)]| {
        let mut probe = server.probe("/");
        probe.headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let outcome = ask(Ask::Http(probe)).await;
        (outcome, server.requests.lock().unwrap().pop())
    };
    let (_, request) = with(&[
        ("host", "example.com"),
        ("USER-AGENT", "mine"),
        ("Accept", "application/json"),
        ("x-twice", "1"),
        ("X-Twice", "2"),
    ])
    .await;
    let request = request.unwrap();
    for line in [
        "Host: example.com",
        "User-Agent: mine",
        "Accept: application/json",
        "X-Twice: 1",
        "X-Twice: 2",
    ] {
        let lines = request.lines().filter(|it| *it == line);
        assert_eq!(lines.count(), 1, "{line} in {request}");
    }
    assert!(!request.contains("kube-probe") && !request.contains("*/*"));

    // Empty means not at all, but for Host.
    let (_, request) = with(&[("Accept", ""), ("User-Agent", ""), ("Host", "")]).await;
    let request = request.unwrap();
    assert!(!request.contains("Accept") && !request.contains("User-Agent"));
    assert!(request.contains(&format!("Host: {}", server.address)));

    let (outcome, request) = with(&[("X-Bad", "a\nb")]).await;
    assert_eq!(request, None);
    assert_eq!(
        outcome,
        fails(format!(
            "{} cannot be sent: the header \"X-Bad\" or its value is not allowed in HTTP",
            server.asked("/")
        ))
    );
}

#[tokio::test]
async fn redirections_are_followed_on_the_same_host() {
    let server = Server::start(|target| match target {
        "/301" => redirect(301, "/302?q"),
        "/302?q" => redirect(302, "303"),
        "/303" => redirect(303, "/307"),
        "/307" => redirect(307, "/308"),
        "/308" => redirect(308, "/bad"),
        "/to-good" => redirect(302, "/good"),
        "/good" => status("200"),
        "/nowhere" => redirect(302, ""),
        "/nonsense" => redirect(302, "http://["),
        "/ftp" => redirect(302, "ftp://127.0.0.1/"),
        "/away" => redirect(302, "http://192.0.2.1/bad"),
        "/not-a-redirect" => redirect(300, "/bad"),
        "/round" => redirect(302, "/round"),
        _ => status("500"),
    })
    .await;
    assert_eq!(server.get("/to-good").await, Outcome::Passed);
    server.requests.lock().unwrap().clear();
    assert_eq!(
        server.get("/301").await,
        fails(format!("{} answered 500", server.asked("/301")))
    );
    let requests = server.requests();
    let targets = requests.iter().map(|it| it.split(' ').nth(1).unwrap());
    assert_eq!(
        targets.collect::<Vec<_>>(),
        ["/301", "/302?q", "/303", "/307", "/308", "/bad"]
    );
    // Those are answers like any other.
    for path in ["/away", "/nowhere", "/not-a-redirect"] {
        assert_eq!(server.get(path).await, Outcome::Passed, "{path}");
    }
    for (path, message) in [
        ("/nonsense", "was redirected to what is not a URL"),
        ("/ftp", "was redirected to what is neither http nor https"),
        ("/round", "was redirected 10 times"),
    ] {
        server.requests.lock().unwrap().clear();
        assert_eq!(
            server.get(path).await,
            fails(format!("{} {message}", server.asked(path)))
        );
    }
    assert_eq!(server.requests().len(), 10);
}

#[tokio::test]
async fn a_host_of_the_probes_own_stays_for_relative_redirections() {
    let other = Server::start(|_| status("200")).await;
    let to = format!("http://{}/there", other.address);
    let server = Server::start(move |target| match target {
        "/relative" => redirect(302, "/absolute"),
        _ => redirect(302, &to),
    })
    .await;
    let mut probe = server.probe("/relative");
    probe.headers = vec![("Host".to_owned(), "example.com".to_owned())];
    assert_eq!(ask(Ask::Http(probe)).await, Outcome::Passed);
    for request in server.requests() {
        assert!(request.contains("Host: example.com\r\n"), "{request}");
    }
    // The same host, by its name, though at another port.
    let [request] = other.requests().try_into().unwrap();
    assert!(
        request.contains(&format!("Host: {}\r\n", other.address)),
        "{request}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_ends_by_the_time_out() {
    let (_silent, silent) = listen().await;
    let begun = Instant::now();
    let mut probe = HttpAsk {
        https: false,
        host: Some(silent.ip().to_string()),
        port: silent.port(),
        path: "/".to_owned(),
        headers: Vec::new(),
    };
    let late = |scheme: &str| {
        fails(format!(
            "readiness probe GET {scheme}://{silent}/ got no answer within 1 s"
        ))
    };
    assert_eq!(ask(Ask::Http(probe.clone())).await, late("http"));
    probe.https = true;
    assert_eq!(ask(Ask::Http(probe.clone())).await, late("https"));
    assert!(begun.elapsed() < Duration::from_secs(10));

    probe.https = false;
    probe.port = closed_port().await;
    assert_eq!(
        ask(Ask::Http(probe.clone())).await,
        fails(format!(
            "readiness probe GET http://127.0.0.1:{}/ failed: connection refused",
            probe.port
        ))
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_counts_for_nothing_and_is_asked_for_again() {
    let server = Server::start(|target| match target {
        "/closes" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_owned(),
        "/hangs" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhangs".to_owned(),
        // More than is read, and then no end: that is no fault.
        "/long" => format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}hangs",
            "x".repeat(10 * 1024)
        ),
        _ => "nonsense".to_owned(),
    })
    .await;
    for path in ["/closes", "/hangs"] {
        server.requests.lock().unwrap().clear();
        assert_eq!(
            server.get(path).await,
            Outcome::NotRun(format!(
                "{} answered 200, and broke off",
                server.asked(path)
            ))
        );
        assert_eq!(server.requests().len(), 3);
    }
    assert_eq!(server.get("/long").await, Outcome::Passed);
    let Outcome::Failed(message) = server.get("/nonsense").await else {
        panic!("that is no HTTP")
    };
    assert!(message.contains("failed: "), "{message}");
}

/// TLS with a certificate that nobody has signed but itself, and that is of another name and out of date.
fn tls(versions: &[&'static rustls::SupportedProtocolVersion], alpn: &[&[u8]]) -> TlsAcceptor {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["other.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|it| it.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn https_takes_any_certificate() {
    let versions: [&[_]; 2] = [&[&rustls::version::TLS12], &[&rustls::version::TLS13]];
    for version in versions {
        let answer = |target: &str| status(&target[1..]);
        let server = Server::start_with(Some(tls(version, &[])), answer).await;
        for host in [None, Some("localhost".to_owned())] {
            let probe = |path| HttpAsk {
                https: true,
                host: host.clone(),
                ..server.probe(path)
            };
            assert_eq!(ask(Ask::Http(probe("/200"))).await, Outcome::Passed);
            let Outcome::Failed(message) = ask(Ask::Http(probe("/500"))).await else {
                panic!("500 is a failure")
            };
            assert!(
                message.starts_with("readiness probe GET https://")
                    && message.ends_with("/500 answered 500"),
                "{message}"
            );
        }
        // Plain HTTP at a TLS port, and TLS at a plain port.
        assert!(matches!(server.get("/200").await, Outcome::Failed(_)));
    }
    let plain = Server::start(|_| status("200")).await;
    let probe = HttpAsk {
        https: true,
        ..plain.probe("/")
    };
    assert!(matches!(ask(Ask::Http(probe)).await, Outcome::Failed(_)));
}

#[tokio::test]
async fn https_speaks_http_2_where_the_server_does() {
    let (listener, address) = listen().await;
    let tls = tls(&[&rustls::version::TLS13], &[b"h2"]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&seen);
    let service = tower::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (parts, _) = request.into_parts();
        let code = parts.uri.path()[1..].parse::<u16>().unwrap();
        requests.lock().unwrap().push(parts);
        let answer = http::Response::builder().status(code);
        std::future::ready(answer.body(axum::body::Body::from("body")))
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stream = TokioIo::new(tls.accept(stream).await.unwrap());
            let serving = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                .serve_connection(stream, TowerToHyperService::new(service.clone()))
                .await;
            // The probe goes away when it has its answer.
            drop(serving);
        }
    });
    let probe = |path: &str, host: &str| {
        Ask::Http(HttpAsk {
            https: true,
            host: None,
            port: address.port(),
            path: path.to_owned(),
            headers: vec![
                ("Host".to_owned(), host.to_owned()),
                ("Connection".to_owned(), "close".to_owned()),
            ],
        })
    };
    assert_eq!(ask(probe("/200", "example.com")).await, Outcome::Passed);
    let failed = ask(probe("/503", "")).await;
    assert_eq!(
        failed,
        fails(format!(
            "readiness probe GET https://{address}/503 answered 503"
        ))
    );
    let seen = seen.lock().unwrap();
    let authorities = seen
        .iter()
        .map(|it| it.uri.authority().unwrap().to_string());
    assert_eq!(
        authorities.collect::<Vec<_>>(),
        ["example.com".to_owned(), address.to_string()]
    );
    assert!(seen.iter().all(|it| it.version == http::Version::HTTP_2));
}
