//! `CheckNode`, `ConfigureKubelet` and `ResetNode`.

use std::{net::TcpListener, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use seedpod_proto::v1::{
    CheckNodeRequest, CheckNodeResponse, ConfigureKubeletRequest, ConfigureKubeletResponse,
    ResetNodeRequest, ResetNodeResponse,
};

use super::*;
use crate::access::testing::{Authority, write};

/// A kubeconfig of a client with a certificate.
fn kubeconfig(name: &str) -> String {
    let authority = Authority::new();
    let client = authority.client(name, "system:nodes");
    let [ca, certificate, key] =
        [&authority.certificate, &client.certificate, &client.key].map(|pem| STANDARD.encode(pem));
    format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: 'https://10.0.0.1:6443', \
         certificate-authority-data: {ca}}}}}]\nusers: [{{name: u, user: {{client-certificate-data: {certificate}, \
         client-key-data: {key}}}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\ncurrent-context: x\n"
    )
}

struct Bare {
    bench: Bench,
}

impl Bare {
    /// Each restart of the kubelet leaves a line, and fails while there is a file `broken`.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().display();
        let script = format!("test ! -e {path}/broken || exit 7; echo once >> {path}/restarts");
        let restart = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
        let file = |name| Some(folder.path().join("etc/kubernetes").join(name));
        let files = KubeletFiles {
            kubeconfig: file("kubelet.conf"),
            bootstrap_kubeconfig: file("bootstrap.conf"),
            client_ca: file("ca.crt"),
        };
        let restart = Some(KubeletRestart::Command(restart));
        let bench = Bench::in_folder(folder, |_| None, Rules::default(), restart, files);
        Self { bench }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.bench.folder.path().join(name)
    }

    fn file(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path("etc/kubernetes").join(name)).ok()
    }

    fn restarts(&self) -> usize {
        let text = std::fs::read_to_string(self.path("restarts")).unwrap_or_default();
        text.lines().count()
    }

    async fn configure(
        &self,
        request: ConfigureKubeletRequest,
    ) -> Result<ConfigureKubeletResponse, Status> {
        let answer = self.bench.node().configure_kubelet(request).await?;
        Ok(answer.into_inner())
    }

    async fn reset(&self, request: ResetNodeRequest) -> Result<ResetNodeResponse, Status> {
        let answer = self.bench.node().reset_node(request).await?;
        Ok(answer.into_inner())
    }

    fn names(&self, paths: &[String]) -> Vec<String> {
        let folder = self.bench.folder.path();
        let name = |path: &String| {
            let path = PathBuf::from(path);
            let inner = path.strip_prefix(folder).expect("a path of the test");
            inner.display().to_string()
        };
        paths.iter().map(name).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_gets_its_files_and_is_restarted_only_when_they_have_changed() {
    use std::os::unix::fs::PermissionsExt as _;
    let bare = Bare::new();
    let request = ConfigureKubeletRequest {
        kubeconfig: Some(kubeconfig("system:node:node1")),
        client_ca: Some(Authority::new().certificate),
        ..Default::default()
    };
    let changed = ["etc/kubernetes/kubelet.conf", "etc/kubernetes/ca.crt"];

    let only = ConfigureKubeletRequest {
        validate_only: true,
        ..request.clone()
    };
    let told = bare.configure(only).await.unwrap();
    assert_eq!(bare.names(&told.changed), changed);
    assert!(told.restarted && bare.restarts() == 0 && bare.file("kubelet.conf").is_none());

    let done = bare.configure(request.clone()).await.unwrap();
    assert_eq!(done, told);
    assert_eq!(bare.restarts(), 1);
    assert_eq!(bare.file("kubelet.conf"), request.kubeconfig);
    assert_eq!(bare.file("ca.crt"), request.client_ca);
    let file = std::fs::metadata(bare.path("etc/kubernetes/kubelet.conf")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);

    let again = bare.configure(request.clone()).await.unwrap();
    assert!(again.changed.is_empty() && !again.restarted);
    assert_eq!(bare.restarts(), 1);

    // What may be read by others is put right like what has changed.
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(bare.path("etc/kubernetes/kubelet.conf"), open).unwrap();
    let done = bare.configure(request).await.unwrap();
    assert_eq!(bare.names(&done.changed), changed[..1]);
    assert_eq!(bare.restarts(), 2);
    bare.bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_has_failed_is_made_up_for() {
    let bare = Bare::new();
    write(&bare.path("broken"), "");
    let request = ConfigureKubeletRequest {
        kubeconfig: Some(kubeconfig("system:node:node1")),
        ..Default::default()
    };
    let error = bare.configure(request.clone()).await.unwrap_err();
    assert_eq!(reason(&error), "KUBELET_RESTART_FAILED");
    assert!(error.message().contains("exit status: 7"), "{error:?}");
    assert_eq!(bare.file("kubelet.conf"), request.kubeconfig);

    std::fs::remove_file(bare.path("broken")).unwrap();
    let done = bare.configure(request.clone()).await.unwrap();
    assert!(done.changed.is_empty() && done.restarted);
    assert_eq!(bare.restarts(), 1);
    let done = bare.configure(request).await.unwrap();
    assert!(!done.restarted);
    bare.bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kubelet_has_made_of_its_bootstrap_kubeconfig_is_its_own() {
    let bare = Bare::new();
    let request = ConfigureKubeletRequest {
        kubeconfig: Some(String::new()),
        bootstrap_kubeconfig: Some(kubeconfig("bootstrap")),
        ..Default::default()
    };
    let done = bare.configure(request.clone()).await.unwrap();
    assert_eq!(bare.names(&done.changed), ["etc/kubernetes/bootstrap.conf"]);
    write(&bare.path("etc/kubernetes/kubelet.conf"), "the kubelet's");
    let done = bare.configure(request.clone()).await.unwrap();
    assert!(done.changed.is_empty() && !done.restarted);
    assert_eq!(bare.file("kubelet.conf").unwrap(), "the kubelet's");

    let other = ConfigureKubeletRequest {
        bootstrap_kubeconfig: Some(kubeconfig("another")),
        ..request.clone()
    };
    let done = bare.configure(other).await.unwrap();
    assert_eq!(done.changed.len(), 2, "{done:?}");
    assert_eq!(bare.file("kubelet.conf"), None);

    let both = ConfigureKubeletRequest {
        kubeconfig: Some(kubeconfig("system:node:node1")),
        ..request
    };
    let error = bare.configure(both).await.unwrap_err();
    assert_eq!(reason(&error), "INVALID_KUBECONFIG");
    bare.bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_what_they_should_are_refused_and_not_shown() {
    let bare = Bare::new();
    let secret = "c2VjcmV0";
    let refused = |request| async {
        let error = bare.configure(request).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
        assert!(!format!("{error:?}").contains(secret), "{error:?}");
        reason(&error)
    };
    for text in [
        "not a kubeconfig".to_owned(),
        format!(
            "apiVersion: v1\nkind: Config\nusers: [{{name: u, user: {{client-key-data: {secret}}}}}]\n"
        ),
        kubeconfig("u").replace("client-key-data: ", "client-key: /root/"),
    ] {
        let request = ConfigureKubeletRequest {
            kubeconfig: Some(text),
            ..Default::default()
        };
        assert_eq!(refused(request).await, "INVALID_KUBECONFIG");
    }
    let client = Authority::new().client("a", "b");
    for text in [
        "nothing".to_owned(),
        client.key,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
    ] {
        let request = ConfigureKubeletRequest {
            client_ca: Some(text),
            ..Default::default()
        };
        assert_eq!(refused(request).await, "INVALID_CLIENT_CA");
    }
    assert_eq!(bare.restarts(), 0);
    bare.bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_not_configured_for_it_writes_no_file_of_the_kubelet() {
    let bench = Bench::new();
    let request = ConfigureKubeletRequest {
        kubeconfig: Some(kubeconfig("system:node:node1")),
        ..Default::default()
    };
    let error = bench.node().configure_kubelet(request).await.unwrap_err();
    assert_eq!(
        (error.code(), reason(&error).as_str()),
        (Code::FailedPrecondition, "KUBELET_NOT_CONFIGURABLE")
    );
    assert!(
        error.message().contains("kubelet.kubeconfigFile"),
        "{error:?}"
    );
    let nothing = ConfigureKubeletRequest {
        restart_unsynced: true,
        ..Default::default()
    };
    let done = bench.node().configure_kubelet(nothing).await.unwrap();
    assert!(!done.into_inner().restarted);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_brings_the_node_back_to_nothing_and_may_be_repeated() {
    let bare = Bare::new();
    bare.bench.inject("etcd", &["etcd"]).await;
    bare.bench.inject("control-plane", &["a", "b"]).await;
    bare.bench.inject("other", &["other"]).await;
    let request = ConfigureKubeletRequest {
        kubeconfig: Some(kubeconfig("system:node:node1")),
        ..Default::default()
    };
    bare.configure(request).await.unwrap();
    for folder in ["data/etcd/member/wal", "kubelet/pki", "elsewhere"] {
        std::fs::create_dir_all(bare.path(folder)).unwrap();
    }
    write(&bare.path("data/etcd/member/wal/0.wal"), "data");
    write(&bare.path("elsewhere/kept"), "kept");
    write(&bare.path("kubelet/pki/kubelet-client-current.pem"), "own");
    write(&bare.path("kubelet/pki/kubelet.crt"), "kept");
    let link = bare.path("data/etcd/member/link");
    std::os::unix::fs::symlink(bare.path("elsewhere"), link).unwrap();

    let request = ResetNodeRequest {
        bundles: ["control-plane", "never", "etcd"]
            .map(str::to_owned)
            .to_vec(),
        kubelet: true,
        directories: vec![bare.path("data/etcd").display().to_string()],
        timeout: None,
    };
    let done = bare.reset(request.clone()).await.unwrap();
    assert_eq!(done.bundles, ["control-plane", "etcd"]);
    assert_eq!(
        bare.names(&done.removed),
        [
            "etc/kubernetes/kubelet.conf",
            "kubelet/pki/kubelet-client-current.pem",
            "data/etcd"
        ]
    );
    assert!(done.kubelet_restarted && bare.restarts() == 2);
    assert!(!bare.path("data/etcd").exists() && bare.path("data").exists());
    assert!(bare.path("elsewhere/kept").exists() && bare.path("kubelet/pki/kubelet.crt").exists());
    let left: Vec<String> = bare
        .bench
        .handle
        .state()
        .bundles
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(left, ["other"]);

    let again = bare.reset(request).await.unwrap();
    assert_eq!(again, ResetNodeResponse::default());
    assert_eq!(bare.restarts(), 2);
    bare.bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_removes_only_what_is_allowed_and_follows_no_link() {
    let bare = Bare::new();
    std::fs::create_dir_all(bare.path("elsewhere/etcd")).unwrap();
    std::fs::create_dir_all(bare.path("data")).unwrap();
    std::os::unix::fs::symlink(bare.path("elsewhere"), bare.path("data/link")).unwrap();
    let request = |path: String| ResetNodeRequest {
        directories: vec![path],
        ..Default::default()
    };
    for path in [
        bare.path("elsewhere").display().to_string(),
        bare.path("data/../elsewhere").display().to_string(),
        "/".to_owned(),
        "data".to_owned(),
        String::new(),
    ] {
        let error = bare.reset(request(path)).await.unwrap_err();
        assert_eq!(reason(&error), "INVALID_DIRECTORY");
    }
    for path in ["data/link", "data/link/etcd"] {
        let path = bare.path(path).display().to_string();
        let error = bare.reset(request(path)).await.unwrap_err();
        assert_eq!(reason(&error), "DIRECTORY_NOT_REMOVED");
    }
    assert!(bare.path("elsewhere/etcd").exists());
    let done = bare.reset(request(bare.path("data").display().to_string()));
    assert_eq!(bare.names(&done.await.unwrap().removed), ["data"]);
    assert!(bare.path("elsewhere/etcd").exists());
    bare.bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_who_has_a_port_and_what_room_there_is() {
    let bare = Bare::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().port();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut with_port = request("ports", &[]);
    with_port.manifests = vec![manifest("web").replace(
        "    image",
        &format!("    ports: [{{containerPort: 80, hostPort: {free}}}]\n    image"),
    )];
    bare.bench.pods().inject_pods(with_port).await.unwrap();
    let request = CheckNodeRequest {
        ports: vec![u32::from(taken), u32::from(free)],
        images: vec!["example/a:1".to_owned()],
        paths: vec![
            bare.path("none/there").display().to_string(),
            bare.path("manifests").display().to_string(),
        ],
    };
    let answer: CheckNodeResponse = bare
        .bench
        .node()
        .check_node(request)
        .await
        .unwrap()
        .into_inner();
    assert!(!answer.ports[0].free && answer.ports[0].pod.is_none());
    let pid = format!("(pid {})", std::process::id());
    assert!(answer.ports[0].holder.ends_with(&pid), "{answer:?}");
    assert!(answer.ports[1].free);
    assert_eq!(answer.ports[1].pod.as_ref().unwrap().name, "web");
    assert!(!answer.images[0].present);
    assert!(
        answer.images[0]
            .message
            .contains("containerRuntimeEndpoint")
    );
    assert!(answer.paths[0].free_bytes > 0 && !answer.paths[0].in_use);
    assert!(answer.paths[1].in_use);
    assert!(answer.kubelet_configurable && answer.kubelet_version.is_empty());
    assert!(answer.memory_bytes > 0 && answer.cpu_count > 0);
    assert!(answer.steering.is_some() && answer.time.is_some());

    for (ports, paths) in [
        (vec![0], vec![]),
        (vec![65536], vec![]),
        (vec![], vec!["etc".to_owned()]),
        (vec![], vec!["/a/../b".to_owned()]),
        (vec![1; 65], vec![]),
    ] {
        let request = CheckNodeRequest {
            ports,
            paths,
            ..Default::default()
        };
        let error = bare.bench.node().check_node(request).await.unwrap_err();
        assert_eq!(reason(&error), "INVALID_CHECK");
    }
    bare.bench.end().await;
}
