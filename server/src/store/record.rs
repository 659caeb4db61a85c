//! The files of the state directory: their names and their format.
//!
//! A revision's file is two JSON documents, one per line, so that `jq` reads it: a head with the format's version and
//! the digest of the rest, and the revision itself.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use seedpod_manifest::{BundleName, Digest, PodKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Came, Draft, Origin};
use crate::node::{
    Bundle, BundleObject, BundlePod, Change, ChangeKind, ObjectChange, StoredWarning, Trial,
};

/// The version of the format that is written. Each older one that was ever released is still read.
pub(super) const FORMAT: u32 = 2;

const REVISION_KIND: &str = "seedpod-revision";
const REQUESTS_KIND: &str = "seedpod-requests";
const MARK_KIND: &str = "seedpod-mark";

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

/// A random number that a state directory gets when it is made. It goes into each pod's uid, which so tells that this
/// very store wrote a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StoreId(String);

impl StoreId {
    pub(super) fn random() -> std::io::Result<Self> {
        let mut bytes = [0_u8; 16];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += rustix::rand::getrandom(
                &mut bytes[filled..],
                rustix::rand::GetRandomFlags::empty(),
            )?;
        }
        Ok(Self(
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ))
    }

    /// The uid of a pod's content: the same for the same input, and never made for another one.
    pub(crate) fn pod_uid(
        &self,
        bundle: &str,
        revision: u64,
        pod: &PodKey,
        digest: &str,
    ) -> String {
        let text = format!("{} {bundle} {revision} {pod} {digest}", self.0);
        let digest = Digest::of(text.as_bytes());
        let mut b = [0_u8; 16];
        b.copy_from_slice(&digest.as_bytes()[..16]);
        // RFC 9562, version 8: what is in it is up to us.
        b[6] = (b[6] & 0x0f) | 0x80;
        b[8] = (b[8] & 0x3f) | 0x80;
        let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file in the static pod directory that this store wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) bundle: BundleName,
    pub(crate) key: PodKey,
    /// Of the content.
    pub(crate) uid: String,
    /// As the kubelet has it: another one when the file was written under the uid of the pod before it.
    pub(crate) kubelet_uid: String,
    pub(crate) revision: u64,
}

/// Whether a file was written by this store: its uid says so, which nobody else can make up.
pub(crate) fn owned_by(id: &StoreId, file: &[u8]) -> Option<Owned> {
    #[derive(Deserialize)]
    struct File {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
        namespace: String,
        uid: String,
        annotations: Annotations,
    }
    #[derive(Deserialize)]
    struct Annotations {
        #[serde(rename = "seedpod.dev/bundle")]
        bundle: String,
        #[serde(rename = "seedpod.dev/revision")]
        revision: String,
        #[serde(rename = "seedpod.dev/digest")]
        digest: String,
        #[serde(rename = "seedpod.dev/uid")]
        uid: Option<String>,
    }
    let File { metadata } = serde_json::from_slice(file).ok()?;
    let Annotations {
        bundle,
        revision,
        digest,
        uid: content_uid,
    } = metadata.annotations;
    let key = PodKey {
        namespace: metadata.namespace,
        name: metadata.name,
    };
    let revision = revision.parse().ok()?;
    let uid = id.pod_uid(&bundle, revision, &key, &digest);
    let kubelet_uid = metadata.uid;
    (uid == *content_uid.as_ref().unwrap_or(&kubelet_uid)).then_some(())?;
    Some(Owned {
        bundle: bundle.parse().ok()?,
        key,
        uid,
        kubelet_uid,
        revision,
    })
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
    pub(super) bundle: Arc<Bundle>,
    pub(super) removed: bool,
    pub(super) request: Option<RequestRecord>,
    pub(super) changes: Vec<Change>,
    pub(super) object_changes: Vec<ObjectChange>,
    pub(super) warnings: Vec<StoredWarning>,
    pub(super) came: Came,
    pub(super) trial: Option<Trial>,
}

/// A request that a revision answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RequestRecord {
    pub(super) id: String,
    pub(super) fingerprint: String,
    /// Only in a sidecar: a revision keeps the warnings of the request that made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<StoredWarning>,
    /// What a rollback that changed nothing was to; 0 for what was none. Only in a sidecar.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) source_revision: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<Draft> for RevisionRecord {
    fn from(draft: Draft) -> Self {
        let Draft {
            bundle,
            removed,
            request,
            changes,
            object_changes,
            contents: _,
            warnings,
            came,
            trial,
        } = draft;
        let request = request.map(|request| RequestRecord {
            id: request.id,
            fingerprint: request.fingerprint.to_string(),
            warnings: Vec::new(),
            source_revision: 0,
        });
        Self {
            bundle: Arc::new(bundle),
            removed,
            request,
            changes,
            object_changes,
            warnings,
            came,
            trial,
        }
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
    digest: String,
    create_time: Timestamp,
    update_time: Timestamp,
    request: Option<RequestRecord>,
    changes: Vec<ChangeFile>,
    warnings: Vec<StoredWarning>,
    pods: Vec<PodFile>,
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PodFile {
    namespace: String,
    name: String,
    uid: String,
    digest: String,
    revision: u64,
    file: String,
    rendered: String,
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
    #[error("its content is not that of a revision")]
    Body(#[source] serde_json::Error),
    #[error("it holds revision {revision} of bundle {bundle:?}, which is not what its name says")]
    Misplaced { bundle: String, revision: u64 },
}

fn encode<T: Serialize>(kind: &str, body: &T) -> String {
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

fn decode<T: DeserializeOwned>(kind: &'static str, bytes: &[u8]) -> Result<T, FormatError> {
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

pub(super) fn encode_requests(requests: &[RequestRecord]) -> String {
    encode(REQUESTS_KIND, &requests)
}

pub(super) fn decode_requests(bytes: &[u8]) -> Result<Vec<RequestRecord>, FormatError> {
    decode(REQUESTS_KIND, bytes)
}

/// What a mark is on. All that it says is in its name; this finds one that was moved.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkFile {
    bundle: String,
    revision: u64,
}

pub(super) fn encode_mark(name: &BundleName, revision: u64) -> String {
    let bundle = name.to_string();
    encode(MARK_KIND, &MarkFile { bundle, revision })
}

pub(super) fn check_mark(
    name: &BundleName,
    revision: u64,
    bytes: &[u8],
) -> Result<(), FormatError> {
    let file: MarkFile = decode(MARK_KIND, bytes)?;
    if file.bundle == name.as_str() && file.revision == revision {
        return Ok(());
    }
    Err(FormatError::Misplaced {
        bundle: file.bundle,
        revision: file.revision,
    })
}

impl RevisionRecord {
    pub(super) fn encode(&self) -> String {
        let bundle = &*self.bundle;
        let pod = |pod: &BundlePod| PodFile {
            namespace: pod.key.namespace.clone(),
            name: pod.key.name.clone(),
            uid: pod.uid.clone(),
            digest: pod.digest.clone(),
            revision: pod.revision,
            file: pod.file.clone(),
            rendered: pod.rendered.to_string(),
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
            digest: bundle.digest.clone(),
            create_time: bundle.create_time,
            update_time: bundle.update_time,
            request: self.request.clone(),
            changes: self.changes.iter().map(change).collect(),
            warnings: self.warnings.clone(),
            pods: bundle.pods.iter().map(pod).collect(),
            origin: Some(self.came.origin),
            source_revision: self.came.source_revision,
            reason: self.came.reason.clone(),
            trial: self.trial.clone(),
        };
        encode(REVISION_KIND, &file)
    }

    pub(super) fn decode(
        name: &BundleName,
        revision: u64,
        bytes: &[u8],
    ) -> Result<Self, FormatError> {
        let file: RevisionFile = decode(REVISION_KIND, bytes)?;
        if file.bundle != name.as_str() || file.revision != revision {
            return Err(FormatError::Misplaced {
                bundle: file.bundle,
                revision: file.revision,
            });
        }
        let key = |namespace, name| PodKey { namespace, name };
        let pods = file.pods.into_iter().map(|pod| {
            let (host_ports, wave) = demands(&pod.rendered);
            BundlePod {
                host_ports,
                wave,
                key: key(pod.namespace, pod.name),
                uid: pod.uid,
                digest: pod.digest,
                revision: pod.revision,
                file: pod.file,
                rendered: pod.rendered.into(),
                source: None,
                volumes: None,
            }
        });
        let bundle = Bundle {
            name: name.clone(),
            revision,
            digest: file.digest,
            create_time: file.create_time,
            update_time: file.update_time,
            pods: pods.collect(),
            objects: Vec::new(),
        };
        let change = |change: ChangeFile| Change {
            pod: key(change.namespace, change.name),
            kind: change.kind,
            diff: String::new(),
        };
        Ok(Self {
            bundle: Arc::new(bundle),
            removed: file.removed,
            request: file.request,
            changes: file.changes.into_iter().map(change).collect(),
            object_changes: Vec::new(),
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

/// The host's ports that a rendered pod takes, and its wave.
fn demands(rendered: &str) -> (Vec<seedpod_manifest::HostPort>, u32) {
    seedpod_manifest::unrender(rendered)
        .map(|pod| (pod.host_ports().to_vec(), pod.wave()))
        .unwrap_or_default()
}
