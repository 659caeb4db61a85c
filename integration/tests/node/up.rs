//! `seedpod up` and `seedpod down` on real components: bare nodes become a cluster by one command, and bare nodes again
//! by another.

mod control_nodes;
mod kills;
mod life;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use seedpod_client::Client;
use seedpod_integration::binaries::{self, Tool};
use seedpod_integration::pki::{Identity, Request};
use seedpod_integration::{
    HttpClient, Node, Seedpodd, SeedpoddOptions, images, wait_for, wait_until, workspace_binary,
};
use serde_json::{Value, json};

use crate::rendered::configuration;
use crate::scene::{connect_lazy, tls_options};

/// What may take a while on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(400);

/// Machines with bare kubelets, and the file that makes a cluster of them.
struct Site<'node> {
    nodes: Vec<&'node Node>,
    daemons: Vec<Seedpodd<'node>>,
    /// The installer's certificate, which all daemons take.
    admin: Identity,
    folder: PathBuf,
    configuration: Value,
}

impl<'node> Site<'node> {
    /// All machines are of the control plane.
    fn new(nodes: &[&'node Node]) -> Self {
        let mut daemons: Vec<Seedpodd<'_>> = Vec::new();
        for node in nodes {
            let daemon = match daemons.first() {
                None => Seedpodd::start(node, &SeedpoddOptions::default()),
                Some(first) => Seedpodd::start(node, &of_the_authority(first, node)),
            };
            daemons.push(daemon.unwrap());
        }
        let mut configuration = configuration(nodes[0]);
        configuration["nodes"] = nodes
            .iter()
            .zip(&daemons)
            .map(|(node, daemon)| {
                let mut entry = self::configuration(node)["nodes"][0].take();
                entry["endpoint"] = format!("https://{}", daemon.tls_address()).into();
                entry
            })
            .collect();
        let admin = daemons[0].identity("admin");
        configuration["seedpod"] = json!({
            "caFile": daemons[0].ca_file(),
            "certFile": admin.certificate,
            "keyFile": admin.key,
        });
        let folder = nodes[0].layout().scratch().join("cluster");
        fs::create_dir_all(&folder).unwrap();
        let site = Self {
            nodes: nodes.to_vec(),
            daemons,
            admin,
            folder,
            configuration,
        };
        site.write();
        site
    }

    /// Writes the file anew.
    fn write(&self) {
        fs::write(self.file(), self.configuration.to_string()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.join("cluster.yaml")
    }

    /// What the tool renders into.
    fn rendered(&self) -> PathBuf {
        self.folder.join("rig")
    }

    fn client(&self, index: usize) -> Client {
        // The first one's authority is all daemons'.
        let options = tls_options(&self.daemons[index], &self.admin);
        connect_lazy(options.ca_file(self.daemons[0].ca_file()))
    }

    /// A verb of the tool for programs.
    fn command(&self, program: &Path, verb: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(verb)
            .arg("-f")
            .arg(self.file())
            // It shares the machine with others.
            .args(["-o", "json", "--timeout", "15m"]);
        command
    }

    fn run(&self, verb: &[&str]) -> Output {
        let program = workspace_binary("seedpod-client", "seedpod").unwrap();
        let mut command = Command::new("timeout");
        let asked = self.command(&program, verb);
        command.arg("1800").arg(program).args(asked.get_args());
        command.output().unwrap()
    }

    /// Runs a verb of the tool, and returns the last line that it has printed.
    fn seedpod(&self, verb: &[&str]) -> Value {
        let output = self.run(verb);
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "seedpod {verb:?}: {stdout}{stderr}\n{}",
            self.logs()
        );
        last_line(&stdout)
    }

    /// How the daemons' logs end.
    fn logs(&self) -> String {
        let ends = self.daemons.iter().map(|daemon| {
            let log = fs::read_to_string(daemon.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(30)..].join("\n");
            format!("{}:\n{end}\n", daemon.log().display())
        });
        ends.collect()
    }

    fn try_kubectl(&self, args: &[&str]) -> Output {
        Command::new(binaries::find(Tool::Kubectl).unwrap())
            .arg("--kubeconfig")
            .arg(self.rendered().join("kubeconfigs/admin.kubeconfig"))
            .args(args)
            .output()
            .unwrap()
    }

    fn kubectl(&self, args: &[&str]) -> String {
        let output = self.try_kubectl(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Objects as kubectl lists them, or the one object.
    fn get(&self, args: &[&str]) -> Value {
        let text = self.kubectl(&[&["get"], args, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap()
    }

    /// An administrator at a node's own address.
    fn api(&self, node: &Node) -> HttpClient {
        let pki = self.rendered().join("pki");
        let [ca, certificate, key] =
            ["ca.crt", "admin.crt", "admin.key"].map(|name| pki.join(name));
        let client = HttpClient::mutual_tls(6443, &ca, &certificate, &key).unwrap();
        client.at(node.address())
    }

    /// The files of a node's static pods, by their names.
    fn files(&self, index: usize) -> Vec<String> {
        let files = fs::read_dir(self.nodes[index].manifests()).unwrap();
        let names = files.flatten().map(|it| it.file_name());
        let mut names: Vec<String> = names.map(|it| it.to_string_lossy().into_owned()).collect();
        names.retain(|name| name.starts_with("seedpod_"));
        names.sort();
        names
    }

    fn assert_ready(&self) {
        let nodes = self.get(&["nodes"]);
        let names = self.nodes.iter().map(|node| node.name());
        for name in names {
            let mut items = nodes["items"].as_array().unwrap().iter();
            let node = items.find(|it| it["metadata"]["name"] == name.as_str());
            let conditions = node.unwrap()["status"]["conditions"].as_array().unwrap();
            let mut ready = conditions.iter().filter(|it| it["type"] == "Ready");
            assert_eq!(ready.next().unwrap()["status"], "True", "{nodes}");
        }
    }

    /// Runs it once more, which changes nothing.
    fn assert_nothing_to_do(&self, handed: &Value) -> Value {
        let again = self.seedpod(&["up"]);
        for phase in ["etcd", "control-plane"] {
            for bundle in outcome(&again, phase).as_array().unwrap() {
                assert_eq!(bundle["changed"], false, "{bundle}");
            }
        }
        let kubelet = outcome(&again, "kubelet");
        for node in kubelet["nodes"].as_array().unwrap() {
            assert_eq!(node["restarted"], false, "{kubelet}");
            assert_eq!(node["changed"], json!([]), "{kubelet}");
        }
        assert_eq!(kubelet["applied"]["created"], 0, "{kubelet}");
        assert_eq!(kubelet["applied"]["configured"], 0, "{kubelet}");
        let handed_before = outcome(&again, "handoff").as_array().unwrap();
        for (now, before) in handed_before.iter().zip(handed.as_array().unwrap()) {
            assert_eq!(now["before"], true);
            assert_eq!(now["handoff"]["id"], before["handoff"]["id"]);
        }
        again
    }

    /// Nothing of the cluster is left on the machines, but for what etcd has, if that was to be kept.
    fn assert_down(&self, keeps_etcd: bool) {
        for (index, node) in self.nodes.iter().enumerate() {
            let files = self.files(index);
            let etcd = ["seedpod_kube-system_etcd.json".to_owned()];
            let left: &[String] = if keeps_etcd { &etcd } else { &[] };
            assert_eq!(files, left);
            assert!(!node.layout().kubeconfig().exists());
            assert!(!node.layout().bootstrap_kubeconfig().exists());
            if !keeps_etcd {
                let data = fs::read_dir(node.layout().etcd()).unwrap();
                assert_eq!(data.count(), 0, "etcd's data are left");
            }
            let only = usize::from(keeps_etcd);
            wait_until(PATIENCE, "nothing else runs any more", || {
                let all = node.containers();
                all.is_ok_and(|all| {
                    let running = all.iter().filter(|it| it.is_running());
                    let mut pods: Vec<&str> = running.map(|it| it.pod.as_str()).collect();
                    pods.dedup();
                    pods.len() <= only && pods.iter().all(|pod| pod.starts_with("etcd-"))
                })
            })
            .unwrap_or_else(|error| panic!("{error}: {:?}", node.containers()));
        }
    }
}

/// Options of a daemon whose callers, and whose own certificate, are of another daemon's authority.
fn of_the_authority(first: &Seedpodd<'_>, node: &Node) -> SeedpoddOptions {
    let address = node.address().to_string();
    let request = Request::server("seedpodd", &["localhost", "127.0.0.1", &address]);
    let server = first.issue(&format!("server-{}", node.name()), &request);
    let server = server.unwrap();
    let tls = json!({
        "certFile": server.certificate,
        "keyFile": server.key,
        "clientCAFile": first.ca_file(),
    });
    SeedpoddOptions {
        config: [("tls".to_owned(), tls)].into_iter().collect(),
        ..SeedpoddOptions::default()
    }
}

fn last_line(stdout: &str) -> Value {
    let last = stdout.lines().last().expect("a result");
    serde_json::from_str(last).expect("JSON")
}

/// What a phase of a run has done.
fn outcome<'run>(run: &'run Value, phase: &str) -> &'run Value {
    let phases = run["phases"].as_array().expect("phases");
    let found = phases.iter().find(|done| done["phase"] == phase);
    &found.unwrap_or_else(|| panic!("no {phase}: {run}"))["outcome"]
}

/// A Deployment whose pods tell their names over HTTP, each at an address of its own.
fn web(site: &Site<'_>, replicas: usize) {
    for node in &site.nodes {
        node.ensure_image(images::AGNHOST).unwrap();
    }
    let labels = json!({"app": "web"});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "topologySpreadConstraints": [{
                        "topologyKey": "kubernetes.io/hostname",
                        "maxSkew": 1,
                        "whenUnsatisfiable": "DoNotSchedule",
                        "labelSelector": {"matchLabels": labels},
                    }],
                    "containers": [{
                        "name": "web",
                        "image": images::AGNHOST,
                        "imagePullPolicy": "Never",
                        "command": ["/bin/agnhost", "netexec", "--http-port=8080"],
                        "readinessProbe": {
                            "httpGet": {"port": 8080, "path": "/hostname"}, "periodSeconds": 1,
                        },
                    }],
                },
            },
        },
    });
    let file = site.folder.join("web.json");
    fs::write(&file, deployment.to_string()).unwrap();
    site.kubectl(&["create", "-f", file.to_str().unwrap()]);
}

/// Waits until so many pods of it answer at their addresses by their own names, and returns the names.
fn wait_web(site: &Site<'_>, replicas: usize, not: &[String]) -> Vec<String> {
    let mut seen = Value::Null;
    wait_for(PATIENCE, "the Deployment serves", || {
        seen = site.get(&["pods", "-l", "app=web"]);
        let mut serving = Vec::new();
        for pod in seen["items"].as_array()? {
            let name = pod["metadata"]["name"].as_str()?;
            let address: Ipv4Addr = pod["status"]["podIP"].as_str()?.parse().ok()?;
            let answer = HttpClient::plain(8080).at(address).get("/hostname").ok()?;
            if answer.status != 200 || answer.body != name || not.iter().any(|it| it == name) {
                return None;
            }
            serving.push(name.to_owned());
        }
        (serving.len() == replicas).then_some(serving)
    })
    .unwrap_or_else(|error| {
        panic!(
            "{error}: {seen}\n{}",
            site.kubectl(&["get", "events", "-A"])
        )
    })
}
