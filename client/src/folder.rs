//! Folders of manifests and plain files, held together by a `seedpod.yaml`.
//!
//! `folder/file.rs` is that file as it is written, `folder/generate.rs` makes the data of Secrets and ConfigMaps from
//! plain files and literals, `folder/document.rs` a manifest of that, and `folder/list.rs` finds manifests in folders.
//!
//! No error here, and no `Debug`, has any part of a file's content but keys, names and paths.

mod document;
mod file;
mod generate;
mod list;
#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::InjectPods;
use file::File;

/// A folder with a `seedpod.yaml`, read: the manifests that it names, and those of the Secrets and ConfigMaps that it has
/// made from plain files.
///
/// ```no_run
/// # async fn install(client: seedpod_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let folder = seedpod_client::Folder::read("control-plane")?;
/// let request = folder.request().ok_or("control-plane/seedpod.yaml names no bundle")?;
/// client.inject(&request).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Folder {
    bundle: Option<String>,
    manifests: Vec<FolderManifest>,
}

/// One manifest of a [`Folder`].
#[derive(Clone)]
pub struct FolderManifest {
    label: String,
    text: Zeroizing<String>,
    generated: bool,
}

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The `seedpod.yaml` itself, or a folder that it names, cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not as it should be. The message names the field and the remedy.
    #[error("{place}: {message}")]
    Invalid {
        /// `FILE`, `FILE:LINE` or `FILE:LINE:COLUMN`.
        place: String,
        /// What is wrong.
        message: String,
    },
}

impl Folder {
    /// The name of the file that makes a folder one of these.
    pub const FILE: &str = "seedpod.yaml";

    /// Reads the folder and everything that its `seedpod.yaml` names.
    ///
    /// # Errors
    /// [`FolderError`], with the place in the `seedpod.yaml` and the remedy.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self, FolderError> {
        let folder = folder.as_ref();
        let path = folder.join(Self::FILE);
        let text = list::read(&path).and_then(list::text);
        let text = text.map_err(|source| FolderError::Read {
            path: path.clone(),
            source,
        })?;
        let file = File::parse(&path, &text)?;
        file.manifests(&path, folder).map(|manifests| Self {
            bundle: file.bundle,
            manifests,
        })
    }

    /// The bundle that the folder is for, if it names one.
    pub fn bundle(&self) -> Option<&str> {
        self.bundle.as_deref()
    }

    /// The manifests: those of the resources, then the Secrets, then the ConfigMaps, each in the order of the
    /// `seedpod.yaml`.
    pub fn manifests(&self) -> &[FolderManifest] {
        &self.manifests
    }

    /// A request that makes the bundle consist of this folder. `None` when the `seedpod.yaml` names no bundle.
    pub fn request(&self) -> Option<InjectPods> {
        let texts = self.manifests.iter().map(FolderManifest::text);
        Some(InjectPods::new(self.bundle.clone()?).manifests(texts))
    }
}

impl FolderManifest {
    /// Where it came from: the file's path, or for one that was made,
    /// `DIR/seedpod.yaml:LINE: secretGenerator[INDEX] (NAME)`.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The manifest. It is wiped when it is dropped.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it was made from plain files and literals: its lines and columns are then of no use to anybody.
    pub fn is_generated(&self) -> bool {
        self.generated
    }
}

impl fmt::Debug for FolderManifest {
    /// Without the text, which may hold what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FolderManifest")
            .field("label", &self.label)
            .field("generated", &self.generated)
            .finish_non_exhaustive()
    }
}
