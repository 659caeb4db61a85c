use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose};
use seedpod_proto::v1::{
    GetNodeRequest, Node,
    node_service_client::NodeServiceClient,
    node_service_server::{NodeService, NodeServiceServer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, service::Routes, transport::Channel};
use tonic_types::StatusExt;

use super::{
    handshake::{Handshakes, Outcome},
    listen::ListenError,
    serve::ServeError,
    testing::*,
    *,
};
use crate::{config::Configuration, metrics::Metrics};

/// Answers with what it knows of the client; hangs when it is told to.
#[derive(Clone, Default)]
struct TestNode {
    /// Resolves once for each call that hangs.
    hanging: Arc<Notify>,
    /// Lets the calls that hang go on.
    release: Arc<Notify>,
}

#[tonic::async_trait]
impl NodeService for TestNode {
    async fn get_node(&self, request: Request<GetNodeRequest>) -> Result<Response<Node>, Status> {
        let identity = request.extensions().get::<Identity>().unwrap().clone();
        if request.metadata().contains_key("hang") {
            self.hanging.notify_one();
            self.release.notified().await;
        }
        Ok(Response::new(Node {
            name: format!("{} {}", identity.name, identity.roles_text()),
            static_pod_path: identity.peer.to_string(),
            state_directory: identity.serial.unwrap_or_default(),
            ..Node::default()
        }))
    }
}

struct Server {
    address: std::net::SocketAddr,
    service: TestNode,
    metrics: Metrics,
    stop: CancellationToken,
    served: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    async fn start(configuration: &Configuration) -> Self {
        let listeners = Listeners::bind(configuration).await.unwrap();
        let address = listeners.address();
        let (service, metrics, stop) = (
            TestNode::default(),
            Metrics::default(),
            CancellationToken::new(),
        );
        let served = tokio::spawn({
            let routes = Routes::new(NodeServiceServer::new(service.clone()));
            let (limits, metrics, stop) =
                (configuration.limits.clone(), metrics.clone(), stop.clone());
            async move { serve(listeners, routes, &limits, &metrics, stop).await }
        });
        Self {
            address,
            service,
            metrics,
            stop,
            served,
        }
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.served)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

async fn get_node(channel: &Channel) -> Result<Node, Status> {
    Ok(NodeServiceClient::new(channel.clone())
        .get_node(GetNodeRequest {})
        .await?
        .into_inner())
}

/// A call that hangs in the service.
fn hang(channel: &Channel) -> JoinHandle<Result<Response<Node>, Status>> {
    let mut client = NodeServiceClient::new(channel.clone());
    tokio::spawn(async move {
        let mut request = Request::new(GetNodeRequest {});
        request.metadata_mut().insert("hang", "1".parse().unwrap());
        client.get_node(request).await
    })
}

#[tokio::test]
async fn a_request_knows_who_sent_it() {
    let scene = Scene::new();
    let server = Server::start(&scene.configuration()).await;
    let client = scene.authority.client("installer", "seedpod:injector");
    let node = get_node(&ClientTls::new(&scene.authority, Some(&client)).channel(server.address))
        .await
        .unwrap();

    assert_eq!(node.name, "installer seedpod:injector");
    assert!(
        node.static_pod_path.starts_with("127.0.0.1:"),
        "{}",
        node.static_pod_path
    );
    assert!(!node.state_directory.is_empty());
    server.end().await;
}

#[tokio::test]
async fn a_certificate_without_a_role_is_let_in_and_may_not_call() {
    let scene = Scene::new();
    let server = Server::start(&scene.configuration()).await;
    let client = scene.authority.client("somebody", "other");
    let channel = ClientTls::new(&scene.authority, Some(&client)).channel(server.address);

    let status = get_node(&channel).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(
        status.message().contains("seedpod:reader"),
        "{}",
        status.message()
    );
    assert!(
        server.metrics.encode(None).contains(
            "grpc_server_handled_total{grpc_service=\"seedpod.v1.NodeService\",\
             grpc_method=\"GetNode\",grpc_code=\"PermissionDenied\"} 1"
        ),
        "{}",
        server.metrics.encode(None)
    );
    server.end().await;
}

/// The ways in which a client can be wrong, and what the log says to each.
#[tokio::test]
async fn whoever_is_not_to_be_trusted_is_refused_with_a_plain_reason() {
    let scene = Scene::new();
    let authority = &scene.authority;
    let from = |usage, change: fn(&mut CertificateParams)| {
        authority.issue(usage, |params| {
            params.distinguished_name.push(DnType::CommonName, "c");
            change(params);
        })
    };
    let client_auth = ExtendedKeyUsagePurpose::ClientAuth;
    let good = from(client_auth.clone(), |_| ());
    let expired = from(client_auth.clone(), |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let early = from(client_auth.clone(), |params| {
        params.not_before = rcgen::date_time_ymd(2999, 1, 1);
        params.not_after = rcgen::date_time_ymd(3000, 1, 1);
    });
    let nameless = authority.issue(client_auth, |params| params.subject_alt_names.clear());
    let for_servers = from(ExtendedKeyUsagePurpose::ServerAuth, |_| ());
    let foreigner = Authority::named("another CA").client("c", "seedpod:admin");
    let stranger = Authority::new().client("c", "seedpod:admin");
    let tls12 = ClientTls::with_versions(authority, Some(&good), &[&rustls::version::TLS12]);
    let tls = |client| ClientTls::new(authority, client);
    let distrusting = ClientTls::new(&Authority::new(), Some(&good));

    for (name, client, reason) in [
        ("no certificate", tls(None), "sent no certificate"),
        (
            "another authority",
            tls(Some(&foreigner)),
            "not from an authority in tls.clientCAFile",
        ),
        (
            "a namesake",
            tls(Some(&stranger)),
            "not from an authority in tls.clientCAFile",
        ),
        ("expired", tls(Some(&expired)), "has expired"),
        ("not yet valid", tls(Some(&early)), "not valid yet"),
        ("a server's", tls(Some(&for_servers)), "not one for clients"),
        ("nameless", tls(Some(&nameless)), "no URI, DNS name or CN"),
        ("TLS 1.2", tls12, "TLS 1.3"),
        (
            "distrusting",
            distrusting,
            "trust the authority of tls.certFile",
        ),
    ] {
        let (listener, mut handshakes) = handshakes(&scene, 4, PATIENCE).await;
        let address = listener.local_addr().unwrap();
        let client = tokio::spawn(async move {
            if let Ok(mut stream) = client.handshake(address).await {
                // TLS 1.3 lets the client finish before the server has looked at its certificate.
                let _ = stream.read(&mut [0; 16]).await;
            }
        });
        let (stream, peer) = listener.accept().await.unwrap();
        handshakes.begin(stream, peer);
        let error = next(&mut handshakes)
            .await
            .result
            .map(|_| name)
            .unwrap_err()
            .to_string();
        assert!(error.contains(reason), "{name}: {error:?}");
        client.await.unwrap();
    }
}

#[tokio::test]
async fn plain_text_is_refused_with_a_plain_reason() {
    let scene = Scene::new();
    for (text, reason) in [
        ("GET / HTTP/1.1\r\nHost: n1\r\n\r\n", "is not TLS"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "is not TLS"),
        ("", "hung up"),
    ] {
        let (listener, mut handshakes) = handshakes(&scene, 4, PATIENCE).await;
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        client.write_all(text.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        handshakes.begin(stream, peer);
        let error = next(&mut handshakes)
            .await
            .result
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(reason), "{text:?}: {error:?}");
    }
}

async fn handshakes(scene: &Scene, max: usize, timeout: Duration) -> (TcpListener, Handshakes) {
    let credentials = Credentials::load(&scene.files()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener, Handshakes::new(credentials, max, timeout))
}

async fn next(handshakes: &mut Handshakes) -> Outcome {
    tokio::time::timeout(PATIENCE, handshakes.next())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_flood_gives_up_the_oldest_of_the_busiest_address() {
    let scene = Scene::new();
    let (listener, mut handshakes) = handshakes(&scene, 3, PATIENCE).await;
    let connect = async || {
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        (client, listener.accept().await.unwrap().0)
    };
    let peer = |text: &str| text.parse::<std::net::SocketAddr>().unwrap();

    let mut clients = Vec::new();
    let mut begin = async |address: &str| {
        let (client, stream) = connect().await;
        clients.push(client);
        handshakes.begin(stream, peer(address))
    };
    assert_eq!(begin("192.0.2.1:1").await, None);
    assert_eq!(begin("192.0.2.9:1").await, None);
    assert_eq!(begin("192.0.2.9:2").await, None);
    assert_eq!(
        begin("192.0.2.9:3").await,
        Some(peer("192.0.2.9:1")),
        "not the lone older one"
    );
    assert_eq!(begin("192.0.2.9:4").await, Some(peer("192.0.2.9:2")));
    assert_eq!(begin("192.0.2.2:1").await, Some(peer("192.0.2.9:3")));
    assert_eq!(
        begin("192.0.2.3:1").await,
        Some(peer("192.0.2.1:1")),
        "all alike: the oldest"
    );
}

#[tokio::test]
async fn half_open_connections_do_not_keep_a_good_client_out() {
    let scene = Scene::new();
    let mut configuration = scene.configuration();
    configuration.limits.max_pending_handshakes = 8;
    configuration.limits.handshake_timeout = Duration::from_secs(600);
    let server = Server::start(&configuration).await;

    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(TcpStream::connect(server.address).await.unwrap());
    }
    let client = scene.authority.client("c", "seedpod:reader");
    let channel = ClientTls::new(&scene.authority, Some(&client)).channel(server.address);
    let node = tokio::time::timeout(PATIENCE, get_node(&channel))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(node.name, "c seedpod:reader");
    server.end().await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut_off_in_time() {
    let scene = Scene::new();
    let mut configuration = scene.configuration();
    configuration.limits.handshake_timeout = Duration::from_millis(50);
    let server = Server::start(&configuration).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let read = tokio::time::timeout(PATIENCE, silent.read(&mut [0; 1]))
        .await
        .unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    server.end().await;
}

#[tokio::test]
async fn one_client_has_only_so_many_connections() {
    let scene = Scene::new();
    let mut configuration = scene.configuration();
    configuration.limits.max_connections_per_client = 1;
    let server = Server::start(&configuration).await;
    let client = scene.authority.client("greedy", "seedpod:reader");
    let tls = ClientTls::new(&scene.authority, Some(&client));

    let first = tls.channel(server.address);
    get_node(&first).await.unwrap();
    let second = get_node(&tls.channel(server.address)).await.unwrap_err();
    assert_ne!(second.code(), Code::PermissionDenied, "{second}");

    let other = scene.authority.client("modest", "seedpod:reader");
    get_node(&ClientTls::new(&scene.authority, Some(&other)).channel(server.address))
        .await
        .unwrap();

    drop(first);
    until("the closed connection's place is free", async || {
        get_node(&tls.channel(server.address)).await.is_ok()
    })
    .await;
    server.end().await;
}

#[tokio::test]
async fn more_requests_than_a_client_may_have_are_told_so() {
    let scene = Scene::new();
    let mut configuration = scene.configuration();
    configuration.limits.max_requests_per_client = 1;
    let server = Server::start(&configuration).await;
    let client = scene.authority.client("c", "seedpod:reader");
    let tls = ClientTls::new(&scene.authority, Some(&client));
    let channel = tls.channel(server.address);

    let first = hang(&channel);
    server.service.hanging.notified().await;
    // Another connection does not help; another client is not concerned.
    let status = get_node(&tls.channel(server.address)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(
        status.get_details_error_info().unwrap().reason,
        "TOO_MANY_REQUESTS"
    );
    assert!(status.get_details_retry_info().is_some());
    let other = scene.authority.client("other", "seedpod:reader");
    get_node(&ClientTls::new(&scene.authority, Some(&other)).channel(server.address))
        .await
        .unwrap();

    server.service.release.notify_one();
    first.await.unwrap().unwrap();
    get_node(&channel).await.unwrap();
    server.end().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended() {
    let scene = Scene::new();
    let mut configuration = scene.configuration();
    configuration.limits.request_timeout = Duration::from_millis(50);
    let server = Server::start(&configuration).await;
    let client = scene.authority.client("c", "seedpod:reader");
    let channel = ClientTls::new(&scene.authority, Some(&client)).channel(server.address);

    let status = tokio::time::timeout(PATIENCE, hang(&channel))
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    server.end().await;
}

#[tokio::test]
async fn a_connection_does_not_outlive_its_certificate() {
    let scene = Scene::new();
    let server = Server::start(&scene.configuration()).await;
    let client = scene
        .authority
        .issue(ExtendedKeyUsagePurpose::ClientAuth, |params| {
            params.distinguished_name.push(DnType::CommonName, "c");
            params
                .distinguished_name
                .push(DnType::OrganizationName, "seedpod:reader");
            // Certificates have whole seconds.
            params.not_after = std::time::SystemTime::now().into();
            params.not_after += Duration::from_secs(3);
        });
    let channel = ClientTls::new(&scene.authority, Some(&client)).channel(server.address);
    get_node(&channel).await.unwrap();
    let status = tokio::time::timeout(PATIENCE, hang(&channel))
        .await
        .unwrap()
        .unwrap();
    assert!(status.is_err());
    server.end().await;
}

#[tokio::test]
async fn a_request_in_flight_gets_its_answer_when_the_daemon_stops() {
    let scene = Scene::new();
    let server = Server::start(&scene.configuration()).await;
    let client = scene.authority.client("c", "seedpod:reader");
    let tls = ClientTls::new(&scene.authority, Some(&client));
    let call = hang(&tls.channel(server.address));
    server.service.hanging.notified().await;

    server.stop.cancel();
    until("nobody listens any more", async || {
        TcpStream::connect(server.address).await.is_err()
    })
    .await;
    assert!(!server.served.is_finished());
    server.service.release.notify_one();
    call.await.unwrap().unwrap();
    server.end().await;
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_the_daemon_up() {
    let scene = Scene::new();
    let mut configuration = scene.configuration();
    configuration.limits.drain_timeout = Duration::from_millis(100);
    let server = Server::start(&configuration).await;
    let client = scene.authority.client("c", "seedpod:reader");
    let call = hang(&ClientTls::new(&scene.authority, Some(&client)).channel(server.address));
    server.service.hanging.notified().await;

    let begun = Instant::now();
    server.end().await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert!(call.await.unwrap().is_err());
}

#[tokio::test]
async fn the_unix_socket_is_the_operators() {
    let scene = Scene::new();
    let mut configuration = scene.configuration();
    let path = scene.path("run/seedpod/s");
    configuration.socket_path = Some(path.clone());
    let server = Server::start(&configuration).await;

    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let node = get_node(&unix_channel(path.clone())).await.unwrap();
    assert!(node.name.ends_with(" seedpod:admin"), "{}", node.name);
    assert!(
        node.static_pod_path.starts_with("unix:uid="),
        "{}",
        node.static_pod_path
    );

    server.end().await;
    assert!(!path.exists(), "the socket goes with the daemon");
    assert_eq!(
        std::fs::read_dir(scene.path("run/seedpod"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn a_socket_that_was_left_behind_is_replaced_and_others_are_not() {
    let scene = Scene::new();
    let configuration = scene.configuration();
    let path = configuration.socket_path.clone().unwrap();

    write(&path, "not a socket");
    let error = Listeners::bind(&configuration).await.unwrap_err();
    assert!(matches!(error, ListenError::NotASocket { .. }), "{error}");
    rustix::fs::unlink(&path).unwrap();

    let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let error = Listeners::bind(&configuration).await.unwrap_err();
    assert!(matches!(error, ListenError::Taken { .. }), "{error}");

    let left = std::fs::metadata(&path).unwrap().ino();
    drop(other);
    let _bound = Listeners::bind(&configuration).await.unwrap();
    assert_ne!(std::fs::metadata(&path).unwrap().ino(), left);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let scene = Scene::new();
    let mut configuration = scene.configuration();
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    configuration.listen.as_mut().unwrap().address = other.local_addr().unwrap();
    let error = Listeners::bind(&configuration).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "listenAddress: cannot listen on {}",
            other.local_addr().unwrap()
        )
    );
}

mod reloading {
    use super::*;

    /// The serial number of the certificate that the server shows now.
    async fn shown(tls: &ClientTls, address: std::net::SocketAddr) -> Vec<u8> {
        let stream = tls.handshake(address).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    fn der(issued: &Issued) -> Vec<u8> {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        CertificateDer::from_pem_slice(issued.certificate.as_bytes())
            .unwrap()
            .to_vec()
    }

    async fn until_shown(tls: &ClientTls, address: std::net::SocketAddr, wanted: &Issued) {
        until("the new certificate is shown", async || {
            shown(tls, address).await == der(wanted)
        })
        .await;
    }

    #[tokio::test]
    async fn a_new_certificate_is_shown_and_no_connection_is_dropped() {
        let scene = Scene::new();
        let server = Server::start(&scene.configuration()).await;
        let client = scene.authority.client("c", "seedpod:reader");
        let tls = ClientTls::new(&scene.authority, Some(&client));
        let channel = tls.channel(server.address);
        let port = get_node(&channel).await.unwrap().static_pod_path;

        let renewed = scene.authority.server();
        scene.install(&renewed);
        until_shown(&tls, server.address, &renewed).await;
        assert_eq!(
            get_node(&channel).await.unwrap().static_pod_path,
            port,
            "the same connection"
        );
        server.end().await;
    }

    #[tokio::test]
    async fn files_that_do_not_belong_together_change_nothing_until_they_do() {
        let scene = Scene::new();
        let before = scene.authority.server();
        scene.install(&before);
        let credentials = Credentials::load(&scene.files()).unwrap();

        let renewed = scene.authority.server();
        write(&scene.path("server.crt"), &renewed.certificate);
        let error = credentials.refresh().unwrap_err().to_string();
        assert!(
            error.contains("is not the key of the certificate"),
            "{error}"
        );
        assert!(error.contains("server.key"), "{error}");

        let config = credentials.current();
        write(&scene.path("server.key"), &renewed.key);
        assert!(credentials.refresh().unwrap());
        assert!(!Arc::ptr_eq(&config, &credentials.current()));
        assert!(!credentials.refresh().unwrap(), "nothing has changed since");
    }

    #[tokio::test]
    async fn a_server_whose_files_are_broken_goes_on_with_what_it_has() {
        let scene = Scene::new();
        let before = scene.authority.server();
        scene.install(&before);
        let server = Server::start(&scene.configuration()).await;
        let client = scene.authority.client("c", "seedpod:reader");
        let tls = ClientTls::new(&scene.authority, Some(&client));

        write(
            &scene.path("server.crt"),
            "-----BEGIN CERTIFICATE-----\n!\n",
        );
        rustix::fs::unlink(scene.path("server.key")).unwrap();
        assert_eq!(shown(&tls, server.address).await, der(&before));

        let renewed = scene.authority.server();
        scene.install(&renewed);
        until_shown(&tls, server.address, &renewed).await;
        server.end().await;
    }

    #[tokio::test]
    async fn links_that_are_swapped_as_kubernetes_does_are_followed() {
        use std::os::unix::fs::symlink;
        let scene = Scene::new();
        let put = |version: &str, server: &Issued| {
            std::fs::create_dir(scene.path(version)).unwrap();
            write(&scene.path(version).join("server.crt"), &server.certificate);
            write(&scene.path(version).join("server.key"), &server.key);
        };
        for file in ["server.crt", "server.key"] {
            rustix::fs::unlink(scene.path(file)).unwrap();
            symlink(format!("..data/{file}"), scene.path(file)).unwrap();
        }
        put("..1", &scene.authority.server());
        symlink("..1", scene.path("..data")).unwrap();

        let server = Server::start(&scene.configuration()).await;
        let client = scene.authority.client("c", "seedpod:reader");
        let tls = ClientTls::new(&scene.authority, Some(&client));
        let renewed = scene.authority.server();
        put("..2", &renewed);
        symlink("..2", scene.path("..data_tmp")).unwrap();
        rustix::fs::rename(scene.path("..data_tmp"), scene.path("..data")).unwrap();
        until_shown(&tls, server.address, &renewed).await;
        server.end().await;
    }

    #[tokio::test]
    async fn files_behind_links_into_another_directory_are_followed() {
        use std::os::unix::fs::symlink;
        let scene = Scene::new();
        let elsewhere = tempfile::tempdir().unwrap();
        for file in ["server.crt", "server.key"] {
            rustix::fs::rename(scene.path(file), elsewhere.path().join(file)).unwrap();
            symlink(elsewhere.path().join(file), scene.path(file)).unwrap();
        }
        let server = Server::start(&scene.configuration()).await;
        let client = scene.authority.client("c", "seedpod:reader");
        let tls = ClientTls::new(&scene.authority, Some(&client));
        let renewed = scene.authority.server();
        scene.install(&renewed);
        until_shown(&tls, server.address, &renewed).await;
        server.end().await;
    }

    #[tokio::test]
    async fn an_authority_that_is_withdrawn_lets_nobody_in_any_more() {
        let scene = Scene::new();
        let server = Server::start(&scene.configuration()).await;
        let old = scene.authority.client("old", "seedpod:reader");
        let old = ClientTls::new(&scene.authority, Some(&old));
        let connected = old.channel(server.address);
        get_node(&connected).await.unwrap();

        let authority = Authority::new();
        write(&scene.path("ca.crt"), &authority.certificate);
        let new = authority.client("new", "seedpod:reader");
        let new = ClientTls::new(&scene.authority, Some(&new));
        until("the new authority is taken", async || {
            get_node(&new.channel(server.address)).await.is_ok()
        })
        .await;
        assert!(get_node(&old.channel(server.address)).await.is_err());
        get_node(&connected).await.unwrap();
        server.end().await;
    }
}

#[test]
fn tls_files_that_cannot_be_used_are_named_with_their_key() {
    let scene = Scene::new();
    let broken = |file: &str, content: Option<&str>| {
        let scene = Scene::new();
        match content {
            Some(content) => write(&scene.path(file), content),
            None => rustix::fs::unlink(scene.path(file)).unwrap(),
        }
        Credentials::load(&scene.files()).unwrap_err().to_string()
    };
    for (file, key) in [
        ("server.crt", "tls.certFile"),
        ("server.key", "tls.keyFile"),
        ("ca.crt", "tls.clientCAFile"),
    ] {
        for content in [None, Some(""), Some("-----BEGIN CERTIFICATE-----\n!\n")] {
            let error = broken(file, content);
            assert!(
                error.contains(key) && error.contains(file),
                "{file} {content:?}: {error}"
            );
        }
    }
    Credentials::load(&scene.files()).unwrap();
}
