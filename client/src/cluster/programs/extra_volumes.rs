//! The user's own folders and files of the nodes, in both forms of a program.

use serde_json::{Map, Value, json};

use super::Parts;
use crate::cluster::HostPathMount;

/// Adds them after the program's own.
pub(super) fn mount(mut parts: Parts, extra: &[HostPathMount]) -> Parts {
    let mounts = parts.container["volumeMounts"].as_array_mut();
    if let Some(mounts) = mounts {
        mounts.extend(extra.iter().map(volume_mount));
    }
    parts.volumes.extend(extra.iter().map(volume));
    parts
}

fn volume_mount(extra: &HostPathMount) -> Value {
    let mut mount = Map::from_iter([
        ("name".to_owned(), extra.name.clone().into()),
        ("mountPath".to_owned(), extra.mount_path.clone().into()),
    ]);
    if extra.read_only {
        mount.insert("readOnly".to_owned(), true.into());
    }
    mount.into()
}

fn volume(extra: &HostPathMount) -> Value {
    let mut host_path = json!({"path": extra.host_path});
    if !extra.path_type.is_empty() {
        host_path["type"] = extra.path_type.clone().into();
    }
    json!({"name": extra.name, "hostPath": host_path})
}
