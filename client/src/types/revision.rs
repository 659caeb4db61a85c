//! Revisions of a bundle, and going back to one.

use std::{fmt, time::SystemTime};

use seedpod_proto::v1;

use super::{
    Bundle, BundlePod, Change, Object, ObjectChange, TrialStatus, mirror, required_bundle,
};
use crate::Error;

/// One immutable content of a bundle.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Revision {
    /// The bundle.
    pub bundle: String,
    /// Its number.
    pub revision: u64,
    /// The digest of the content: equal content has an equal one.
    pub digest: String,
    /// When it was committed.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub create_time: Option<SystemTime>,
    /// Where it comes from.
    pub origin: Origin,
    /// The revision whose content it took over; 0 unless it is a rollback to one.
    pub source_revision: u64,
    /// Why the node went back. Only for [`Origin::TrialFailed`].
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "String::is_empty"))]
    pub reason: String,
    /// Whether it is the active one.
    pub active: bool,
    /// Whether all its pods were ready at the same time once, or it was confirmed.
    pub good: bool,
    /// Its trial. `None` when it was none.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub trial: Option<TrialStatus>,
    /// The pods, ordered by namespace and name.
    pub pods: Vec<BundlePod>,
    /// The pods' manifests as YAML, in the order of `pods`. Only from
    /// [`Client::get_revision`](crate::Client::get_revision).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Vec::is_empty"))]
    pub manifests: Vec<String>,
    /// The Secrets and ConfigMaps, without values, ordered by kind, namespace and name.
    pub objects: Vec<Object>,
    /// Their manifests as YAML, in the order of `objects`. Only from
    /// [`Client::get_revision`](crate::Client::get_revision), where the values of Secrets are masked, and from
    /// [`Client::get_revision_with_secrets`](crate::Client::get_revision_with_secrets).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Vec::is_empty"))]
    pub object_manifests: Vec<String>,
}

impl fmt::Debug for Revision {
    /// Without the manifests, which may hold what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revision")
            .field("bundle", &self.bundle)
            .field("revision", &self.revision)
            .field("digest", &self.digest)
            .field("create_time", &self.create_time)
            .field("origin", &self.origin)
            .field("source_revision", &self.source_revision)
            .field("reason", &self.reason)
            .field("active", &self.active)
            .field("good", &self.good)
            .field("trial", &self.trial)
            .field("pods", &self.pods)
            .field("objects", &self.objects)
            .finish_non_exhaustive()
    }
}

mirror! {
    /// Where a revision comes from.
    Origin for v1::revision::Origin, else Unrecognized {
        /// From [`Client::inject`](crate::Client::inject).
        Injected = "Injected",
        /// From [`Client::rollback_bundle`](crate::Client::rollback_bundle).
        RolledBack = "RolledBack",
        /// The node itself went back, because a trial failed.
        TrialFailed = "TrialFailed",
        /// From [`Client::remove_bundle`](crate::Client::remove_bundle): it has no pods.
        Removed = "Removed",
    }
}

/// What a rollback did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct RolledBack {
    /// The bundle after it.
    pub bundle: Bundle,
    /// One entry per pod of the old and the new revision.
    pub changes: Vec<Change>,
    /// One entry per Secret and ConfigMap of the old and the new revision.
    pub object_changes: Vec<ObjectChange>,
    /// The revision whose content is active again.
    pub source_revision: u64,
}

impl From<v1::Revision> for Revision {
    fn from(wire: v1::Revision) -> Self {
        Self {
            bundle: wire.bundle,
            revision: wire.revision,
            digest: wire.digest,
            create_time: wire.create_time.and_then(|time| time.try_into().ok()),
            origin: Origin::from_wire(wire.origin),
            source_revision: wire.source_revision,
            reason: wire.reason,
            active: wire.active,
            good: wire.good,
            trial: wire.trial.map(TrialStatus::from),
            pods: wire.pods.into_iter().map(BundlePod::from).collect(),
            manifests: wire.manifests,
            objects: wire.objects.into_iter().map(Object::from).collect(),
            object_manifests: wire.object_manifests,
        }
    }
}

impl TryFrom<v1::RollbackBundleResponse> for RolledBack {
    type Error = Error;

    fn try_from(wire: v1::RollbackBundleResponse) -> Result<Self, Error> {
        Ok(Self {
            bundle: required_bundle(wire.bundle, "RollbackBundle")?,
            changes: wire.changes.into_iter().map(Change::from).collect(),
            object_changes: wire
                .object_changes
                .into_iter()
                .map(ObjectChange::from)
                .collect(),
            source_revision: wire.source_revision,
        })
    }
}
