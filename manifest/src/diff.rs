//! What changes between two pods, for people, with secrets masked.

use serde_json::Value;
use similar::TextDiff;

use crate::{Object, ObjectSummary, Pod, Secrets, Side};

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

pub(crate) fn diff_object(old: Option<&ObjectSummary>, new: Option<&ObjectSummary>) -> String {
    let _ = (old, new);
    String::new()
}

pub(crate) fn object_to_yaml(object: &Object, secrets: Secrets) -> String {
    let _ = secrets;
    to_yaml(Some(&object.head))
}

pub(crate) fn diff(old: Option<Side<'_>>, new: Option<Side<'_>>) -> String {
    let (old, new) = (old.map(|side| side.pod), new.map(|side| side.pod));
    if old.map(Pod::digest) == new.map(Pod::digest) {
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
    let (old_text, new_text) = (to_yaml(old_value.as_ref()), to_yaml(new_value.as_ref()));
    TextDiff::from_lines(&old_text, &new_text)
        .unified_diff()
        .context_radius(3)
        .header(&name('a', old), &name('b', new))
        .to_string()
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
