//! Secrets and ConfigMaps: what pods take data from.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{DigestKey, KeyedDigest, Position};

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

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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

    /// The whole object for the disk: the same bytes for the same content, wiped when dropped.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let data = self.data.iter().map(|(name, datum)| {
            let stored = StoredDatum {
                value: Zeroizing::new(BASE64.encode(&*datum.bytes)),
                binary: datum.binary,
            };
            (name.as_str(), stored)
        });
        let stored = Stored {
            head: Cow::Borrowed(&self.head),
            data: data.collect(),
        };
        // Room for all of it: a vector that grows leaves pieces behind.
        let values: usize = stored.data.values().map(|datum| datum.value.len()).sum();
        let names: usize = stored.data.keys().map(|name| name.len() + 64).sum();
        let room = values + names + self.head.to_string().len() + 64;
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        // Maps with string keys and strings: this cannot fail.
        let _ = serde_json::to_writer(&mut *bytes, &stored);
        bytes
    }

    /// The inverse of [`Object::encode`]. `None` when the bytes are not an object's.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let Stored { head, data } = serde_json::from_slice(bytes).ok()?;
        let head = head.into_owned();
        let kind = match head["kind"].as_str()? {
            "Secret" => ObjectKind::Secret,
            "ConfigMap" => ObjectKind::ConfigMap,
            _ => return None,
        };
        let text = |name: &str| Some(head["metadata"][name].as_str()?.to_owned());
        let key = ObjectKey {
            kind,
            namespace: text("namespace")?,
            name: text("name")?,
        };
        let datum = |(name, stored): (&str, StoredDatum)| {
            let bytes = Zeroizing::new(BASE64.decode(&*stored.value).ok()?);
            let binary = stored.binary;
            Some((name.to_owned(), Datum { bytes, binary }))
        };
        Some(Self {
            key,
            data: data.into_iter().map(datum).collect::<Option<_>>()?,
            head,
            origin: String::new(),
            position: None,
        })
    }
}

/// An object on the disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    head: Cow<'a, Value>,
    #[serde(borrow)]
    data: BTreeMap<&'a str, StoredDatum>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredDatum {
    /// Base64.
    value: Zeroizing<String>,
    binary: bool,
}
