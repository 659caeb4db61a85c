//! Directories that a reset removes: those of the configuration, and what is below them.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use crate::fs::{FileSystem, Kind, Name, remove_tree};

/// Why a directory is not removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not among reset.directories of the daemon's configuration ({})", path.display(), allowed(.directories))]
pub(crate) struct NotAllowed {
    path: PathBuf,
    directories: Vec<PathBuf>,
}

fn allowed(directories: &[PathBuf]) -> String {
    if directories.is_empty() {
        return "there are none".to_owned();
    }
    let all: Vec<String> = directories
        .iter()
        .map(|it| it.display().to_string())
        .collect();
    format!("{}, or below", all.join(", "))
}

/// The directory of the configuration that a path is, or is below.
pub(super) fn base<'a>(directories: &'a [PathBuf], path: &Path) -> Result<&'a Path, NotAllowed> {
    let plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    directories
        .iter()
        .find(|directory| plain && path.starts_with(directory))
        .map(PathBuf::as_path)
        .ok_or_else(|| NotAllowed {
            path: path.to_owned(),
            directories: directories.to_vec(),
        })
}

/// Removes a directory at `base` or below it, and tells whether it was there. From `base` on, no symbolic link is
/// followed, and what is one is no directory.
pub(super) fn remove(fs: &dyn FileSystem, base: &Path, path: &Path) -> io::Result<bool> {
    let parent = base.parent().ok_or(io::ErrorKind::InvalidFilename)?;
    // The way to it was chosen by whoever wrote the configuration, links and all.
    let parent = match std::fs::canonicalize(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        parent => parent?,
    };
    let mut folder = fs.open_dir(&parent)?;
    let mut names = path
        .strip_prefix(base.parent().unwrap_or(base))
        .map_err(io::Error::other)?
        .components()
        .map(|part| Name::new(part.as_os_str()))
        .collect::<io::Result<Vec<_>>>()?;
    let last = names.pop().ok_or(io::ErrorKind::InvalidFilename)?;
    for name in names {
        if folder.stat(&name)?.is_none() {
            return Ok(false);
        }
        folder = folder.open_dir(&name)?;
    }
    match folder.stat(&last)? {
        None => return Ok(false),
        Some(stat) if stat.kind != Kind::Folder => return Err(io::ErrorKind::NotADirectory.into()),
        Some(_) => {}
    }
    let was_empty = folder.open_dir(&last)?.list()?.is_empty();
    match remove_tree(&*folder, &last) {
        // A disk is mounted there: what was on it is gone, and that was all.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            let emptied = folder.open_dir(&last)?;
            if !emptied.list()?.is_empty() {
                return Err(error);
            }
            emptied.sync()?;
            Ok(!was_empty)
        }
        removed => {
            removed?;
            folder.sync()?;
            Ok(true)
        }
    }
}
