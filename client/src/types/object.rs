//! Secrets and ConfigMaps, without their values.

use seedpod_proto::v1;

use super::{ChangeType, PodReference, mirror};

mirror! {
    /// A kind of object that pods take data from.
    ObjectKind for v1::ObjectKind, else Unrecognized {
        /// A ConfigMap.
        ConfigMap = "ConfigMap",
        /// A Secret.
        Secret = "Secret",
    }
}

impl ObjectKind {
    pub(crate) fn to_wire(self) -> v1::ObjectKind {
        match self {
            Self::ConfigMap => v1::ObjectKind::ConfigMap,
            Self::Secret => v1::ObjectKind::Secret,
            Self::Unrecognized => v1::ObjectKind::Unspecified,
        }
    }
}

/// A Secret or a ConfigMap of a bundle, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Object {
    /// The bundle that it belongs to.
    pub bundle: String,
    /// Which kind of object it is.
    pub kind: ObjectKind,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// A Secret's type, for example `Opaque`. Empty for a ConfigMap.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "String::is_empty"))]
    pub r#type: String,
    /// Whether its content may not be changed.
    pub immutable: bool,
    /// The keys, ordered.
    pub keys: Vec<ObjectKey>,
    /// The revision of the bundle that brought this content.
    pub revision: u64,
    /// The pods of the bundle that refer to it, ordered.
    pub used_by: Vec<PodReference>,
}

/// One key of a Secret or ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct ObjectKey {
    /// The key.
    pub key: String,
    /// How many bytes its value has.
    pub size: u64,
    /// `hmac-sha256:` and 64 hexadecimal digits over the value, keyed with a random number of the node: equal values
    /// have equal digests on one node, and nobody can find a short value by trying.
    pub digest: String,
}

/// What happens to one Secret or ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct ObjectChange {
    /// Which kind of object it is.
    pub kind: ObjectKind,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// What happens. [`ChangeType::Replaced`]: its content differs.
    pub r#type: ChangeType,
    /// A unified diff of its keys with their sizes and digests, never of values. Only when it was only validated.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "String::is_empty"))]
    pub diff: String,
}

impl From<v1::Object> for Object {
    fn from(wire: v1::Object) -> Self {
        Self {
            bundle: wire.bundle,
            kind: ObjectKind::from_wire(wire.kind),
            namespace: wire.namespace,
            name: wire.name,
            r#type: wire.r#type,
            immutable: wire.immutable,
            keys: wire.keys.into_iter().map(ObjectKey::from).collect(),
            revision: wire.revision,
            used_by: wire.used_by.into_iter().map(PodReference::from).collect(),
        }
    }
}

impl From<v1::ObjectKey> for ObjectKey {
    fn from(wire: v1::ObjectKey) -> Self {
        let v1::ObjectKey { key, size, digest } = wire;
        Self { key, size, digest }
    }
}

impl From<v1::ObjectChange> for ObjectChange {
    fn from(wire: v1::ObjectChange) -> Self {
        let v1::ObjectChange {
            kind,
            namespace,
            name,
            r#type,
            diff,
        } = wire;
        Self {
            kind: ObjectKind::from_wire(kind),
            namespace,
            name,
            r#type: ChangeType::from_wire(r#type),
            diff,
        }
    }
}
