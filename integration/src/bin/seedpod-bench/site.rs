//! A bare machine that is to become a cluster, with all that either way of making one of it needs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use seedpod_integration::binaries::{self, Tool};
use seedpod_integration::cluster::configuration;
use seedpod_integration::prober::{Plan, Prober};
use seedpod_integration::{
    HttpClient, KubeletAccess, Node, NodeOptions, Seedpodd, SeedpoddOptions, workspace_binary,
};
use serde_json::{Value, json};

use crate::memory::{Resident, at_rest, processes_in};

/// How long anything may take that is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

pub(crate) const PORT: u16 = 6443;

/// The components that move into the cluster, by their label.
pub(crate) const PROGRAMS: [&str; 3] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

/// A machine with a bare kubelet, a daemon, and a rendered cluster of which nothing runs.
pub(crate) struct Site<'node> {
    pub(crate) node: &'node Node,
    pub(crate) daemon: Seedpodd<'node>,
    /// The command line tool.
    program: PathBuf,
    folder: PathBuf,
    /// An administrator at the node's address.
    pub(crate) client: HttpClient,
}

/// A bare machine with a network of its own.
pub(crate) fn machine() -> Result<Node> {
    Node::start(&NodeOptions {
        kubelet_access: KubeletAccess::Cluster,
        ..NodeOptions::machine()
    })
}

impl<'node> Site<'node> {
    /// Renders the cluster, so that keys and certificates are there for both ways.
    pub(crate) fn new(node: &'node Node) -> Result<Self> {
        let daemon = Seedpodd::start(node, &SeedpoddOptions::default())?;
        let injector = daemon.identity("admin");
        let folder = node.layout().scratch();
        let mut configuration = configuration(node)?;
        configuration["nodes"][0]["endpoint"] = format!("https://{}", daemon.tls_address()).into();
        configuration["seedpod"] = json!({
            "caFile": daemon.ca_file(),
            "certFile": injector.certificate,
            "keyFile": injector.key,
        });
        let file = folder.join("cluster.yaml");
        fs::write(&file, configuration.to_string()).context("write the configuration")?;
        let rendered = folder.join("rig");
        let program = workspace_binary("seedpod-client", "seedpod")?;
        let mut render = Command::new(&program);
        render.arg("render").arg("-f").arg(&file).arg(&rendered);
        run(&mut render)?;
        let pki = rendered.join("pki");
        let [ca, certificate, key] = ["ca.crt", "admin.crt", "admin.key"].map(|it| pki.join(it));
        let client = HttpClient::mutual_tls(PORT, &ca, &certificate, &key)?.at(node.address());
        Ok(Self {
            node,
            daemon,
            program,
            folder,
            client,
        })
    }

    /// What was rendered.
    pub(crate) fn rendered(&self) -> PathBuf {
        self.folder.join("rig")
    }

    /// `seedpod up` or one of its phases.
    pub(crate) fn up(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("up").args(arguments).arg("-f");
        command.arg(self.folder.join("cluster.yaml"));
        command.args(["-o", "json"]).stdin(Stdio::null());
        command
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(binaries::find(Tool::Kubectl)?);
        let kubeconfig = self.rendered().join("kubeconfigs/admin.kubeconfig");
        command.arg("--kubeconfig").arg(kubeconfig).args(arguments);
        run(&mut command)
    }

    pub(crate) fn answers(&self) -> bool {
        self.client.get("/readyz").is_ok_and(|it| it.status == 200)
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let answer = self.client.get(path).ok().filter(|it| it.status == 200)?;
        serde_json::from_str(&answer.body).ok()
    }

    pub(crate) fn is_node_ready(&self) -> bool {
        let node = self.get(&format!("/api/v1/nodes/{}", self.node.name()));
        node.is_some_and(|node| is_ready(&node))
    }

    /// The self-hosted pods of a component.
    pub(crate) fn pods(&self, program: &str) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3D{program}");
        let list = self.get(&path).unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Whether each component has self-hosted pods, all of which are so.
    pub(crate) fn all_pods(&self, are: impl Fn(&Value) -> bool) -> bool {
        PROGRAMS.iter().all(|program| {
            let pods = self.pods(program);
            !pods.is_empty() && pods.iter().all(&are)
        })
    }

    /// The memory of all programs in the node's network, which are all of the node, once it has come to rest.
    pub(crate) fn memory(&self) -> Result<Resident> {
        let namespace = self.node.network_namespace();
        let namespace = namespace.context("the node has no network of its own")?;
        at_rest(&processes_in(&namespace)?)
    }

    /// An administrator, somebody who may only what RBAC says, and a writer, at both addresses.
    pub(crate) fn probe(&self, every: Duration) -> Result<Prober> {
        let pki = self.rendered().join("pki");
        Prober::start(Plan::of_node(self.node, &pki, PORT, every, every))
    }
}

/// Whether a node or a pod has the condition Ready.
pub(crate) fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|it| it["type"] == "Ready" && it["status"] == "True")
}

/// Runs a command to its end, and returns what it has printed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("run {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!(
            "{}: {}: {}{}",
            command.get_program().display(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
