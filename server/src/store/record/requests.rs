//! The requests that a revision answers.

use seedpod_manifest::{Digest, DigestKey};
use serde::{Deserialize, Serialize};

use super::{FormatError, decode, encode};
use crate::node::{RequestId, StoredWarning};

const KIND: &str = "seedpod-requests";

/// A request that a revision answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct RequestRecord {
    pub(in crate::store) id: String,
    /// Keyed: a plain digest of a request would tell short secrets in it to whoever tries. Records of formats 1 and 2 have
    /// plain ones.
    pub(in crate::store) fingerprint: String,
    /// Only in a sidecar: a revision keeps the warnings of the request that made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::store) warnings: Vec<StoredWarning>,
    /// What a rollback that changed nothing was to; 0 for what was none. Only in a sidecar.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(in crate::store) source_revision: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl RequestRecord {
    pub(in crate::store) fn new(request: &RequestId, key: &DigestKey) -> Self {
        Self {
            id: request.id.clone(),
            fingerprint: Fingerprint::text(&request.fingerprint, key),
            warnings: Vec::new(),
            source_revision: 0,
        }
    }
}

/// What is kept of a request's content.
#[derive(Debug, Clone)]
pub(crate) struct Fingerprint {
    pub(in crate::store) kept: String,
    pub(in crate::store) key: DigestKey,
}

impl Fingerprint {
    /// Whether it is of this content.
    pub(crate) fn is(&self, fingerprint: &Digest) -> bool {
        self.kept == Self::text(fingerprint, &self.key) || self.kept == fingerprint.to_string()
    }

    fn text(fingerprint: &Digest, key: &DigestKey) -> String {
        key.digest(fingerprint.as_bytes()).to_string()
    }
}

pub(in crate::store) fn encode_requests(requests: &[RequestRecord]) -> String {
    encode(KIND, &requests)
}

pub(in crate::store) fn decode_requests(bytes: &[u8]) -> Result<Vec<RequestRecord>, FormatError> {
    decode(KIND, bytes)
}
