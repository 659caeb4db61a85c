//! Bundles and what an injection does to them.

use std::time::SystemTime;

use seedpod_proto::v1;

use super::{BundleStatus, ObjectChange, TrialStatus, mirror};
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
    /// What runs of it. `None` in answers to changes.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub status: Option<BundleStatus>,
    /// The newest revision that was ready as a whole, or was confirmed; 0 when none was.
    pub last_good_revision: u64,
    /// How the active revision's trial stands. `None` when it is none.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub trial: Option<TrialStatus>,
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
    /// The wave, from the annotation `seedpod.dev/wave`: the pods of a wave are started when those of all lower ones are
    /// ready, and stopped when those of all higher ones have stopped.
    pub wave: u32,
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
    /// One entry per Secret and ConfigMap of the old and the new revision. A pod that uses what has changed is replaced.
    pub object_changes: Vec<ObjectChange>,
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
            status: wire.status.map(BundleStatus::from),
            last_good_revision: wire.last_good_revision,
            trial: wire.trial.map(TrialStatus::from),
        }
    }
}

impl From<v1::BundlePod> for BundlePod {
    fn from(wire: v1::BundlePod) -> Self {
        let v1::BundlePod {
            namespace,
            name,
            uid,
            digest,
            revision,
            file,
            wave,
        } = wire;
        Self {
            namespace,
            name,
            uid,
            digest,
            revision,
            file,
            wave,
        }
    }
}

impl TryFrom<v1::InjectPodsResponse> for Injected {
    type Error = Error;

    fn try_from(wire: v1::InjectPodsResponse) -> Result<Self, Error> {
        Ok(Self {
            bundle: required(wire.bundle, "InjectPods")?,
            changes: wire.changes.into_iter().map(Change::from).collect(),
            object_changes: wire
                .object_changes
                .into_iter()
                .map(ObjectChange::from)
                .collect(),
            warnings: wire.warnings.into_iter().map(Warning::from).collect(),
        })
    }
}

/// The bundle that an answer must have.
pub(crate) fn required(bundle: Option<v1::Bundle>, method: &'static str) -> Result<Bundle, Error> {
    let field = "bundle";
    bundle
        .map(Bundle::from)
        .ok_or(Error::Answer { method, field })
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
