//! The files of the state directory: their names and their format.
//!
//! A revision's file is two JSON documents, one per line, so that `jq` reads it: a head with the format's version and
//! the digest of the rest, and the revision itself.

mod marks;
mod pods;
mod requests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use seedpod_manifest::{BundleName, Digest, DigestKey, ObjectKey, ObjectSummary, Objects, PodKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use self::pods::PodFile;
use super::{Came, Draft, EncryptionKeys, Origin, StoreId, objects::ContentError};
use crate::node::{
    Bundle, BundleObject, BundlePod, Change, ChangeKind, ObjectChange, StoredWarning, Trial,
};

pub(crate) use self::requests::Fingerprint;
pub(super) use self::{
    marks::{check_mark, encode_mark},
    requests::{RequestRecord, decode_requests, encode_requests},
};

/// The version of the format that is written. Each older one that was ever released is still read.
pub(super) const FORMAT: u32 = 4;

const REVISION_KIND: &str = "seedpod-revision";

/// Twenty digits hold each u64, so that names sort as numbers do.
pub(super) fn file_name(revision: u64) -> String {
    format!("{revision:020}.json")
}

/// What a file beside a revision says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sidecar {
    /// Which requests found the revision active.
    Requests,
    /// That all its pods were ready at the same time once.
    Ready,
    /// That somebody confirmed it.
    Confirmed,
}

impl Sidecar {
    const ALL: [Self; 3] = [Self::Requests, Self::Ready, Self::Confirmed];

    /// What its name ends with.
    fn suffix(self) -> &'static str {
        match self {
            Self::Requests => ".requests.json",
            Self::Ready => ".ready.json",
            Self::Confirmed => ".confirmed.json",
        }
    }
}

pub(super) fn sidecar_name(revision: u64, sidecar: Sidecar) -> String {
    format!("{revision:020}{}", sidecar.suffix())
}

pub(super) fn sidecar_path(
    bundles: &Path,
    name: &BundleName,
    revision: u64,
    sidecar: Sidecar,
) -> PathBuf {
    bundles
        .join(name.as_str())
        .join(sidecar_name(revision, sidecar))
}

/// The inverse of [`file_name`] and [`sidecar_name`]: the revision, and which sidecar it is, if it is one.
pub(super) fn parse_file_name(name: &str) -> Option<(u64, Option<Sidecar>)> {
    let found = Sidecar::ALL
        .into_iter()
        .find_map(|sidecar| Some((name.strip_suffix(sidecar.suffix())?, Some(sidecar))));
    let (digits, sidecar) = match found {
        Some(found) => found,
        None => (name.strip_suffix(".json")?, None),
    };
    let revision = (digits.len() == 20).then(|| digits.parse().ok())??;
    (revision > 0).then_some((revision, sidecar))
}

/// `store.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoreFile {
    pub(super) format: u32,
    pub(super) id: StoreId,
}

/// A revision in memory.
#[derive(Debug)]
pub(super) struct RevisionRecord {
    /// Whether something in its file is encrypted with another key than the first one, or not and should be.
    pub(super) is_outdated: bool,
    pub(super) bundle: Arc<Bundle>,
    pub(super) removed: bool,
    /// Whether all revisions before it are to be forgotten.
    pub(super) forgets: bool,
    pub(super) request: Option<RequestRecord>,
    pub(super) changes: Vec<Change>,
    pub(super) object_changes: Vec<ObjectChange>,
    pub(super) warnings: Vec<StoredWarning>,
    pub(super) came: Came,
    pub(super) trial: Option<Trial>,
}

impl RevisionRecord {
    /// What is to be kept of a draft, and the contents of its objects.
    pub(super) fn of(draft: Draft, key: &DigestKey) -> (Self, Objects) {
        let Draft {
            bundle,
            removed,
            forgets,
            request,
            changes,
            object_changes,
            contents,
            warnings,
            came,
            trial,
        } = draft;
        let record = Self {
            is_outdated: false,
            bundle: Arc::new(bundle),
            removed,
            forgets,
            request: request.map(|request| RequestRecord::new(&request, key)),
            changes,
            object_changes,
            warnings,
            came,
            trial,
        };
        (record, contents)
    }
}

/// The answer to a request that changes nothing.
pub(super) fn unchanged(bundle: &Bundle) -> Vec<Change> {
    let change = |pod: &BundlePod| Change {
        pod: pod.key.clone(),
        kind: ChangeKind::Unchanged,
        diff: String::new(),
    };
    bundle.pods.iter().map(change).collect()
}

/// The same of its objects.
pub(super) fn unchanged_objects(bundle: &Bundle) -> Vec<ObjectChange> {
    let change = |object: &BundleObject| ObjectChange {
        object: object.summary.key.clone(),
        kind: ChangeKind::Unchanged,
        diff: String::new(),
    };
    bundle.objects.iter().map(change).collect()
}

/// The first line of each file.
#[derive(Serialize, Deserialize)]
struct Head {
    kind: String,
    format: u32,
    sha256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RevisionFile {
    bundle: String,
    revision: u64,
    removed: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    forgets: bool,
    digest: String,
    create_time: Timestamp,
    update_time: Timestamp,
    request: Option<RequestRecord>,
    changes: Vec<ChangeFile>,
    warnings: Vec<StoredWarning>,
    pods: Vec<PodFile>,
    /// Not in formats 1 and 2, which knew pods only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    objects: Vec<ObjectFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    object_changes: Vec<ObjectChangeFile>,
    /// Not in format 1, which knew injections and removals only.
    #[serde(default)]
    origin: Option<Origin>,
    #[serde(default)]
    source_revision: u64,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    trial: Option<Trial>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeFile {
    namespace: String,
    name: String,
    kind: ChangeKind,
}

/// An object of a bundle, whose content is in a file of its own.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectFile {
    summary: ObjectSummary,
    revision: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectChangeFile {
    object: ObjectKey,
    kind: ChangeKind,
}

/// Why a file's content was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormatError {
    #[error("it is empty or has no head line")]
    NoHead,
    #[error("its head line is no head")]
    Head(#[source] serde_json::Error),
    #[error("it is a {found:?} file, not a {expected:?} one")]
    Kind {
        found: String,
        expected: &'static str,
    },
    #[error(
        "it has format {found}, and this version of seedpodd knows formats up to {FORMAT}; use a newer seedpodd"
    )]
    Newer { found: u32 },
    #[error("its content does not match its checksum: it was damaged or edited")]
    Checksum,
    #[error("its content is not what its head says")]
    Body(#[source] serde_json::Error),
    #[error("it holds revision {revision} of bundle {bundle:?}, which is not what its name says")]
    Misplaced { bundle: String, revision: u64 },
    #[error("the file of pod {pod} in it cannot be read")]
    Sealed {
        pod: PodKey,
        #[source]
        source: Box<ContentError>,
    },
}

pub(super) fn encode<T: Serialize>(kind: &str, body: &T) -> String {
    // Maps with string keys, numbers and strings: this cannot fail.
    let body = serde_json::to_string(body).unwrap_or_default();
    let head = Head {
        kind: kind.to_owned(),
        format: FORMAT,
        sha256: Digest::of(body.as_bytes()).to_string(),
    };
    let head = serde_json::to_string(&head).unwrap_or_default();
    format!("{head}\n{body}\n")
}

pub(super) fn decode<T: DeserializeOwned>(
    kind: &'static str,
    bytes: &[u8],
) -> Result<T, FormatError> {
    let split = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or(FormatError::NoHead)?;
    let (head, body) = (&bytes[..split], &bytes[split + 1..]);
    let head: Head = serde_json::from_slice(head).map_err(FormatError::Head)?;
    if head.kind != kind {
        return Err(FormatError::Kind {
            found: head.kind,
            expected: kind,
        });
    }
    if head.format > FORMAT {
        return Err(FormatError::Newer { found: head.format });
    }
    let body = body.strip_suffix(b"\n").ok_or(FormatError::Checksum)?;
    if Digest::of(body).to_string() != head.sha256 {
        return Err(FormatError::Checksum);
    }
    serde_json::from_slice(body).map_err(FormatError::Body)
}

impl RevisionRecord {
    /// `None` when the encryption fails.
    pub(super) fn encode(&self, keys: &EncryptionKeys) -> Option<String> {
        let bundle = &*self.bundle;
        let pod = |pod| PodFile::of(pod, bundle, keys);
        let object = |object: &BundleObject| ObjectFile {
            summary: object.summary.clone(),
            revision: object.revision,
        };
        let object_change = |change: &ObjectChange| ObjectChangeFile {
            object: change.object.clone(),
            kind: change.kind,
        };
        let change = |change: &Change| ChangeFile {
            namespace: change.pod.namespace.clone(),
            name: change.pod.name.clone(),
            kind: change.kind,
        };
        let file = RevisionFile {
            bundle: bundle.name.to_string(),
            revision: bundle.revision,
            removed: self.removed,
            forgets: self.forgets,
            digest: bundle.digest.clone(),
            create_time: bundle.create_time,
            update_time: bundle.update_time,
            request: self.request.clone(),
            changes: self.changes.iter().map(change).collect(),
            warnings: self.warnings.clone(),
            pods: bundle.pods.iter().map(pod).collect::<Option<_>>()?,
            objects: bundle.objects.iter().map(object).collect(),
            object_changes: self.object_changes.iter().map(object_change).collect(),
            origin: Some(self.came.origin),
            source_revision: self.came.source_revision,
            reason: self.came.reason.clone(),
            trial: self.trial.clone(),
        };
        Some(encode(REVISION_KIND, &file))
    }

    pub(super) fn decode(
        name: &BundleName,
        revision: u64,
        bytes: &[u8],
        keys: &EncryptionKeys,
    ) -> Result<Self, FormatError> {
        let file: RevisionFile = decode(REVISION_KIND, bytes)?;
        if file.bundle != name.as_str() || file.revision != revision {
            return Err(FormatError::Misplaced {
                bundle: file.bundle,
                revision: file.revision,
            });
        }
        let mut is_outdated = false;
        let mut pods = Vec::with_capacity(file.pods.len());
        for pod in file.pods {
            is_outdated |= pod.is_outdated(keys);
            pods.push(pod.into_pod(name, revision, keys)?);
        }
        let object = |object: ObjectFile| BundleObject {
            summary: object.summary,
            revision: object.revision,
        };
        let object_change = |change: ObjectChangeFile| ObjectChange {
            object: change.object,
            kind: change.kind,
            diff: String::new(),
        };
        let bundle = Bundle {
            name: name.clone(),
            revision,
            digest: file.digest,
            create_time: file.create_time,
            update_time: file.update_time,
            pods,
            objects: file.objects.into_iter().map(object).collect(),
        };
        let change = |change: ChangeFile| Change {
            pod: PodKey {
                namespace: change.namespace,
                name: change.name,
            },
            kind: change.kind,
            diff: String::new(),
        };
        Ok(Self {
            is_outdated,
            bundle: Arc::new(bundle),
            removed: file.removed,
            forgets: file.forgets,
            request: file.request,
            changes: file.changes.into_iter().map(change).collect(),
            object_changes: file.object_changes.into_iter().map(object_change).collect(),
            warnings: file.warnings,
            came: Came {
                origin: file.origin.unwrap_or(if file.removed {
                    Origin::Removed
                } else {
                    Origin::Injected
                }),
                source_revision: file.source_revision,
                reason: file.reason,
            },
            trial: file.trial,
        })
    }
}
