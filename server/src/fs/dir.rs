//! A folder that is held open.
//!
//! What is done through it is done to that very folder and to single names in it: no path is resolved, and no symbolic
//! link followed, whoever else writes there.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, fstatfs, mkdirat,
    openat, renameat, statat, unlinkat,
};
use zeroize::Zeroizing;

use super::disk::Disk;
use crate::metrics::Metrics;

/// The longest name that Linux takes (`NAME_MAX`), in bytes.
const NAME_MAX: usize = 255;

/// How deep a tree may be that is removed: each level holds a folder open.
const MAX_DEPTH: usize = 1000;

/// What `statfs` says of file systems in memory (`linux/magic.h`).
const IN_MEMORY: [u32; 2] = [
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
];

/// The name of something in a folder: one component of a path, and neither "." nor "..".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(OsString);

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidFilename`] when it would not stay in its folder, or no file can have it.
    pub(crate) fn new(name: impl Into<OsString>) -> io::Result<Self> {
        let name = name.into();
        let bytes = name.as_bytes();
        let bad = bytes.is_empty()
            || bytes == b"."
            || bytes == b".."
            || bytes.len() > NAME_MAX
            || bytes.iter().any(|byte| matches!(byte, b'/' | 0));
        if bad {
            let what = format!("{:?} is no name of a file", name.to_string_lossy());
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, what));
        }
        Ok(Self(name))
    }

    pub(crate) fn as_os_str(&self) -> &OsStr {
        &self.0
    }

    /// The name as text. `None` when it is none.
    pub(crate) fn as_str(&self) -> Option<&str> {
        self.0.to_str()
    }
}

impl fmt::Display for Name {
    /// On one line, whatever is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.to_string_lossy().escape_debug())
    }
}

/// Who may do what. The owner is always the user that the daemon runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// The permissions with the set-group-ID bit, as in `chmod(2)`.
    pub(crate) mode: u32,
    /// `None`: the daemon's own.
    pub(crate) group: Option<u32>,
}

impl Access {
    /// For nobody but the daemon's user.
    pub(crate) const PRIVATE: Self = Self {
        mode: 0o700,
        group: None,
    };

    /// The id of the group.
    pub(crate) fn gid(self) -> u32 {
        self.group
            .unwrap_or_else(|| rustix::process::getegid().as_raw())
    }

    /// Whether something has exactly this access, and the daemon's user owns it.
    pub(crate) fn is_of(self, stat: &Stat) -> bool {
        stat.mode == self.mode && stat.gid == self.gid() && stat.uid == own_uid()
    }
}

/// The user that the daemon runs as.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    /// A symbolic link, or what else there may be.
    Other,
}

/// What is known of something in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) kind: Kind,
    /// As in [`Access`].
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// In bytes.
    pub(crate) size: u64,
}

/// A folder that is held open.
pub(crate) trait Dir: fmt::Debug + Send {
    /// Opens a folder in it; [`io::ErrorKind::NotADirectory`] for a symbolic link.
    fn open_dir(&self, name: &Name) -> io::Result<Box<dyn Dir>>;
    /// Makes a folder, whatever the umask says; [`io::ErrorKind::AlreadyExists`] when there is something of that name.
    fn make_dir(&self, name: &Name, access: Access) -> io::Result<()>;
    /// Writes a new file, whatever the umask says; [`io::ErrorKind::AlreadyExists`] when there is something of that
    /// name. After an error the file may be there in part. With `sync` it is durable, but for its name.
    fn create(&self, name: &Name, access: Access, bytes: &[u8], sync: bool) -> io::Result<()>;
    /// Gives this folder itself another access.
    fn set_access(&self, access: Access) -> io::Result<()>;
    /// The names in it, ordered.
    fn list(&self) -> io::Result<Vec<Name>>;
    /// What something in it is; `None` when it is not there.
    fn stat(&self, name: &Name) -> io::Result<Option<Stat>>;
    /// What is known of this folder itself.
    fn stat_self(&self) -> io::Result<Stat>;
    /// Reads a regular file of at most `limit` bytes. What was read is wiped when it is dropped.
    fn read(&self, name: &Name, limit: usize) -> io::Result<Zeroizing<Vec<u8>>>;
    /// Renames within it: a file over another one, or a folder to a name that is free.
    fn rename(&self, from: &Name, to: &Name) -> io::Result<()>;
    /// Removes anything but a folder.
    fn remove_file(&self, name: &Name) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, name: &Name) -> io::Result<()>;
    /// Makes the names in it durable.
    fn sync(&self) -> io::Result<()>;
    /// Whether it is gone anyhow with the power: on a tmpfs nothing needs to be synced.
    fn is_in_memory(&self) -> io::Result<bool>;
}

/// Removes whatever has this name, with all that is in it. Symbolic links are removed, never followed. OK when it is not
/// there.
pub(crate) fn remove_tree(dir: &dyn Dir, name: &Name) -> io::Result<()> {
    if !remove_entry(dir, name)? {
        return Ok(());
    }
    // The folders on the way down, each with its name in the one before it.
    let mut way: Vec<(Box<dyn Dir>, Name)> = vec![(dir.open_dir(name)?, name.clone())];
    while let Some((folder, _)) = way.last() {
        let mut inner = None;
        for entry in folder.list()? {
            if remove_entry(&**folder, &entry)? {
                inner = Some(entry);
                break;
            }
        }
        if let Some(inner) = inner {
            if way.len() >= MAX_DEPTH {
                return Err(io::Error::other("folders are nested too deep"));
            }
            let opened = folder.open_dir(&inner)?;
            way.push((opened, inner));
            continue;
        }
        let Some((_, name)) = way.pop() else { break };
        let parent = way.last().map_or(dir, |(parent, _)| &**parent);
        parent.remove_dir(&name)?;
    }
    Ok(())
}

/// Removes one entry unless it is a folder, and tells whether it is one.
fn remove_entry(dir: &dyn Dir, name: &Name) -> io::Result<bool> {
    match dir.stat(name)? {
        None => Ok(false),
        Some(stat) if stat.kind == Kind::Folder => Ok(true),
        Some(_) => dir.remove_file(name).map(|()| false),
    }
}

/// A folder of the real disk.
#[derive(Debug)]
pub(super) struct DiskDir {
    fd: OwnedFd,
    metrics: Metrics,
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

impl DiskDir {
    pub(super) fn open(path: &Path, metrics: Metrics) -> io::Result<Self> {
        // Without a slash at the end, which would have a symbolic link followed.
        let path: PathBuf = path.components().collect();
        let fd = openat(CWD, &path, FOLDER, Mode::empty())?;
        Ok(Self { fd, metrics })
    }
}

/// Gives an open file or folder its owner, group and mode.
fn set_access(fd: impl AsFd, access: Access) -> io::Result<()> {
    let found = stat_of(&fstat(&fd)?);
    let owner = (found.uid != own_uid()).then(own_uid);
    let group = (found.gid != access.gid()).then(|| access.gid());
    if owner.is_some() || group.is_some() {
        fchown(&fd, owner.map(Uid::from_raw), group.map(Gid::from_raw))?;
    }
    // After the owner, since a change of that may take bits away.
    fchmod(&fd, Mode::from_raw_mode(access.mode))?;
    // Without CAP_FSETID the kernel leaves the set-group-ID bit out, and says nothing.
    if stat_of(&fstat(&fd)?).mode != access.mode {
        let what = format!("the mode {:o} was not taken in full", access.mode);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    Ok(())
}

fn stat_of(stat: &rustix::fs::Stat) -> Stat {
    Stat {
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            _ => Kind::Other,
        },
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: u64::try_from(stat.st_size).unwrap_or(0),
    }
}

impl Dir for DiskDir {
    fn open_dir(&self, name: &Name) -> io::Result<Box<dyn Dir>> {
        let fd = openat(&self.fd, name.as_os_str(), FOLDER, Mode::empty())?;
        let metrics = self.metrics.clone();
        Ok(Box::new(Self { fd, metrics }))
    }

    fn make_dir(&self, name: &Name, access: Access) -> io::Result<()> {
        mkdirat(&self.fd, name.as_os_str(), Mode::RWXU)?;
        self.open_dir(name)?.set_access(access)
    }

    fn create(&self, name: &Name, access: Access, bytes: &[u8], sync: bool) -> io::Result<()> {
        let flags = OFlags::WRONLY
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file = File::from(openat(&self.fd, name.as_os_str(), flags, mode)?);
        set_access(&file, access)?;
        file.write_all(bytes)?;
        if sync {
            Disk::timed_sync(&self.metrics, &file)?;
        }
        Ok(())
    }

    fn set_access(&self, access: Access) -> io::Result<()> {
        set_access(&self.fd, access)
    }

    fn list(&self) -> io::Result<Vec<Name>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let bytes = entry?.file_name().to_bytes().to_vec();
            if bytes != b"." && bytes != b".." {
                names.push(Name::new(OsString::from_vec(bytes))?);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn stat(&self, name: &Name) -> io::Result<Option<Stat>> {
        match statat(&self.fd, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat_of(&stat))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn stat_self(&self) -> io::Result<Stat> {
        Ok(stat_of(&fstat(&self.fd)?))
    }

    fn read(&self, name: &Name, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
        // Does not hang on a named pipe that somebody put there.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(openat(&self.fd, name.as_os_str(), flags, Mode::empty())?);
        if stat_of(&fstat(&file)?).kind != Kind::File {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // In one piece from the start: a vector that grows leaves copies behind, which nobody wipes.
        let mut bytes = Zeroizing::new(Vec::with_capacity(limit.saturating_add(1)));
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        (&file).take(most).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn rename(&self, from: &Name, to: &Name) -> io::Result<()> {
        let (from, to) = (from.as_os_str(), to.as_os_str());
        Ok(renameat(&self.fd, from, &self.fd, to)?)
    }

    fn remove_file(&self, name: &Name) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name.as_os_str(), AtFlags::empty())?)
    }

    fn remove_dir(&self, name: &Name) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name.as_os_str(), AtFlags::REMOVEDIR)?)
    }

    fn sync(&self) -> io::Result<()> {
        Disk::timed_sync(&self.metrics, &File::from(self.fd.try_clone()?))
    }

    fn is_in_memory(&self) -> io::Result<bool> {
        let magic = fstatfs(&self.fd)?.f_type;
        Ok(u32::try_from(magic).is_ok_and(|magic| IN_MEMORY.contains(&magic)))
    }
}

#[cfg(test)]
mod tests;
