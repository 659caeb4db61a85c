//! TLS files that change.

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
