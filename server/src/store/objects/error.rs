//! What can be wrong with a content.

use std::io;

use super::{EncryptionKeys, FormatError, Unopened};

/// Why a content cannot be read. Says nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    #[error("the file is not there or cannot be read")]
    Io(#[from] io::Error),
    #[error("it has no head that is understood")]
    Head(#[from] FormatError),
    #[error("it is not what was written: it was damaged, edited or moved")]
    Damaged,
    #[error("it is whole, but no object of this kind and name")]
    NoObject,
    #[error(
        "it is encrypted with the key {key:?}, and the configuration has no secretEncryption.keyFile; set it to a file \
         with this key"
    )]
    NoKeyFile { key: String },
    #[error(
        "it is encrypted with the key {key:?}, and the file of secretEncryption.keyFile has no key of this name; put that \
         key back into the file, after the first one"
    )]
    NoKey { key: String },
    #[error(
        "it cannot be decrypted with the key {key:?}: it was damaged, edited or moved, or this is not the key of that \
         name with which it was encrypted"
    )]
    NotAuthentic { key: String },
}

impl ContentError {
    pub(in crate::store) fn unopened(error: Unopened, key: &str, keys: &EncryptionKeys) -> Self {
        let key = key.to_owned();
        match error {
            Unopened::NoKey if keys.is_empty() => Self::NoKeyFile { key },
            Unopened::NoKey => Self::NoKey { key },
            Unopened::NotAuthentic => Self::NotAuthentic { key },
        }
    }
}
