//! No value of a Secret may be seen.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::generate::{MARKER, NUMBER};

/// Whether the values of Secrets are known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Leaks {
    /// They hold the marker.
    Watched,
    /// Nobody knows what is secret in the input.
    Unknown,
}

impl Leaks {
    /// Fails when a text shows the first bytes of a Secret's value, plain or as Base64.
    pub(super) fn none_in(self, what: &str, text: &str) {
        if matches!(self, Self::Unknown) {
            return;
        }
        let base64 = BASE64_STANDARD.encode(MARKER);
        // A message may cut a value off. The number is left whole: its digits may stand in a digest by chance.
        for part in [&MARKER[..6], &base64[..8], NUMBER] {
            assert!(!text.contains(part), "a Secret's value in {what}: {text}");
        }
    }
}
