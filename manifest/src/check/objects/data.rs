//! The values of an object.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::refuse_type;
use crate::{
    Reason,
    check::report::Report,
    decode::tree::{Kind, Node},
    encoding,
    field::Path,
    name::is_data_key,
    object::Datum,
};

/// How the values of a field are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// As they are.
    Text,
    /// A Secret's `data`: in base64.
    Base64,
    /// A ConfigMap's `binaryData`: in base64, and no key of it may stand in `data` too.
    Binary,
}

/// Reads a field of values into `data`, where they take the place of earlier ones. Gives whether nothing was wrong.
pub(super) fn read(
    report: &mut Report<'_>,
    field: &str,
    content: Content,
    data: &mut BTreeMap<String, Datum>,
) -> bool {
    let root = Path::ROOT;
    let path = root.key(field);
    let tree = report.tree;
    let Some(node) = tree.get(field) else {
        return true;
    };
    let entries = match &node.kind {
        Kind::Map(entries) => entries,
        Kind::Null => return true,
        _ => {
            refuse_type(report, &path, node, "an object", false);
            return false;
        }
    };
    let mut is_whole = true;
    for entry in entries {
        if !is_data_key(&entry.key) {
            let description = "a key must have 1 to 253 letters, digits, \"-\", \"_\" or \".\", and must not be \".\" or begin \
                               with \"..\": it becomes the name of a file";
            // `{password:letmein}` without the space is one key.
            report.refuse_untold_key(&path, &entry.key, Reason::InvalidKey, description);
            is_whole = false;
            continue;
        }
        let path = path.key(&entry.key);
        if content == Content::Binary && data.contains_key(&entry.key) {
            let description = "the key stands in data too: keep one of the two";
            report.refuse_key(&path, Reason::ConflictingFields, description);
            is_whole = false;
        }
        let Some(bytes) = read_value(report, &path, &entry.value, content) else {
            is_whole = false;
            continue;
        };
        let datum = Datum {
            bytes,
            binary: content == Content::Binary,
        };
        data.insert(entry.key.clone(), datum);
    }
    is_whole
}

/// Reads one value. What is wrong with it is told without a letter of it.
fn read_value(
    report: &mut Report<'_>,
    path: &Path<'_>,
    node: &Node,
    content: Content,
) -> Option<Zeroizing<Vec<u8>>> {
    let text = match &node.kind {
        Kind::Text(text) => text,
        // The API server takes it for an empty one.
        Kind::Null => return Some(Zeroizing::new(Vec::new())),
        _ => {
            refuse_type(report, path, node, "a string", true);
            return None;
        }
    };
    let remedy = match content {
        Content::Text => return Some(Zeroizing::new(text.as_bytes().to_vec())),
        Content::Base64 => "encode it, or put it under stringData as it is",
        Content::Binary => "encode it, or put a text under data as it is",
    };
    let bytes = encoding::decode(text);
    if bytes.is_none() {
        let description =
            format!("it is not valid base64 of the standard alphabet with padding: {remedy}");
        report.refuse(path, Reason::InvalidValue, description);
    }
    bytes
}
