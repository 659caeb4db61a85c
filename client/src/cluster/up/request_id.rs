//! Ids of requests that follow from what is asked, so that a run that was killed asks the same again.

use uuid::Builder;

use crate::cluster::digest;

/// An id that follows from these parts and their order.
pub(super) fn of<S: AsRef<[u8]>>(parts: impl IntoIterator<Item = S>) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest::of_parts(parts)[..16]);
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
