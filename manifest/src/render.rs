//! The kubelet's file of a pod, and back.

mod kept;

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Map, Value, json};

use crate::{
    Digest, Materials, Pod, PodKey, Position, Stamp, check,
    materials::{List, literal},
    stamp::{self, BUNDLE, DIGEST, NUDGE, RETURNED, REVISION},
};

/// JSON for people: indented by two spaces, with a newline at the end.
pub(crate) fn pretty(value: &Value) -> String {
    // The alternate form of a JSON value is infallible, other than writing it to a sink.
    format!("{value:#}\n")
}

pub(crate) fn render(pod: &Pod, stamp: &Stamp<'_>, materials: &Materials<'_>) -> String {
    let mut value = pod.value.clone();
    put_stamp(&mut value, stamp);
    replace_volumes(&mut value, stamp.volumes);
    replace_variables(&mut value, materials);
    pretty(&value)
}

fn put_stamp(pod: &mut Value, stamp: &Stamp<'_>) {
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
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
}

/// Whether a volume takes from objects: as `is_materialised` of the typed one.
fn takes_objects(volume: &Value) -> bool {
    let from = |source: &Value| !source["secret"].is_null() || !source["configMap"].is_null();
    let sources = volume["projected"]["sources"].as_array();
    from(volume) || sources.is_some_and(|sources| sources.iter().any(from))
}

/// Makes volumes that take from objects to folders on the node, as read-only as the kubelet mounts the former.
fn replace_volumes(pod: &mut Value, folder: &str) {
    let mut replaced = BTreeSet::new();
    let volumes = pod.pointer_mut("/spec/volumes");
    for volume in volumes.and_then(Value::as_array_mut).into_iter().flatten() {
        if takes_objects(volume) {
            let name = volume["name"].as_str().unwrap_or_default().to_owned();
            let path = format!("{folder}/{name}");
            *volume = json!({"name": name, "hostPath": {"path": path, "type": "Directory"}});
            replaced.insert(name);
        }
    }
    if replaced.is_empty() {
        return;
    }
    for list in CONTAINERS {
        for container in containers_mut(pod, list) {
            let mounts = container.get_mut("volumeMounts");
            for mount in mounts.and_then(Value::as_array_mut).into_iter().flatten() {
                let of_replaced = mount["name"]
                    .as_str()
                    .is_some_and(|name| replaced.contains(name));
                if let Some(mount) = mount.as_object_mut().filter(|_| of_replaced) {
                    mount.insert("readOnly".to_owned(), Value::from(true));
                }
            }
        }
    }
}

const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

fn containers_mut<'v>(
    pod: &'v mut Value,
    list: &str,
) -> impl Iterator<Item = &'v mut Value> + use<'v> {
    let list = pod.get_mut("spec").and_then(|spec| spec.get_mut(list));
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

/// Makes variables that are taken from objects literals.
///
/// Those of `envFrom` come first, so that all of `env` can refer to them and has the last word, as with the kubelet. What
/// is optional and missing is left out, also as with the kubelet: an earlier value of this name stays.
fn replace_variables(pod: &mut Value, materials: &Materials<'_>) {
    for field in CONTAINERS {
        let list = [List::Init, List::Main]
            .into_iter()
            .find(|list| list.field() == field);
        for (index, container) in containers_mut(pod, field).enumerate() {
            let Some(container) = container.as_object_mut() else {
                continue;
            };
            let mut variables: Vec<Value> = Vec::new();
            if let Some(sources) = container.get("envFrom").and_then(Value::as_array)
                && !sources.is_empty()
            {
                container.remove("envFrom");
                let from = list.map(|list| materials.variables_from(list, index));
                variables.extend(
                    from.into_iter()
                        .flatten()
                        .map(|(name, value)| json!({"name": name, "value": literal(value)})),
                );
            }
            let has_none = !matches!(container.get("env"), Some(Value::Array(_)));
            if has_none && variables.is_empty() {
                continue;
            }
            let given = container.entry("env").or_insert_with(|| json!([])).take();
            let Value::Array(given) = given else {
                container.insert("env".to_owned(), Value::from(variables));
                continue;
            };
            for (place, mut variable) in given.into_iter().enumerate() {
                if is_reference(&variable) {
                    let value = list.and_then(|list| materials.variable(list, index, place));
                    let Some(value) = value else { continue };
                    variable = json!({"name": variable["name"], "value": literal(value)});
                }
                variables.push(variable);
            }
            container.insert("env".to_owned(), Value::from(variables));
        }
    }
}

/// Whether a variable takes its value from an object.
fn is_reference(variable: &Value) -> bool {
    let source = &variable["valueFrom"];
    !source["secretKeyRef"].is_null() || !source["configMapKeyRef"].is_null()
}

pub(crate) fn restamp(rendered: &str, source: &Pod, stamp: &Stamp<'_>) -> Option<String> {
    let mut value = serde_json::from_str::<Value>(rendered).ok()?;
    undo(&mut value)?;
    for field in [BUNDLE, REVISION, DIGEST] {
        annotations_mut(&mut value)?.get(field)?.as_str()?;
    }
    annotations_mut(&mut value)?.remove(RETURNED);
    put_stamp(&mut value, stamp);
    // The folders are all that is to be changed in the spec; what they are called is known from the source.
    let sources = source
        .value
        .pointer("/spec/volumes")
        .and_then(Value::as_array);
    let volumes = value
        .pointer_mut("/spec/volumes")
        .and_then(Value::as_array_mut);
    let volumes = volumes.into_iter().flatten();
    for (volume, source) in volumes.zip(sources.into_iter().flatten()) {
        if takes_objects(source) {
            let name = source["name"].as_str()?;
            let path = volume.pointer_mut("/hostPath/path")?;
            *path = Value::from(format!("{}/{name}", stamp.volumes));
        }
    }
    // All but the variables that were taken from objects must be as a rendering of the source has them.
    let mut expected = source.value.clone();
    put_stamp(&mut expected, stamp);
    replace_volumes(&mut expected, stamp.volumes);
    let text = pretty(&value);
    let same = without_taken(&mut value, source)? == without_taken(&mut expected, source)?;
    (same && value == expected).then_some(text)
}

pub(crate) fn returned(
    rendered: &str,
    source: &Pod,
    stamp: &Stamp<'_>,
    count: u64,
) -> Option<String> {
    let mut value = serde_json::from_str::<Value>(&restamp(rendered, source, stamp)?).ok()?;
    annotations_mut(&mut value)?.insert(RETURNED.to_owned(), Value::from(count.to_string()));
    Some(pretty(&value))
}

/// Takes the variables out of the containers that take some from objects, and gives those that are the pod's own.
fn without_taken(pod: &mut Value, source: &Pod) -> Option<Vec<Value>> {
    let mut own = Vec::new();
    for list in CONTAINERS {
        let sources = source.value["spec"][list].as_array();
        let sources = sources.map(Vec::as_slice).unwrap_or_default();
        for (container, source) in containers_mut(pod, list).zip(sources) {
            let wanted = source["env"].as_array();
            let wanted = wanted.map(Vec::as_slice).unwrap_or_default();
            let from = source["envFrom"].as_array();
            let takes_all = from.is_some_and(|sources| !sources.is_empty());
            if !takes_all && !wanted.iter().any(is_reference) {
                continue;
            }
            let container = container.as_object_mut()?;
            container.remove("envFrom");
            let given = container.remove("env").unwrap_or_default();
            let mut given = given.as_array().into_iter().flatten();
            // In their order, with any others between.
            for wanted in wanted.iter().filter(|variable| !is_reference(variable)) {
                own.push(given.find(|given| *given == wanted)?.clone());
            }
        }
    }
    Some(own)
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
    match kept::keep(&mut value, uid) {
        Some(()) => pretty(&value),
        None => rendered.to_owned(),
    }
}

/// Undoes [`nudge`] and [`keep_uid`].
fn undo(value: &mut Value) -> Option<()> {
    annotations_mut(value)?.remove(NUDGE);
    kept::undo(value)
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
    annotations.remove(RETURNED);
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
