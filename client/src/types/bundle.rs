//! Bundles and what an injection does to them.

use std::time::SystemTime;

use seedpod_proto::v1;

use super::mirror;
use crate::Error;

/// The active revision of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Bundle {
    /// The name.
    pub name: String,
    /// The active revision.
    pub revision: u64,
    /// The digest of the content: equal content has an equal one.
    pub digest: String,
    /// When the first revision was made.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub create_time: Option<SystemTime>,
    /// When the active revision was made.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub update_time: Option<SystemTime>,
    /// The pods, ordered by namespace and name.
    pub pods: Vec<BundlePod>,
}

/// A pod as a bundle holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct BundlePod {
    /// The namespace.
    pub namespace: String,
    /// The name as in the manifest.
    pub name: String,
    /// The uid on the node: a new one for each content.
    pub uid: String,
    /// The digest of the content.
    pub digest: String,
    /// The revision of the bundle that brought this content.
    pub revision: u64,
    /// The name of the pod's file in the static pod directory.
    pub file: String,
}

/// What an injection did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Injected {
    /// The bundle after the injection. When it was only validated: as it would be, without times.
    pub bundle: Bundle,
    /// One entry per pod of the old and the new revision.
    pub changes: Vec<Change>,
    /// What the kubelet would ignore, or do otherwise than one may think.
    pub warnings: Vec<Warning>,
}

/// What happens to one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Change {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// What happens.
    pub r#type: ChangeType,
    /// A unified diff of the pod's YAML. Only when it was only validated.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "String::is_empty"))]
    pub diff: String,
}

mirror! {
    /// What happens to a pod.
    ChangeType for v1::pod_change::Type, else Unrecognized {
        /// The pod is new in the bundle.
        Added = "added",
        /// The pod's content differs: the running one is stopped and the new one started.
        Replaced = "replaced",
        /// The pod is no longer in the bundle and is stopped.
        Removed = "removed",
        /// The pod is as before and is not touched.
        Unchanged = "unchanged",
    }
}

/// Something valid in a manifest that will not work as one may think.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Warning {
    /// The path of the field, as in an error.
    pub field: String,
    /// The stable reason.
    pub reason: String,
    /// A sentence for people.
    pub description: String,
}

impl From<v1::Bundle> for Bundle {
    fn from(wire: v1::Bundle) -> Self {
        Self {
            name: wire.name,
            revision: wire.revision,
            digest: wire.digest,
            create_time: wire.create_time.and_then(|time| time.try_into().ok()),
            update_time: wire.update_time.and_then(|time| time.try_into().ok()),
            pods: wire.pods.into_iter().map(BundlePod::from).collect(),
        }
    }
}

impl From<v1::BundlePod> for BundlePod {
    fn from(wire: v1::BundlePod) -> Self {
        let v1::BundlePod {
            wave: _,
            namespace,
            name,
            uid,
            digest,
            revision,
            file,
        } = wire;
        Self {
            namespace,
            name,
            uid,
            digest,
            revision,
            file,
        }
    }
}

impl TryFrom<v1::InjectPodsResponse> for Injected {
    type Error = Error;

    fn try_from(wire: v1::InjectPodsResponse) -> Result<Self, Error> {
        Ok(Self {
            bundle: wire
                .bundle
                .ok_or(Error::Answer {
                    method: "InjectPods",
                    field: "bundle",
                })?
                .into(),
            changes: wire.changes.into_iter().map(Change::from).collect(),
            warnings: wire.warnings.into_iter().map(Warning::from).collect(),
        })
    }
}

impl From<v1::PodChange> for Change {
    fn from(wire: v1::PodChange) -> Self {
        let v1::PodChange {
            namespace,
            name,
            r#type,
            diff,
        } = wire;
        Self {
            namespace,
            name,
            r#type: ChangeType::from_wire(r#type),
            diff,
        }
    }
}

impl From<v1::Warning> for Warning {
    fn from(wire: v1::Warning) -> Self {
        let v1::Warning {
            field,
            reason,
            description,
        } = wire;
        Self {
            field,
            reason,
            description,
        }
    }
}
