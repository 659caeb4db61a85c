//! What the injected and the self-hosted form of a program have in common: flags, probes, resources and secret files.

pub(super) mod api_server;
pub(super) mod controller_manager;
pub(super) mod etcd;
mod extra_volumes;
pub(super) mod scheduler;

use std::{collections::BTreeMap, net::IpAddr, net::SocketAddr};

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{Loaded, NodeConfiguration, flags::Flags, load::Program};

/// Where all of it runs.
pub(super) const NAMESPACE: &str = "kube-system";

/// Where a program finds the files of its Secret.
pub(super) const SECRETS: &str = "/etc/kubernetes/secrets";

/// The kubeconfig among them.
pub(super) const KUBECONFIG: &str = "kubeconfig";

/// The number of the priority class system-node-critical: without an API server nobody looks it up.
const PRIORITY: i64 = 2_000_001_000;

/// The two forms of a program.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form<'a> {
    /// A static pod of one node.
    Injected(&'a NodeConfiguration),
    /// A pod of a workload in the cluster.
    SelfHosted,
}

/// Texts by the names of their files in a Secret.
pub(super) type SecretFiles = BTreeMap<String, Zeroizing<String>>;

/// A program, ready to be put into a pod.
pub(super) struct Parts {
    /// Its one container.
    pub(super) container: Value,
    /// The volumes, the Secret with the program's name among them.
    pub(super) volumes: Vec<Value>,
    /// The pod's security context.
    pub(super) security: Value,
}

impl Program {
    /// The name of the program, of its injected pod, of its Secret and of its workload.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }
}

/// The labels that kubeadm gives such pods, so that tools find them.
pub(super) fn labels(program: Program) -> Map<String, Value> {
    Map::from_iter([
        ("component".to_owned(), program.name().into()),
        ("tier".to_owned(), "control-plane".into()),
    ])
}

/// A static pod of these parts, in a wave of its bundle.
pub(super) fn injected_pod(program: Program, wave: u32, parts: Parts) -> Value {
    let Parts {
        container,
        volumes,
        security,
    } = parts;
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": program.name(),
            "namespace": NAMESPACE,
            "labels": labels(program),
            "annotations": {"seedpod.dev/wave": wave.to_string()},
        },
        "spec": {
            "hostNetwork": true,
            "priorityClassName": "system-node-critical",
            "#priority": "The number of that class: the kubelet does not look it up, and without it stops these pods first.",
            "priority": PRIORITY,
            "securityContext": security,
            "terminationGracePeriodSeconds": 30,
            "containers": [container],
            "volumes": volumes,
        },
    })
}

/// A container on the host's network, which declares no ports: with `hostNetwork` these would be host ports, and two pods
/// with the same cannot be on one node.
fn container(loaded: &Loaded, program: Program, flags: &Flags, more: Value) -> Value {
    let mut container = json!({
        "name": program.name(),
        "image": loaded.image(program),
        "imagePullPolicy": loaded.configuration.images.pull_policy,
        "command": flags.command(),
        "volumeMounts": [{"name": "secrets", "mountPath": SECRETS, "readOnly": true}],
    });
    if let (Value::Object(container), Value::Object(more)) = (&mut container, more) {
        container.extend(more);
    }
    container
}

fn secret_volume(program: Program) -> Value {
    json!({
        "name": "secrets",
        "secret": {
            "secretName": program.name(),
            "#defaultMode": "0400: for root alone.",
            "defaultMode": 0o400,
        },
    })
}

/// For programs that need no rights on the node but to read their files.
fn no_capabilities() -> Value {
    json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}})
}

/// A file in [`SECRETS`].
fn secret(file: &str) -> String {
    format!("{SECRETS}/{file}")
}

/// `SCHEME://ADDRESS:PORT`, with the brackets of IPv6.
fn url(scheme: &str, address: IpAddr, port: u16) -> String {
    format!("{scheme}://{}", SocketAddr::new(address, port))
}

/// What a probe asks.
#[derive(Debug, Clone, Copy)]
struct Endpoint {
    host: &'static str,
    port: u16,
    scheme: &'static str,
}

impl Endpoint {
    fn probe(self, path: &str, every: u32, failures: u32) -> Value {
        json!({
            "httpGet": {
                "host": self.host,
                "path": path,
                "port": self.port,
                "scheme": self.scheme,
            },
            "periodSeconds": every,
            "timeoutSeconds": 15,
            "failureThreshold": failures,
        })
    }

    /// Ready as soon as it is, and restarted after 80 s without an answer, but not in the first 4 minutes.
    fn probes(self, live: &str, ready: &str) -> Value {
        json!({
            "startupProbe": self.probe(live, 1, 240),
            "livenessProbe": self.probe(live, 10, 8),
            "readinessProbe": self.probe(ready, 1, 3),
        })
    }
}

/// Both objects' keys.
fn joined(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Object(mut first), Value::Object(second)) => {
            first.extend(second);
            Value::Object(first)
        }
        (_, second) => second,
    }
}
