//! The contents of Secrets and ConfigMaps: one file for each distinct one, whichever revisions refer to it.
//!
//! A file is a head line as the other files of the state directory have and then the content as it is, or its nonce,
//! ciphertext and tag. Its name is the keyed digest of the content, so that whoever reads it can tell whether it is whole.
//! Nothing refers to a file before it is durable, and it is removed only when nothing that may still be on the disk does.

mod error;
mod open;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use seedpod_manifest::{DigestKey, KeyedDigest, Object, ObjectSummary, Objects};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub(crate) use self::error::ContentError;
pub(super) use self::open::Need;
use super::{
    EncryptionKeys,
    record::{FORMAT, FormatError},
    seal::Unopened,
};
use crate::{
    fs::{self, FileSystem},
    node::BundleObject,
};

const OBJECT_KIND: &str = "seedpod-object";
/// No object is larger: Kubernetes allows a Secret or ConfigMap 1 MiB, and base64 and its head add less than that again.
const MAX_FILE: u64 = 16 << 20;
/// How many files are written at a time: so many are open, and so many contents in memory.
const BATCH: usize = 64;

/// The folder of contents.
#[derive(Debug)]
pub(super) struct Contents {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    keys: EncryptionKeys,
    digest_key: DigestKey,
}

/// The first format that had contents.
const FIRST_FORMAT: u32 = 3;

/// The first line of each file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    kind: String,
    format: u32,
    /// The name of the key that it is encrypted with.
    key: Option<String>,
}

/// What was read.
pub(super) struct Opened {
    pub(super) content: Zeroizing<Vec<u8>>,
    /// The name of the key that it is encrypted with.
    pub(super) key: Option<String>,
}

impl Contents {
    /// What else is to be encrypted with.
    pub(super) fn keys(&self) -> &EncryptionKeys {
        &self.keys
    }

    /// The key of the digests of what is secret.
    pub(super) fn digest_key(&self) -> &DigestKey {
        &self.digest_key
    }

    pub(super) fn path(&self, digest: &KeyedDigest) -> PathBuf {
        self.dir.join(digest.hex())
    }

    /// Reads an object.
    pub(super) fn read(&self, summary: &ObjectSummary) -> Result<Object, ContentError> {
        let opened = self.load(&summary.digest)?;
        Object::decode(&opened.content)
            .filter(|object| *object.key() == summary.key)
            .ok_or(ContentError::NoObject)
    }

    #[cfg(test)]
    pub(super) fn check(&self, digest: &KeyedDigest) -> Result<(), ContentError> {
        self.load(digest).map(drop)
    }

    /// Reads a content and sees to it that it is whole.
    fn load(&self, digest: &KeyedDigest) -> Result<Opened, ContentError> {
        let opened = read(&*self.fs, &self.dir, OBJECT_KIND, &digest.hex(), &self.keys)?;
        if self.digest_key.digest(&opened.content) != *digest {
            return Err(ContentError::Damaged);
        }
        Ok(opened)
    }

    /// Makes the contents of all these objects durable, as far as they are not yet. What it writes is put into
    /// `written` first; what is in there already counts as not durable.
    pub(super) fn put(
        &self,
        objects: &[BundleObject],
        given: &Objects,
        written: &mut BTreeSet<KeyedDigest>,
    ) -> Result<(), (PathBuf, io::Error)> {
        if objects.is_empty() {
            return Ok(());
        }
        let failed = |source| (self.dir.clone(), source);
        let there = self.fs.list(&self.dir).map_err(failed)?;
        let mut names = BTreeSet::new();
        let mut missing: Vec<&ObjectSummary> = Vec::new();
        for BundleObject { summary, .. } in objects {
            let name = summary.digest.hex();
            let durable = there.binary_search(&name).is_ok() && !written.contains(&summary.digest);
            if !durable && names.insert(name) {
                missing.push(summary);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let staged = missing
            .chunks(BATCH)
            .try_for_each(|batch| self.stage(batch, given))
            .and_then(|()| {
                written.extend(missing.iter().map(|summary| summary.digest));
                let mut names = names.iter();
                names.try_for_each(|name| fs::unveil(&*self.fs, &self.dir, name).map_err(failed))
            });
        if let Err(error) = staged {
            for name in &names {
                let _ = self.fs.remove_file(&fs::staged(&self.dir, name));
            }
            return Err(error);
        }
        self.fs.sync_dir(&self.dir).map_err(failed)
    }

    fn stage(&self, batch: &[&ObjectSummary], given: &Objects) -> Result<(), (PathBuf, io::Error)> {
        let file = |summary: &&ObjectSummary| {
            let failed = |why: &str| {
                let what = format!("the content of {} {why}", summary.key);
                (self.path(&summary.digest), io::Error::other(what))
            };
            let content = given.get(&summary.key).map(Object::encode);
            let content = content.filter(|it| self.digest_key.digest(it) == summary.digest);
            let content = content.ok_or_else(|| failed("is neither given nor there"))?;
            let name = summary.digest.hex();
            let file = encode(OBJECT_KIND, &name, &self.keys, &content);
            Ok((name, file.ok_or_else(|| failed("can not be encrypted"))?))
        };
        let files: Vec<_> = batch.iter().map(file).collect::<Result<_, _>>()?;
        fs::stage_all(&*self.fs, &self.dir, &files, 0o600)
            .map_err(|source| (self.dir.clone(), source))
    }

    /// Removes contents that nothing on the disk refers to, for good. Once their names are gone nothing can read them
    /// from this folder; that the disk's old blocks are overwritten no program can promise.
    pub(super) fn remove<'a>(
        &self,
        digests: impl IntoIterator<Item = &'a KeyedDigest>,
    ) -> io::Result<()> {
        for digest in digests {
            self.fs.remove_file(&self.path(digest))?;
        }
        self.fs.sync_dir(&self.dir)
    }
}

/// What a file's content is bound to, so that no other file can be put into its place.
fn context(kind: &str, format: u32, name: &str) -> String {
    format!("{kind} {format} {name}")
}

/// A file of this folder, or of another one that holds what is secret. `None` when it cannot be encrypted.
pub(super) fn encode(
    kind: &str,
    name: &str,
    keys: &EncryptionKeys,
    content: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let head = Head {
        kind: kind.to_owned(),
        format: FORMAT,
        key: keys.name().map(str::to_owned),
    };
    let mut file = Zeroizing::new(serde_json::to_vec(&head).ok()?);
    file.push(b'\n');
    keys.seal(&context(kind, FORMAT, name), content, &mut file)?;
    Some(file)
}

/// Reads a file of this folder: its content, as far as the file itself tells that it is whole.
fn read(
    fs: &dyn FileSystem,
    dir: &Path,
    kind: &'static str,
    name: &str,
    keys: &EncryptionKeys,
) -> Result<Opened, ContentError> {
    read_up_to(MAX_FILE, fs, dir, kind, name, keys)
}

/// The same of a file that may be so large.
pub(super) fn read_up_to(
    max_file: u64,
    fs: &dyn FileSystem,
    dir: &Path,
    kind: &'static str,
    name: &str,
    keys: &EncryptionKeys,
) -> Result<Opened, ContentError> {
    let file = Zeroizing::new(fs.read(&dir.join(name), max_file)?);
    let split = file.iter().position(|byte| *byte == b'\n');
    let split = split.ok_or(FormatError::NoHead)?;
    let (head, body) = (&file[..split], &file[split + 1..]);
    let head: Head = serde_json::from_slice(head).map_err(FormatError::Head)?;
    if head.kind != kind {
        let (found, expected) = (head.kind, kind);
        return Err(FormatError::Kind { found, expected }.into());
    }
    if head.format > FORMAT {
        return Err(FormatError::Newer { found: head.format }.into());
    }
    if head.format < FIRST_FORMAT {
        return Err(ContentError::Damaged);
    }
    let content = match &head.key {
        None => Zeroizing::new(body.to_vec()),
        Some(key) => keys
            .open(key, &context(kind, head.format, name), body)
            .map_err(|error| ContentError::unopened(error, key, keys))?,
    };
    let key = head.key;
    Ok(Opened { content, key })
}
