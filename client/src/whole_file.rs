//! Files that are there whole or not at all.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

/// How the names of files begin that are not whole yet.
const STAGED: &str = ".seedpod-new-";

/// What to do with a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays as it is, and writing fails.
    Keep,
    /// The new one takes its place.
    Replace,
}

/// Writes a file: staged beside it with its final mode, synced, then moved into place.
///
/// # Errors
/// What the system says. The file is as it was before.
pub fn write(path: &Path, bytes: &[u8], mode: u32, existing: Existing) -> io::Result<()> {
    let folder = folder_of(path);
    let mut staged = tempfile::Builder::new()
        .prefix(STAGED)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)?;
    staged.write_all(bytes)?;
    // Set again, as the umask may have taken some of it.
    staged
        .as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    staged.as_file().sync_all()?;
    match existing {
        Existing::Replace => staged.persist(path),
        Existing::Keep => staged.persist_noclobber(path),
    }
    .map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Removes what a writer that was killed has left beside the file. Only for somebody who knows that nobody else writes there
/// now: the others' files would go too.
///
/// # Errors
/// What the system says.
#[allow(
    clippy::disallowed_methods,
    reason = "not the daemon: the folder is the user's"
)]
pub fn remove_leftovers(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder_of(path))? {
        let entry = entry?;
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(STAGED.as_bytes())
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests write their own scratch files"
)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_or_kept_and_has_its_mode() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let file = folder.path().join("key");
        write(&file, b"one", 0o600, Existing::Keep).expect("written");
        let kept = write(&file, b"two", 0o644, Existing::Keep).expect_err("it is there");
        assert_eq!(kept.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&file).expect("read"), b"one");
        write(&file, b"three", 0o666, Existing::Replace).expect("written");
        assert_eq!(fs::read(&file).expect("read"), b"three");
        let mode = fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o666);
        assert_eq!(names(folder.path()), ["key"]);
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let file = folder.path().join("key");
        for name in ["key", ".seedpod-new-a1B2", ".seedpod-lock", "seedpod-new-x"] {
            fs::write(folder.path().join(name), name).expect("written");
        }
        remove_leftovers(&file).expect("removed");
        assert_eq!(
            names(folder.path()),
            [".seedpod-lock", "key", "seedpod-new-x"]
        );
    }
}
