//! A real API server's verdict on everything that is rendered to be applied.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use seedpod_client::cluster::{ClusterConfiguration, render};
use seedpod_integration::binaries::{self, Tool};
use seedpod_integration::{Node, NodeOptions};

/// The clusters whose whole output is in the repository.
const SNAPSHOTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../client/tests/snapshots");

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_file() {
            fs::copy(&path, target).unwrap();
        } else if !path.ends_with("rendered") {
            copy(&path, &target);
        }
    }
}

#[test]
fn an_api_server_accepts_all_objects_of_all_snapshots() {
    let node = Node::start(&NodeOptions {
        api_server: true,
        ..NodeOptions::default()
    })
    .unwrap();
    let kubeconfig = node.api_server().unwrap().kubeconfig;
    let kubectl = binaries::find(Tool::Kubectl).unwrap();
    for cluster in ["one-node", "three-nodes", "external-etcd"] {
        let folder = node.dir().join(cluster);
        copy(&Path::new(SNAPSHOTS).join(cluster), &folder);
        if cluster == "external-etcd" {
            etcd_client(&node, &folder.join("etcd"));
        }
        let loaded = ClusterConfiguration::load(folder.join("cluster.yaml")).unwrap();
        let rendered = render(&loaded, &folder.join("out")).unwrap();
        let files: Vec<PathBuf> = [rendered.bootstrap, rendered.self_hosted].concat();
        assert!(files.len() >= 6, "{files:?}");
        // An unknown field is an error, and so is what the API server would warn of.
        let mut command = Command::new(&kubectl);
        command.arg("--kubeconfig").arg(&kubeconfig).args([
            "apply",
            "--server-side",
            "--dry-run=server",
            "--validate=strict",
            "--warnings-as-errors",
        ]);
        for file in &files {
            command.arg("-f").arg(file);
        }
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{cluster}: {error}");
    }
}

/// A client of an etcd that is not there: nobody asks it here.
fn etcd_client(node: &Node, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let authority = seedpod_integration::pki::Authority::new(&node.name()).unwrap();
    authority.write(&folder.join("ca.crt")).unwrap();
    let request = seedpod_integration::pki::Request::user("kube-apiserver");
    authority.issue(folder, "client", &request).unwrap();
}
