//! Digests of lists.

use sha2::{Digest as _, Sha256};

/// SHA-256 of these parts in their order. With their lengths before them, no two lists of parts are the same bytes.
pub(super) fn of_parts<S: AsRef<[u8]>>(parts: impl IntoIterator<Item = S>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        let part = part.as_ref();
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
