//! How connections end.

use super::*;

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
async fn a_connection_that_has_its_age_takes_no_more_requests_and_finishes_those_that_it_has() {
    let scene = Scene::new();
    let mut configuration = scene.configuration();
    configuration.limits.max_connection_age = Duration::from_millis(200);
    let server = Server::start(&configuration).await;
    let client = scene.authority.client("c", "seedpod:reader");
    let channel = ClientTls::new(&scene.authority, Some(&client)).channel(server.address);
    let call = hang(&channel);
    server.service.hanging.notified().await;

    let other = get_node(&channel).await.unwrap().static_pod_path;
    until("requests come over a new connection", async || {
        // hyper's client may give a request to the old one in the moment that it is wound up, and not try again.
        get_node(&channel)
            .await
            .is_ok_and(|node| node.static_pod_path != other)
    })
    .await;
    server.service.release.notify_one();
    let finished = call.await.unwrap().unwrap().into_inner();
    assert_eq!(
        finished.static_pod_path, other,
        "the old connection went on until then"
    );
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
