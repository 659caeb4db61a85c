//! Marks on revisions.

use seedpod_manifest::BundleName;
use serde::{Deserialize, Serialize};

use super::{FormatError, decode, encode};

const KIND: &str = "seedpod-mark";

/// What a mark is on. All that it says is in its name; this finds one that was moved.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkFile {
    bundle: String,
    revision: u64,
}

pub(in crate::store) fn encode_mark(name: &BundleName, revision: u64) -> String {
    let bundle = name.to_string();
    encode(KIND, &MarkFile { bundle, revision })
}

pub(in crate::store) fn check_mark(
    name: &BundleName,
    revision: u64,
    bytes: &[u8],
) -> Result<(), FormatError> {
    let file: MarkFile = decode(KIND, bytes)?;
    if file.bundle == name.as_str() && file.revision == revision {
        return Ok(());
    }
    Err(FormatError::Misplaced {
        bundle: file.bundle,
        revision: file.revision,
    })
}
