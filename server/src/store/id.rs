//! The store's id, and the uids that are made with it.

use std::fmt;

use seedpod_manifest::{BundleName, Digest, PodKey};
use serde::{Deserialize, Serialize};

/// A random number that a state directory gets when it is made. It goes into each pod's uid, which so tells that this
/// very store wrote a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StoreId(String);

impl StoreId {
    pub(super) fn random() -> std::io::Result<Self> {
        random_id().map(Self)
    }

    /// The uid of a pod's content: the same for the same input, and never made for another one.
    pub(crate) fn pod_uid(
        &self,
        bundle: &str,
        revision: u64,
        pod: &PodKey,
        digest: &str,
    ) -> String {
        self.returned_uid(bundle, revision, pod, digest, 0)
    }

    /// The same for a content that was withheld and has come back since, `returned` being the number of that: for the
    /// kubelet it is another pod. 0: it has not.
    pub(crate) fn returned_uid(
        &self,
        bundle: &str,
        revision: u64,
        pod: &PodKey,
        digest: &str,
        returned: u64,
    ) -> String {
        let mut text = format!("{} {bundle} {revision} {pod} {digest}", self.0);
        if returned > 0 {
            // There is no space in a digest.
            text.push_str(&format!(" {returned}"));
        }
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
        #[serde(rename = "seedpod.dev/returned")]
        returned: Option<String>,
    }
    let File { metadata } = serde_json::from_slice(file).ok()?;
    let Annotations {
        bundle,
        revision,
        digest,
        uid: content_uid,
        returned,
    } = metadata.annotations;
    let key = PodKey {
        namespace: metadata.namespace,
        name: metadata.name,
    };
    let revision = revision.parse().ok()?;
    let returned = returned.map_or(Ok(0), |count| count.parse()).ok()?;
    let uid = id.returned_uid(&bundle, revision, &key, &digest, returned);
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

/// An id that nobody else makes: 32 hexadecimal digits.
pub(crate) fn random_id() -> std::io::Result<String> {
    let mut bytes = [0_u8; 16];
    fill_randomly(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Fills it with random bytes of the kernel, which are good enough for keys.
pub(super) fn fill_randomly(bytes: &mut [u8]) -> std::io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(())
}
