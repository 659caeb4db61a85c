//! The real nodes: one with a standalone kubelet, one whose kubelet is bound to an API server.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use seedpod_integration::{Node, NodeOptions, wait_until};
use serde_json::Value;

use crate::logs::first_line;
use crate::pods;

const LIMIT: Duration = Duration::from_secs(180);

/// The nodes, started when they are first asked for.
#[derive(Debug)]
pub(crate) struct Nodes {
    folder: PathBuf,
    standalone: OnceCell<Node>,
    bound: OnceCell<BoundNode>,
    bare: OnceCell<Node>,
}

impl Nodes {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            standalone: OnceCell::new(),
            bound: OnceCell::new(),
            bare: OnceCell::new(),
        }
    }

    /// The node that knows no API server.
    pub(crate) fn standalone(&self) -> Result<&Node> {
        if let Some(node) = self.standalone.get() {
            return Ok(node);
        }
        let node = self.start("n1", NodeOptions::default())?;
        Ok(self.standalone.get_or_init(|| node))
    }

    /// The node with etcd and kube-apiserver.
    pub(crate) fn bound(&self) -> Result<&BoundNode> {
        if let Some(node) = self.bound.get() {
            return Ok(node);
        }
        let node = self.start("n2", NodeOptions::default())?;
        node.start_api_server()?;
        Ok(self.bound.get_or_init(|| BoundNode { node }))
    }

    /// The node whose kubelet is bound to an API server that is not there, as an installer finds it.
    pub(crate) fn bare(&self) -> Result<&Node> {
        if let Some(node) = self.bare.get() {
            return Ok(node);
        }
        let node = self.start("n3", NodeOptions::unsynced())?;
        Ok(self.bare.get_or_init(|| node))
    }

    fn start(&self, name: &str, options: NodeOptions) -> Result<Node> {
        Node::start(&NodeOptions {
            dir: Some(self.folder.join(name)),
            name: Some(name.to_owned()),
            ..options
        })
    }
}

/// A node with an API server.
#[derive(Debug)]
pub(crate) struct BoundNode {
    node: Node,
}

impl BoundNode {
    /// Starts etcd and kube-apiserver anew without any data, and returns how long both took until they served.
    pub(crate) fn restart_api_server(&self) -> Result<Duration> {
        self.node.stop_api_server()?;
        let took = self.node.start_api_server()?;
        Ok(took.etcd + took.kube_apiserver)
    }

    /// Restarts the kubelet with the API server's kubeconfig, and sees a pod run, so that all that the kubelet fetches
    /// at first is there.
    pub(crate) fn bind_kubelet(&self) -> Result<()> {
        self.node.bind_kubelet()?;
        let client = self.node.api_server()?.client;
        let path = format!("/api/v1/nodes/{}", self.node.name());
        wait_until(LIMIT, "the kubelet has registered its node", || {
            client.get(&path).is_ok_and(|answer| answer.status == 200)
        })?;
        wait_until(LIMIT, "the namespace default is there", || {
            client
                .get("/api/v1/namespaces/default")
                .is_ok_and(|answer| answer.status == 200)
        })?;
        self.run_pod("first").map(|_| ())
    }

    /// Creates a pod on this node, waits for its first line and deletes it. Returns the time from the request to the
    /// line.
    pub(crate) fn run_pod(&self, name: &str) -> Result<Duration> {
        let client = self.node.api_server()?.client;
        let mut pod = pods::small(name, 1);
        pod["spec"]["nodeName"] = self.node.name().into();
        let body = pod.to_string();
        let start = SystemTime::now();
        let answer = client.post("/api/v1/namespaces/default/pods", &body)?;
        if answer.status != 201 {
            bail!("create pod {name}: {} {}", answer.status, answer.body);
        }
        let created: Value = serde_json::from_str(&answer.body).context("read the created pod")?;
        let uid = created["metadata"]["uid"]
            .as_str()
            .context("the created pod has no uid")?;
        let line = first_line(&self.node.pod_logs(), uid)?;
        let path = format!("/api/v1/namespaces/default/pods/{name}");
        client.delete(&path)?;
        // The kubelet deletes it for good once its containers are gone.
        wait_until(LIMIT, "the deleted pod is gone", || {
            client.get(&path).is_ok_and(|answer| answer.status == 404)
        })?;
        wait_forgotten(&self.node, uid)?;
        crate::logs::since(start, line)
    }

    /// The process ids of etcd and kube-apiserver.
    pub(crate) fn api_server_pids(&self) -> Result<Vec<u32>> {
        ["etcd", "kube-apiserver"]
            .into_iter()
            .map(|name| {
                let process = self.node.process(name);
                process
                    .map(|process| process.pid)
                    .with_context(|| format!("{name} does not run"))
            })
            .collect()
    }
}

/// Waits until the runtime runs nothing of a pod any more.
fn wait_stopped(node: &Node, uid: &str) -> Result<()> {
    wait_until(LIMIT, &format!("nothing of pod {uid} runs"), || {
        node.containers().is_ok_and(|containers| {
            !containers
                .iter()
                .any(|container| container.uid == uid && container.is_running())
        })
    })
}

/// Waits until a pod is gone from the runtime and the kubelet has cleaned up after it, so that its end does not disturb
/// what is measured next.
pub(crate) fn wait_forgotten(node: &Node, uid: &str) -> Result<()> {
    wait_stopped(node, uid)?;
    let folder = node.kubelet_root().join("pods").join(uid);
    let what = format!("the kubelet has removed {}", folder.display());
    wait_until(LIMIT, &what, || !folder.exists())
}

/// Waits until the kubelet works on exactly this many static pods. It counts them every two seconds only, so that this
/// alone does not tell that it is at rest.
pub(crate) fn wait_static_workers(node: &Node, count: usize) -> Result<()> {
    let what = format!("the kubelet works on {count} static pods");
    wait_until(LIMIT, &what, || {
        let metrics = node.kubelet().get("/metrics");
        metrics.is_ok_and(|answer| static_workers(&answer.body) == Some(count as f64))
    })
}

/// The kubelet's own count of the static pods that it has a worker for, in whatever state.
fn static_workers(metrics: &str) -> Option<f64> {
    metrics
        .lines()
        .filter(|line| {
            line.starts_with("kubelet_working_pods{") && line.contains(r#"static="true""#)
        })
        .map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Gives a hand-made manifest its place, as `mv` does. Returns when that began.
pub(crate) fn move_in(staged: &Path, manifest: &Path) -> Result<SystemTime> {
    let start = SystemTime::now();
    fs::rename(staged, manifest).with_context(|| format!("rename {}", staged.display()))?;
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_static_pods_are_counted_in_all_their_states() {
        let metrics = "# HELP kubelet_working_pods x\n\
            kubelet_working_pods{config=\"desired\",lifecycle=\"sync\",static=\"\"} 7\n\
            kubelet_working_pods{config=\"desired\",lifecycle=\"sync\",static=\"true\"} 2\n\
            kubelet_working_pods{config=\"orphan\",lifecycle=\"terminating\",static=\"true\"} 1\n";
        assert_eq!(static_workers(metrics), Some(3.0));
    }
}
