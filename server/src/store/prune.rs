//! Forgetting what is no longer kept: old revisions, and bundles that were removed long ago.

use std::path::Path;

use super::{
    History, Kept, Store,
    record::{self, Sidecar},
};
use crate::fs::FileSystem;

/// How many removed bundles are remembered, for their revision numbers and request ids.
const REMOVED_BUNDLES: usize = 1000;

impl Store {
    /// Forgets the oldest revisions of the bundles that have grown. Apart from [`Self::commit`], so that nobody waits
    /// for it. Not synced: what comes back after a power cut is forgotten again later.
    pub(crate) fn prune(&mut self) {
        for name in std::mem::take(&mut self.grown) {
            let Some(history) = self.bundles.get_mut(&name) else {
                continue;
            };
            let mut surplus = history.kept.len().saturating_sub(self.history);
            let good = history.kept.iter().rev().find(|kept| kept.is_good());
            let needed = [
                history.kept.last().map(|kept| kept.revision),
                good.map(|kept| kept.revision),
                history.fallback.as_ref().map(|bundle| bundle.revision),
            ];
            let dir = self.bundles_dir.join(name.as_str());
            let dropped = history.kept.extract_if(.., |kept| {
                let drop = surplus > 0 && !needed.contains(&Some(kept.revision));
                surplus -= usize::from(drop);
                drop
            });
            for kept in dropped {
                for id in &kept.ids {
                    self.requests.remove(id);
                }
                remove_revision(&*self.fs, &dir, &kept);
            }
            self.prune_removed_bundles();
        }
    }

    fn prune_removed_bundles(&mut self) {
        let removed = |history: &History| history.active.as_ref().is_some_and(|a| a.removed);
        let count = self
            .bundles
            .values()
            .filter(|history| removed(history))
            .count();
        if count <= REMOVED_BUNDLES {
            return;
        }
        let oldest = self
            .bundles
            .iter()
            .filter(|(_, history)| removed(history))
            .min_by_key(|(_, history)| {
                history
                    .active
                    .as_ref()
                    .map(|active| active.bundle.update_time)
            });
        let Some(name) = oldest.map(|(name, _)| name.clone()) else {
            return;
        };
        let Some(history) = self.bundles.remove(&name) else {
            return;
        };
        let dir = self.bundles_dir.join(name.as_str());
        for id in history.kept.iter().flat_map(|kept| &kept.ids) {
            self.requests.remove(id);
        }
        // The removal itself goes last, and only when the revisions with pods are gone for good: without it, they
        // would come back to life.
        let Some((removal, older)) = history.kept.split_last() else {
            return;
        };
        for kept in older {
            remove_revision(&*self.fs, &dir, kept);
        }
        if older.is_empty() || self.fs.sync_dir(&dir).is_ok() {
            remove_revision(&*self.fs, &dir, removal);
            let _ = self.fs.remove_dir(&dir);
        }
    }
}

/// Removes the files of a revision. An error leaves a file that is not needed, which the next start tries again.
fn remove_revision(fs: &dyn FileSystem, dir: &Path, kept: &Kept) {
    let sidecars = [
        (kept.has_requests, Sidecar::Requests),
        (kept.ready, Sidecar::Ready),
        (kept.confirmed, Sidecar::Confirmed),
    ];
    let sidecars = sidecars.into_iter().filter(|(has, _)| *has);
    let names = sidecars.map(|(_, sidecar)| record::sidecar_name(kept.revision, sidecar));
    for name in std::iter::once(record::file_name(kept.revision)).chain(names) {
        if let Err(error) = fs.remove_file(&dir.join(&name)) {
            tracing::warn!(%error, file = %dir.join(name).display(), "cannot remove an old revision");
        }
    }
}
