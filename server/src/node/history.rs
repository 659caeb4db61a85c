//! What is kept of a bundle's past.

use std::{collections::BTreeMap, sync::Arc};

use seedpod_manifest::{BundleName, ObjectKey, Objects, PodKey};

use super::{Bundle, ChangeError, HistoryError, NodeHandle, Trial};
use crate::store::{Came, Past};

/// A kept revision.
#[derive(Debug, Clone)]
pub(crate) struct Revision {
    /// Of a list: without the files' contents.
    pub(crate) bundle: Arc<Bundle>,
    /// Which pods refer to each object, ordered.
    pub(crate) users: BTreeMap<ObjectKey, Vec<PodKey>>,
    pub(crate) came: Came,
    pub(crate) trial: Option<Trial>,
    /// Whether it is the newest one.
    pub(crate) active: bool,
    /// Whether it was ready as a whole once, or was confirmed.
    pub(crate) good: bool,
}

impl Revision {
    fn new(past: Past, good: bool, newest: u64) -> Self {
        Self {
            active: past.bundle.revision == newest,
            users: past.bundle.users(),
            bundle: past.bundle,
            came: past.came,
            trial: past.trial,
            good,
        }
    }
}

impl NodeHandle {
    /// All kept revisions of a bundle, newest first, without the files' contents. Also of a bundle that was removed.
    pub(crate) async fn revisions(&self, name: &BundleName) -> Result<Vec<Revision>, HistoryError> {
        let (kept, name) = (self.kept.clone(), name.clone());
        let newest = self.newest(&name)?;
        read(move || {
            let mut revisions = Vec::new();
            for listed in kept.list(&name, newest)?.into_iter().rev() {
                // One that was dropped meanwhile is not kept.
                let Some(past) = kept.revision(&name, listed.revision)? else {
                    continue;
                };
                let mut revision = Revision::new(past, listed.good, newest);
                // One at a time: all of them may be large.
                for pod in &mut Arc::make_mut(&mut revision.bundle).pods {
                    pod.rendered = "".into();
                    pod.source = None;
                }
                revisions.push(revision);
            }
            Ok(revisions)
        })
        .await
    }

    /// One kept revision; 0 is the active one.
    pub(crate) async fn revision(
        &self,
        name: &BundleName,
        revision: u64,
    ) -> Result<Revision, HistoryError> {
        let (kept, name) = (self.kept.clone(), name.clone());
        let newest = self.newest(&name)?;
        let revision = if revision == 0 { newest } else { revision };
        read(move || {
            let listed = kept.list(&name, newest)?;
            let listed = listed.iter().find(|listed| listed.revision == revision);
            let found = match listed {
                Some(listed) => kept
                    .revision(&name, revision)?
                    .map(|past| (past, listed.good)),
                None => None,
            };
            let (past, good) = found.ok_or(HistoryError::NotKept { revision })?;
            Ok(Revision::new(past, good, newest))
        })
        .await
    }

    /// The contents of a kept revision's objects, for somebody who drops them soon.
    pub(crate) async fn objects(&self, of: &Arc<Bundle>) -> Result<Objects, HistoryError> {
        let (kept, bundle) = (self.kept.clone(), Arc::clone(of));
        read(move || {
            let (name, revision) = (&bundle.name, bundle.revision);
            kept.objects(&bundle.objects).or_else(|error| {
                // They go with the last revision that has them.
                match kept.revision(name, revision)? {
                    Some(_) => Err(error.into()),
                    None => Err(HistoryError::NotKept { revision }),
                }
            })
        })
        .await
    }

    fn newest(&self, name: &BundleName) -> Result<u64, HistoryError> {
        self.state()
            .newest_revision(name)
            .ok_or_else(|| HistoryError::NoBundle { name: name.clone() })
    }
}

async fn read<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, HistoryError> + Send + 'static,
) -> Result<T, HistoryError> {
    tokio::task::spawn_blocking(read)
        .await
        .unwrap_or(Err(ChangeError::ShuttingDown.into()))
}
