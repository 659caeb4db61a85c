//! What has become of objects that were applied.

use std::fmt;

use seedpod_proto::v1;

use super::mirror;

mirror! {
    /// What has become of an object.
    AppliedResult for v1::apply_objects_response::Result, else Unrecognized {
        /// It was not there before.
        Created = "Created",
        /// It was there and was changed.
        Configured = "Configured",
        /// It was there as demanded.
        Unchanged = "Unchanged",
        /// It is tried again.
        Waiting = "Waiting",
    }
}

/// What has become of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct AppliedObject {
    /// The object, with the namespace that it is in.
    pub object: ObjectReference,
    /// What has become of it.
    pub result: AppliedResult,
    /// Why it waits; with [`validate_only`](crate::ApplyObjects::validate_only) what could not be checked. Empty
    /// otherwise.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "String::is_empty"))]
    pub message: String,
}

/// Names an object of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct ObjectReference {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `DaemonSet`.
    pub kind: String,
    /// Empty for objects of the cluster as a whole.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "String::is_empty"))]
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectReference {
    /// `DaemonSet kube-system/proxy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

impl From<v1::ApplyObjectsResponse> for AppliedObject {
    fn from(wire: v1::ApplyObjectsResponse) -> Self {
        let v1::ObjectReference {
            api_version,
            kind,
            namespace,
            name,
        } = wire.object.unwrap_or_default();
        Self {
            object: ObjectReference {
                api_version,
                kind,
                namespace,
                name,
            },
            result: AppliedResult::from_wire(wire.result),
            message: wire.message,
        }
    }
}
