//! What `seedpod render` and `seedpod up` are given to make a cluster of a rig's machine.

use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use crate::binaries::{self, Tool};
use crate::images;
use crate::node::Node;
use crate::process::output;

/// The configuration of a cluster of this machine alone, which has the images of the rig's then.
///
/// # Errors
/// Fails when a program can't be built or an image not be imported.
pub fn configuration(node: &Node) -> Result<Value> {
    for image in images::CONTROL_PLANE {
        node.ensure_image(image)?;
    }
    Ok(json!({
        "apiVersion": "seedpod.dev/v1alpha1",
        "kind": "ClusterConfiguration",
        "name": "rig",
        "kubernetesVersion": kubernetes_version()?,
        "nodes": [{"name": node.name(), "address": node.address(), "controlPlane": true}],
        "images": {
            "pullPolicy": "Never",
            "etcd": images::ETCD,
            "kubeApiserver": images::KUBE_APISERVER,
            "kubeControllerManager": images::KUBE_CONTROLLER_MANAGER,
            "kubeScheduler": images::KUBE_SCHEDULER,
        },
    }))
}

/// The version of the rig's programs.
///
/// # Errors
/// Fails when they can't be built.
pub fn kubernetes_version() -> Result<String> {
    let program = binaries::find(Tool::KubeApiserver)?;
    let text = output(Command::new(program).arg("--version"))?;
    Ok(text.trim().trim_start_matches("Kubernetes ").to_owned())
}
