//! Forgetting what is no longer kept: old revisions, and bundles that were removed long ago.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use seedpod_manifest::KeyedDigest;

use super::{
    History, Kept, Store,
    record::{self, Sidecar},
};
use crate::fs::FileSystem;

/// How many removed bundles are remembered, for their revision numbers and request ids.
const REMOVED_BUNDLES: usize = 1000;

/// What is to be removed as soon as nothing on the disk can refer to it any more.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    /// Contents that may be needed no more.
    pub(super) contents: BTreeSet<KeyedDigest>,
    /// Folders that revisions with objects were removed from, and that were not synced since: a power cut could bring
    /// these revisions back.
    folders: BTreeSet<PathBuf>,
    /// Contents of revisions whose files can not be removed: the next start finds them again.
    stuck: BTreeSet<KeyedDigest>,
}

impl Garbage {
    /// Takes note that a revision's file is gone, or is not.
    fn take(&mut self, dir: &Path, kept: &Kept, is_gone: bool) {
        if kept.objects.is_empty() {
            return;
        }
        if is_gone {
            self.contents.extend(&kept.objects);
            self.folders.insert(dir.to_owned());
        } else {
            self.stuck.extend(&kept.objects);
        }
    }
}

impl Store {
    /// Forgets the oldest revisions of the bundles that have grown. Apart from [`Self::commit`], so that nobody waits
    /// for it. Not synced: what comes back after a power cut is forgotten again later.
    pub(crate) fn prune(&mut self) {
        for name in std::mem::take(&mut self.grown) {
            let Some(history) = self.bundles.get_mut(&name) else {
                continue;
            };
            let forgets = history.active.as_ref().is_some_and(|it| it.forgets);
            let keep = if forgets { 1 } else { self.history };
            let mut surplus = history.kept.len().saturating_sub(keep);
            let mut good = history.kept.iter().rev().find(|kept| kept.is_good());
            good = good.filter(|_| !forgets);
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
                let is_gone = remove_revision(&*self.fs, &dir, &kept);
                self.garbage.take(&dir, &kept, is_gone);
            }
            self.prune_removed_bundles();
        }
        self.sweep();
    }

    /// Removes the contents that nothing refers to: what was secret is gone for good then, and no power cut brings it
    /// back. An error leaves them for the next time.
    fn sweep(&mut self) {
        // A revision of which nobody knows whether it is on the disk may need any of them.
        if self.garbage.contents.is_empty() || self.uncertain {
            return;
        }
        let kept = self.bundles.values().flat_map(|history| &history.kept);
        let needed: BTreeSet<&KeyedDigest> = kept
            .flat_map(|kept| &kept.objects)
            .chain(&self.garbage.stuck)
            .collect();
        self.garbage
            .contents
            .retain(|digest| !needed.contains(digest));
        if self.garbage.contents.is_empty() {
            return;
        }
        let swept = self.sync_folders().and_then(|()| {
            let garbage = &self.garbage.contents;
            self.contents.remove(garbage)
        });
        match swept {
            Ok(()) => self.garbage.contents.clear(),
            Err(error) => {
                tracing::warn!(%error, "cannot remove the contents of objects that are needed no more");
            }
        }
    }

    /// Makes sure that revisions which were removed stay so.
    fn sync_folders(&mut self) -> io::Result<()> {
        while let Some(dir) = self.garbage.folders.first() {
            match self.fs.sync_dir(dir) {
                // A bundle's folder is removed only when it was synced.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => drop(self.garbage.folders.pop_first()),
            }
        }
        Ok(())
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
            let is_gone = remove_revision(&*self.fs, &dir, kept);
            self.garbage.take(&dir, kept, is_gone);
        }
        if older.is_empty() || self.fs.sync_dir(&dir).is_ok() {
            remove_revision(&*self.fs, &dir, removal);
            let _ = self.fs.remove_dir(&dir);
        }
    }
}

/// Removes the files of a revision, and tells whether its own one is gone. An error leaves a file that is not needed,
/// which the next start tries again.
fn remove_revision(fs: &dyn FileSystem, dir: &Path, kept: &Kept) -> bool {
    let remove = |name: String| {
        let removed = fs.remove_file(&dir.join(&name));
        if let Err(error) = &removed {
            tracing::warn!(%error, file = %dir.join(name).display(), "cannot remove an old revision");
        }
        removed.is_ok()
    };
    let is_gone = remove(record::file_name(kept.revision));
    let sidecars = [
        (kept.has_requests, Sidecar::Requests),
        (kept.ready, Sidecar::Ready),
        (kept.confirmed, Sidecar::Confirmed),
    ];
    for (_, sidecar) in sidecars.into_iter().filter(|(has, _)| *has) {
        remove(record::sidecar_name(kept.revision, sidecar));
    }
    is_gone
}
