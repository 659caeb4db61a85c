//! What is made, what is kept, and what nobody gets to see.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const FILES: [&str; 35] = [
    "admin.crt",
    "admin.key",
    "apiserver-etcd-client.crt",
    "apiserver-etcd-client.key",
    "apiserver-kubelet-client.crt",
    "apiserver-kubelet-client.key",
    "apiserver-self-hosted/one.crt",
    "apiserver-self-hosted/one.key",
    "apiserver/one.crt",
    "apiserver/one.key",
    "ca.crt",
    "ca.key",
    "controller-manager.crt",
    "controller-manager.key",
    "etcd/ca.crt",
    "etcd/ca.key",
    "etcd/healthcheck-client.crt",
    "etcd/healthcheck-client.key",
    "etcd/peer/one.crt",
    "etcd/peer/one.key",
    "etcd/server/one.crt",
    "etcd/server/one.key",
    "front-proxy-ca.crt",
    "front-proxy-ca.key",
    "front-proxy-client.crt",
    "front-proxy-client.key",
    "handoff.crt",
    "handoff.key",
    "kubelet/one.crt",
    "kubelet/one.key",
    "kubelet/two.example.crt",
    "kubelet/two.example.key",
    "sa.key",
    "sa.pub",
    "scheduler.crt",
];

#[test]
fn everything_is_made_once_and_a_second_time_changes_nothing() {
    let scratch = Scratch::new();
    let first = scratch.render("");
    assert_eq!(made(&first).len(), first.written.len(), "{first:?}");
    let mut pki: Vec<&str> = first
        .written
        .keys()
        .filter_map(|path| path.strip_prefix("pki/"))
        .collect();
    pki.retain(|path| *path != "scheduler.key");
    assert_eq!(pki, FILES);

    let before = snapshot(&scratch.path(""));
    let second = scratch.render("");
    assert_eq!(made(&second), [""; 0]);
    assert_eq!(second.written.len(), first.written.len());
    assert_eq!(snapshot(&scratch.path("")), before);
    assert_eq!(second.pki.admin.certificate, first.pki.admin.certificate);
    assert_eq!(*second.kubeconfigs.admin, *first.kubeconfigs.admin);
}

#[test]
fn keys_are_private_and_stay_so() {
    let scratch = Scratch::new();
    scratch.render("");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    for (path, _) in snapshot(&scratch.path("")) {
        let name = path.display().to_string();
        let public = name.ends_with(".crt") || name.ends_with(".pub");
        let public = public && name.contains("/out/pki/");
        assert_eq!(mode(&path), if public { 0o644 } else { 0o600 }, "{name}");
    }
    for folder in ["", "pki", "pki/etcd/server", "kubeconfigs"] {
        assert_eq!(mode(&scratch.path(folder)), 0o700, "{folder}");
    }
    for name in ["pki/ca.key", "kubeconfigs/admin.kubeconfig"] {
        fs::set_permissions(scratch.path(name), fs::Permissions::from_mode(0o664)).expect("set");
        scratch.render("");
        assert_eq!(mode(&scratch.path(name)), 0o600, "{name}");
    }
}

#[test]
fn what_a_stopped_rendering_has_left_is_completed() {
    let scratch = Scratch::new();
    let first = scratch.render("");
    let order: Vec<String> = first.written.keys().cloned().collect();
    // Whatever is missing is made, and fits to the rest: in particular a key whose certificate is not there yet.
    for gone in [
        &["pki/apiserver/one.crt"] as &[&str],
        &["pki/admin.crt", "pki/admin.key"],
        &["pki/sa.pub"],
        &["kubeconfigs/admin.kubeconfig", "render.yaml"],
    ] {
        let key = scratch.read("pki/apiserver/one.key");
        scratch.remove(gone);
        let again = scratch.render("");
        for path in gone {
            assert!(made(&again).contains(path), "{path}: {:?}", made(&again));
        }
        assert_eq!(again.written.keys().cloned().collect::<Vec<_>>(), order);
        assert_eq!(scratch.read("pki/apiserver/one.key"), key);
        assert_eq!(made(&scratch.render("")), [""; 0]);
    }
    // An authority's key that has signed nothing yet gets its certificate.
    let fresh = Scratch::new();
    fresh.write("pki/ca.key", &scratch.read("pki/ca.key"));
    let rendered = fresh.render("");
    assert_eq!(rendered.written["pki/ca.key"], Written::Kept);
    assert_eq!(rendered.written["pki/ca.crt"], Written::Made);
}

#[test]
fn only_one_renders_at_a_time() {
    let scratch = Scratch::new();
    scratch.render("");
    let lock = fs::File::open(scratch.path(".seedpod-lock")).expect("the lock");
    lock.lock().expect("locked");
    assert!(matches!(
        scratch.try_render(""),
        Err(RenderError::Busy { .. })
    ));
    drop(lock);
    scratch.render("");
}

#[test]
fn what_no_longer_follows_is_removed_and_nothing_else() {
    let scratch = Scratch::new();
    scratch.render("- {name: three, address: 192.0.2.3}\n");
    scratch.write("kubeconfigs/mine.kubeconfig", "mine");
    let rendered = scratch.render("");
    let removed = rendered.written.iter();
    let removed: Vec<&String> = removed
        .filter(|(_, written)| **written == Written::Removed)
        .map(|(path, _)| path)
        .collect();
    assert_eq!(removed, ["kubeconfigs/kubelet-three.kubeconfig"]);
    assert!(
        !scratch
            .path("kubeconfigs/kubelet-three.kubeconfig")
            .exists()
    );
    assert!(
        scratch.path("pki/kubelet/three.key").exists(),
        "keys are never removed"
    );
    assert_eq!(scratch.read("kubeconfigs/mine.kubeconfig"), "mine");
    assert_eq!(made(&scratch.render("")), [""; 0]);
}

#[test]
fn a_folder_is_of_one_cluster() {
    let scratch = Scratch::new();
    scratch.render("");
    let mut loaded = scratch.load("");
    loaded.configuration.name = "other".to_owned();
    let error = render(&loaded, &scratch.path("")).expect_err("another cluster");
    assert!(error.to_string().contains("another folder"), "{error}");
    scratch.write("render.yaml", "what: ever\n");
    let error = scratch.try_render("").expect_err("no record");
    assert!(error.to_string().contains("remove it"), "{error}");
}

#[test]
fn a_bootstrap_token_stands_for_the_kubelets_certificates() {
    let scratch = Scratch::new();
    let more = "kubelet: {admission: bootstrapToken}\n";
    let rendered = scratch.render(more);
    assert!(rendered.pki.kubelets.is_empty());
    let token = rendered.pki.bootstrap_token.expect("a token");
    assert_eq!((token.id.len(), token.secret.len()), (6, 16));
    let text = format!("{}.{}", token.id, *token.secret);
    assert_eq!(scratch.read("pki/bootstrap-token").trim_end(), text);
    for node in ["one", "two.example"] {
        let kubeconfig = scratch.read(&format!("kubeconfigs/bootstrap-kubelet-{node}.kubeconfig"));
        assert!(kubeconfig.contains(&format!("token: \"{text}\"")), "{node}");
    }
    assert_eq!(made(&scratch.render(more)), [""; 0]);

    scratch.write("pki/bootstrap-token", "abcdef.0123456789ABCDEF\n");
    let unfit = scratch.unfit(more);
    assert_eq!(unfit.len(), 1, "{unfit:?}");
    assert!(unfit[0].1.contains("remove it"), "{unfit:?}");
    assert!(!unfit[0].1.contains("0123"), "no secret is told");
}

#[test]
fn no_debug_output_has_a_key() {
    let scratch = Scratch::new();
    let rendered = scratch.render("kubelet: {admission: bootstrapToken}\n");
    let debug = format!("{rendered:?}");
    let secret = rendered.pki.bootstrap_token.expect("a token").secret;
    for hidden in ["PRIVATE KEY", "client-key-data", secret.as_str()] {
        assert!(!debug.contains(hidden), "{debug}");
    }
}

#[test]
fn kubeconfigs_lead_to_the_api_server_that_fits() {
    let scratch = Scratch::new();
    let rendered = scratch.render("");
    let local = "server: \"https://127.0.0.1:6443\"";
    let endpoint = "server: \"https://api.example:6443\"";
    for (name, server, user) in [
        ("admin", endpoint, "kubernetes-admin"),
        ("handoff", local, "seedpod:handoff"),
        ("kubelet-one", local, "system:node:one"),
        ("kubelet-two.example", endpoint, "system:node:two.example"),
    ] {
        let text = scratch.read(&format!("kubeconfigs/{name}.kubeconfig"));
        assert!(text.contains(server), "{name}: {server}");
        assert!(
            text.contains(&format!("current-context: \"{user}@demo\"")),
            "{name}"
        );
    }
    for text in [
        &rendered.kubeconfigs.scheduler,
        &rendered.kubeconfigs.controller_manager,
    ] {
        assert!(text.contains(local));
    }
    // The library by which programs read them does.
    let parsed = kube::config::Kubeconfig::from_yaml(&rendered.kubeconfigs.admin).expect("parsed");
    assert_eq!(
        parsed.current_context.as_deref(),
        Some("kubernetes-admin@demo")
    );
    let cluster = parsed.clusters[0].cluster.as_ref().expect("a cluster");
    assert_eq!(cluster.server.as_deref(), Some("https://api.example:6443"));
}
