//! What runs, as containerd's own client tells it: independent of CRI and of Seedpod.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::process::output;

/// containerd's namespace of everything that came over CRI.
const NAMESPACE: &str = "k8s.io";

/// What a container is to its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerKind {
    /// Holds the pod's namespaces.
    Sandbox,
    /// Runs a container of the pod's spec.
    Container,
}

/// A container with a task, that is, one that was started and not yet cleaned up.
#[derive(Clone, Debug)]
pub struct Container {
    /// containerd's id.
    pub id: String,
    /// The process id of its first process, as the host sees it.
    pub pid: u32,
    /// The task's status: `RUNNING`, `STOPPED`, `CREATED`, …
    pub status: String,
    /// Sandbox or container.
    pub kind: ContainerKind,
    /// The pod's name, with the node's name at its end for a static pod.
    pub pod: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's uid, which for a static pod is the manifest's.
    pub uid: String,
    /// The container's name in the spec; empty for a sandbox.
    pub name: String,
    /// The pod's annotations, on its sandbox; a container has none here.
    pub annotations: BTreeMap<String, String>,
}

impl Container {
    /// Whether the container's process runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.status == "RUNNING"
    }
}

/// containerd's command-line client for one socket.
#[derive(Clone, Debug)]
pub(crate) struct Ctr {
    pub(crate) program: PathBuf,
    pub(crate) socket: PathBuf,
}

impl Ctr {
    pub(crate) fn run(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command
            .arg("--address")
            .arg(&self.socket)
            .args(["--namespace", NAMESPACE])
            .args(args);
        output(&mut command)
    }

    pub(crate) fn import(&self, file: &Path) -> Result<()> {
        let file = file.to_str().context("the image's path is not UTF-8")?;
        self.run(&["images", "import", file]).map(|_| ())
    }

    pub(crate) fn has_image(&self, reference: &str) -> Result<bool> {
        let filter = format!("name=={reference}");
        let found = self.run(&["images", "ls", "--quiet", &filter])?;
        Ok(found.lines().any(|line| line.trim() == reference))
    }

    /// All containers that have a task.
    pub(crate) fn containers(&self) -> Result<Vec<Container>> {
        let listing = self.run(&["tasks", "ls"])?;
        let mut containers = Vec::new();
        for line in listing.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [id, pid, status, ..] = words[..] else {
                continue;
            };
            // One that was removed since the listing has no task any more either.
            let Ok(info) = self.run(&["containers", "info", id]) else {
                continue;
            };
            let info: Value = serde_json::from_str(&info).context("read ctr containers info")?;
            containers.push(container(
                id,
                pid.parse().unwrap_or_default(),
                status,
                &info,
            ));
        }
        Ok(containers)
    }
}

fn container(id: &str, pid: u32, status: &str, info: &Value) -> Container {
    let labels = &info["Labels"];
    let label = |name: &str| labels[name].as_str().unwrap_or_default().to_owned();
    let kind = match labels["io.cri-containerd.kind"].as_str() {
        Some("sandbox") => ContainerKind::Sandbox,
        _ => ContainerKind::Container,
    };
    Container {
        id: id.to_owned(),
        pid,
        status: status.to_owned(),
        kind,
        pod: label("io.kubernetes.pod.name"),
        namespace: label("io.kubernetes.pod.namespace"),
        uid: label("io.kubernetes.pod.uid"),
        name: label("io.kubernetes.container.name"),
        annotations: sandbox_annotations(info).unwrap_or_default(),
    }
}

/// The annotations that the kubelet gave a sandbox, as CRI's metadata of it keep them.
fn sandbox_annotations(info: &Value) -> Option<BTreeMap<String, String>> {
    let metadata = info["Extensions"]["io.cri-containerd.sandbox.metadata"]["value"].as_str()?;
    let metadata: Value = serde_json::from_slice(&STANDARD.decode(metadata).ok()?).ok()?;
    serde_json::from_value(metadata["Metadata"]["Config"]["annotations"].clone()).ok()
}
