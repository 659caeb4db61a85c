//! Who is let in, and to what.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use seedpod_client::{Code, Error, RemoveBundle};
use seedpod_integration::pki::{Authority, Identity, Request};
use seedpod_integration::wait_until;
use serde_json::json;

use crate::programs::{Ended, grpcurl, grpcurl_program};
use crate::rig::LIMIT;
use crate::scene::{Scene, connect_lazy, run, tls_options};

/// What a client with this certificate gets, when it trusts the daemon's.
fn refusal(scene: &Scene<'_>, identity: &Identity) -> Error {
    let client = connect_lazy(tls_options(&scene.daemon, identity));
    let request = scene.request("bundle", &[scene.pod("web", "intruder")]);
    let error = run(client.inject(&request)).unwrap_err();
    assert!(
        run(client.list_pods(None)).is_err(),
        "reading is refused too"
    );
    error
}

fn nothing_was_injected(scene: &Scene<'_>) {
    let gone = scene.bundle("bundle").unwrap_err();
    assert_eq!(gone.code(), Some(Code::NotFound));
    assert!(!scene.file("web").exists());
}

#[test]
fn certificates_of_another_authority_and_expired_ones_are_refused() {
    let scene = Scene::new("strangers");
    let folder = scene.node.layout().scratch().join(scene.name("pki"));
    let injector = Request::client("injector", "seedpod:injector");

    // The same name and role, and the same name of the authority.
    let other = Authority::new("seedpod-rig").unwrap();
    let stranger = other.issue(&folder, "stranger", &injector).unwrap();
    let error = refusal(&scene, &stranger);
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");

    let expired = scene.daemon.issue("expired", &injector.expired()).unwrap();
    let error = refusal(&scene, &expired);
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    nothing_was_injected(&scene);
    let metrics = scene.daemon.metrics().get("/metrics").unwrap().body;
    assert!(
        metrics
            .lines()
            .any(|line| line.starts_with("seedpod_refused_connections_total")
                && !line.ends_with(" 0")),
        "{metrics}"
    );
}

#[test]
fn no_certificate_and_plain_text_are_refused() {
    let scene = Scene::new("bare");
    let address = scene.daemon.tls_address();
    let ca = scene.daemon.ca_file();
    let without = grpcurl(&["-cacert", ca.to_str().unwrap(), &address, "list"], "");
    assert_ne!(without.code, Some(0), "{without:?}");
    assert!(
        without.stderr.contains("certificate required"),
        "{without:?}"
    );
    let plain = grpcurl(&["-plaintext", &address, "list"], "");
    assert_ne!(plain.code, Some(0), "{plain:?}");
    assert_eq!(
        (without.stdout, plain.stdout),
        (String::new(), String::new())
    );
}

#[test]
fn a_reader_may_read_and_not_change() {
    let scene = Scene::new("reader");
    let (injected, _) = scene.inject_and_wait("bundle", &[scene.pod("web", "hello")]);
    let bundle = scene.name("bundle");
    let reader = connect_lazy(tls_options(&scene.daemon, &scene.daemon.identity("reader")));
    let read = run(reader.get_bundle(&bundle)).unwrap();
    assert_eq!(read.digest, injected.bundle.digest);
    assert_eq!(run(reader.list_bundles()).unwrap().len(), 1);
    assert_eq!(run(reader.list_pods(Some(&bundle))).unwrap().len(), 1);
    run(reader.get_node()).unwrap();

    let request = scene.request("bundle", &[scene.pod("web", "changed")]);
    let refused = [
        run(reader.inject(&request)).map(drop),
        run(reader.remove_bundle(&RemoveBundle::new(&bundle))).map(drop),
    ];
    for result in refused {
        let error = result.unwrap_err();
        assert_eq!(error.code(), Some(Code::PermissionDenied), "{error}");
        assert_eq!(error.reason(), Some("ROLE_REQUIRED"));
        assert_eq!(error.server().unwrap().metadata["client"], "reader");
    }
    assert_eq!(scene.bundle("bundle").unwrap(), injected.bundle);
    // The refusal is in the log, with who it was.
    wait_until(LIMIT, "the refusal is logged", || {
        let log = scene.log();
        log.lines()
            .any(|line| line.contains("role missing") && line.contains("client=\"reader\""))
    })
    .unwrap();
}

#[test]
fn a_certificate_without_a_role_of_ours_may_do_nothing() {
    let scene = Scene::new("no-role");
    let request = Request::client("somebody", "system:masters");
    let somebody = scene.daemon.issue("somebody", &request).unwrap();
    let error = refusal(&scene, &somebody);
    assert_eq!(error.code(), Some(Code::PermissionDenied), "{error}");
    nothing_was_injected(&scene);
}

/// Runs grpcurl as nobody, from where nobody may.
fn as_nobody(program: &Path, args: &[&str]) -> Ended {
    let mut all = vec!["--reuid=65534", "--regid=65534", "--clear-groups"];
    all.push(program.to_str().unwrap());
    all.extend(args);
    crate::programs::end(Path::new("setpriv"), &all, "")
}

#[test]
fn local_users_other_than_root_are_refused_by_the_socket_and_by_the_daemon() {
    // Open to all, so that it is the socket and then the daemon that say no.
    let folder = tempfile::Builder::new()
        .prefix("seedpod-open-")
        .tempdir()
        .unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("grpcurl");
    fs::copy(grpcurl_program(), &program).unwrap();
    let socket = folder.path().join("s");
    let scene = Scene::prepared(
        crate::rig::node(),
        "local",
        json!({"socketPath": socket, "listenAddress": ""}),
    );
    scene.daemon.launch().unwrap();
    let args = ["-plaintext", "-unix", socket.to_str().unwrap()];
    let list = [&args[..], &["seedpod.v1.PodInjectionService/ListPods"]].concat();
    wait_until(LIMIT, "root is served", || {
        grpcurl(&list, "").code == Some(0)
    })
    .unwrap();

    assert_eq!(
        fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let quick = [&["-connect-timeout", "2"], &list[..]].concat();
    let error = as_nobody(&program, &quick);
    assert_ne!(error.code, Some(0), "{error:?}");
    // grpcurl does not tell why; the next step shows that all else would have let it in.
    assert!(error.stderr.contains("Failed to dial"), "{error:?}");

    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let error = as_nobody(&program, &list);
    assert_ne!(error.code, Some(0), "{error:?}");
    assert!(error.stderr.contains("PermissionDenied"), "{error:?}");
    let reason = "uid 65534 may not use this socket";
    assert!(error.stderr.contains(reason), "{error:?}");
}
