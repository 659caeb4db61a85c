//! Rendered keys, certificates and kubeconfigs, used by a real etcd and a real kube-apiserver that run as plain
//! processes. The authority is the user's own, with an RSA key; etcd is reached with certificates only.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use seedpod_client::cluster::{ClusterConfiguration, Rendered, render};
use seedpod_integration::binaries::{self, Tool};
use seedpod_integration::{HttpClient, free_ports, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

/// A process that ends with its test.
struct Program(Child);

impl Program {
    fn start(folder: &Path, tool: Tool, arguments: &[String]) -> Self {
        let log = File::create(folder.join(format!("{}.log", tool.name()))).unwrap();
        let child = Command::new(binaries::find(tool).unwrap())
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Cluster {
    folder: TempDir,
    api: u16,
    etcd: [u16; 2],
}

impl Cluster {
    fn new() -> Self {
        let cluster = Self {
            folder: tempfile::tempdir().unwrap(),
            api: free_ports::<1>().unwrap()[0],
            etcd: free_ports().unwrap(),
        };
        fs::create_dir(cluster.path("own")).unwrap();
        let (key, certificate) = rsa_authority();
        fs::write(cluster.path("own/ca.key"), key).unwrap();
        fs::write(cluster.path("own/ca.crt"), certificate).unwrap();
        cluster
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pki(&self, name: &str) -> PathBuf {
        self.path("out/pki").join(name)
    }

    fn render(&self, admission: &str) -> Rendered {
        let configuration = json!({
            "apiVersion": "seedpod.dev/v1alpha1",
            "kind": "ClusterConfiguration",
            "name": "rig",
            "kubernetesVersion": "v1.37.2",
            "controlPlaneEndpoint": format!("https://localhost:{}", self.api),
            "nodes": [{"name": "one", "address": "192.0.2.1", "controlPlane": true}],
            "etcd": {"clientPort": self.etcd[0], "peerPort": self.etcd[1]},
            "apiServer": {"port": self.api},
            "kubelet": {"admission": admission},
            "certificates": {"directory": "own"},
        });
        let file = self.path("cluster.yaml");
        fs::write(&file, configuration.to_string()).unwrap();
        let loaded = ClusterConfiguration::load(&file).unwrap();
        render(&loaded, &self.path("out")).unwrap()
    }

    fn etcd(&self) -> Program {
        let pki = |name| self.pki(name).display().to_string();
        let [client, peer] = self.etcd.map(|port| format!("https://127.0.0.1:{port}"));
        let arguments = [
            "--name=one".to_owned(),
            format!("--data-dir={}", self.path("etcd").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=one={peer}"),
            "--client-cert-auth=true".to_owned(),
            "--peer-client-cert-auth=true".to_owned(),
            format!("--trusted-ca-file={}", pki("etcd/ca.crt")),
            format!("--peer-trusted-ca-file={}", pki("etcd/ca.crt")),
            format!("--cert-file={}", pki("etcd/server/one.crt")),
            format!("--key-file={}", pki("etcd/server/one.key")),
            format!("--peer-cert-file={}", pki("etcd/peer/one.crt")),
            format!("--peer-key-file={}", pki("etcd/peer/one.key")),
        ];
        let program = Program::start(self.folder.path(), Tool::Etcd, &arguments);
        let health = self.client(self.etcd[0], "etcd/ca.crt", "etcd/healthcheck-client");
        self.wait(Tool::Etcd, || {
            health
                .get("/health")
                .is_ok_and(|answer| answer.status == 200)
        });
        program
    }

    fn api_server(&self, serving: &str) -> Program {
        let pki = |name: &str| self.pki(name).display().to_string();
        let arguments = [
            format!("--etcd-servers=https://127.0.0.1:{}", self.etcd[0]),
            format!("--etcd-cafile={}", pki("etcd/ca.crt")),
            format!("--etcd-certfile={}", pki("apiserver-etcd-client.crt")),
            format!("--etcd-keyfile={}", pki("apiserver-etcd-client.key")),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=192.0.2.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--secure-port={}", self.api),
            format!("--tls-cert-file={}", pki(&format!("{serving}/one.crt"))),
            format!(
                "--tls-private-key-file={}",
                pki(&format!("{serving}/one.key"))
            ),
            format!("--client-ca-file={}", pki("ca.crt")),
            format!(
                "--kubelet-client-certificate={}",
                pki("apiserver-kubelet-client.crt")
            ),
            format!(
                "--kubelet-client-key={}",
                pki("apiserver-kubelet-client.key")
            ),
            format!(
                "--requestheader-client-ca-file={}",
                pki("front-proxy-ca.crt")
            ),
            "--requestheader-allowed-names=front-proxy-client".to_owned(),
            "--requestheader-username-headers=X-Remote-User".to_owned(),
            "--requestheader-group-headers=X-Remote-Group".to_owned(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
            format!("--proxy-client-cert-file={}", pki("front-proxy-client.crt")),
            format!("--proxy-client-key-file={}", pki("front-proxy-client.key")),
            format!("--service-account-key-file={}", pki("sa.pub")),
            format!("--service-account-signing-key-file={}", pki("sa.key")),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/12".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-bootstrap-token-auth=true".to_owned(),
        ];
        let program = Program::start(self.folder.path(), Tool::KubeApiserver, &arguments);
        let client = self.client(self.api, "ca.crt", "admin");
        self.wait(Tool::KubeApiserver, || {
            client
                .get("/readyz")
                .is_ok_and(|answer| answer.status == 200)
        });
        program
    }

    fn client(&self, port: u16, ca: &str, name: &str) -> HttpClient {
        let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
        HttpClient::mutual_tls(
            port,
            &self.pki(ca),
            &self.pki(&certificate),
            &self.pki(&key),
        )
        .unwrap()
    }

    fn wait(&self, tool: Tool, condition: impl FnMut() -> bool) {
        let name = tool.name();
        wait_until(LIMIT, &format!("{name} serves"), condition).unwrap_or_else(|error| {
            let log = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(20).collect();
            panic!("{error}: {lines:#?}")
        });
    }

    fn kubectl(&self, kubeconfig: &Path, arguments: &[&str]) -> String {
        let output = Command::new(binaries::find(Tool::Kubectl).unwrap())
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(arguments)
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {error}", kubeconfig.display());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Who the API server takes the bearer for, and of which groups.
    fn whoami(&self, kubeconfig: &str) -> (String, Vec<String>) {
        let answer = self.kubectl(&self.path(kubeconfig), &["auth", "whoami", "-o", "json"]);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let user = &answer["status"]["userInfo"];
        let groups = serde_json::from_value(user["groups"].clone()).unwrap();
        (user["username"].as_str().unwrap().to_owned(), groups)
    }
}

/// As a user brings one along: key and certificate.
fn rsa_authority() -> (String, String) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "My own authority");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    (key.serialize_pem(), certificate.pem())
}

#[test]
fn a_real_api_server_takes_everybody_for_who_they_are() {
    let cluster = Cluster::new();
    let rendered = cluster.render("certificate");
    for (name, text) in [
        (
            "manager.kubeconfig",
            &rendered.kubeconfigs.controller_manager,
        ),
        ("scheduler.kubeconfig", &rendered.kubeconfigs.scheduler),
    ] {
        fs::write(cluster.path(name), text.as_bytes()).unwrap();
    }
    let _etcd = cluster.etcd();
    // Whoever has no certificate of etcd's own authority gets nowhere.
    let stranger = cluster.client(cluster.etcd[0], "etcd/ca.crt", "admin");
    assert!(stranger.get("/health").is_err());

    let api_server = cluster.api_server("apiserver");
    for (kubeconfig, user, group) in [
        (
            "out/kubeconfigs/admin.kubeconfig",
            "kubernetes-admin",
            "system:masters",
        ),
        (
            "out/kubeconfigs/handoff.kubeconfig",
            "seedpod:handoff",
            "system:masters",
        ),
        (
            "out/kubeconfigs/kubelet-one.kubeconfig",
            "system:node:one",
            "system:nodes",
        ),
        (
            "manager.kubeconfig",
            "system:kube-controller-manager",
            "system:authenticated",
        ),
        (
            "scheduler.kubeconfig",
            "system:kube-scheduler",
            "system:authenticated",
        ),
    ] {
        let (found, groups) = cluster.whoami(kubeconfig);
        assert_eq!(found, user, "{kubeconfig}");
        assert!(groups.iter().any(|found| found == group), "{groups:?}");
    }
    // The Node authorizer and RBAC let each do its work.
    let nodes = ["get", "nodes"];
    for kubeconfig in ["manager.kubeconfig", "scheduler.kubeconfig"] {
        cluster.kubectl(&cluster.path(kubeconfig), &nodes);
    }
    let admin = cluster.path("out/kubeconfigs/admin.kubeconfig");
    // Tokens are signed with the one half of the key and believed by the other.
    cluster.kubectl(&admin, &["create", "serviceaccount", "someone"]);
    let token = cluster.kubectl(&admin, &["create", "token", "someone"]);
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token.trim()},
    });
    let client = cluster.client(cluster.api, "ca.crt", "admin");
    let answer = client
        .post(
            "/apis/authentication.k8s.io/v1/tokenreviews",
            &review.to_string(),
        )
        .unwrap();
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(answer["status"]["authenticated"], true, "{answer}");

    // Rendered anew with a bootstrap token, nobody's credentials change, and the token is good for joining.
    let again = cluster.render("bootstrapToken");
    assert_eq!(again.pki.admin.certificate, rendered.pki.admin.certificate);
    for file in &again.bootstrap {
        let file = file.to_str().unwrap();
        cluster.kubectl(&admin, &["apply", "--server-side", "-f", file]);
    }
    let (user, groups) = cluster.whoami("out/kubeconfigs/bootstrap-kubelet-one.kubeconfig");
    assert_eq!(
        user,
        format!("system:bootstrap:{}", again.pki.bootstrap_token.unwrap().id)
    );
    assert!(
        groups.iter().any(|group| group == "system:bootstrappers"),
        "{groups:?}"
    );

    // The other serving certificate is as good.
    drop(api_server);
    let _api_server = cluster.api_server("apiserver-self-hosted");
    cluster.whoami("out/kubeconfigs/handoff.kubeconfig");
}
