//! Reading what is kept, beside the actor: whoever looks at old revisions must not hold up those who change something.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use seedpod_manifest::{BundleName, Objects};

use super::{
    Came, OpenError,
    objects::Contents,
    open,
    record::{self, Sidecar},
};
use crate::{
    fs::FileSystem,
    node::{Bundle, BundleObject, Trial},
};

/// Reads kept revisions. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) bundles_dir: PathBuf,
    pub(super) contents: Arc<Contents>,
}

/// A revision that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) revision: u64,
    pub(crate) good: bool,
}

/// A revision as it was committed.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    pub(crate) bundle: Arc<Bundle>,
    /// Whether it is a removal: it has no pods.
    pub(crate) removed: bool,
    pub(crate) came: Came,
    pub(crate) trial: Option<Trial>,
}

impl Reader {
    pub(super) fn new(
        fs: Arc<dyn FileSystem>,
        bundles_dir: PathBuf,
        contents: Arc<Contents>,
    ) -> Self {
        Self {
            fs,
            bundles_dir,
            contents,
        }
    }

    /// The kept revisions of a bundle up to the one that is active, ascending. None of a bundle that nobody knows.
    ///
    /// A revision that is being committed may have its name already and is left out therefore.
    pub(crate) fn list(&self, name: &BundleName, active: u64) -> Result<Vec<Listed>, OpenError> {
        let dir = self.bundles_dir.join(name.as_str());
        let names = match open::list(&*self.fs, &dir) {
            Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(Vec::new());
            }
            names => names?,
        };
        let (mut kept, mut good) = (BTreeMap::new(), Vec::new());
        for (revision, sidecar) in names
            .iter()
            .filter_map(|name| record::parse_file_name(name))
        {
            match sidecar {
                None if revision <= active => drop(kept.insert(revision, false)),
                Some(Sidecar::Ready | Sidecar::Confirmed) => good.push(revision),
                None | Some(Sidecar::Requests) => {}
            }
        }
        for revision in good {
            kept.entry(revision).and_modify(|is_good| *is_good = true);
        }
        let listed = |(revision, good)| Listed { revision, good };
        Ok(kept.into_iter().map(listed).collect())
    }

    /// Reads the contents of some objects of a kept revision. Whoever has them wipes them by dropping them soon.
    pub(crate) fn objects<'a>(
        &self,
        of: impl IntoIterator<Item = &'a BundleObject>,
    ) -> Result<Objects, OpenError> {
        let read = |BundleObject { summary, .. }: &BundleObject| {
            self.contents
                .read(summary)
                .map_err(|source| OpenError::Content {
                    object: summary.key.clone(),
                    path: self.contents.path(&summary.digest),
                    source: Box::new(source),
                })
        };
        of.into_iter().map(read).collect()
    }

    /// Reads one revision. `None` when it is not kept (any more).
    pub(crate) fn revision(
        &self,
        name: &BundleName,
        revision: u64,
    ) -> Result<Option<Past>, OpenError> {
        let keys = self.contents.keys();
        match open::revision(&*self.fs, &self.bundles_dir, name, revision, keys) {
            Ok(record) => Ok(Some(Past {
                bundle: record.bundle,
                removed: record.removed,
                came: record.came,
                trial: record.trial,
            })),
            Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
