//! Encryption of objects' contents in the state directory: AES-256-GCM with the keys of a file.
//!
//! As Kubernetes' EncryptionConfiguration does: the first key of the file encrypts, all of them decrypt.

mod key_file;

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

pub(crate) use self::key_file::KeyFileError;

/// The keys of the configuration's key file: the first one encrypts, each of them decrypts. Without any, and when the
/// first entry is `identity`, contents are not encrypted.
///
/// A random nonce of 96 bits lets one key encrypt 2^32 contents (NIST SP 800-38D, section 8.3): more than a node will
/// ever see.
#[derive(Default)]
pub(crate) struct EncryptionKeys {
    keys: Vec<Key>,
    /// Whether nothing is to be encrypted, though there are keys.
    identity: bool,
}

/// The library wipes the key when it is dropped.
struct Key {
    name: String,
    cipher: RandomizedNonceKey,
}

impl fmt::Debug for EncryptionKeys {
    /// Names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.keys.iter().map(|key| key.name.as_str()).collect();
        f.debug_struct("EncryptionKeys")
            .field("names", &names)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Why something can not be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unopened {
    /// There is no key of this name.
    NoKey,
    /// It is not what this key encrypted in this place.
    NotAuthentic,
}

impl EncryptionKeys {
    fn writing(&self) -> Option<&Key> {
        self.keys.first().filter(|_| !self.identity)
    }

    /// The name of the key that encrypts. `None`: nothing is encrypted.
    pub(crate) fn name(&self) -> Option<&str> {
        self.writing().map(|key| key.name.as_str())
    }

    /// Whether there is no key at all.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds `content` to `file`: encrypted for the place that `context` names, with its nonce before and its tag after
    /// it; or as it is. `None` when the library fails.
    pub(super) fn seal(&self, context: &str, content: &[u8], file: &mut Vec<u8>) -> Option<()> {
        // A vector that grows leaves pieces behind.
        file.reserve_exact(content.len() + NONCE_LEN + AES_256_GCM.tag_len());
        let Some(key) = self.writing() else {
            file.extend_from_slice(content);
            return Some(());
        };
        let nonce_at = file.len();
        file.extend_from_slice(&[0; NONCE_LEN]);
        let content_at = file.len();
        file.extend_from_slice(content);
        let sealed = key
            .cipher
            .seal_in_place_separate_tag(Aad::from(context), &mut file[content_at..]);
        let Ok((nonce, tag)) = sealed else {
            // Not even by mistake may the plain content go to the disk.
            file.truncate(nonce_at);
            return None;
        };
        file[nonce_at..content_at].copy_from_slice(nonce.as_ref());
        file.extend_from_slice(tag.as_ref());
        Some(())
    }

    /// The inverse of [`Self::seal`] for what the key of this name has encrypted.
    pub(super) fn open(
        &self,
        name: &str,
        context: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        let key = self.keys.iter().find(|key| key.name == name);
        let key = key.ok_or(Unopened::NoKey)?;
        let (nonce, sealed) = sealed
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(Unopened::NotAuthentic)?;
        let nonce = Nonce::from(nonce);
        let mut content = Zeroizing::new(sealed.to_vec());
        let length = key
            .cipher
            .open_in_place(nonce, Aad::from(context), &mut content)
            .map_err(|_| Unopened::NotAuthentic)?
            .len();
        content.truncate(length);
        Ok(content)
    }
}

#[cfg(test)]
mod tests;
