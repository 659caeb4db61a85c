//! The key file as it is written.

use std::{
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::aead::{AES_256_GCM, RandomizedNonceKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{EncryptionKeys, Key};
use crate::fs;

const API_VERSION: &str = "seedpod.dev/v1alpha1";
const KIND: &str = "EncryptionKeys";
/// The bytes of an AES-256 key.
const KEY_LENGTH: usize = 32;
/// No key file is larger.
const MAX_FILE: u64 = 1 << 20;
const MAX_NAME: usize = 64;

/// Why a key file cannot be used. Never says what is in it, but for field names and the names of keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    #[error(
        "secretEncryption.keyFile: cannot read {}; `seedpod config encryption-key` makes such a file",
        path.display()
    )]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "secretEncryption.keyFile: {} has mode {mode:04o}: others than its owner may read or write it; \
         run `chmod 600 {0}`",
        path.display()
    )]
    Mode { path: PathBuf, mode: u32 },
    #[error("secretEncryption.keyFile: {}: {message}", path.display())]
    Invalid { path: PathBuf, message: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    keys: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: Option<String>,
    secret: Option<Zeroizing<String>>,
    identity: Option<Identity>,
}

/// As Kubernetes' provider of this name: what is written is not encrypted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {}

impl EncryptionKeys {
    /// Reads a key file, which only its owner may read.
    pub(crate) fn load(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |source| KeyFileError::Read {
            path: path.to_owned(),
            source,
        };
        let file = fs::open_regular(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            let path = path.to_owned();
            return Err(KeyFileError::Mode { path, mode });
        }
        // With room for all of it: a string that grows leaves pieces behind.
        let size = usize::try_from(metadata.len().min(MAX_FILE)).unwrap_or(0);
        let mut text = Zeroizing::new(String::with_capacity(size + 1));
        file.take(MAX_FILE)
            .read_to_string(&mut text)
            .map_err(failed)?;
        Self::parse(&text).map_err(|message| KeyFileError::Invalid {
            path: path.to_owned(),
            message,
        })
    }

    /// Reads the text of a key file. The error names the field, and is complete but for the file's name.
    pub(in crate::store) fn parse(text: &str) -> Result<Self, String> {
        let mut field = String::new();
        let options = serde_saphyr::options! { with_snippet: false };
        let parsed = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
            serde_path_to_error::deserialize::<_, File>(yaml).map_err(|error| {
                field = error.path().to_string();
                error.into_inner()
            })
        });
        let File {
            api_version,
            kind,
            keys,
        } = parsed.map_err(|error| describe(&error, &field))?;
        if api_version != API_VERSION {
            return Err(format!("apiVersion: is not known; write {API_VERSION}"));
        }
        if kind != KIND {
            return Err(format!("kind: is not known; write {KIND}"));
        }
        if keys.is_empty() {
            return Err("keys: there is none; `seedpod config encryption-key` adds one".to_owned());
        }
        let mut all = Self::default();
        for (index, entry) in keys.into_iter().enumerate() {
            all.add(index, entry)
                .map_err(|what| format!("keys[{index}]{what}"))?;
        }
        Ok(all)
    }

    fn add(&mut self, index: usize, entry: Entry) -> Result<(), String> {
        let (name, secret) = match (entry.identity, entry.name, entry.secret) {
            (Some(Identity {}), None, None) if index == 0 => {
                self.identity = true;
                return Ok(());
            }
            (Some(Identity {}), None, None) => {
                return Err(
                    ".identity: what is not encrypted can always be read; remove this entry, or make it the first one \
                     to turn encryption off"
                        .to_owned(),
                );
            }
            (None, Some(name), Some(secret)) => (name, secret),
            (None, None, _) => return Err(".name: is not set".to_owned()),
            (None, Some(_), None) => return Err(".secret: is not set".to_owned()),
            (Some(Identity {}), ..) => {
                return Err(".identity: stands alone, without name and secret".to_owned());
            }
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(allowed) {
            return Err(format!(
                ".name: must be 1 to {MAX_NAME} letters, digits, '.', '_' or '-'"
            ));
        }
        if self.keys.iter().any(|key| key.name == name) {
            return Err(format!(".name: {name:?} is taken by an earlier entry"));
        }
        let not_a_key = || {
            format!(
                ".secret: must be {KEY_LENGTH} random bytes in base64; `head -c {KEY_LENGTH} /dev/urandom | base64` \
                 gives them"
            )
        };
        let mut bytes = Zeroizing::new([0; KEY_LENGTH + 2]);
        let length = BASE64.decode_slice(secret.trim(), &mut *bytes);
        if length != Ok(KEY_LENGTH) {
            return Err(not_a_key());
        }
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &bytes[..KEY_LENGTH]);
        let cipher = cipher.map_err(|_| not_a_key())?;
        self.keys.push(Key { name, cipher });
        Ok(())
    }
}

/// `field: what is wrong, with line and column`, without a word of the file: that could be of a secret.
fn describe(error: &serde_saphyr::Error, field: &str) -> String {
    // Only names that we know: who knows what else stands where a key should.
    const KNOWN: [&str; 6] = ["apiVersion", "kind", "keys", "name", "secret", "identity"];
    let parts = field.split('.').take_while(|part| {
        let name = part.split('[').next().unwrap_or_default();
        KNOWN.contains(&name)
    });
    let field = parts.collect::<Vec<_>>().join(".");
    let field = if field.is_empty() { "the file" } else { &field };
    let place = error.location().map_or_else(String::new, |location| {
        format!(" at line {}, column {}", location.line(), location.column())
    });
    format!(
        "{field}: cannot be understood{place}; it has to be YAML with apiVersion, kind and keys, each key with a name and \
         a secret and nothing else"
    )
}
