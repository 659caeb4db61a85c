//! What is bound, and what cannot be.

use super::*;

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
