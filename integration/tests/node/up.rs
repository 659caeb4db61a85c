//! `seedpod up` and `seedpod down` on real components: a bare node becomes a cluster by one command, and a bare node again
//! by another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use seedpod_integration::binaries::{self, Tool};
use seedpod_integration::{
    Node, NodeOptions, Seedpodd, SeedpoddOptions, images, wait_until, workspace_binary,
};
use serde_json::{Value, json};

use crate::conformant;
use crate::rendered::configuration;
use crate::rig::LIMIT;

/// A machine with a bare kubelet, and the file that makes a cluster of it.
struct Machine<'node> {
    node: &'node Node,
    daemon: Seedpodd<'node>,
    folder: PathBuf,
}

impl<'node> Machine<'node> {
    fn new(node: &'node Node) -> Self {
        let daemon = Seedpodd::start(node, &SeedpoddOptions::default()).unwrap();
        let admin = daemon.identity("admin");
        let folder = node.layout().scratch().join("cluster");
        fs::create_dir_all(&folder).unwrap();
        let mut configuration = configuration(node);
        configuration["nodes"][0]["endpoint"] = format!("https://{}", daemon.tls_address()).into();
        configuration["seedpod"] = json!({
            "caFile": daemon.ca_file(),
            "certFile": admin.certificate,
            "keyFile": admin.key,
        });
        fs::write(folder.join("cluster.yaml"), configuration.to_string()).unwrap();
        Self {
            node,
            daemon,
            folder,
        }
    }

    /// Runs a verb of the tool for programs, and returns the last line that it has printed.
    fn seedpod(&self, verb: &[&str]) -> Value {
        let program = workspace_binary("seedpod-client", "seedpod").unwrap();
        let output = Command::new("timeout")
            .arg("600")
            .arg(program)
            .args(verb)
            .arg("-f")
            .arg(self.folder.join("cluster.yaml"))
            .args(["-o", "json"])
            .output()
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let log = fs::read_to_string(self.daemon.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(30)..].join("\n");
        assert!(
            output.status.success(),
            "seedpod {verb:?}: {stdout}{stderr}\nseedpodd: {end}"
        );
        let last = stdout.lines().last().expect("a result");
        serde_json::from_str(last).expect("JSON")
    }

    fn kubectl(&self, args: &[&str]) -> String {
        let output = Command::new(binaries::find(Tool::Kubectl).unwrap())
            .arg("--kubeconfig")
            .arg(self.folder.join("rig/kubeconfigs/admin.kubeconfig"))
            .args(args)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a phase of a run has done.
    fn outcome<'run>(run: &'run Value, phase: &str) -> &'run Value {
        let phases = run["phases"].as_array().expect("phases");
        let found = phases.iter().find(|done| done["phase"] == phase);
        &found.unwrap_or_else(|| panic!("no {phase}: {run}"))["outcome"]
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.node.manifests()).unwrap().flatten();
        let mut files: Vec<PathBuf> = files.map(|entry| entry.path()).collect();
        files.retain(|path| is_manifest(path));
        files.sort();
        files
    }
}

fn is_manifest(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("seedpod_")
}

#[test]
fn one_command_makes_a_bare_node_a_cluster_and_another_takes_it_back() {
    let node = Node::start(&NodeOptions::machine()).unwrap();
    let machine = Machine::new(&node);

    let up = machine.seedpod(&["up"]);
    assert_eq!(up["type"], "result", "{up}");
    let handed = &Machine::outcome(&up, "handoff")[0];
    assert_eq!(handed["handoff"]["state"], "Committed", "{handed}");
    assert_eq!(handed["before"], false);
    let verified = Machine::outcome(&up, "verify");
    assert_eq!(verified["nodes"][0]["pods"].as_array().unwrap().len(), 3);
    // Only etcd is still Seedpod's.
    let files = machine.files();
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(
        files[0].ends_with("seedpod_kube-system_etcd.json"),
        "{files:?}"
    );

    // The cluster works: something is scheduled, and runs.
    let image = format!("--image={}", images::PAUSE);
    machine.kubectl(&["create", "deployment", "web", &image]);
    machine.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"]);
    // It is as one of kubeadm's.
    conformant::check(&machine.folder, &node.address().to_string(), &|arguments| {
        machine.kubectl(arguments)
    });
    let pods = machine.kubectl(&["get", "pods", "-A", "-o", "json"]);
    let uids = |text: &str| {
        let pods: Value = serde_json::from_str(text).unwrap();
        let items = pods["items"].as_array().unwrap();
        let mut uids: Vec<String> = items
            .iter()
            .map(|pod| pod["metadata"]["uid"].to_string())
            .collect();
        uids.sort();
        uids
    };

    // A second time there is nothing to do, and nothing is done.
    let again = machine.seedpod(&["up"]);
    for phase in ["etcd", "control-plane"] {
        let bundles = Machine::outcome(&again, phase);
        assert_eq!(bundles[0]["changed"], false, "{bundles}");
    }
    let kubelet = Machine::outcome(&again, "kubelet");
    assert_eq!(kubelet["nodes"][0]["restarted"], false, "{kubelet}");
    assert_eq!(kubelet["applied"]["created"], 0, "{kubelet}");
    let handed_before = &Machine::outcome(&again, "handoff")[0];
    assert_eq!(handed_before["before"], true);
    assert_eq!(handed_before["handoff"]["id"], handed["handoff"]["id"]);
    let now = machine.kubectl(&["get", "pods", "-A", "-o", "json"]);
    assert_eq!(uids(&pods), uids(&now));

    let down = machine.seedpod(&["down", "--yes"]);
    let reset = &down["nodes"][0];
    assert_eq!(
        reset["bundles"],
        json!(["control-plane", "etcd"]),
        "{reset}"
    );
    assert_eq!(reset["kubeletRestarted"], true, "{reset}");
    assert!(machine.files().is_empty(), "{:?}", machine.files());
    wait_until(LIMIT, "nothing runs any more", || {
        node.containers()
            .is_ok_and(|all| all.iter().all(|container| !container.is_running()))
    })
    .unwrap();
    let nothing = machine.seedpod(&["down", "--yes"]);
    assert_eq!(nothing["nodes"][0]["bundles"], json!([]), "{nothing}");

    // And from nothing again.
    let up = machine.seedpod(&["up"]);
    let handed = &Machine::outcome(&up, "handoff")[0];
    assert_eq!(handed["handoff"]["state"], "Committed", "{handed}");
}
