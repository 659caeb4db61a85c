use super::*;

const MINIMAL: &str = "apiVersion: seedpod.dev/v1alpha1\nkind: DaemonConfiguration\nnodeName: n1\nlistenAddress: \"\"\n";

const EXAMPLE: &str = include_str!("../../../hack/examples/config.yaml");

/// Every key that the example shows with its default value.
fn defaults() -> Configuration {
    Configuration {
        node_name: "node-1".parse().unwrap(),
        static_pod_path: "/etc/kubernetes/manifests".into(),
        state_directory: "/var/lib/seedpod".into(),
        volumes_directory: "/run/seedpod/volumes".into(),
        encryption_key_file: None,
        container_runtime_endpoint: Some("/run/containerd/containerd.sock".into()),
        kubelet_root_directory: "/var/lib/kubelet".into(),
        listen: Some(Listen {
            address: "0.0.0.0:10290".parse().unwrap(),
            tls: TlsFiles {
                cert_file: "/etc/seedpod/pki/server.crt".into(),
                key_file: "/etc/seedpod/pki/server.key".into(),
                client_ca_file: "/etc/seedpod/pki/ca.crt".into(),
            },
        }),
        socket_path: Some("/run/seedpod/seedpod.sock".into()),
        metrics_address: Some("127.0.0.1:10291".parse().unwrap()),
        log: Log::default(),
        limits: Limits::default(),
        projection: Projection::default(),
        readiness: Readiness::default(),
        kubelet_files: KubeletFiles::default(),
        reset_directories: vec!["/var/lib/etcd".into()],
        kubelet_restart: None,
        node_ip: None,
        revision_history_limit: 10,
        trial_max_crashes: 3,
        max_events: 20_000,
        handoff: Handoff::default(),
    }
}

#[test]
fn the_example_shows_the_defaults() {
    assert_eq!(Configuration::parse(EXAMPLE).unwrap(), defaults());
}

#[test]
fn what_the_example_shows_is_also_what_is_taken_when_nothing_is_said() {
    // Without these the file has nothing but the two lines that say what it is, and the TLS files.
    let shortest = "apiVersion: seedpod.dev/v1alpha1\nkind: DaemonConfiguration\n\
                    nodeName: node-1\n\
                    containerRuntimeEndpoint: unix:///run/containerd/containerd.sock\n\
                    tls:\n  certFile: /etc/seedpod/pki/server.crt\n  \
                    keyFile: /etc/seedpod/pki/server.key\n  clientCAFile: /etc/seedpod/pki/ca.crt\n";
    assert_eq!(Configuration::parse(shortest).unwrap(), defaults());
}

#[test]
fn a_key_that_is_empty_turns_its_endpoint_off() {
    let text = format!("{MINIMAL}metricsAddress: \"\"\ncontainerRuntimeEndpoint: \"\"\n");
    let configuration = Configuration::parse(&text).unwrap();
    assert_eq!(configuration.listen, None);
    assert_eq!(configuration.metrics_address, None);
    assert_eq!(configuration.container_runtime_endpoint, None);
}

#[test]
fn contents_are_encrypted_when_there_is_a_key_file() {
    let text = format!("{MINIMAL}secretEncryption:\n  keyFile: /etc/seedpod/keys.yaml\n");
    let configuration = Configuration::parse(&text).unwrap();
    let expected = Some("/etc/seedpod/keys.yaml".into());
    assert_eq!(configuration.encryption_key_file, expected);
}

#[test]
fn the_node_is_named_after_the_host_in_lower_case() {
    let text = MINIMAL.replace("nodeName: n1\n", "");
    let name = Configuration::parse(&text).unwrap().node_name;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(name.as_str(), host.trim().to_lowercase());
}

#[test]
fn a_node_name_that_looks_like_something_else_is_a_name() {
    for name in ["10", "1e3", "true", "null-1", "0x1f"] {
        let text = MINIMAL.replace("n1", name);
        assert_eq!(
            Configuration::parse(&text).unwrap().node_name.as_str(),
            name
        );
    }
}

#[test]
fn durations_have_units() {
    let text = format!("{MINIMAL}projection:\n  nudgeFor: 1m30s\nlimits:\n  drainTimeout: 250ms\n");
    let configuration = Configuration::parse(&text).unwrap();
    assert_eq!(configuration.projection.nudge_for, Duration::from_secs(90));
    assert_eq!(
        configuration.limits.drain_timeout,
        Duration::from_millis(250)
    );
}

#[test]
fn paths_are_compared_without_doubled_slashes() {
    let text = format!("{MINIMAL}staticPodPath: /a//b/\nstateDirectory: /a/b/c\n");
    assert!(
        Configuration::parse(&text)
            .unwrap_err()
            .starts_with("stateDirectory: ")
    );
}

/// Each line or lines that are added to a valid file, and what the error must say.
const REFUSED: &[(&str, &[&str])] = &[
    (
        "staticPodPat: /x",
        &["staticPodPat", "line 5", "column 1", "staticPodPath"],
    ),
    (
        "tls:\n  caFile: /x",
        &["tls", "caFile", "line 6", "column 3", "clientCAFile"],
    ),
    ("limits:\n  maxPods: 1", &["limits", "maxPods", "line 6"]),
    ("nodeName: n2", &["nodeName", "line 5"]),
    (
        "staticPodPath: manifests",
        &["staticPodPath: ", "absolute", "line 5"],
    ),
    (
        "stateDirectory: /a/../b",
        &["stateDirectory: ", "..", "line 5"],
    ),
    (
        "stateDirectory: /etc/kubernetes/manifests/.s",
        &["stateDirectory: ", "another directory"],
    ),
    (
        "socketPath: \"\"",
        &["listenAddress, socketPath: ", "set one"],
    ),
    (
        "metricsAddress: localhost",
        &["metricsAddress: ", "0.0.0.0:10290", "line 5"],
    ),
    ("metricsAddress: 10291", &["metricsAddress: ", "line 5"]),
    (
        "containerRuntimeEndpoint: /run/x.sock",
        &["containerRuntimeEndpoint: ", "unix://"],
    ),
    (
        "containerRuntimeEndpoint: tcp://h:1",
        &["containerRuntimeEndpoint: ", "unix://"],
    ),
    (
        "log:\n  format: xml",
        &["log.format: ", "xml", "json", "line 6"],
    ),
    (
        "log:\n  level: loud",
        &["log.level: ", "loud", "debug", "line 6"],
    ),
    (
        "limits:\n  maxPodsPerBundle: 0",
        &["limits.maxPodsPerBundle: ", "1 to 1024", "line 6"],
    ),
    (
        "limits:\n  maxPodsPerBundle: -1",
        &["limits.maxPodsPerBundle: ", "1 to 1024", "line 6"],
    ),
    (
        "limits:\n  maxPodsPerBundle: many",
        &["limits.maxPodsPerBundle: ", "line 6"],
    ),
    (
        "limits:\n  maxBundleBytes: 1e9",
        &["limits.maxBundleBytes: ", "line 6"],
    ),
    (
        "limits:\n  handshakeTimeout: 5",
        &["limits.handshakeTimeout: ", "60s", "line 6"],
    ),
    (
        "limits:\n  handshakeTimeout: 0s",
        &["limits.handshakeTimeout: ", "more than 0s", "line 6"],
    ),
    (
        "limits:\n  requestTimeout: -1s",
        &["limits.requestTimeout: ", "60s", "line 6"],
    ),
    (
        "limits:\n  requestTimeout: 25h",
        &["limits.requestTimeout: ", "24h", "line 6"],
    ),
    (
        "projection:\n  repairDrift: perhaps",
        &["projection.repairDrift: ", "line 6"],
    ),
    (
        "secretEncryption:\n  keyFile: keys.yaml",
        &["secretEncryption.keyFile: ", "absolute", "line 6"],
    ),
    (
        "secretEncryption:\n  keyFile: /var/lib/seedpod/keys.yaml",
        &[
            "secretEncryption.keyFile: ",
            "stateDirectory",
            "/etc/seedpod/",
        ],
    ),
    (
        "secretEncryption:\n  keyFile: /etc/kubernetes/manifests/keys.yaml",
        &["secretEncryption.keyFile: ", "staticPodPath"],
    ),
    (
        "secretEncryption:\n  key: /etc/seedpod/keys.yaml",
        &["secretEncryption", "keyFile", "line 6"],
    ),
    ("projection: 3", &["projection", "line 5"]),
    ("---\nkind: Other", &["document"]),
    (" bad: [", &["line"]),
];

#[test]
fn what_is_wrong_is_named_with_its_place_and_the_remedy() {
    for (added, wanted) in REFUSED {
        let error = Configuration::parse(&format!("{MINIMAL}{added}\n"))
            .expect_err(&format!("{added:?} was accepted"));
        for part in *wanted {
            assert!(
                error.contains(part),
                "{added:?}: {part:?} is not in {error:?}"
            );
        }
    }
}

#[test]
fn the_two_lines_that_say_what_the_file_is_are_needed() {
    for (text, wanted) in [
        ("", "apiVersion"),
        ("kind: DaemonConfiguration\n", "apiVersion"),
        ("apiVersion: seedpod.dev/v1alpha1\n", "kind"),
        (
            "apiVersion: v1\nkind: DaemonConfiguration\n",
            "write seedpod.dev/v1alpha1",
        ),
        (
            "apiVersion: seedpod.dev/v1alpha1\nkind: Pod\n",
            "write DaemonConfiguration",
        ),
    ] {
        let error = Configuration::parse(text).unwrap_err();
        assert!(error.contains(wanted), "{text:?}: {error:?}");
    }
}

#[test]
fn tcp_needs_all_three_tls_files() {
    let head = "apiVersion: seedpod.dev/v1alpha1\nkind: DaemonConfiguration\nnodeName: n1\n";
    let files = ["certFile", "keyFile", "clientCAFile"];
    for missing in files {
        let mut text = format!("{head}tls:\n");
        for file in files.into_iter().filter(|file| *file != missing) {
            text.push_str(&format!("  {file}: /pki/{file}\n"));
        }
        let error = Configuration::parse(&text).unwrap_err();
        assert!(
            error.starts_with(&format!("tls.{missing}: is not set")),
            "{error:?}"
        );
    }
}

#[test]
fn a_socket_path_is_as_long_as_the_kernel_allows() {
    let longest = format!("/{}", "s".repeat(106));
    let configuration = Configuration::parse(&format!("{MINIMAL}socketPath: {longest}\n")).unwrap();
    assert_eq!(configuration.socket_path, Some(longest.clone().into()));

    let error = Configuration::parse(&format!("{MINIMAL}socketPath: {longest}s\n")).unwrap_err();
    assert!(
        error.starts_with("socketPath: ") && error.contains("107"),
        "{error:?}"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Configuration::load(Path::new("/nonexistent/config.yaml")).unwrap_err();
    assert!(
        error.to_string().contains("/nonexistent/config.yaml"),
        "{error}"
    );
    assert!(error.to_string().contains("--config"), "{error}");
}

#[test]
fn the_files_of_a_kubelet_are_apart_from_all_else() {
    let parse = |section: &str| Configuration::parse(&format!("{MINIMAL}kubelet:\n{section}"));
    let files = parse(
        "  kubeconfigFile: /etc/kubernetes/kubelet.conf\n  bootstrapKubeconfigFile: \
         /etc/kubernetes/bootstrap-kubelet.conf\n  clientCAFile: /etc/kubernetes/pki/ca.crt\n",
    )
    .unwrap()
    .kubelet_files;
    let expected = KubeletFiles {
        kubeconfig: Some("/etc/kubernetes/kubelet.conf".into()),
        bootstrap_kubeconfig: Some("/etc/kubernetes/bootstrap-kubelet.conf".into()),
        client_ca: Some("/etc/kubernetes/pki/ca.crt".into()),
    };
    assert_eq!(files, expected);
    for (section, message) in [
        (
            "  kubeconfigFile: kubelet.conf\n",
            "kubelet.kubeconfigFile: ",
        ),
        (
            "  kubeconfigFile: /kubelet.conf\n",
            "kubelet.kubeconfigFile: must be a file in a directory",
        ),
        (
            "  clientCAFile: /etc/kubernetes/manifests/ca.crt\n",
            "kubelet.clientCAFile: must not be within staticPodPath",
        ),
        (
            "  kubeconfigFile: /a/b\n  bootstrapKubeconfigFile: /a//b\n",
            "kubelet.bootstrapKubeconfigFile: is the same file as kubelet.kubeconfigFile",
        ),
    ] {
        let error = parse(section).unwrap_err();
        assert!(error.starts_with(message), "{section}: {error}");
    }
}

#[test]
fn what_may_be_removed_is_far_from_what_is_needed() {
    let parse =
        |list: &str| Configuration::parse(&format!("{MINIMAL}reset:\n  directories: {list}\n"));
    let directories = parse("[/var/lib/etcd, /srv/data]")
        .unwrap()
        .reset_directories;
    assert_eq!(
        directories,
        ["/var/lib/etcd", "/srv/data"].map(PathBuf::from)
    );
    assert!(parse("[]").unwrap().reset_directories.is_empty());
    for (list, message) in [
        ("[/]", "reset.directories[0]: / is too much"),
        (
            "[/srv/data, /var]",
            "reset.directories[1]: /var is too much",
        ),
        (
            "[/var/lib]",
            "reset.directories[0]: /var/lib must be apart from stateDirectory",
        ),
        (
            "[/var/lib/kubelet/pods]",
            "reset.directories[0]: /var/lib/kubelet/pods must be apart from kubeletRootDirectory",
        ),
        ("[/var/lib/../etc]", "reset.directories"),
    ] {
        let error = parse(list).unwrap_err();
        assert!(error.starts_with(message), "{list}: {error}");
    }
}
