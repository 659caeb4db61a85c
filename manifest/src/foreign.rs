//! Files in the static pod directory that others wrote.

use serde_json::Value;

use crate::{
    ForeignPod, PodKey,
    check::ports,
    decode::{self, Budget},
    render::namespace_of,
    stamp::BUNDLE,
};

/// Larger files the kubelet does not read.
const MAX_FILE: usize = 10 << 20;

pub(crate) fn read(bytes: &[u8]) -> Option<ForeignPod> {
    if bytes.len() > MAX_FILE {
        return None;
    }
    let text = String::from_utf8_lossy(bytes);
    // Of several documents the kubelet takes the first; repeated keys and unknown fields do not disturb it.
    let value = decode::read_first(&text, &mut Budget::default())?.to_value();
    if value["apiVersion"] != "v1" || value["kind"] != "Pod" {
        return None;
    }
    let metadata = &value["metadata"];
    let text = |value: &Value| {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    Some(ForeignPod {
        key: PodKey {
            namespace: namespace_of(metadata),
            name: text(&metadata["name"])?,
        },
        uid: text(&metadata["uid"]),
        bundle: text(&metadata["annotations"][BUNDLE]),
        host_ports: ports::of_value(&value),
    })
}
