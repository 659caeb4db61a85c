//! What can be wrong with a state directory.

use std::{io, path::PathBuf};

use seedpod_manifest::{BundleName, ObjectKey};

use crate::store::{LockError, MaterialError, objects::ContentError, record::FormatError};

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("cannot read or write {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{} is corrupt. Nothing was changed, and running pods go on. To go back to the bundle's last revision that is \
         whole, move this file out of the state directory and start again; or restore it from a backup",
        path.display()
    )]
    Corrupt {
        path: PathBuf,
        #[source]
        source: FormatError,
    },
    #[error(
        "{} does not belong into the state directory. Nothing was changed. Move it away and start again",
        path.display()
    )]
    Stray { path: PathBuf },
    #[error(
        "{} is missing, but there are bundles beside it. Nothing was changed. Restore the whole state directory from \
         a backup, or set an empty stateDirectory to begin anew",
        path.display()
    )]
    NoStoreFile { path: PathBuf },
    /// The cause's message says what to do.
    #[error("cannot decrypt a part of {}. Nothing was changed", path.display())]
    Sealed {
        path: PathBuf,
        #[source]
        source: FormatError,
    },
    /// The cause's message says what to do.
    #[error("cannot use {}, the key of all digests. Nothing was changed", path.display())]
    DigestKey {
        path: PathBuf,
        #[source]
        source: ContentError,
    },
    #[error(
        "{} is missing, but there are Secrets or ConfigMaps. Nothing was changed. Restore the whole state directory from \
         a backup",
        path.display()
    )]
    NoDigestKey { path: PathBuf },
    #[error("cannot use the content of {object} in {}", path.display())]
    Content {
        object: ObjectKey,
        path: PathBuf,
        #[source]
        source: Box<ContentError>,
    },
    #[error(
        "revision {revision} of bundle {bundle} is not whole. Nothing was changed, and running pods go on. Mend what is \
         said here, or restore it from a backup; to do without this revision, move {} out of the state directory and \
         start again",
        file.display()
    )]
    Incomplete {
        bundle: BundleName,
        revision: u64,
        file: PathBuf,
        #[source]
        source: Box<OpenError>,
    },
    #[error(
        "{} cannot be used, so that it is not known how far the handoff of this node's control plane is. Running pods go \
         on. Restore it from a backup. To do without the handoff, move {} out of the state directory and start again: then \
         the injected control plane is put on the node again, beside a self-hosted one that may be there",
        path.display(),
        folder.display()
    )]
    Handoff {
        path: PathBuf,
        folder: PathBuf,
        #[source]
        source: FormatError,
    },
    /// What is wrong says what to do, as far as that is known.
    #[error(
        "cannot use {}, which the handoff of this node's control plane needs. Running pods go on. Mend what is said here, \
         or restore it from a backup. To do without the handoff, move the whole folder out of the state directory and start \
         again: then the injected control plane is put on the node again, beside a self-hosted one that may be there",
        path.display()
    )]
    Material {
        path: PathBuf,
        #[source]
        source: MaterialError,
    },
}
