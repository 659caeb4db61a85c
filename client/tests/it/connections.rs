//! Getting through to a node, or not.

use std::{error::Error as _, time::Duration};

use seedpod_client::{Client, Endpoint, Error, Options};

use crate::{
    certificates::Ca,
    fake::{Fake, Script, Tls, always, node},
};

fn script() -> Script {
    Script {
        get_node: always(node()),
        ..Script::default()
    }
}

fn with_client_of(options: Options, server_ca: &Ca, client_ca: &Ca) -> Options {
    let pair = client_ca.client();
    options
        .ca_pem(server_ca.pem.clone())
        .client_certificate_pem(pair.certificate, pair.key)
}

async fn failure(options: Options) -> Error {
    // A refused client certificate may only be seen by the first call.
    match Client::connect(options).await {
        Ok(client) => client.get_node().await.expect_err("the call must fail"),
        Err(error) => error,
    }
}

fn cause(error: &Error) -> String {
    error.source().expect("a cause").to_string()
}

#[tokio::test]
async fn mutual_tls_with_the_same_ca_connects() {
    let ca = Ca::new();
    let fake = Fake::start_tls(script(), Tls::new(&ca, "127.0.0.1"));
    let client = Client::connect(with_client_of(fake.options(), &ca, &ca))
        .await
        .expect("a connection");
    assert_eq!(client.get_node().await.expect("a node").name, "node-1");
}

#[tokio::test]
async fn certificates_are_read_from_files_too() {
    let ca = Ca::new();
    let fake = Fake::start_tls(script(), Tls::new(&ca, "127.0.0.1"));
    let (pair, scratch) = (ca.client(), fake.scratch());
    std::fs::write(scratch.join("ca.crt"), &ca.pem).expect("written");
    std::fs::write(scratch.join("c.crt"), &pair.certificate).expect("written");
    std::fs::write(scratch.join("c.key"), &pair.key).expect("written");
    let options = fake
        .options()
        .ca_file(scratch.join("ca.crt"))
        .client_certificate_files(scratch.join("c.crt"), scratch.join("c.key"));
    Client::connect(options)
        .await
        .expect("a connection")
        .get_node()
        .await
        .expect("a node");
}

#[tokio::test]
async fn a_server_of_another_ca_is_refused() {
    let (ca, other) = (Ca::new(), Ca::new());
    let fake = Fake::start_tls(script(), Tls::new(&ca, "127.0.0.1"));
    let error = failure(with_client_of(fake.options(), &other, &ca)).await;
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert!(
        cause(&error).contains("UnknownIssuer") || cause(&error).contains("BadSignature"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_with_another_name_is_refused_unless_that_name_is_given() {
    let ca = Ca::new();
    let fake = Fake::start_tls(script(), Tls::new(&ca, "node-1.example"));
    let options = with_client_of(fake.options(), &ca, &ca);
    let error = failure(options.clone()).await;
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert!(cause(&error).contains("name"), "{error:?}");
    Client::connect(options.server_name("node-1.example"))
        .await
        .expect("a connection");
}

#[tokio::test]
async fn an_expired_server_is_refused() {
    let ca = Ca::new();
    let tls = Tls {
        pair: ca.expired_server("127.0.0.1"),
        ..Tls::new(&ca, "127.0.0.1")
    };
    let fake = Fake::start_tls(script(), tls);
    let error = failure(with_client_of(fake.options(), &ca, &ca)).await;
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert!(
        cause(&error).to_lowercase().contains("expired"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_client_of_another_ca_learns_that_it_is_the_certificate() {
    let (ca, other) = (Ca::new(), Ca::new());
    let fake = Fake::start_tls(script(), Tls::new(&ca, "127.0.0.1"));
    let error = failure(with_client_of(fake.options(), &ca, &other)).await;
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert!(cause(&error).contains("alert"), "{error:?}");
}

#[tokio::test]
async fn tls_before_1_3_is_refused() {
    let ca = Ca::new();
    let tls = Tls {
        version: &rustls::version::TLS12,
        ..Tls::new(&ca, "127.0.0.1")
    };
    let fake = Fake::start_tls(script(), tls);
    let error = failure(with_client_of(fake.options(), &ca, &ca)).await;
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart_from_one_that_is_off() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let endpoint = format!("https://{}", listener.local_addr().expect("an address"));
    let talker = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = tokio::io::AsyncWriteExt::write_all(
                &mut stream,
                b"220 welcome to the mail server\r\n",
            )
            .await;
        }
    });
    let ca = Ca::new();
    let options = with_client_of(Options::new(&endpoint).expect("an endpoint"), &ca, &ca);
    let error = failure(options.clone()).await;
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");

    talker.abort();
    let _ = talker.await;
    let error = failure(options).await;
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(cause(&error).contains("refused"), "{error:?}");
}

#[tokio::test]
async fn a_missing_socket_says_where_it_was_looked_for() {
    let options = Options::new("unix:///nonexistent/seedpod.sock").expect("an endpoint");
    let error = failure(options).await;
    assert_eq!(
        error.to_string(),
        "cannot connect to unix:///nonexistent/seedpod.sock"
    );
    assert!(cause(&error).contains("No such file"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_given_up_after_the_connect_timeout() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let endpoint = format!("https://{}", listener.local_addr().expect("an address"));
    let ca = Ca::new();
    let options = with_client_of(Options::new(&endpoint).expect("an endpoint"), &ca, &ca)
        .connect_timeout(Duration::from_millis(100));
    let error = failure(options).await;
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(cause(&error).contains("within 0.1s"), "{error:?}");
}

#[tokio::test]
async fn a_node_that_is_still_booting_is_waited_for() {
    let directory = tempfile::tempdir().expect("a scratch folder");
    let path = directory.path().join("late.sock");
    let options =
        Options::for_endpoint(Endpoint::Unix(path.clone())).connect_wait(Duration::from_secs(30));
    let connecting = tokio::spawn(Client::connect(options));
    // It has begun when a first attempt can have failed; that it has is no condition of this test.
    tokio::task::yield_now().await;
    let fake = Fake::start(script());
    let socket = fake.scratch().join("seedpod.sock");
    std::os::unix::fs::symlink(socket, path).expect("a link");
    let client = connecting.await.expect("no panic").expect("a connection");
    assert_eq!(client.get_node().await.expect("a node").name, "node-1");
}

#[tokio::test]
async fn what_is_missing_is_said_before_anything_is_sent() {
    let ca = Ca::new();
    let tcp = || Options::new("https://127.0.0.1:1").expect("an endpoint");
    let pair = ca.client();
    let missing = std::path::Path::new("/nonexistent/ca.crt");
    for (options, option) in [
        (tcp(), "ca"),
        (tcp().ca_pem(ca.pem.clone()), "certificate"),
        (tcp().ca_file(missing), "ca"),
        (
            tcp()
                .ca_pem("no PEM")
                .client_certificate_pem(pair.certificate.clone(), pair.key.clone()),
            "ca",
        ),
        (
            tcp()
                .ca_pem(ca.pem.clone())
                .client_certificate_pem(pair.certificate.clone(), "secret"),
            "key",
        ),
        (
            tcp()
                .ca_pem(ca.pem.clone())
                .client_certificate_pem(pair.certificate.clone(), ca.client().key),
            "key",
        ),
    ] {
        match Client::connect_lazy(options).expect_err("refused") {
            error @ Error::Options { option: named, .. } if named == option => {
                assert!(!format!("{error:?}").contains("secret"), "{error:?}");
            }
            error => panic!("{error:?} instead of {option}"),
        }
    }
}

#[test]
fn options_do_not_print_keys() {
    let options = Options::new("node-1")
        .expect("an endpoint")
        .client_certificate_pem("public", "very private");
    assert!(
        !format!("{options:?}").contains("very private"),
        "{options:?}"
    );
}
