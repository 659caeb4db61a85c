//! A pod's content under the uid of the pod before it.
//!
//! The kubelet goes on with what it has set up for a pod's uid and a volume's name, whatever the volume is by then (seen on
//! 1.37.2): under the same name, a container would see the files of the content before. So all volumes get other names,
//! which makes each of them new, as they are in a pod that is new.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{CONTAINERS, annotations_mut, containers_mut};
use crate::stamp::{CONTENT_UID, VOLUMES};

/// Puts a pod under another uid. `None` when it is under that one already, or is no rendering.
pub(super) fn keep(pod: &mut Value, uid: &str) -> Option<()> {
    let own = pod.pointer("/metadata/uid")?.as_str()?.to_owned();
    if own == uid {
        return None;
    }
    let names = names(pod);
    let annotations = annotations_mut(pod)?;
    annotations.insert(CONTENT_UID.to_owned(), Value::from(own.as_str()));
    if !names.is_empty() {
        // A name is a DNS label: there is no comma in it.
        annotations.insert(VOLUMES.to_owned(), Value::from(names.join(",")));
    }
    *pod.pointer_mut("/metadata/uid")? = Value::from(uid);
    rename(pod, |index, _| Some(kept_name(index, &own)));
    Some(())
}

/// Undoes [`keep`]: puts the pod under its own uid again, and its volumes under their own names.
pub(super) fn undo(pod: &mut Value) -> Option<()> {
    let annotations = annotations_mut(pod)?;
    let names = annotations.remove(VOLUMES);
    let Some(own) = annotations.remove(CONTENT_UID) else {
        return Some(());
    };
    let uid = own.as_str().unwrap_or_default().to_owned();
    *pod.pointer_mut("/metadata/uid")? = own;
    let names = names.as_ref().and_then(Value::as_str).unwrap_or_default();
    let names: Vec<&str> = names.split(',').collect();
    rename(pod, |index, name| {
        let is_kept = name == kept_name(index, &uid);
        names
            .get(index)
            .filter(|_| is_kept)
            .map(|name| (*name).to_owned())
    });
    Some(())
}

/// A name of a volume that the kubelet has not seen under another content's uid: a DNS label.
fn kept_name(index: usize, own: &str) -> String {
    format!("v{index}-{own}")
}

fn names(pod: &Value) -> Vec<String> {
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    let name = |volume: &Value| volume["name"].as_str().unwrap_or_default().to_owned();
    volumes.into_iter().flatten().map(name).collect()
}

/// Gives volumes other names, and what refers to them with them. `rename` is told a volume's place and name.
fn rename(pod: &mut Value, rename: impl Fn(usize, &str) -> Option<String>) {
    let mut renamed = BTreeMap::new();
    let volumes = pod.pointer_mut("/spec/volumes");
    let volumes = volumes.and_then(Value::as_array_mut).into_iter().flatten();
    for (index, volume) in volumes.enumerate() {
        let name = volume["name"].as_str().unwrap_or_default().to_owned();
        if let Some(other) = rename(index, &name) {
            volume["name"] = Value::from(other.as_str());
            renamed.insert(name, other);
        }
    }
    let follow = |name: &mut Value| {
        if let Some(other) = name.as_str().and_then(|name| renamed.get(name)) {
            *name = Value::from(other.as_str());
        }
    };
    for list in CONTAINERS {
        for container in containers_mut(pod, list) {
            for (field, reference) in REFERENCES {
                let items = container.get_mut(field).and_then(Value::as_array_mut);
                let items = items.into_iter().flatten();
                items
                    .filter_map(|item| item.pointer_mut(reference))
                    .for_each(follow);
            }
        }
    }
}

/// Where a container names a volume: a list of its own, and the place in each item.
const REFERENCES: [(&str, &str); 3] = [
    ("volumeMounts", "/name"),
    ("volumeDevices", "/name"),
    ("env", "/valueFrom/fileKeyRef/volumeName"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kept_pod_has_volumes_of_other_names_and_its_own_ones_again() {
        let pod = json!({
            "metadata": {"uid": "new", "annotations": {"seedpod.dev/bundle": "b"}},
            "spec": {
                "initContainers": [{"volumeMounts": [{"name": "pki", "mountPath": "/a"}]}],
                "containers": [
                    {
                        "volumeMounts": [{"name": "pki", "mountPath": "/a"}, {"name": "data", "mountPath": "/b"}],
                        "env": [
                            {"name": "A", "value": "data"},
                            {"name": "B", "valueFrom": {"fileKeyRef": {"volumeName": "tmp", "path": "p", "key": "k"}}},
                        ],
                    },
                    {"name": "none"},
                ],
                "volumes": [
                    {"name": "data", "hostPath": {"path": "/var/lib/data"}},
                    {"name": "pki", "hostPath": {"path": "/run/volumes/new/pki", "type": "Directory"}},
                    {"name": "tmp", "emptyDir": {}},
                ],
            },
        });
        let mut kept = pod.clone();
        keep(&mut kept, "old").expect("another uid");
        assert_eq!(kept["metadata"]["uid"], "old");
        assert_eq!(names(&kept), ["v0-new", "v1-new", "v2-new"]);
        let path = "/spec/volumes/1/hostPath";
        assert_eq!(kept.pointer(path), pod.pointer(path));
        let at = |path: &str| kept.pointer(path).and_then(Value::as_str);
        for (path, name) in [
            ("/spec/initContainers/0/volumeMounts/0/name", "v1-new"),
            ("/spec/containers/0/volumeMounts/0/name", "v1-new"),
            ("/spec/containers/0/volumeMounts/1/name", "v0-new"),
            (
                "/spec/containers/0/env/1/valueFrom/fileKeyRef/volumeName",
                "v2-new",
            ),
            ("/spec/containers/0/env/0/value", "data"),
        ] {
            assert_eq!(at(path), Some(name), "{path}");
        }

        undo(&mut kept).expect("it was kept");
        assert_eq!(kept, pod);
        assert_eq!(keep(&mut kept, "new"), None, "it is under that uid already");
    }

    #[test]
    fn a_pod_without_volumes_is_kept_as_well() {
        let pod =
            json!({"metadata": {"uid": "new", "annotations": {}}, "spec": {"containers": [{}]}});
        let mut kept = pod.clone();
        keep(&mut kept, "old").expect("another uid");
        assert_eq!(
            kept["metadata"]["annotations"],
            json!({"seedpod.dev/uid": "new"})
        );
        undo(&mut kept).expect("it was kept");
        assert_eq!(kept, pod);
    }
}
