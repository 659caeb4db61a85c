//! Why nothing was rendered.

use std::{io, path::PathBuf};

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
    /// A file that is there does not fit.
    #[error("{}: {message}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why it does not, and the remedy.
        message: String,
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
