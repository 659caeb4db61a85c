//! The manifest of a Secret or ConfigMap that was made from plain files.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use zeroize::Zeroizing;

use super::generate::Kind;

/// The values by their keys.
pub(super) type Data = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// All of an object but its data.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head<'a> {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) metadata: Metadata<'a>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) object_type: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) immutable: bool,
}

#[derive(Serialize)]
pub(super) struct Metadata<'a> {
    pub(super) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: &'a BTreeMap<String, String>,
}

/// One JSON object. A Secret's values are base64 in `data`; a ConfigMap's are text there, and what is no UTF-8 is base64
/// in `binaryData`.
pub(super) fn render(
    kind: Kind,
    head: &Head<'_>,
    data: &Data,
) -> serde_json::Result<Zeroizing<String>> {
    let head = serde_json::to_string(head)?;
    // Room for all of it from the start: text that grows leaves copies behind. For a ConfigMap's escapes there may be too
    // little, but it holds no secrets.
    let values = data
        .iter()
        .map(|(key, value)| key.len() + value.len() / 3 * 4 + 16);
    let room = head.len() + 64 + values.sum::<usize>();
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str(head.strip_suffix('}').unwrap_or(&head));

    let as_text = |value: &[u8]| match kind {
        Kind::Secret => false,
        Kind::ConfigMap => std::str::from_utf8(value).is_ok(),
    };
    let (texts, binaries): (Vec<_>, Vec<_>) = data.iter().partition(|(_, value)| as_text(value));
    let binary_field = match kind {
        Kind::Secret => "data",
        Kind::ConfigMap => "binaryData",
    };
    for (field, entries) in [("data", texts), (binary_field, binaries)] {
        if entries.is_empty() {
            continue;
        }
        text.push_str(",\"");
        text.push_str(field);
        text.push_str("\":{");
        for (index, (key, value)) in entries.into_iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            // Keys have no characters that need escapes: they were checked.
            text.push('"');
            text.push_str(key);
            text.push_str("\":");
            match std::str::from_utf8(value) {
                Ok(value) if kind == Kind::ConfigMap => {
                    text.push_str(&Zeroizing::new(serde_json::to_string(value)?));
                }
                _ => {
                    text.push('"');
                    STANDARD.encode_string(value.as_slice(), &mut text);
                    text.push('"');
                }
            }
        }
        text.push('}');
    }
    text.push('}');
    Ok(text)
}
