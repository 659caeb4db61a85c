//! The one place that writes to disk.
//!
//! [`FileSystem`] is as thin as it can be: one method per system call that matters for durability, so that a simulated
//! disk can cut the power between any two of them (`sim`, in tests). What is built from these calls stands below it
//! and works on both. `disk` is the real one; `dir` a folder that is held open, below which no symbolic link leads away.

mod dir;
mod disk;
#[cfg(test)]
pub(crate) mod sim;

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

pub(crate) use self::{
    dir::{Access, Dir, Kind, Name, Stat, own_uid, remove_tree},
    disk::{Disk, open_regular},
};

/// The system calls that change a disk, and those that read it back.
pub(crate) trait FileSystem: fmt::Debug + Send + Sync + 'static {
    /// Makes a folder; OK when it is there already.
    fn make_dir(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// Opens a file for writing, new or emptied, without following a symbolic link.
    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn OpenFile>>;
    /// Opens a file that is there for writing at its end.
    fn append(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;
    /// Renames within one file system, over what is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames within one file system; [`io::ErrorKind::AlreadyExists`] when there is something.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; OK when it is not there.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Reads a whole file of at most `limit` bytes.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;
    /// Reads at most `length` bytes from `offset` on; fewer only at the file's end.
    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// The names in a folder, ordered.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Makes the contents of several files durable, in any order.
    fn sync_all(&self, files: &mut [Box<dyn OpenFile>]) -> io::Result<()> {
        files.iter_mut().try_for_each(|file| file.sync())
    }
    /// Opens a folder; [`io::ErrorKind::NotADirectory`] when its last name is a symbolic link.
    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn Dir>>;
}

/// A file that is being written.
pub(crate) trait OpenFile: Send {
    /// Writes all bytes at the end.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes the content durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// How the names of files that are not finished begin. The kubelet does not read names that begin with a dot.
pub(crate) const STAGED_PREFIX: &str = ".seedpod-staged-";

/// The name under which `name` is staged in the same folder.
pub(crate) fn staged(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{STAGED_PREFIX}{name}"))
}

/// Writes a durable file that nobody sees under its name yet.
///
/// On an error nothing is left behind, as far as the disk lets us.
pub(crate) fn stage(
    fs: &dyn FileSystem,
    dir: &Path,
    name: &str,
    bytes: &[u8],
    mode: u32,
) -> io::Result<()> {
    let path = staged(dir, name);
    let write = || {
        let mut file = fs.create(&path, mode)?;
        file.write_all(bytes)?;
        file.sync()
    };
    write().inspect_err(|_| {
        // The error that matters is the first one; a full disk should not be kept full by the attempt.
        let _ = fs.remove_file(&path);
    })
}

/// As [`stage`] for several files with their names, which become durable together: that takes less time than one by one.
pub(crate) fn stage_all<B: AsRef<[u8]>>(
    fs: &dyn FileSystem,
    dir: &Path,
    files: &[(String, B)],
    mode: u32,
) -> io::Result<()> {
    let write = || {
        let mut open = Vec::with_capacity(files.len());
        for (name, bytes) in files {
            let mut file = fs.create(&staged(dir, name), mode)?;
            file.write_all(bytes.as_ref())?;
            open.push(file);
        }
        fs.sync_all(&mut open)
    };
    write().inspect_err(|_| {
        for (name, _) in files {
            let _ = fs.remove_file(&staged(dir, name));
        }
    })
}

/// Gives a staged file its name. Durable only after [`FileSystem::sync_dir`].
pub(crate) fn unveil(fs: &dyn FileSystem, dir: &Path, name: &str) -> io::Result<()> {
    let path = staged(dir, name);
    fs.rename(&path, &dir.join(name)).inspect_err(|_| {
        let _ = fs.remove_file(&path);
    })
}

/// As [`unveil`], but never over a file that is there.
pub(crate) fn unveil_new(fs: &dyn FileSystem, dir: &Path, name: &str) -> io::Result<()> {
    let path = staged(dir, name);
    fs.rename_new(&path, &dir.join(name)).inspect_err(|_| {
        let _ = fs.remove_file(&path);
    })
}

/// Removes what an interrupted [`stage`] left in a folder.
pub(crate) fn remove_staged(fs: &dyn FileSystem, dir: &Path) -> io::Result<()> {
    for name in fs.list(dir)? {
        if name.starts_with(STAGED_PREFIX) {
            fs.remove_file(&dir.join(name))?;
        }
    }
    Ok(())
}

/// Whether an error means that there is no room: the disk is full, or a quota is reached.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
