//! Writing into the folder, each file whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{NewFile, RenderError, Written};
use crate::whole_file::{self, Existing};

/// Locked while somebody renders.
const LOCK: &str = ".seedpod-lock";

pub(super) struct Writer {
    directory: PathBuf,
    /// Held until this is dropped.
    _lock: File,
}

impl Writer {
    /// Makes the folder, private, and sees that nobody else writes into it.
    pub(super) fn open(directory: &Path) -> Result<Self, RenderError> {
        make_folder(directory)?;
        let path = directory.join(LOCK);
        let failed = |source| RenderError::Write {
            path: path.clone(),
            source,
        };
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                directory: directory.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(RenderError::Busy {
                directory: directory.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// What was there stays; its rights are narrowed.
    pub(super) fn keep_or_make(&self, file: &NewFile) -> Result<Written, RenderError> {
        if file.written == Written::Kept {
            self.narrow(&file.path)?;
            return Ok(Written::Kept);
        }
        self.write(&file.path, &file.text)
    }

    pub(super) fn write(
        &self,
        name: &str,
        text: &Zeroizing<String>,
    ) -> Result<Written, RenderError> {
        let path = self.directory.join(name);
        let before = match fs::read(&path) {
            Ok(bytes) => Some(Zeroizing::new(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(RenderError::Read { path, source }),
        };
        if before
            .as_deref()
            .is_some_and(|bytes| bytes == text.as_bytes())
        {
            self.narrow(name)?;
            return Ok(Written::Kept);
        }
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        // The lock is ours: what is staged there is left from somebody who was killed, and may hold a key.
        whole_file::remove_leftovers(&path)
            .and_then(|()| whole_file::write(&path, text.as_bytes(), mode(name), Existing::Replace))
            .map_err(|source| RenderError::Write { path, source })?;
        Ok(match before {
            None => Written::Made,
            Some(_) => Written::Changed,
        })
    }

    /// Removes the file, and the folders that are empty then. `false` when it was not there.
    #[allow(
        clippy::disallowed_methods,
        reason = "not the daemon: the folder is the user's"
    )]
    pub(super) fn remove(&self, name: &str) -> Result<bool, RenderError> {
        let path = self.directory.join(name);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(RenderError::Write { path, source }),
        }
        let mut folder = path.parent();
        while let Some(empty) = folder.filter(|folder| *folder != self.directory) {
            if fs::remove_dir(empty).is_err() {
                break;
            }
            folder = empty.parent();
        }
        Ok(true)
    }

    /// Takes away what others may do with a file that is there.
    fn narrow(&self, name: &str) -> Result<(), RenderError> {
        let path = self.directory.join(name);
        let failed = |source| RenderError::Write {
            path: path.clone(),
            source,
        };
        let metadata = fs::symlink_metadata(&path).map_err(failed)?;
        let found = metadata.permissions().mode() & 0o777;
        let wanted = found & mode(name);
        // What a link leads to is somebody else's to guard.
        if metadata.is_file() && found != wanted {
            fs::set_permissions(&path, fs::Permissions::from_mode(wanted)).map_err(failed)?;
        }
        Ok(())
    }
}

/// Everything may hold a key but what is made to be shown.
fn mode(name: &str) -> u32 {
    let public = [".crt", ".pub"].iter().any(|end| name.ends_with(end)) && name.starts_with("pki/");
    if public { 0o644 } else { 0o600 }
}

fn make_folder(folder: &Path) -> Result<(), RenderError> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.map_err(|source| RenderError::Write {
        path: folder.to_owned(),
        source,
    })
}
