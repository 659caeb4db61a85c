//! Reading and writing the static pod directory.

use std::{io, path::PathBuf, sync::Arc};

use seedpod_manifest::{ForeignPod, read_foreign};

use crate::{
    fs::{self, FileSystem},
    node::State,
    store::{StoreId, owned_by},
};

/// The kubelet reads no larger file (`maxConfigLength` in its `pkg/kubelet/config/file.go`).
const MAX_MANIFEST: u64 = 10 << 20;

/// The kubelet's static pod directory.
#[derive(Debug)]
pub(crate) struct Directory {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
}

/// A file that Seedpod does not own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignFile {
    pub(crate) file: String,
    /// What the kubelet would read from it, when it would read anything.
    pub(crate) pod: Option<ForeignPod>,
}

/// What is to be done in the directory, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// Files to remove.
    pub(super) remove: Vec<String>,
    /// Files to write.
    pub(super) write: Vec<Write>,
    /// Whether only annotations change. Such a write need not outlive a power cut, only be whole.
    pub(super) only_nudges: bool,
}

/// A file to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) file: String,
    pub(super) content: String,
    /// The `metadata.uid` in it.
    pub(super) uid: String,
    /// Whether a file of this name may be replaced: not when none of ours was seen there.
    pub(super) over: bool,
}

/// How each piece of work went.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) removed: Vec<(String, io::Result<()>)>,
    pub(super) written: Vec<(Write, io::Result<()>)>,
}

impl Directory {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, path: PathBuf) -> Self {
        Self { fs, path }
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The names that the kubelet would read.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = self.fs.list(&self.path)?;
        names.retain(|name| !name.starts_with('.'));
        Ok(names)
    }

    /// A file's content. `None` when there is none, or nothing that can be read as a manifest. A file of ours is never
    /// written over on the strength of that: a new name is only given where there is none.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self.fs.read(&self.path.join(name), MAX_MANIFEST) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::IsADirectory
                        | io::ErrorKind::FileTooLarge
                        | io::ErrorKind::PermissionDenied
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The files that Seedpod does not own: not demanded by the state, and not left over from an earlier revision.
    pub(crate) fn foreign(&self, state: &State, id: &StoreId) -> io::Result<Vec<ForeignFile>> {
        let owned: std::collections::HashSet<&str> =
            state.pods().map(|(_, pod)| pod.file.as_str()).collect();
        let mut foreign = Vec::new();
        for file in self.names()? {
            if owned.contains(file.as_str()) {
                continue;
            }
            let bytes = self.read(&file)?;
            // A copy under another name is foreign: the kubelet would read it as a second pod of that name.
            let left_over = bytes.as_deref().and_then(|bytes| owned_by(id, bytes));
            if left_over.is_some_and(|owned| owned.key.file_name() == file) {
                continue;
            }
            let pod = bytes.as_deref().and_then(read_foreign);
            foreign.push(ForeignFile { file, pod });
        }
        Ok(foreign)
    }

    /// Removes what an interrupted write left.
    pub(super) fn tidy(&self) -> io::Result<()> {
        fs::remove_staged(&*self.fs, &self.path)
    }

    /// Does the work: all removals first, so that the kubelet has forgotten the old pods when it admits the new ones;
    /// then all files are staged, and only then named, so that the pods of a bundle start close together.
    pub(super) fn carry_out(&self, work: Work) -> Done {
        let mut done = Done::default();
        for file in work.remove {
            let result = self.fs.remove_file(&self.path.join(&file));
            done.removed.push((file, result));
        }
        let stage = |write: Write| {
            let bytes = write.content.as_bytes();
            let result = fs::stage(&*self.fs, &self.path, &write.file, bytes, 0o600);
            (write, result)
        };
        let staged: Vec<_> = work.write.into_iter().map(stage).collect();
        for (write, result) in staged {
            let unveil = if write.over {
                fs::unveil
            } else {
                fs::unveil_new
            };
            let result = result.and_then(|()| unveil(&*self.fs, &self.path, &write.file));
            done.written.push((write, result));
        }
        if !work.only_nudges
            && let Err(error) = self.fs.sync_dir(&self.path)
        {
            // The names may be lost with the power; the next start writes them again.
            tracing::warn!(%error, path = %self.path.display(), "cannot sync the static pod directory");
        }
        done
    }
}
