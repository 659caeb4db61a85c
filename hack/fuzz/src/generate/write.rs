//! Documents as text: JSON or YAML, one or several in a manifest.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{MARKER, NUMBER};
use crate::dice::Dice;

/// How a Secret's value may stand there, by a mistake or on purpose; M is the marker, B its Base64, N the number.
/// Each is a whole value for somebody who wrote it: nothing of it may come back in a message.
const SCALARS: [&str; 44] = [
    "M",
    "'M'",
    "\"M",
    "'M",
    "M: x",
    "- M",
    "[M]",
    "[M",
    "{a: M}",
    "{a: M",
    "{\"a\": \"M\"}",
    "[[M]]",
    "!!int M",
    "!!binary M",
    "!!bool M",
    "!M",
    "!x M",
    "!<M> x",
    "!M! x",
    "&M",
    "&a M",
    "*M",
    "@M",
    "%M",
    "`M",
    "|M",
    ">M",
    "\"M\\q\"",
    "\"\\xM\"",
    "\"\\uM\"",
    "'M' x",
    "\"M\" x",
    "M #",
    "? M",
    "M\tM",
    "N",
    "-N",
    "N.5",
    "0xN",
    "\"M\0\"",
    "B%",
    "BB=B",
    "\"B\\n \"",
    "=B",
];

/// Stands for one of [`SCALARS`], until the text is written.
fn placeholder(index: usize) -> String {
    format!("@@{index}@@")
}

/// A value that is no clean string.
pub(super) fn hostile_scalar(dice: &mut Dice<'_>) -> Value {
    json!(placeholder(dice.below(SCALARS.len())))
}

fn fill_in(text: &str) -> String {
    let mut text = text.to_owned();
    for (index, scalar) in SCALARS.iter().enumerate() {
        let quoted = format!("\"{}\"", placeholder(index));
        if text.contains(&quoted) {
            let scalar: String = scalar
                .chars()
                .map(|letter| match letter {
                    'M' => MARKER.to_owned(),
                    'B' => BASE64_STANDARD.encode(MARKER),
                    'N' => NUMBER.to_owned(),
                    other => other.to_string(),
                })
                .collect();
            text = text.replace(&quoted, &scalar);
        }
    }
    text
}

/// Writes the documents into one manifest, a list, or one manifest each.
pub(super) fn manifests(dice: &mut Dice<'_>, documents: Vec<Value>) -> Vec<String> {
    let style = dice.below(3);
    let text = |document: &Value| {
        let text = match style {
            0 => block(document),
            1 => document.to_string(),
            _ => format!("{document:#}"),
        };
        fill_in(&text)
    };
    match dice.below(4) {
        0 => documents.iter().map(text).collect(),
        1 => {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": documents});
            vec![text(&list)]
        }
        _ => {
            let texts: Vec<String> = documents.iter().map(text).collect();
            vec![texts.join("\n---\n")]
        }
    }
}

/// YAML with a line for each value; its strings are in double quotes, as in JSON.
fn block(value: &Value) -> String {
    let mut text = String::new();
    write_block(value, 0, &mut text);
    text
}

fn write_block(value: &Value, indent: usize, text: &mut String) {
    let margin = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let key = json!(key);
                text.push_str(&format!("\n{margin}{key}: "));
                write_block(value, indent + 2, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                text.push_str(&format!("\n{margin}- "));
                write_block(item, indent + 2, text);
            }
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}
