//! An object as bytes for the disk.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Datum, Object, ObjectKey, ObjectKind};
use crate::{
    encoding,
    name::{is_data_key, is_dns_label, is_dns_subdomain},
};

const HEAD: &[u8] = br#"{"head":"#;
const DATA: &[u8] = br#","data":{"#;
const VALUE: &[u8] = br#"":{"value":""#;
const BINARY: &[u8] = br#"","binary":true}"#;
const NOT_BINARY: &[u8] = br#"","binary":false}"#;
const END: &[u8] = b"}}";

/// Written by hand, so that no copy of a value is made that is not wiped.
pub(super) fn encode(object: &Object) -> Zeroizing<Vec<u8>> {
    let head = object.head.to_string();
    let each = VALUE.len() + NOT_BINARY.len() + br#",""#.len();
    let capacity = object.data.iter().fold(
        HEAD.len() + head.len() + DATA.len() + END.len(),
        |sum, (key, datum)| sum + each + key.len() + encoding::encoded_len(datum.bytes.len()),
    );
    // All at once: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    bytes.extend_from_slice(HEAD);
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(DATA);
    for (index, (key, datum)) in object.data.iter().enumerate() {
        bytes.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
        // A key has no character that JSON escapes.
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(VALUE);
        encoding::append(&datum.bytes, &mut bytes);
        bytes.extend_from_slice(if datum.binary { BINARY } else { NOT_BINARY });
    }
    bytes.extend_from_slice(END);
    bytes
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded<'b> {
    head: Value,
    /// Borrowed: base64 and keys are never escaped.
    #[serde(borrow)]
    data: BTreeMap<&'b str, EncodedDatum<'b>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EncodedDatum<'b> {
    value: &'b str,
    binary: bool,
}

pub(super) fn decode(bytes: &[u8]) -> Option<Object> {
    let Encoded { head, data } = serde_json::from_slice(bytes).ok()?;
    let kind = match head["kind"].as_str()? {
        "ConfigMap" => ObjectKind::ConfigMap,
        "Secret" => ObjectKind::Secret,
        _ => return None,
    };
    let text = |field: &str| head["metadata"][field].as_str();
    let namespace = text("namespace").filter(|it| is_dns_label(it))?.to_owned();
    let name = text("name").filter(|it| is_dns_subdomain(it))?.to_owned();
    let data = data.into_iter().map(|(key, datum)| {
        let EncodedDatum { value, binary } = datum;
        if !is_data_key(key) || (binary && kind == ObjectKind::Secret) {
            return None;
        }
        let bytes = encoding::decode(value)?;
        // Else it could not be shown as the text that it is.
        if kind == ObjectKind::ConfigMap && !binary && std::str::from_utf8(&bytes).is_err() {
            return None;
        }
        Some((key.to_owned(), Datum { bytes, binary }))
    });
    Some(Object {
        key: ObjectKey {
            kind,
            namespace,
            name,
        },
        data: data.collect::<Option<_>>()?,
        head,
        origin: String::new(),
        position: None,
    })
}
