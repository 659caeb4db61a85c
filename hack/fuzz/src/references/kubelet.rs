//! What makes the kubelet refuse a static pod: `HasAPIObjectReference` in Kubernetes' `pkg/api/pod/util.go`, over JSON.

use serde_json::Value;

use super::items;

/// The sources of volumes that need the API. A field that Kubernetes does not have is nothing to the kubelet.
const VOLUMES: [&str; 7] = [
    "configMap",
    "secret",
    "csi",
    "glusterfs",
    "persistentVolumeClaim",
    "ephemeral",
    "azureFile",
];
/// Sources of projected volumes that do.
const PROJECTIONS: [&str; 5] = [
    "configMap",
    "secret",
    "serviceAccountToken",
    "clusterTrustBundle",
    "podCertificate",
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
    for source in VOLUMES {
        assert!(volume[source].is_null(), "{volume}");
    }
    for projection in items(&volume["projected"]["sources"]) {
        assert!(!projection["downwardAPI"].is_null(), "{volume}");
        for source in PROJECTIONS {
            assert!(projection[source].is_null(), "{volume}");
        }
    }
    for content in volume.as_object().expect("an object").values() {
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
