//! Reading the folder at the start: all that is needed must be whole, and nothing else stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::Arc,
};

use seedpod_manifest::{BundleName, DigestKey, KeyedDigest, ObjectKey};
use zeroize::Zeroizing;

use super::{Contents, EncryptionKeys, OBJECT_KIND, Opened, encode, read};
use crate::{
    fs::{self, FileSystem},
    store::{
        OpenError,
        id::fill_randomly,
        objects::ContentError,
        open::{list, tidy},
        record,
    },
};

/// The file with the key of all digests.
const DIGEST_KEY: &str = "digest-key";
const DIGEST_KEY_KIND: &str = "seedpod-digest-key";

/// One of those that need a content.
#[derive(Debug)]
pub(in crate::store) struct Need {
    pub(in crate::store) object: ObjectKey,
    pub(in crate::store) bundle: BundleName,
    pub(in crate::store) revision: u64,
}

/// What the folder has.
struct Found {
    /// Those that are needed and encrypted with another key than the first one, or not and should be.
    outdated: Vec<KeyedDigest>,
    /// The names of those that nothing needs.
    orphans: Vec<String>,
}

impl Contents {
    /// Opens the folder in the state directory `state`, and makes it where there is none.
    ///
    /// Each content that is needed must be whole and readable with these keys. Only when all are, anything is changed:
    /// what nothing needs is removed, and what is not encrypted with the first key is encrypted anew, file by file. When
    /// the power is cut in between, the next start goes on with it.
    pub(in crate::store) fn open(
        fs: Arc<dyn FileSystem>,
        state: &Path,
        keys: EncryptionKeys,
        needed: &BTreeMap<KeyedDigest, Need>,
    ) -> Result<Self, OpenError> {
        let dir = state.join("objects");
        let failed = |source| OpenError::Io {
            path: dir.clone(),
            source,
        };
        fs.make_dir(&dir, 0o700)
            .and_then(|()| fs.sync_dir(state))
            .map_err(failed)?;
        tidy(&*fs, &dir)?;
        let there = list(&*fs, &dir)?;
        let (digest_key, key_is_outdated) = digest_key(&*fs, &dir, &keys, &there, needed)?;
        let contents = Self {
            fs,
            dir,
            keys,
            digest_key,
        };
        let found = contents.look(there, needed)?;
        contents.settle(&found, key_is_outdated)?;
        Ok(contents)
    }

    /// Looks at everything, and changes nothing.
    fn look(
        &self,
        there: Vec<String>,
        needed: &BTreeMap<KeyedDigest, Need>,
    ) -> Result<Found, OpenError> {
        let mut outdated = Vec::new();
        for (digest, need) in needed {
            let opened = self.load(digest).map_err(|source| {
                let content = OpenError::Content {
                    object: need.object.clone(),
                    path: self.path(digest),
                    source: Box::new(source),
                };
                self.incomplete(need, content)
            })?;
            if opened.key.as_deref() != self.keys.name() {
                outdated.push(*digest);
            }
        }
        let names: BTreeSet<String> = needed.keys().map(KeyedDigest::hex).collect();
        let mut orphans = Vec::new();
        for name in there {
            let is_digest = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
            if names.contains(&name) || name == DIGEST_KEY {
                continue;
            }
            if !is_digest {
                let path = self.dir.join(name);
                return Err(OpenError::Stray { path });
            }
            orphans.push(name);
        }
        Ok(Found { outdated, orphans })
    }

    fn incomplete(&self, need: &Need, source: OpenError) -> OpenError {
        let bundles = self.dir.with_file_name("bundles");
        OpenError::Incomplete {
            bundle: need.bundle.clone(),
            revision: need.revision,
            file: bundles
                .join(need.bundle.as_str())
                .join(record::file_name(need.revision)),
            source: Box::new(source),
        }
    }

    /// Makes the folder be as it should.
    fn settle(&self, found: &Found, key_is_outdated: bool) -> Result<(), OpenError> {
        let Found { outdated, orphans } = found;
        let work = || -> io::Result<()> {
            for name in orphans {
                self.fs.remove_file(&self.dir.join(name))?;
            }
            if key_is_outdated {
                let opened = read(
                    &*self.fs,
                    &self.dir,
                    DIGEST_KEY_KIND,
                    DIGEST_KEY,
                    &self.keys,
                );
                let Opened { content, .. } = opened.map_err(io::Error::other)?;
                self.replace(DIGEST_KEY_KIND, DIGEST_KEY, &content)?;
            }
            for digest in outdated {
                let Opened { content, .. } = self.load(digest).map_err(io::Error::other)?;
                self.replace(OBJECT_KIND, &digest.hex(), &content)?;
            }
            if key_is_outdated || !outdated.is_empty() || !orphans.is_empty() {
                self.fs.sync_dir(&self.dir)?;
            }
            Ok(())
        };
        work().map_err(|source| OpenError::Io {
            path: self.dir.clone(),
            source,
        })?;
        if key_is_outdated || !outdated.is_empty() {
            let contents = outdated.len();
            match self.keys.name() {
                Some(key) => tracing::info!(
                    key,
                    contents,
                    "encrypted what was not, or not with this key"
                ),
                None => tracing::warn!(
                    contents,
                    "decrypted what was encrypted, as the key file says"
                ),
            }
        }
        Ok(())
    }

    fn replace(&self, kind: &str, name: &str, content: &[u8]) -> io::Result<()> {
        let file = encode(kind, name, &self.keys, content);
        let file = file.ok_or_else(|| io::Error::other("the encryption failed"))?;
        fs::stage(&*self.fs, &self.dir, name, &file, 0o600)?;
        fs::unveil(&*self.fs, &self.dir, name)
    }
}

/// Reads the digest key, or makes one in a new folder. Also tells whether it has to be encrypted anew.
fn digest_key(
    fs: &dyn FileSystem,
    dir: &Path,
    keys: &EncryptionKeys,
    there: &[String],
    needed: &BTreeMap<KeyedDigest, Need>,
) -> Result<(DigestKey, bool), OpenError> {
    let path = dir.join(DIGEST_KEY);
    match read(fs, dir, DIGEST_KEY_KIND, DIGEST_KEY, keys) {
        Ok(Opened { content, key }) => match parse_digest_key(&content) {
            Some(digest_key) => Ok((digest_key, key.as_deref() != keys.name())),
            None => Err(OpenError::DigestKey {
                path,
                source: ContentError::Damaged,
            }),
        },
        Err(ContentError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            // It was durable before anything that needs it.
            if !needed.is_empty() || !there.is_empty() {
                return Err(OpenError::NoDigestKey { path });
            }
            let made = make_digest_key(fs, dir, keys);
            Ok((
                made.map_err(|source| OpenError::Io { path, source })?,
                false,
            ))
        }
        Err(source) => Err(OpenError::DigestKey { path, source }),
    }
}

fn make_digest_key(
    fs: &dyn FileSystem,
    dir: &Path,
    keys: &EncryptionKeys,
) -> io::Result<DigestKey> {
    let mut bytes = Zeroizing::new([0; 32]);
    fill_randomly(&mut *bytes)?;
    let digest_key = DigestKey::new(bytes.clone());
    let mut content = Zeroizing::new([0; 64]);
    content[..32].copy_from_slice(&*bytes);
    content[32..].copy_from_slice(check_of(&digest_key).as_bytes());
    let file = encode(DIGEST_KEY_KIND, DIGEST_KEY, keys, &*content);
    let file = file.ok_or_else(|| io::Error::other("the encryption failed"))?;
    fs::stage(fs, dir, DIGEST_KEY, &file, 0o600)?;
    fs::unveil(fs, dir, DIGEST_KEY)?;
    fs.sync_dir(dir)?;
    Ok(digest_key)
}

fn parse_digest_key(content: &[u8]) -> Option<DigestKey> {
    let (bytes, check) = content.split_first_chunk::<32>()?;
    let digest_key = DigestKey::new(Zeroizing::new(*bytes));
    (check == check_of(&digest_key).as_bytes()).then_some(digest_key)
}

/// What follows the key in its file and tells whether it is whole.
fn check_of(digest_key: &DigestKey) -> KeyedDigest {
    digest_key.digest(DIGEST_KEY_KIND.as_bytes())
}
