//! Encryption of objects' contents in the state directory.

use std::fmt;

use seedpod_manifest as _;

/// The keys of the configuration's key file: the first one encrypts, each of them decrypts.
pub(crate) struct EncryptionKeys {
    names: Vec<String>,
}

impl fmt::Debug for EncryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptionKeys")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl EncryptionKeys {
    /// The name of the key that encrypts.
    pub(crate) fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }
}
