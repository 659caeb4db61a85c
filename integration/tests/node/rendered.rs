//! A cluster of one rig node, rendered as `seedpod render` does.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use seedpod_client::cluster::{ClusterConfiguration, Rendered, render};
use seedpod_client::{Folder, RemoveBundle, Wait};
use seedpod_integration::binaries::{self, Tool};
use seedpod_integration::{HttpClient, Node, wait_for, wait_until};
use serde_json::{Value, json};

use crate::scene::{Scene, run};

/// What any step of a cluster's start may take, on a machine that has other things to do.
const LIMIT: Duration = Duration::from_secs(240);

pub(crate) const NAMESPACE: &str = "kube-system";

/// The configuration of a cluster of this machine alone, which has the images of the rig's then.
pub(crate) fn configuration(node: &Node) -> Value {
    seedpod_integration::cluster::configuration(node).unwrap()
}

/// A rendered cluster, of which nothing runs at first.
pub(crate) struct Cluster<'node> {
    pub(crate) node: &'node Node,
    pub(crate) scene: Scene<'node>,
    /// Where the rendered files are, and the administrator's as PEM.
    pub(crate) folder: PathBuf,
    pub(crate) rendered: Rendered,
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    /// An administrator.
    pub(crate) client: HttpClient,
}

impl<'node> Cluster<'node> {
    /// Renders a cluster of this machine, with images of the rig's.
    pub(crate) fn render(node: &'node Node, theme: &str) -> Self {
        let folder = node.layout().scratch().join(theme);
        let mut configuration = configuration(node);
        // The machines of several tests have one disk.
        configuration["etcd"] = json!({"dataDirectory": folder.join("etcd")});
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("cluster.yaml");
        fs::write(&file, configuration.to_string()).unwrap();
        let loaded = ClusterConfiguration::load(&file).unwrap();
        let rendered = render(&loaded, &folder.join("rendered")).unwrap();

        let pem = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let ca = pem("ca.crt", &rendered.pki.cluster.certificate);
        let certificate = pem("admin.crt", &rendered.pki.admin.certificate);
        let key = pem("admin.key", &rendered.pki.admin.key);
        let kubeconfig = pem("admin.kubeconfig", &rendered.kubeconfigs.admin);
        // Somebody who may only what RBAC says.
        pem("scheduler.crt", &rendered.pki.scheduler.certificate);
        pem("scheduler.key", &rendered.pki.scheduler.key);
        Self {
            folder,
            node,
            scene: Scene::on(node, theme),
            rendered,
            kubectl: binaries::find(Tool::Kubectl).unwrap(),
            kubeconfig,
            client: HttpClient::mutual_tls(6443, &ca, &certificate, &key)
                .unwrap()
                .at(node.address()),
        }
    }

    /// Injects the bundles in order, and waits for each until it is ready.
    pub(crate) fn inject(&self) {
        for bundle in &self.rendered.bundles {
            let request = Folder::read(&bundle.folder).unwrap().request().unwrap();
            let injected = run(self.scene.client.inject(&request)).unwrap();
            let wait = Wait::new(LIMIT);
            let revision = injected.bundle.revision;
            let ready = self.scene.client.wait_ready(&bundle.bundle, revision, wait);
            run(ready).unwrap();
        }
    }

    /// Restarts the kubelet with the rendered kubeconfig, and waits until its node is registered.
    pub(crate) fn join(&self) {
        let kubeconfig = &self.rendered.kubeconfigs.kubelets[&self.node.name()];
        let layout = self.node.layout();
        let authority = &self.rendered.pki.cluster.certificate;
        fs::write(layout.client_ca(), authority).unwrap();
        fs::write(layout.kubeconfig(), kubeconfig.as_bytes()).unwrap();
        self.node.restart_kubelet().unwrap();
        let path = format!("/api/v1/nodes/{}", self.node.name());
        wait_until(LIMIT, "the node is registered", || {
            self.client.get(&path).is_ok_and(|it| it.status == 200)
        })
        .unwrap();
    }

    /// Removes the bundle of the injected control plane; etcd stays.
    pub(crate) fn remove_injected(&self) {
        let bundle = &self.rendered.handoff[0].bundle;
        run(self.scene.client.remove_bundle(&RemoveBundle::new(bundle))).unwrap();
        run(self.scene.client.wait_removed(bundle, Wait::new(LIMIT))).unwrap();
    }

    /// What the API server has at a path, when it has something.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let answer = self.client.get(path).ok().filter(|it| it.status == 200)?;
        serde_json::from_str(&answer.body).ok()
    }

    /// Waits until what the API server has at a path is as it should be.
    pub(crate) fn wait(&self, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        wait_for(LIMIT, what, || {
            last = self.get(path);
            last.clone().filter(&holds)
        })
        .unwrap_or_else(|error| panic!("{error}: {last:?}"))
    }

    /// The pods with these labels: `KEY=VALUE`.
    pub(crate) fn pods(&self, selector: &str) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={selector}");
        let pods = self.get(&path).map(|list| list["items"].clone());
        serde_json::from_value(pods.unwrap_or_default()).unwrap_or_default()
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.try_kubectl(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> Output {
        Command::new(&self.kubectl)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Applies files in their order.
    pub(crate) fn apply(&self, files: &[PathBuf], more: &[&str]) -> String {
        let mut arguments = vec!["apply", "--server-side", "--field-manager=seedpod"];
        arguments.extend(more);
        for file in files {
            arguments.extend(["-f", file.to_str().unwrap()]);
        }
        self.kubectl(&arguments)
    }
}

/// Whether the pod is Ready and not about to go.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    ready && pod["metadata"]["deletionTimestamp"].is_null()
}
