//! The real disk.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::Path,
    time::Instant,
};

use super::{Dir, FileSystem, OpenFile, dir::DiskDir};
use crate::metrics::Metrics;

/// The real disk.
#[derive(Debug)]
pub(crate) struct Disk {
    metrics: Metrics,
}

impl Disk {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { metrics }
    }

    pub(super) fn timed_sync(metrics: &Metrics, file: &File) -> io::Result<()> {
        let start = Instant::now();
        let result = file.sync_all();
        metrics.observe_fsync(start.elapsed());
        result
    }
}

/// Opens a regular file for reading. Does not hang on a named pipe that somebody put there.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let non_blocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits())
        .map_err(|_| io::ErrorKind::InvalidInput)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(non_blocking)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "not a regular file",
        ));
    }
    Ok(file)
}

struct DiskFile {
    file: File,
    metrics: Metrics,
}

impl OpenFile for DiskFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Disk::timed_sync(&self.metrics, &self.file)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "this is the layer that the others are sent to"
)]
impl FileSystem for Disk {
    fn make_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(path)
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn OpenFile>> {
        let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits())
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .custom_flags(no_follow)
            .open(path)?;
        Ok(Box::new(DiskFile {
            file,
            metrics: self.metrics.clone(),
        }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let file = OpenOptions::new()
            .append(true)
            .custom_flags(flags)
            .open(path)?;
        Ok(Box::new(DiskFile {
            file,
            metrics: self.metrics.clone(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        use rustix::{
            fs::{CWD, RenameFlags, renameat_with},
            io::Errno,
        };
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Not each file system knows the flag. A look before the rename leaves a gap, but a small one.
            Err(Errno::INVAL | Errno::NOSYS) => match to.symlink_metadata() {
                Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::rename(from, to),
                Err(error) => Err(error),
            },
            other => other.map_err(io::Error::from),
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        absent_is_fine(std::fs::remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        absent_is_fine(std::fs::remove_dir(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        Self::timed_sync(&self.metrics, &File::open(path)?)
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let file = open_regular(path)?;
        // Room for all of it at once: a vector that grows leaves pieces behind of what may have to be wiped.
        let size = file.metadata()?.len().min(limit);
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("larger than {limit} bytes"),
            ));
        }
        Ok(bytes)
    }

    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = open_regular(path)?;
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            // A name that is no UTF-8 is none of ours; the kubelet would read it, so it must not get lost.
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Several at a time: a file system with a journal writes it once for all who wait.
    fn sync_all(&self, files: &mut [Box<dyn OpenFile>]) -> io::Result<()> {
        let share = files.len().div_ceil(SYNC_THREADS).max(1);
        let sync =
            |files: &mut [Box<dyn OpenFile>]| files.iter_mut().try_for_each(|file| file.sync());
        let mut shares = files.chunks_mut(share);
        let own = shares.next();
        std::thread::scope(|scope| {
            let spawn =
                |files| std::thread::Builder::new().spawn_scoped(scope, move || sync(files));
            let others: Vec<_> = shares.map(spawn).collect();
            let own = own.map_or(Ok(()), sync);
            let joined = others.into_iter().map(|other| {
                let failed = || io::Error::other("a thread that syncs has failed");
                other?.join().unwrap_or_else(|_| Err(failed()))
            });
            joined.fold(own, Result::and)
        })
    }

    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn Dir>> {
        Ok(Box::new(DiskDir::open(path, self.metrics.clone())?))
    }
}

/// How many files are synced at a time. More gain little on a disk that has one journal.
const SYNC_THREADS: usize = 8;

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
