//! What makes the kubelet refuse a static pod: `HasAPIObjectReference` in Kubernetes' `pkg/api/pod/util.go`, over JSON.

use serde_json::Value;

use super::items;

/// The sources of volumes that need no API. Each other one is refused, also one that is unknown.
const VOLUMES: [&str; 22] = [
    "awsElasticBlockStore",
    "azureDisk",
    "cephfs",
    "cinder",
    "downwardAPI",
    "emptyDir",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

pub(super) fn refers_to_nothing(pod: &Value) {
    let spec = &pod["spec"];
    for field in [
        "serviceAccountName",
        "serviceAccount",
        "imagePullSecrets",
        "resourceClaims",
    ] {
        assert!(is_empty(&spec[field]), "spec.{field} in {pod}");
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in items(&spec[list]) {
            for source in items(&container["envFrom"]) {
                assert!(source["secretRef"].is_null(), "{source}");
                assert!(source["configMapRef"].is_null(), "{source}");
            }
            for variable in items(&container["env"]) {
                let source = &variable["valueFrom"];
                assert!(source["secretKeyRef"].is_null(), "{variable}");
                assert!(source["configMapKeyRef"].is_null(), "{variable}");
            }
        }
    }
    for volume in items(&spec["volumes"]) {
        volume_refers_to_nothing(volume);
    }
}

fn volume_refers_to_nothing(volume: &Value) {
    for (source, content) in volume.as_object().expect("an object") {
        if source == "name" || content.is_null() {
            continue;
        }
        if source == "projected" {
            for projection in items(&content["sources"]) {
                let sources = projection.as_object().expect("an object");
                let set: Vec<_> = sources
                    .iter()
                    .filter(|(_, value)| !value.is_null())
                    .collect();
                assert!(set.len() == 1 && set[0].0 == "downwardAPI", "{volume}");
            }
            continue;
        }
        assert!(VOLUMES.contains(&source.as_str()), "{volume}");
        assert!(is_empty(&content["secretRef"]), "{volume}");
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}
