//! Secrets and ConfigMaps: what pods take data from.

mod codec;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{DigestKey, KeyedDigest, Position, Secrets, encoding};

/// What stands in the place of a Secret's value.
const MASK: &str = "<masked>";

/// A kind of object that pods take data from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl ObjectKind {
    /// The kind as it stands in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What identifies an object in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: ObjectKind,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// One value of an object. Wiped when it is dropped, and never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Datum {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Whether it stands in a ConfigMap's `binaryData`, which variables can not be taken from.
    pub(crate) binary: bool,
}

/// A checked Secret or ConfigMap.
#[derive(Clone)]
pub struct Object {
    pub(crate) key: ObjectKey,
    /// The canonical object without its data.
    pub(crate) head: Value,
    pub(crate) data: BTreeMap<String, Datum>,
    pub(crate) origin: String,
    pub(crate) position: Option<Position>,
}

impl fmt::Debug for Object {
    /// Without the content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Object {
    /// The kind, namespace and name.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// The field path of the document that it came from. Empty when it was read back.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Where the document begins.
    pub fn position(&self) -> Option<Position> {
        self.position
    }
}

/// The objects of one bundle.
#[derive(Debug, Clone, Default)]
pub struct Objects(pub(crate) BTreeMap<ObjectKey, Object>);

impl Objects {
    /// The object of this key.
    pub fn get(&self, key: &ObjectKey) -> Option<&Object> {
        self.0.get(key)
    }

    /// All of them, ordered by their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Object> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Objects {
    type Item = Object;
    type IntoIter = std::collections::btree_map::IntoValues<ObjectKey, Object>;

    /// Ordered by their keys.
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_values()
    }
}

impl FromIterator<Object> for Objects {
    fn from_iter<I: IntoIterator<Item = Object>>(objects: I) -> Self {
        Self(
            objects
                .into_iter()
                .map(|object| (object.key.clone(), object))
                .collect(),
        )
    }
}

/// All of an object that may be shown and kept in memory: names, sizes and digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectSummary {
    /// The kind, namespace and name.
    pub key: ObjectKey,
    /// A Secret's type; empty for a ConfigMap.
    #[serde(rename = "type")]
    pub object_type: String,
    /// Whether its content may not be changed.
    pub immutable: bool,
    /// Over all of the object.
    pub digest: KeyedDigest,
    /// Its keys.
    pub keys: BTreeMap<String, KeySummary>,
}

/// One key of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeySummary {
    /// How many bytes its value has.
    pub size: u64,
    /// Over the value.
    pub digest: KeyedDigest,
    /// Whether it stands in a ConfigMap's `binaryData`.
    #[serde(default)]
    pub binary: bool,
}

impl Object {
    /// What may be shown of it.
    pub fn summary(&self, key: &DigestKey) -> ObjectSummary {
        let keys = self.data.iter().map(|(name, datum)| {
            let summary = KeySummary {
                size: datum.bytes.len() as u64,
                digest: key.digest(&datum.bytes),
                binary: datum.binary,
            };
            (name.clone(), summary)
        });
        ObjectSummary {
            key: self.key.clone(),
            object_type: self.head["type"].as_str().unwrap_or_default().to_owned(),
            immutable: self.head["immutable"] == true,
            digest: key.digest(&self.encode()),
            keys: keys.collect(),
        }
    }

    /// The whole object for the disk, as one line of JSON: the same bytes for the same content, wiped when dropped.
    ///
    /// `{"head":<the object without its data>,"data":{"<key>":{"value":"<base64>","binary":<bool>}}}`
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        codec::encode(self)
    }

    /// The inverse of [`Object::encode`]. `None` when the bytes are not an object's.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        codec::decode(bytes)
    }

    /// The object as it can stand in a manifest. With the values of a Secret masked, they stand as text under
    /// `stringData`; a ConfigMap's are always shown.
    ///
    /// What it returns is not wiped.
    pub fn to_manifest_value(&self, secrets: Secrets) -> Value {
        let mut value = self.head.clone();
        let Value::Object(fields) = &mut value else {
            return value;
        };
        for (key, datum) in &self.data {
            let encoded = || encoding::encode(&datum.bytes);
            let (field, text) = match (self.key.kind, secrets) {
                (ObjectKind::Secret, Secrets::Masked) => ("stringData", MASK.to_owned()),
                (ObjectKind::Secret, Secrets::Shown) => ("data", encoded()),
                (ObjectKind::ConfigMap, _) if datum.binary => ("binaryData", encoded()),
                (ObjectKind::ConfigMap, _) => match std::str::from_utf8(&datum.bytes) {
                    Ok(text) => ("data", text.to_owned()),
                    // Never: it was a text.
                    Err(_) => ("binaryData", encoded()),
                },
            };
            let data = fields
                .entry(field)
                .or_insert_with(|| Value::Object(serde_json::Map::new()));
            data[key.as_str()] = Value::from(text);
        }
        value
    }
}

#[cfg(test)]
mod tests;
