//! Ids of requests that follow from what is asked, so that a run that was killed asks the same again.

use sha2::{Digest as _, Sha256};
use uuid::Builder;

/// An id that follows from these parts and their order.
pub(super) fn of<S: AsRef<[u8]>>(parts: impl IntoIterator<Item = S>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        let part = part.as_ref();
        // With their lengths before them, no two lists of parts are the same bytes.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn the_same_parts_have_the_same_id_and_others_another_one() {
        assert_eq!(of(["a", "b"]), of(["a", "b"]));
        assert_ne!(of(["a", "b"]), of(["ab"]));
        assert_ne!(of(["a", "b"]), of(["b", "a"]));
        assert_ne!(of(["a", ""]), of(["a"]));
    }
}
