//! What whoever runs the daemon relies on: metrics, health, an orderly end, new certificates.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use seedpod_client::{Client, Error, RetryPolicy};
use seedpod_integration::pki::{Authority, Request};
use seedpod_integration::{wait_for, wait_until};
use serde_json::json;

use crate::rig::LIMIT;
use crate::scene::{Scene, connect_lazy, run, spawn, tls_options};

/// The samples of `/metrics`: name with labels, and value.
fn metrics(scene: &Scene<'_>) -> BTreeMap<String, f64> {
    let answer = scene.daemon.metrics().get("/metrics").unwrap();
    assert_eq!(answer.status, 200);
    let samples = answer.body.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn metrics_tell_what_was_injected_and_what_runs() {
    let scene = Scene::new("metrics");
    let pods = [scene.pod("a", "a"), scene.pod("b", "b")];
    scene.inject_and_wait("bundle", &pods);
    scene.inject_and_wait("bundle", &[scene.pod("a", "changed"), pods[1].clone()]);
    scene
        .inject("bundle", &[json!({"kind": "Pod"})])
        .unwrap_err();

    wait_until(LIMIT, "the projection is done", || {
        metrics(&scene)["seedpod_projection_queue"] == 0.0
    })
    .unwrap();
    let now = metrics(&scene);
    assert_eq!(now["seedpod_injections_total{code=\"OK\"}"], 2.0);
    assert_eq!(
        now["seedpod_injections_total{code=\"INVALID_ARGUMENT\"}"],
        1.0
    );
    assert_eq!(now["seedpod_injection_duration_seconds_count"], 3.0);
    assert_eq!(now["seedpod_pods{state=\"READY\"}"], 2.0);
    assert!(now["seedpod_fsync_duration_seconds_count"] >= 4.0);
    assert!(now["seedpod_certificate_not_after_timestamp_seconds"] > 0.0);
}

#[test]
fn healthz_and_readyz_say_that_all_is_well() {
    let scene = Scene::new("health");
    for path in ["/healthz", "/readyz", "/readyz?verbose"] {
        let answer = scene.daemon.metrics().get(path).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    let missing = scene.daemon.metrics().get("/nothing").unwrap();
    assert_eq!(missing.status, 404);
}

#[test]
fn sigterm_drains_and_exits_0_and_what_was_answered_is_there_after() {
    let scene = Scene::prepared(crate::rig::node(), "drain", json!({}));
    // A child of this process, so that its exit code can be had.
    let mut child = Command::new(scene.daemon.program())
        .arg("--config")
        .arg(scene.daemon.config_file())
        .stdin(Stdio::null())
        .stderr(fs::File::create(scene.daemon.log()).unwrap())
        .spawn()
        .unwrap();
    wait_until(LIMIT, "the daemon is ready", || scene.daemon.is_ready()).unwrap();

    let options = tls_options(&scene.daemon, &scene.daemon.identity("injector"));
    let client = connect_lazy(options.retry(RetryPolicy::none()));
    let requests: Vec<_> = (0..1000)
        .map(|round| scene.request("bundle", &[scene.pod("web", &round.to_string())]))
        .collect();
    let begun = Arc::new(AtomicBool::new(false));
    let installer = spawn({
        let begun = Arc::clone(&begun);
        async move {
            let mut last = 0;
            for request in requests {
                match client.inject(&request).await {
                    Ok(answer) => last = answer.bundle.revision,
                    Err(error) => return (last, Some(error)),
                }
                begun.store(true, Ordering::Relaxed);
            }
            (last, None)
        }
    });
    wait_until(LIMIT, "requests are answered", || {
        begun.load(Ordering::Relaxed)
    })
    .unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = wait_for(LIMIT, "the daemon ends", || child.try_wait().unwrap()).unwrap();
    assert_eq!(status.code(), Some(0), "{}", scene.log());
    assert!(!scene.daemon.socket().exists(), "the socket is left");

    let (last, error) = run(installer).unwrap();
    let error = error.expect("the daemon ended before all was sent");
    assert!(error.is_transient(), "{error:?}");
    // Drained means: whatever was carried out was answered, too.
    scene.daemon.start_again().unwrap();
    assert_eq!(scene.bundle("bundle").unwrap().revision, last);
}

#[test]
fn replaced_tls_files_are_used_for_new_connections_while_an_old_one_lives() {
    let scene = Scene::new("tls");
    let old = tls_options(&scene.daemon, &scene.daemon.identity("reader"));
    let connected = run(Client::connect(old.clone())).unwrap();
    run(connected.get_node()).unwrap();

    // All from another authority: certificate, key, and who is let in.
    let pki = scene.daemon.ca_file().parent().unwrap().to_owned();
    let next = scene.node.layout().scratch().join(scene.name("pki"));
    let authority = Authority::new("the next CA").unwrap();
    let server = authority
        .issue(
            &next,
            "server",
            &Request::server("seedpodd", &["127.0.0.1"]),
        )
        .unwrap();
    let reader = authority
        .issue(
            &next,
            "reader",
            &Request::client("reader", "seedpod:reader"),
        )
        .unwrap();
    let old_ca = scene.node.layout().scratch().join(scene.name("old-ca.crt"));
    fs::copy(scene.daemon.ca_file(), &old_ca).unwrap();
    let old = old.ca_file(&old_ca);
    authority.write(&next.join("ca.crt")).unwrap();
    for (from, to) in [
        (server.key, "server.key"),
        (server.certificate, "server.crt"),
        (next.join("ca.crt"), "ca.crt"),
    ] {
        fs::rename(from, pki.join(to)).unwrap();
    }

    let new = tls_options(&scene.daemon, &reader);
    wait_until(LIMIT, "the new certificates are used", || {
        run(connect_lazy(new.clone()).get_node()).is_ok()
    })
    .unwrap();
    run(connected.get_node()).expect("the old connection lives");
    let refused = run(connect_lazy(old).get_node()).unwrap_err();
    assert!(matches!(refused, Error::Tls { .. }), "{refused:?}");
    run(connected.get_node()).expect("the old connection still lives");
}
