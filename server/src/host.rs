//! What of the node is not Seedpod's own, as far as an installer has to do with it: the kubelet's files that let it join
//! a cluster, directories that a reset removes, and what the machine is like.
//!
//! `files` writes and removes the kubelet's files, `directories` removes directories; both go through [`crate::fs`]. `facts`,
//! `listeners` and `kubelet` only look.

mod directories;
mod facts;
mod files;
mod kubelet;
mod listeners;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::{Mutex, OwnedMutexGuard};

pub(crate) use self::{
    directories::NotAllowed,
    facts::{Space, addresses, cgroup_version, cpu_count, memory, space},
    kubelet::version as kubelet_version,
    listeners::{Holder, holders},
};
use crate::{config::KubeletFiles, fs::FileSystem};

/// A file of the kubelet's as it is to be.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) path: PathBuf,
    /// `None`: it is not to be there. May be secret, and is shown by nothing.
    pub(crate) content: Option<Content>,
}

/// What may be secret.
pub(crate) struct Content(pub(crate) zeroize::Zeroizing<String>);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Content")
    }
}

/// What may be changed on the node beside the pods. Cheap to clone. Its methods block on the disk.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    fs: Arc<dyn FileSystem>,
    files: Arc<KubeletFiles>,
    directories: Arc<[PathBuf]>,
    kubelet_root: Arc<Path>,
    changing: Arc<Mutex<()>>,
}

impl Host {
    pub(crate) fn new(
        fs: Arc<dyn FileSystem>,
        files: KubeletFiles,
        directories: Vec<PathBuf>,
        kubelet_root: PathBuf,
    ) -> Self {
        Self {
            fs,
            files: Arc::new(files),
            directories: directories.into(),
            kubelet_root: kubelet_root.into(),
            changing: Arc::default(),
        }
    }

    /// The files that may be written.
    pub(crate) fn files(&self) -> &KubeletFiles {
        &self.files
    }

    /// Keeps apart those who change something here.
    pub(crate) async fn lock(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.changing).lock_owned().await
    }

    /// Those of the files that are not as they are to be.
    pub(crate) fn pending(&self, wanted: Vec<Wanted>) -> io::Result<Vec<Wanted>> {
        let mut pending = Vec::new();
        for file in wanted {
            let content = file.content.as_ref().map(|content| content.0.as_bytes());
            if !files::is_as(&*self.fs, &file.path, content).map_err(|it| named(&file.path, &it))? {
                pending.push(file);
            }
        }
        Ok(pending)
    }

    /// Whether the kubelet has not been restarted yet for what was changed before.
    pub(crate) fn restart_is_due(&self) -> io::Result<bool> {
        let Some(mark) = self.mark() else {
            return Ok(false);
        };
        files::is_there(&*self.fs, &mark).map_err(|it| named(&mark, &it))
    }

    /// Makes the files as they are to be. From before the first one has changed until [`Self::restarted`], a restart is
    /// due, also after a power cut.
    pub(crate) fn carry_out(&self, changes: &[Wanted]) -> io::Result<()> {
        if let Some(mark) = self.mark() {
            let text = b"The kubelet is to be restarted: seedpodd has changed its files.\n";
            files::put(&*self.fs, &mark, text).map_err(|it| named(&mark, &it))?;
        }
        for Wanted { path, content } in changes {
            match content {
                Some(content) => files::put(&*self.fs, path, content.0.as_bytes()),
                None => files::remove(&*self.fs, path),
            }
            .map_err(|it| named(path, &it))?;
        }
        Ok(())
    }

    /// Takes note that the kubelet was restarted.
    pub(crate) fn restarted(&self) -> io::Result<()> {
        let Some(mark) = self.mark() else {
            return Ok(());
        };
        files::remove(&*self.fs, &mark).map_err(|it| named(&mark, &it))
    }

    /// All files, as they are when the kubelet is to be alone: those of the configuration, and the certificates that it
    /// was given by a cluster, which it would show to the next one.
    pub(crate) fn nothing(&self) -> io::Result<Vec<Wanted>> {
        let KubeletFiles {
            kubeconfig,
            bootstrap_kubeconfig,
            client_ca,
        } = &*self.files;
        let configured = [kubeconfig, bootstrap_kubeconfig, client_ca];
        let mut paths: Vec<PathBuf> = configured.into_iter().flatten().cloned().collect();
        if !paths.is_empty() {
            let folder = self.kubelet_root.join("pki");
            let issued = files::beginning_with(&*self.fs, &folder, "kubelet-client-");
            paths.extend(issued.map_err(|it| named(&folder, &it))?);
        }
        let gone = |path| Wanted {
            path,
            content: None,
        };
        Ok(paths.into_iter().map(gone).collect())
    }

    /// Whether a directory may be removed.
    ///
    /// # Errors
    /// Says which may be.
    pub(crate) fn may_remove(&self, path: &Path) -> Result<(), NotAllowed> {
        directories::base(&self.directories, path).map(drop)
    }

    /// Removes a directory with all that is in it, and tells whether it was there. A mount point is only emptied.
    pub(crate) fn remove_directory(&self, path: &Path) -> io::Result<bool> {
        let base = directories::base(&self.directories, path).map_err(io::Error::other)?;
        directories::remove(&*self.fs, base, path).map_err(|it| named(path, &it))
    }

    /// Beside the first file that may be written.
    fn mark(&self) -> Option<PathBuf> {
        let KubeletFiles {
            kubeconfig,
            bootstrap_kubeconfig,
            client_ca,
        } = &*self.files;
        let first = [kubeconfig, bootstrap_kubeconfig, client_ca]
            .into_iter()
            .flatten()
            .next()?;
        Some(first.with_file_name(".seedpod-kubelet-restart-due"))
    }
}

/// Says where it happened.
fn named(path: &Path, error: &io::Error) -> io::Error {
    let remedy = match error.kind() {
        io::ErrorKind::NotADirectory => ": what should be a directory is a symbolic link or a file",
        io::ErrorKind::ReadOnlyFilesystem => {
            ": it is read-only for seedpodd; its unit may need it in ReadWritePaths"
        }
        _ => "",
    };
    io::Error::new(error.kind(), format!("{}: {error}{remedy}", path.display()))
}
