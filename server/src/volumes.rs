//! The folders on the node that stand for pods' volumes of Secrets and ConfigMaps.
//!
//! ```text
//! <volumesDirectory>/                        0700
//! <volumesDirectory>/<uid>/                  0700, one per pod content
//! <volumesDirectory>/<uid>/<volume>/...      as the kubelet would write them, owned by root and the pod's fsGroup
//! ```
//!
//! The projection puts them there before it writes the pod's file (`put`). They are written below a staged name and
//! renamed, so that a folder under its uid is whole; and they go when nothing of that uid is demanded or runs any more
//! (`collect`). Everything is done below handles of folders (`fs::Dir`) with checked names (`wanted`), so that neither a
//! path of a manifest nor a symbolic link leads out of them. The contents come from the store (`contents`) each time, and
//! are wiped at once.

mod collect;
mod contents;
mod put;
#[cfg(test)]
pub(crate) mod tests;
mod wanted;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use seedpod_manifest::VolumeContent;
use tokio::sync::watch;

use self::wanted::Wanted;
pub(crate) use self::{
    collect::{Inlets, start as collect},
    contents::{Committed, Contents, ContentsError},
    put::Differences,
};
use crate::{
    fs::{Access, Dir, FileSystem, Name, STAGED_PREFIX, own_uid, remove_tree},
    node::{Bundle, BundlePod},
};

/// How the name of a folder begins that is being removed.
const REMOVING_PREFIX: &str = ".seedpod-removing-";

/// Writes and removes volumes.
#[derive(Debug)]
pub(crate) struct Volumes {
    fs: Arc<dyn FileSystem>,
    contents: Box<dyn Contents>,
    directory: PathBuf,
    /// Held while anything is written or removed.
    writing: Mutex<()>,
    /// The uids that the projection knows of. `None`: not known (yet).
    projected: watch::Sender<Option<BTreeSet<String>>>,
}

/// What was done for a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Put {
    /// Nothing: the pod has no volumes, or they were as they should be.
    Nothing,
    /// They were not there.
    Made,
    /// Somebody had changed them, and they were put right.
    Repaired(Differences),
    /// Somebody changed them, and they were left so.
    Left(Differences),
}

/// Why a pod's volumes are not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutError {
    #[error("the volumes of pod {pod} cannot be made")]
    Contents {
        pod: String,
        #[source]
        source: ContentsError,
    },
    #[error("{} {fault}", path.display())]
    Directory { path: PathBuf, fault: &'static str },
    #[error(
        "there is no room for the pod's volumes in {}: make room there, enlarge that file system, or set \
         volumesDirectory to one with more room",
        path.display()
    )]
    Full {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the pod's volumes cannot be written to {}: seedpodd has to be root, with CAP_CHOWN and CAP_FSETID, to give \
         files the pod's fsGroup, and must be able to write there",
        path.display()
    )]
    Denied {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("seedpodd has a fault, which its log tells")]
    Panicked,
    #[error("the pod's volumes cannot be written to {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl PutError {
    fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            _ if crate::fs::is_full(&source) => Self::Full { path, source },
            io::ErrorKind::PermissionDenied => Self::Denied { path, source },
            _ => Self::Io { path, source },
        }
    }
}

impl Volumes {
    pub(crate) fn new(
        fs: Arc<dyn FileSystem>,
        contents: impl Contents,
        directory: PathBuf,
    ) -> Self {
        Self {
            fs,
            contents: Box::new(contents),
            directory,
            writing: Mutex::new(()),
            projected: watch::channel(None).0,
        }
    }

    /// The projection tells which contents it knows of: those that are demanded, and those that may still run. `None`
    /// when it can't tell.
    pub(crate) fn projected(&self, uids: Option<BTreeSet<String>>) {
        self.projected.send_if_modified(|known| {
            let modified = *known != uids;
            *known = uids;
            modified
        });
    }

    /// Sees to it that the volumes of a pod are there, whole, in the folder that was recorded with it. What somebody
    /// changed in them is put right if `repair` says so.
    pub(crate) fn put(
        &self,
        bundle: &Bundle,
        pod: &BundlePod,
        repair: bool,
    ) -> Result<Put, PutError> {
        let Some(path) = &pod.volumes else {
            return Ok(Put::Nothing);
        };
        let (Some(directory), true) = (path.parent(), path.ends_with(&pod.uid)) else {
            return Err(PutError::Contents {
                pod: pod.key.to_string(),
                source: ContentsError::Damaged,
            });
        };
        let _writing = self.write();
        let parent = self.open_or_make(directory)?;
        let mut done = Ok(Put::Nothing);
        let using = &mut |volumes: &[VolumeContent<'_>]| {
            done =
                Wanted::of(volumes).and_then(|wanted| put_in(&*parent, &pod.uid, &wanted, repair));
        };
        self.contents
            .with_volumes(bundle, pod, using)
            .map_err(|source| PutError::Contents {
                pod: pod.key.to_string(),
                source,
            })?;
        done.map_err(|source| PutError::of(path, source))
    }

    fn write(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a folder that volumes are in. Nobody else may write there: neither rename what is being written, nor put a
    /// symbolic link into its place.
    fn open_or_make(&self, path: &Path) -> Result<Box<dyn Dir>, PutError> {
        let opened = match self.fs.open_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make(path),
            opened => opened,
        };
        check(path, opened)
    }

    fn make(&self, path: &Path) -> io::Result<Box<dyn Dir>> {
        self.fs.make_dir(path, Access::PRIVATE.mode)?;
        let dir = self.fs.open_dir(path)?;
        if !dir.is_in_memory()?
            && let Some(parent) = path.parent()
        {
            self.fs.sync_dir(parent)?;
        }
        Ok(dir)
    }

    /// As [`Self::open_or_make`]; `None` when it is not there.
    fn open(&self, path: &Path) -> Result<Option<Box<dyn Dir>>, PutError> {
        match self.fs.open_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => check(path, opened).map(Some),
        }
    }
}

fn check(path: &Path, opened: io::Result<Box<dyn Dir>>) -> Result<Box<dyn Dir>, PutError> {
    let unfit = |fault| PutError::Directory {
        path: path.to_owned(),
        fault,
    };
    let dir = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(unfit(
                "is a symbolic link or no folder: set volumesDirectory to a folder itself",
            ));
        }
        opened => opened.map_err(|source| PutError::of(path, source))?,
    };
    let stat = dir
        .stat_self()
        .map_err(|source| PutError::of(path, source))?;
    if stat.uid != own_uid() {
        return Err(unfit(
            "belongs to another user than seedpodd runs as: chown it, or set another volumesDirectory",
        ));
    }
    if stat.mode & 0o022 != 0 {
        return Err(unfit(
            "may be written by others: chmod it to 0700, or set another volumesDirectory",
        ));
    }
    Ok(dir)
}

/// Makes or compares the folder of a pod.
fn put_in(parent: &dyn Dir, uid: &str, wanted: &Wanted<'_>, repair: bool) -> io::Result<Put> {
    let name = Name::new(uid)?;
    let durable = !parent.is_in_memory()?;
    match parent.open_dir(&name) {
        Ok(dir) => {
            let found = put::compare(&*dir, wanted, repair, durable)?;
            return Ok(match repair {
                _ if found.is_empty() => Put::Nothing,
                true => Put::Repaired(found),
                false => Put::Left(found),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // Something else under a name that is ours alone.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            remove_tree(parent, &name)?;
        }
        Err(error) => return Err(error),
    }
    let staged = Name::new(format!("{STAGED_PREFIX}{uid}"))?;
    remove_tree(parent, &staged)?;
    let make = || {
        parent.make_dir(&staged, Access::PRIVATE)?;
        put::fill(&*parent.open_dir(&staged)?, wanted, durable)?;
        parent.rename(&staged, &name)
    };
    make().inspect_err(|_| {
        // The error that matters is the first one; what is full should not be kept full by the attempt.
        let _ = remove_tree(parent, &staged);
    })?;
    if durable {
        parent.sync()?;
    }
    Ok(Put::Made)
}
