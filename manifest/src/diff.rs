//! What changes between two pods, for people, with secrets masked.

use serde_json::{Map, Value, json};
use similar::TextDiff;

use crate::{
    KeySummary, KeyedDigest, Object, ObjectSummary, Pod, Secrets, Side, field::shorten,
    materials::uses_of,
};

const MASK: &str = "<masked>";
const MASK_OLD: &str = "<masked, as it was>";
const MASK_NEW: &str = "<masked, changed>";

/// Parts of names of variables whose values are not for everybody's eyes.
const SECRET_WORDS: [&str; 12] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PWD",
    "TOKEN",
    "SECRET",
    "KEY",
    "CREDENTIAL",
    "CREDS",
    "AUTH",
    "PRIVATE",
    "CERT",
];

/// How many hexadecimal digits of a digest are shown: enough to see that two differ.
const SHOWN_DIGITS: usize = 12;

pub(crate) fn diff_object(old: Option<&ObjectSummary>, new: Option<&ObjectSummary>) -> String {
    if old == new {
        return String::new();
    }
    let (mut old_text, mut new_text) = (summary_text(old), summary_text(new));
    // Labels and the like are not in a summary: only the digest of the whole tells.
    if old_text == new_text {
        for (text, summary) in [(&mut old_text, old), (&mut new_text, new)] {
            let digest = summary.map_or_else(String::new, |summary| short(&summary.digest));
            text.push_str(&format!("# metadata, {digest}\n"));
        }
    }
    let name = |side: char, object: Option<&ObjectSummary>| {
        object.map_or_else(
            || "/dev/null".to_owned(),
            |object| {
                let key = &object.key;
                format!("{side}/{}/{}/{}", key.kind, key.namespace, key.name)
            },
        )
    };
    unified(&old_text, &new_text, &name('a', old), &name('b', new))
}

/// An object as YAML with the sizes and digests of its values in their place.
fn summary_text(object: Option<&ObjectSummary>) -> String {
    let Some(object) = object else {
        return String::new();
    };
    let (mut data, mut binary) = (Map::new(), Map::new());
    for (key, summary) in &object.keys {
        let list = if summary.binary {
            &mut binary
        } else {
            &mut data
        };
        list.insert(key.clone(), Value::from(size_and_digest(summary)));
    }
    let mut value = json!({
        "apiVersion": "v1",
        "kind": object.key.kind.as_str(),
        "metadata": {"name": object.key.name, "namespace": object.key.namespace},
        "data": data,
    });
    if !binary.is_empty() {
        value["binaryData"] = Value::from(binary);
    }
    if object.immutable {
        value["immutable"] = Value::from(true);
    }
    if !object.object_type.is_empty() {
        value["type"] = Value::from(object.object_type.as_str());
    }
    to_yaml(Some(&value))
}

fn size_and_digest(key: &KeySummary) -> String {
    let unit = if key.size == 1 { "byte" } else { "bytes" };
    format!("{} {unit}, {}", key.size, short(&key.digest))
}

fn short(digest: &KeyedDigest) -> String {
    let hex = digest.hex();
    let digits = hex.get(..SHOWN_DIGITS).unwrap_or_default();
    format!("hmac-sha256:{digits}…")
}

pub(crate) fn object_to_yaml(object: &Object, secrets: Secrets) -> String {
    to_yaml(Some(&object.to_manifest_value(secrets)))
}

pub(crate) fn diff(old: Option<Side<'_>>, new: Option<Side<'_>>) -> String {
    let taken = |side: Option<Side<'_>>| side.map(|side| taken_text(&side)).unwrap_or_default();
    let (old_taken, new_taken) = (taken(old), taken(new));
    let (old, new) = (old.map(|side| side.pod), new.map(|side| side.pod));
    if old.map(Pod::digest) == new.map(Pod::digest) && old_taken == new_taken {
        return String::new();
    }
    let mut old_value = old.map(|pod| pod.value.clone());
    let mut new_value = new.map(|pod| pod.value.clone());
    mask(old_value.as_mut(), new_value.as_mut());
    let name = |side: char, pod: Option<&Pod>| {
        pod.map_or_else(
            || "/dev/null".to_owned(),
            |pod| format!("{side}/{}", pod.key()),
        )
    };
    let old_text = to_yaml(old_value.as_ref()) + &old_taken;
    let new_text = to_yaml(new_value.as_ref()) + &new_taken;
    unified(&old_text, &new_text, &name('a', old), &name('b', new))
}

fn unified(old: &str, new: &str, old_name: &str, new_name: &str) -> String {
    TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(3)
        .header(old_name, new_name)
        .to_string()
}

/// What the pod takes from Secrets and ConfigMaps, as comments below its YAML, so that a changed Secret shows as a change
/// of the pods that see it.
fn taken_text(side: &Side<'_>) -> String {
    let mut text = String::new();
    for (key, taken) in uses_of(side.pod) {
        let object = side.objects.iter().find(|object| object.key == key);
        let Some(object) = object else {
            text.push_str(&format!(
                "# {} {}/{}: not in the bundle\n",
                key.kind,
                key.namespace,
                shorten(&key.name)
            ));
            continue;
        };
        text.push_str(&format!("# {} {}/{}\n", key.kind, key.namespace, key.name));
        let is_taken = |name: &String, summary: &KeySummary| {
            taken.all || (taken.all_text && !summary.binary) || taken.keys.contains(name)
        };
        for (name, summary) in &object.keys {
            if is_taken(name, summary) {
                text.push_str(&format!("#   {name}  {}\n", size_and_digest(summary)));
            }
        }
        for name in &taken.keys {
            if !object.keys.contains_key(name) {
                text.push_str(&format!("#   {}  not there\n", shorten(name)));
            }
        }
    }
    text
}

pub(crate) fn pod_to_yaml(pod: &Pod, secrets: Secrets) -> String {
    let mut value = pod.value.clone();
    if secrets == Secrets::Masked {
        mask(None, Some(&mut value));
    }
    to_yaml(Some(&value))
}

/// The pod as YAML with its secrets masked; JSON should YAML fail, which it does for no JSON value that is known.
fn to_yaml(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return String::new();
    };
    let mut text = serde_saphyr::to_string(value).unwrap_or_else(|_| crate::render::pretty(value));
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Masks the secret values of both sides, so that a changed one still shows as a change.
fn mask(mut old: Option<&mut Value>, new: Option<&mut Value>) {
    let mut earlier = Vec::new();
    if let Some(old) = old.as_deref_mut() {
        each_secret(old, |place, value| {
            earlier.push((place, value.take()));
            *value = Value::from(MASK);
        });
    }
    let Some(new) = new else {
        return;
    };
    let mut changed = Vec::new();
    each_secret(new, |place, value| {
        let given = value.take();
        let was = earlier
            .iter()
            .find(|(other, _)| *other == place)
            .map(|(_, was)| was);
        *value = match was {
            Some(was) if *was != given => {
                changed.push(place);
                Value::from(MASK_NEW)
            }
            _ => Value::from(MASK),
        };
    });
    if let Some(old) = old {
        each_secret(old, |place, value| {
            if changed.contains(&place) {
                *value = Value::from(MASK_OLD);
            }
        });
    }
}

/// What tells one variable from the others: the list and name of its container, its own name, and how many of this name
/// stand before it.
type Place = (&'static str, String, String, usize);

fn each_secret(pod: &mut Value, mut visit: impl FnMut(Place, &mut Value)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let containers = pod
            .get_mut("spec")
            .and_then(|spec| spec.get_mut(list))
            .and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let container_name = container["name"].as_str().unwrap_or_default().to_owned();
            let mut seen: Vec<String> = Vec::new();
            let variables = container.get_mut("env").and_then(Value::as_array_mut);
            for variable in variables.into_iter().flatten() {
                let name = variable["name"].as_str().unwrap_or_default().to_owned();
                if !is_secret(&name) {
                    continue;
                }
                let before = seen.iter().filter(|other| **other == name).count();
                seen.push(name.clone());
                if let Some(value) = variable.get_mut("value").filter(|value| !value.is_null()) {
                    visit((list, container_name.clone(), name, before), value);
                }
            }
        }
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_uppercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}
