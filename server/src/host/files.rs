//! Single files, written whole and durably.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::fs::{Access, Dir, FileSystem, Name, STAGED_PREFIX};

/// For nobody but root, as a kubeconfig should be.
const ACCESS: Access = Access {
    mode: 0o600,
    group: None,
};

/// The largest file that is compared. A larger one is another than ours.
const LIMIT: usize = 4 << 20;

/// The folder of a file and its name there.
fn split(path: &Path) -> io::Result<(&Path, Name)> {
    let (folder, name) = (path.parent(), path.file_name());
    let (Some(folder), Some(name)) = (folder, name) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    Ok((folder, Name::new(name)?))
}

/// `None`: the folder is not there.
fn open(fs: &dyn FileSystem, folder: &Path) -> io::Result<Option<Box<dyn Dir>>> {
    match fs.open_dir(folder) {
        Ok(folder) => Ok(Some(folder)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn is_there(fs: &dyn FileSystem, path: &Path) -> io::Result<bool> {
    let (folder, name) = split(path)?;
    match open(fs, folder)? {
        Some(folder) => Ok(folder.stat(&name)?.is_some()),
        None => Ok(false),
    }
}

/// Whether a file has this content and nobody else may read it; `None`: whether it is not there.
pub(super) fn is_as(fs: &dyn FileSystem, path: &Path, content: Option<&[u8]>) -> io::Result<bool> {
    let (folder, name) = split(path)?;
    let Some(folder) = open(fs, folder)? else {
        return Ok(content.is_none());
    };
    let Some(stat) = folder.stat(&name)? else {
        return Ok(content.is_none());
    };
    let Some(content) = content else {
        return Ok(false);
    };
    if !ACCESS.is_of(&stat) || stat.size != content.len() as u64 {
        return Ok(false);
    }
    Ok(folder.read(&name, LIMIT)?.as_slice() == content)
}

/// Puts a file in the place of whatever is there. Whoever reads sees the old one or the new one, also after a power cut.
pub(super) fn put(fs: &dyn FileSystem, path: &Path, content: &[u8]) -> io::Result<()> {
    let (folder, name) = split(path)?;
    let opened = match open(fs, folder)? {
        Some(opened) => opened,
        None => make(fs, folder)?,
    };
    let staged = Name::new(format!("{STAGED_PREFIX}{name}"))?;
    // What a crash has left.
    if opened.stat(&staged)?.is_some() {
        opened.remove_file(&staged)?;
    }
    opened.create(&staged, ACCESS, content, true)?;
    opened.rename(&staged, &name)?;
    opened.sync()
}

/// Makes a folder with those above it, as others may read it.
fn make(fs: &dyn FileSystem, folder: &Path) -> io::Result<Box<dyn Dir>> {
    let parent = folder.parent().ok_or(io::ErrorKind::NotFound)?;
    if open(fs, parent)?.is_none() {
        make(fs, parent)?;
    }
    fs.make_dir(folder, 0o755)?;
    fs.sync_dir(parent)?;
    fs.open_dir(folder)
}

/// Removes a file durably. OK when it is not there.
pub(super) fn remove(fs: &dyn FileSystem, path: &Path) -> io::Result<()> {
    let (folder, name) = split(path)?;
    let Some(folder) = open(fs, folder)? else {
        return Ok(());
    };
    if folder.stat(&name)?.is_none() {
        return Ok(());
    }
    folder.remove_file(&name)?;
    folder.sync()
}

/// The files in a folder whose names begin so. None when it is not there.
pub(super) fn beginning_with(
    fs: &dyn FileSystem,
    folder: &Path,
    prefix: &str,
) -> io::Result<Vec<PathBuf>> {
    let Some(opened) = open(fs, folder)? else {
        return Ok(Vec::new());
    };
    let names = opened.list()?;
    Ok(names
        .iter()
        .filter(|name| name.as_str().is_some_and(|name| name.starts_with(prefix)))
        .map(|name| folder.join(name.as_os_str()))
        .collect())
}
