//! What a client may do, and how much of it.

use super::*;

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
