//! What rendering must not change.

use serde_json::{Value, json};

use super::items;

/// The pod without what rendering changes. `volumes` are the names of those that become folders on the node.
pub(super) fn of(pod: &Value, volumes: &[&str]) -> Value {
    let mut pod = pod.clone();
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.remove("uid");
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            for annotation in ["bundle", "revision", "digest"] {
                annotations.remove(&format!("seedpod.dev/{annotation}"));
            }
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    let is_ours = |name: &Value| name.as_str().is_some_and(|name| volumes.contains(&name));
    for volume in pod["spec"]["volumes"].as_array_mut().into_iter().flatten() {
        if is_ours(&volume["name"]) {
            *volume = volume["name"].take();
        }
    }
    for list in ["initContainers", "containers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            let Some(fields) = container.as_object_mut() else {
                continue;
            };
            fields.remove("env");
            fields.remove("envFrom");
            let mounts = fields.get_mut("volumeMounts").and_then(Value::as_array_mut);
            for mount in mounts
                .into_iter()
                .flatten()
                .filter_map(Value::as_object_mut)
            {
                if is_ours(&mount["name"]) {
                    mount.remove("readOnly");
                }
            }
        }
    }
    pod
}

/// The volumes of the names are folders below `folder`, mounted read-only.
pub(super) fn has_folders(rendered: &Value, folder: &str, volumes: &[&str]) {
    let spec = &rendered["spec"];
    for name in volumes {
        let path = format!("{folder}/{name}");
        let expected = json!({"name": name, "hostPath": {"path": path, "type": "Directory"}});
        assert!(
            items(&spec["volumes"]).any(|volume| *volume == expected),
            "{name} in {spec}"
        );
    }
    for list in ["initContainers", "containers"] {
        let mounts = items(&spec[list]).flat_map(|container| items(&container["volumeMounts"]));
        for mount in mounts {
            let is_ours = mount["name"]
                .as_str()
                .is_some_and(|name| volumes.contains(&name));
            assert!(!is_ours || mount["readOnly"] == true, "{mount}");
        }
    }
}
