//! A node with a kube-apiserver, and objects and pods that are created there.

use std::sync::OnceLock;
use std::time::Duration;

use seedpod_integration::{ApiServer, Node, NodeOptions, wait_for, wait_until};
use serde_json::{Value, json};

use crate::rig::LIMIT;

/// The node whose kubelet is bound to a kube-apiserver, shared by the tests that need one.
///
/// # Panics
/// When it can't be started.
pub(super) fn node() -> &'static Node {
    static NODE: OnceLock<Result<Node, String>> = OnceLock::new();
    let node = NODE.get_or_init(|| start().map_err(|it| format!("{it:#}")));
    match node {
        Ok(node) => node,
        Err(error) => panic!("the node does not start: {error}"),
    }
}

fn start() -> anyhow::Result<Node> {
    let node = Node::start(&NodeOptions {
        api_server: true,
        ..NodeOptions::default()
    })?;
    let api = Api::of(&node);
    let path = format!("/api/v1/nodes/{}", node.name());
    wait_until(LIMIT, "the kubelet has registered its node", || {
        api.get(&path).is_some()
    })?;
    Ok(node)
}

/// Requests to the API server of a node.
pub(super) struct Api<'node> {
    node: &'node Node,
    server: ApiServer,
}

impl<'node> Api<'node> {
    pub(super) fn of(node: &'node Node) -> Self {
        let server = node.api_server().expect("the node has an API server");
        Self { node, server }
    }

    /// The object at a path, if there is one.
    pub(super) fn get(&self, path: &str) -> Option<Value> {
        let answer = self.server.client.get(path).ok()?;
        (answer.status == 200).then(|| serde_json::from_str(&answer.body).expect("JSON"))
    }

    /// Creates a Secret, ConfigMap or Pod in the namespace `default`.
    pub(super) fn create(&self, object: &Value) {
        let path = path_of(object);
        let answer = self.server.client.post(&path, &object.to_string());
        let answer = answer.expect("the API server answers");
        assert_eq!(answer.status, 201, "{path}: {}", answer.body);
    }

    /// Creates a pod on this node, as a scheduler would have placed it there.
    pub(super) fn run(&self, pod: &Value) {
        let mut pod = pod.clone();
        pod["spec"]["nodeName"] = json!(self.node.name());
        // Nothing here makes the taints go that a node has at first.
        pod["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        self.create(&pod);
    }

    /// The log of a pod's container once it holds a line that ends with this.
    pub(super) fn log(&self, pod: &str, container: &str, last: &str) -> String {
        let what = format!("container {container} of the API server's pod {pod} says {last:?}");
        let mut seen = None;
        wait_for(LIMIT, &what, || {
            seen = self.node.api_pod_log("default", pod, container);
            seen.clone().filter(|log| log.trim_end().ends_with(last))
        })
        .unwrap_or_else(|error| {
            let path = format!("/api/v1/namespaces/default/pods/{pod}");
            let status = self.get(&path).map(|pod| pod["status"].clone());
            let events = self.get("/api/v1/namespaces/default/events");
            panic!("{error}: {seen:?}; {status:?}; {events:?}")
        })
    }

    /// Deletes a pod and waits until it is gone.
    pub(super) fn delete(&self, pod: &str) {
        let path = format!("/api/v1/namespaces/default/pods/{pod}");
        self.server.client.delete(&path).expect("delete the pod");
        wait_until(LIMIT + Duration::from_secs(30), "the pod is gone", || {
            self.get(&path).is_none()
        })
        .expect("the pod is gone");
    }
}

fn path_of(object: &Value) -> String {
    let kind = object["kind"].as_str().expect("a kind").to_lowercase();
    format!("/api/v1/namespaces/default/{kind}s")
}
