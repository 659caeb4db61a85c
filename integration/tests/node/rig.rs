//! The node that the tests of this binary share.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use seedpod_integration::{Node, NodeOptions, images, wait_for};
use serde_json::{Value, json};

/// What a test waits at most for something that takes a fraction of a second on an idle machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The shared node, started by the first test that asks for it and stopped when the process ends.
///
/// # Panics
/// When it can't be started: a test without a node fails, it does not pass by doing nothing.
pub(crate) fn node() -> &'static Node {
    static NODE: OnceLock<Result<Node, String>> = OnceLock::new();
    // The error is kept, so that the other tests do not try again, each for as long as the first.
    let node =
        NODE.get_or_init(|| Node::start(&NodeOptions::default()).map_err(|it| format!("{it:#}")));
    match node {
        Ok(node) => node,
        Err(error) => panic!("the node does not start: {error}"),
    }
}

/// A name that no other test of this process uses.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A pod that prints a line and goes on until it is asked to stop, which it does at once.
pub(crate) fn pod(name: &str, line: &str) -> Value {
    let script =
        format!("trap 'exit 0' TERM; echo '{line}'; while :; do sleep 3600 & wait $!; done");
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "terminationGracePeriodSeconds": 5,
            "containers": [{
                "name": "main",
                "image": images::BUSYBOX,
                "imagePullPolicy": "Never",
                "command": ["sh", "-c", script],
            }],
        },
    })
}

/// Moves a manifest into the static pod directory, whole, as anybody who does it by hand should.
pub(crate) fn place(node: &Node, pod: &Value) -> std::path::PathBuf {
    let name = pod["metadata"]["name"]
        .as_str()
        .expect("the pod has a name");
    let target = node.manifests().join(format!("{name}.json"));
    let staged = node.manifests().join(format!(".{name}"));
    write(&staged, pod);
    fs::rename(&staged, &target).expect("rename the manifest");
    target
}

/// What the kubelet says of the first container of a static pod.
pub(crate) fn kubelets_word(node: &Node, pod: &str) -> Option<Value> {
    let pods: Value = serde_json::from_str(&node.kubelet().get("/pods").ok()?.body).ok()?;
    let full = format!("{pod}-{}", node.name());
    let items = pods["items"].as_array()?;
    let pod = items.iter().find(|it| it["metadata"]["name"] == full)?;
    Some(pod["status"]["containerStatuses"][0].clone()).filter(|word| !word.is_null())
}

/// Waits until the kubelet says what is waited for of the first container of a static pod, and returns it.
pub(crate) fn wait_kubelet(
    node: &Node,
    pod: &str,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    let mut last = None;
    wait_for(LIMIT, &format!("{pod} is {what}"), || {
        last = kubelets_word(node, pod);
        last.clone().filter(&holds)
    })
    .unwrap_or_else(|error| panic!("{error}: {last:?}"))
}

fn write(file: &Path, pod: &Value) {
    fs::write(file, pod.to_string()).expect("write the manifest");
}
