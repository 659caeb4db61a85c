//! Reading the folder at the start: all of it must be whole, and nothing that is not needed stays.

use std::{collections::BTreeSet, io, path::Path};

use seedpod_manifest::KeyedDigest;
use zeroize::Zeroizing;

use super::{
    FOLDER, Handoff, HandoffFile, Kept, MATERIAL, MATERIAL_KIND, MaterialError, RECORD,
    material_name, material_path, remove_materials,
};
use crate::{
    fs::{self, FileSystem},
    handoff::Record,
    store::{
        OpenError, Store,
        objects::{self, ContentError, Contents, Opened},
        open::{list, tidy},
    },
};

/// No material is larger: a request has at most 64 MiB, and no more than that can be configured.
const MAX_MATERIAL: u64 = 128 << 20;

/// No record is larger: it has names only.
const MAX_RECORD: u64 = 16 << 20;

impl Handoff {
    /// Reads the folder in the state directory `state`.
    pub(in crate::store) fn open(
        fs: &dyn FileSystem,
        state: &Path,
        contents: &Contents,
    ) -> Result<Self, OpenError> {
        let dir = state.join(FOLDER);
        let failed = |source| OpenError::Io {
            path: dir.clone(),
            source,
        };
        match fs.list(&dir) {
            // There never was a handoff.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self {
                    dir,
                    ..Self::default()
                });
            }
            listed => drop(listed.map_err(failed)?),
        }
        tidy(fs, &dir)?;
        let there = list(fs, &dir)?;
        let (now, file) = record(fs, &dir)?;
        let mut garbage = BTreeSet::new();
        for name in there.iter().filter(|name| *name != RECORD) {
            let digest = name.strip_suffix(MATERIAL).and_then(parse_hex);
            let digest = digest.ok_or_else(|| OpenError::Stray {
                path: dir.join(name),
            })?;
            garbage.insert(digest);
        }
        if let Some(needed) = &now.material {
            garbage.remove(needed);
            check(fs, &dir, needed, contents)?;
        }
        if !garbage.is_empty() {
            // Of a record that never came, or went.
            remove_materials(fs, &dir, &garbage).map_err(failed)?;
        }
        Ok(Self {
            dir,
            now,
            file,
            garbage: BTreeSet::new(),
        })
    }

    pub(in crate::store) fn record(&self) -> Option<&Record> {
        self.now.record.as_deref()
    }
}

impl Store {
    /// A handoff goes with its bundle; the power may have gone in between.
    pub(in crate::store) fn settle_handoff(&mut self) -> Result<(), OpenError> {
        let Some(record) = self.handoff.record() else {
            return Ok(());
        };
        let active = self.bundles.get(&record.spec.bundle);
        let active = active.and_then(|history| history.active.as_ref());
        if active.is_some_and(|active| !active.removed) {
            return Ok(());
        }
        self.forget_handoff().map_err(|error| OpenError::Io {
            path: self.handoff.dir.join(RECORD),
            source: io::Error::other(error),
        })
    }
}

fn record(fs: &dyn FileSystem, dir: &Path) -> Result<(Kept, Option<String>), OpenError> {
    let path = dir.join(RECORD);
    let bytes = match fs.read(&path, MAX_RECORD) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((Kept::default(), None));
        }
        Err(source) => return Err(OpenError::Io { path, source }),
        Ok(bytes) => bytes,
    };
    let file = HandoffFile::decode(&bytes).map_err(|source| OpenError::Handoff {
        path,
        folder: dir.to_owned(),
        source,
    })?;
    // It was decoded, and so is text.
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok((file.into(), Some(text)))
}

/// Sees to it that a material is whole, and encrypted with what the first key says.
fn check(
    fs: &dyn FileSystem,
    dir: &Path,
    digest: &KeyedDigest,
    contents: &Contents,
) -> Result<(), OpenError> {
    let path = material_path(dir, digest);
    let read = content(fs, dir, digest, contents).and_then(|(content, key)| {
        super::file::decode_material(&content)?;
        Ok((content, key))
    });
    let (content, key) = read.map_err(|source| OpenError::Material {
        path: path.clone(),
        source,
    })?;
    let keys = contents.keys();
    if key.as_deref() == keys.name() {
        return Ok(());
    }
    // It says the same as before: a power cut may leave the one or the other.
    let write = || {
        let name = material_name(digest);
        let file = objects::encode(MATERIAL_KIND, &name, keys, &content);
        let file = file.ok_or_else(|| io::Error::other("the encryption failed"))?;
        fs::stage(fs, dir, &name, &file, 0o600)?;
        fs::unveil(fs, dir, &name)?;
        fs.sync_dir(dir)
    };
    write().map_err(|source| OpenError::Io { path, source })
}

/// Reads the content of a material and sees to it that it is whole. Also tells the name of the key that it is encrypted
/// with.
pub(super) fn content(
    fs: &dyn FileSystem,
    dir: &Path,
    digest: &KeyedDigest,
    contents: &Contents,
) -> Result<(Zeroizing<Vec<u8>>, Option<String>), MaterialError> {
    let name = material_name(digest);
    let keys = contents.keys();
    let read = objects::read_up_to(MAX_MATERIAL, fs, dir, MATERIAL_KIND, &name, keys);
    let Opened { content, key } = read?;
    if contents.digest_key().digest(&content) != *digest {
        return Err(ContentError::Damaged.into());
    }
    Ok((content, key))
}

fn parse_hex(hex: &str) -> Option<KeyedDigest> {
    format!("hmac-sha256:{hex}").parse().ok()
}
