//! The kubelet's file of a pod, and back.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::{
    Digest, Materials, Pod, PodKey, Position, Stamp, check,
    stamp::{self, BUNDLE, CONTENT_UID, DIGEST, NUDGE, REVISION},
};

/// JSON for people: indented by two spaces, with a newline at the end.
pub(crate) fn pretty(value: &Value) -> String {
    // The alternate form of a JSON value is infallible, other than writing it to a sink.
    format!("{value:#}\n")
}

pub(crate) fn restamp(rendered: &str, source: &Pod, stamp: &Stamp<'_>) -> Option<String> {
    let _ = (rendered, source, stamp);
    None
}

pub(crate) fn render(pod: &Pod, stamp: &Stamp<'_>, materials: &Materials<'_>) -> String {
    let _ = materials;
    let mut value = pod.value.clone();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("uid".to_owned(), Value::from(stamp.uid));
        let annotations = metadata
            .entry("annotations")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(BUNDLE.to_owned(), Value::from(stamp.bundle.as_str()));
            annotations.insert(REVISION.to_owned(), Value::from(stamp.revision.to_string()));
            annotations.insert(DIGEST.to_owned(), Value::from(stamp.digest.to_string()));
        }
    }
    pretty(&value)
}

fn annotations_mut(value: &mut Value) -> Option<&mut Map<String, Value>> {
    value
        .get_mut("metadata")?
        .get_mut("annotations")?
        .as_object_mut()
}

pub(crate) fn nudge(rendered: &str, count: u64) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(rendered) else {
        return rendered.to_owned();
    };
    let Some(annotations) = annotations_mut(&mut value) else {
        return rendered.to_owned();
    };
    annotations.insert(NUDGE.to_owned(), Value::from(count.to_string()));
    pretty(&value)
}

pub(crate) fn keep_uid(rendered: &str, uid: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(rendered) else {
        return rendered.to_owned();
    };
    let Some(own) = value.pointer_mut("/metadata/uid") else {
        return rendered.to_owned();
    };
    if own == uid {
        return rendered.to_owned();
    }
    let own = std::mem::replace(own, Value::from(uid));
    let Some(annotations) = annotations_mut(&mut value) else {
        return rendered.to_owned();
    };
    annotations.insert(CONTENT_UID.to_owned(), own);
    pretty(&value)
}

/// Undoes [`nudge`] and [`keep_uid`].
fn undo(value: &mut Value) -> Option<()> {
    let annotations = annotations_mut(value)?;
    annotations.remove(NUDGE);
    if let Some(own) = annotations.remove(CONTENT_UID) {
        *value.pointer_mut("/metadata/uid")? = own;
    }
    Some(())
}

pub(crate) fn as_rendered(file: &[u8]) -> Option<String> {
    let mut value = serde_json::from_slice::<Value>(file).ok()?;
    undo(&mut value)?;
    Some(pretty(&value))
}

pub(crate) fn is_rendering_of(file: &[u8], rendered: &str) -> bool {
    file == rendered.as_bytes() || as_rendered(file).is_some_and(|text| text == rendered)
}

pub(crate) fn grace_period(rendered: &str) -> Duration {
    let seconds = serde_json::from_str::<Value>(rendered)
        .ok()
        .and_then(|value| value["spec"]["terminationGracePeriodSeconds"].as_u64());
    // The API's default. A negative one was refused when the pod was checked.
    Duration::from_secs(seconds.unwrap_or(30))
}

pub(crate) fn unrender(rendered: &str) -> Option<Pod> {
    let mut value = serde_json::from_str::<Value>(rendered).ok()?;
    undo(&mut value)?;
    let metadata = value.get_mut("metadata")?.as_object_mut()?;
    metadata.remove("uid")?;
    let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
    annotations.remove(BUNDLE)?;
    annotations.remove(REVISION)?;
    let digest = annotations.remove(DIGEST)?;
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    let pod = Pod::from_canonical(value, String::new(), None)?;
    (digest == pod.digest.to_string().as_str()).then_some(pod)
}

impl Pod {
    /// The pod of a canonical object; `None` without a namespace and a name.
    pub(crate) fn from_canonical(
        value: Value,
        origin: String,
        position: Option<Position>,
    ) -> Option<Self> {
        if value["apiVersion"] != "v1" || value["kind"] != "Pod" {
            return None;
        }
        let text = |field: &str| {
            value["metadata"][field]
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let key = PodKey {
            namespace: text("namespace")?,
            name: text("name")?,
        };
        // An object's keys are sorted, and so equal content has equal bytes.
        let digest = Digest::of(value.to_string().as_bytes());
        let host_ports = check::ports::of_value(&value);
        Some(Self {
            key,
            digest,
            value,
            host_ports,
            origin,
            position,
        })
    }
}

/// The namespace of an object, as the kubelet fills it in.
pub(crate) fn namespace_of(metadata: &Value) -> String {
    let namespace = metadata["namespace"]
        .as_str()
        .filter(|namespace| !namespace.is_empty());
    namespace.unwrap_or(stamp::DEFAULT_NAMESPACE).to_owned()
}
