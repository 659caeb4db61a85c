//! Who gets through the handshake.

use super::*;

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
