//! The workloads of the self-hosted control plane.

use serde_json::{Value, json};

use super::{HANDOFF_LABEL, selector};
use crate::cluster::{
    load::Program,
    programs::{NAMESPACE, Parts, labels},
};

/// The API servers.
pub(super) fn daemon_set(program: Program, parts: Parts, digest: &str) -> Value {
    let tolerations = json!([
        "# Whatever is wrong with the node: without an API server nobody can put it right.",
        {"operator": "Exists"},
    ]);
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata(program),
        "spec": {
            "selector": {"matchLabels": selector(program)},
            "#minReadySeconds": "Longer than an API server lives that cannot reach its etcd (20 s).",
            "minReadySeconds": 30,
            "#updateStrategy": "The new API server starts beside the old one, which goes when the new one has served for a while. \
                                So a bad flag stops the update instead of the API, also where there is one node.",
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": template(program, parts, digest, &json!({"tolerations": tolerations})),
        },
    })
}

/// The controller managers, or the schedulers.
pub(super) fn deployment(
    program: Program,
    mut parts: Parts,
    digest: &str,
    replicas: u32,
    nodes: u32,
) -> Value {
    let reason = if program == Program::Scheduler {
        "A pod that is deleted goes on for so long, so that it can schedule the one in its place: there may be no other \
         scheduler."
    } else {
        "A pod that is deleted goes on for so long, so that it can make the one in its place: there may be no other \
         controller manager."
    };
    parts.container["#lifecycle"] = reason.into();
    parts.container["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 5}}});
    let why = format!(
        "At most one on a node until {nodes} can have one, and evenly from then on. Pods of another revision and such as \
         are going do not count: the one that takes their place may be on their node."
    );
    let more = json!({
        "tolerations": tolerations(),
        "#topologySpreadConstraints": why,
        "topologySpreadConstraints": [{
            "topologyKey": "kubernetes.io/hostname",
            "maxSkew": 1,
            "minDomains": nodes,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": selector(program)},
            "matchLabelKeys": ["pod-template-hash"],
        }],
    });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(program),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": selector(program)},
            "#strategy": "Never one less: where there is one, nobody would start the next. Both can have the port.",
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": template(program, parts, digest, &more),
        },
    })
}

/// What a drain of a node has to leave.
pub(super) fn disruption_budget(program: Program, replicas: u32) -> Value {
    let limit = if replicas > 1 {
        json!({"maxUnavailable": 1})
    } else {
        json!({
            "#minAvailable": "There is no other node for it: a drain leaves it where it is.",
            "minAvailable": 1,
        })
    };
    let mut spec = json!({"selector": {"matchLabels": selector(program)}});
    if let (Value::Object(spec), Value::Object(limit)) = (&mut spec, limit) {
        spec.extend(limit);
    }
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(program),
        "spec": spec,
    })
}

fn metadata(program: Program) -> Value {
    json!({"name": program.name(), "namespace": NAMESPACE, "labels": selector(program)})
}

/// Nodes that are young or that the network has not reached yet: what is to help them may need this pod first.
fn tolerations() -> Value {
    let taint = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoSchedule"});
    json!([
        taint("node-role.kubernetes.io/control-plane"),
        taint("node.cloudprovider.kubernetes.io/uninitialized"),
        taint("node.kubernetes.io/network-unavailable"),
        taint("node.kubernetes.io/unschedulable"),
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists"},
    ])
}

fn template(program: Program, parts: Parts, digest: &str, more: &Value) -> Value {
    let Parts {
        container,
        volumes,
        security,
    } = parts;
    let mut pod_labels = labels(program);
    pod_labels.extend(
        selector(program)
            .into_iter()
            .map(|(key, value)| (key, value.into())),
    );
    let mut spec = json!({
        "serviceAccountName": program.name(),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "hostNetwork": true,
        "#nodeSelector": "Each node gets its pod when its turn in the handoff has come.",
        "nodeSelector": {HANDOFF_LABEL[0]: HANDOFF_LABEL[1]},
        "priorityClassName": "system-node-critical",
        "securityContext": security,
        "terminationGracePeriodSeconds": 30,
        "containers": [container],
        "volumes": volumes,
    });
    if let (Value::Object(spec), Value::Object(more)) = (&mut spec, more) {
        spec.extend(more.clone());
    }
    json!({
        "metadata": {
            "labels": pod_labels,
            "#annotations": "Of what the program reads once, when it starts: another Secret makes other pods.",
            "annotations": {"seedpod.dev/secret-digest": digest},
        },
        "spec": spec,
    })
}
