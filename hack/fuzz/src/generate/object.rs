//! Secrets and ConfigMaps.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::{MARKER, write};
use crate::dice::Dice;

pub(super) const NAMESPACES: [&str; 2] = ["default", "a"];
pub(super) const NAMES: [&str; 4] = ["tls", "conf", "ca.crt", "9"];
pub(super) const HOSTILE_NAMES: [&str; 10] = [
    "", "..", ".", "a/b", "A", "x*253", "x*254", "a..b", "a\0", "-",
];
const KEYS: [&str; 9] = [
    "tls.crt",
    "tls.key",
    "A",
    "config.yaml",
    "_x",
    "-y",
    ".hidden",
    "9lives",
    "B_2",
];
const HOSTILE_KEYS: [&str; 16] = [
    "", ".", "..", "...", "..data", "..x", "a/b", "../x", "a\0b", "é", "x*253", "x*254", "a b",
    "$(A)", "A=B", "\n",
];

/// An object, and what pods need to know of it.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) document: Value,
    pub(super) is_secret: bool,
    pub(super) namespace: &'static str,
    pub(super) name: String,
    pub(super) keys: Vec<String>,
}

pub(super) fn make(dice: &mut Dice<'_>, index: usize) -> Made {
    // The first is a Secret and the second a ConfigMap, so that there is something to refer to.
    let is_secret = (index + dice.below(2)).is_multiple_of(2);
    let namespace = dice.pick(&NAMESPACES);
    let name = dice.text(&[NAMES[index % NAMES.len()]], &HOSTILE_NAMES);
    let kind = if is_secret { "Secret" } else { "ConfigMap" };
    let mut document = json!({
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
    });
    // Secrets' `data` and ConfigMaps' `binaryData` are Base64, the others text.
    let (text_field, binary_field) = if is_secret {
        ("stringData", "data")
    } else {
        ("data", "binaryData")
    };
    let (mut text, mut binary) = (Map::new(), Map::new());
    let mut keys = Vec::new();
    for _ in 0..=dice.below(5) {
        let key = dice.text(&KEYS, &HOSTILE_KEYS);
        if keys.contains(&key) && !dice.is_hostile() {
            continue;
        }
        let is_binary = dice.odds(1, 3);
        let value = value(dice, is_secret, is_binary);
        if is_binary {
            binary.insert(key.clone(), value);
        } else {
            text.insert(key.clone(), value);
        }
        keys.push(key);
    }
    for (field, data) in [(text_field, text), (binary_field, binary)] {
        if !data.is_empty() {
            document[field] = Value::Object(data);
        }
    }
    extras(dice, is_secret, &mut document);
    Made {
        document,
        is_secret,
        namespace,
        name,
        keys,
    }
}

/// What else an object can have.
fn extras(dice: &mut Dice<'_>, is_secret: bool, document: &mut Value) {
    if dice.odds(1, 5) {
        document["immutable"] = dice.pick(&[json!(true), json!(false), Value::Null]);
    }
    if is_secret && dice.odds(1, 4) {
        document["type"] = json!(dice.pick(&["Opaque", "", "example.com/type"]));
    }
    if is_secret && dice.is_hostile() {
        let types = [
            "kubernetes.io/tls",
            "kubernetes.io/dockerconfigjson",
            "kubernetes.io/basic-auth",
            "kubernetes.io/service-account-token",
        ];
        document["type"] = json!(dice.pick(&types));
    }
    if dice.odds(1, 8) {
        document["metadata"]["annotations"] = json!({"a": dice.any_text()});
        document["metadata"]["uid"] = json!("1");
        document["metadata"]["labels"] = json!({"app": "x"});
    }
    if dice.is_hostile() {
        let (field, value) = dice.pick(&[
            ("stringData", Value::Null),
            ("data", Value::Null),
            ("data", json!([MARKER])),
            ("data", json!(MARKER)),
            ("stringData", json!({"a": {"b": MARKER}})),
            ("stringData", json!({"a": [MARKER]})),
            ("binaryData", json!({"A": "AAAA"})),
            ("unknown", json!(1)),
            ("spec", json!({})),
        ]);
        if is_secret || !value.to_string().contains(MARKER) {
            document[field] = value;
        }
    }
}

/// A value; a Secret's begins with the marker.
fn value(dice: &mut Dice<'_>, is_secret: bool, is_binary: bool) -> Value {
    if is_secret && dice.is_hostile() {
        return write::hostile_scalar(dice);
    }
    let begin: &[u8] = if is_secret { MARKER.as_bytes() } else { b"" };
    let rest = match dice.below(5) {
        0 => Vec::new(),
        1 => b"line\nline\n".to_vec(),
        2 => dice
            .pick(&["$(A)", "$$", "$(A) $$(A) $(B_2) $", "$", "$(", "$(absent)"])
            .into(),
        3 => dice.any_text().into_bytes(),
        _ => dice.any_bytes(40),
    };
    let bytes = [begin, &rest].concat();
    if is_binary {
        return json!(BASE64_STANDARD.encode(bytes));
    }
    json!(String::from_utf8_lossy(&bytes))
}
