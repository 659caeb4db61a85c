//! Why nothing was rendered.

use std::{fmt, io, path::PathBuf};

use crate::certificates::AuthorityError;

/// Why a cluster cannot be rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Files that are there do not fit. All that was found at once; nothing was written.
    #[error("{}", summary(files))]
    Unfit {
        /// The files, at least one.
        files: Vec<UnfitFile>,
    },
    /// Somebody else renders into the folder.
    #[error(
        "another seedpod is at work in {}; wait until it has finished",
        directory.display()
    )]
    Busy {
        /// The folder.
        directory: PathBuf,
    },
    /// A certificate or key cannot be made.
    #[error("cannot make {name}")]
    Issue {
        /// What it is for.
        name: String,
        /// Why.
        #[source]
        source: AuthorityError,
    },
    /// What follows from a field of the configuration can not be.
    #[error("{field}: {message}")]
    Field {
        /// The field's path.
        field: String,
        /// Why it does not, and the remedy.
        message: String,
    },
}

/// A file that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfitFile {
    /// The file.
    pub path: PathBuf,
    /// Why it does not, and the remedy.
    pub message: String,
}

impl fmt::Display for UnfitFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

fn summary(files: &[UnfitFile]) -> String {
    match files {
        [file] => file.to_string(),
        files => {
            let lines = files.iter().map(|file| format!("\n  {file}"));
            format!(
                "{} files do not fit:{}",
                files.len(),
                lines.collect::<String>()
            )
        }
    }
}
