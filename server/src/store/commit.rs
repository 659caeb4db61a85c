//! Writing what is to be durable.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use seedpod_manifest::{BundleName, Objects};

use super::{
    Draft, Kept, Store, fallback, open,
    record::{self, RevisionRecord, Sidecar},
};
use crate::{fs, node::Bundle};

/// Why a commit failed. The old revision is the active one then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// Nothing has changed, and the next attempt may work.
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Whether the revision is on the disk is not known: the disk failed, and failed again when the attempt was to be
    /// taken back. Only a restart, which reads the disk anew, can tell.
    #[error(
        "the disk failed in the middle of a commit; restart the daemon when the disk is mended"
    )]
    Uncertain(#[source] io::Error),
}

impl CommitError {
    pub(super) fn earlier() -> Self {
        Self::Uncertain(io::Error::other("an earlier commit is uncertain"))
    }
}

impl Store {
    /// Makes a new revision durable and active.
    pub(crate) fn commit(&mut self, draft: Draft) -> Result<Arc<Bundle>, CommitError> {
        let name = draft.bundle.name.clone();
        let revision = draft.bundle.revision;
        let (record, given) = RevisionRecord::of(draft, self.contents.digest_key());
        let record = Arc::new(record);
        let dir = self.bundles_dir.join(name.as_str());
        let file = record::file_name(revision);
        let fallback = match &record.trial {
            Some(_) => self.fallback(&name)?,
            None => None,
        };
        if !self.bundles.contains_key(&name) {
            self.make_bundle_dir(&dir)?;
        }
        self.put(&record.bundle, &given)?;
        drop(given);
        let bytes = record
            .encode(self.contents.keys())
            .ok_or_else(|| CommitError::Write {
                path: dir.join(&file),
                source: io::Error::other("the encryption failed"),
            })?;
        self.write(&dir, &file, bytes.as_bytes(), Overwrites::Nothing)?;

        let history = self.bundles.entry(name.clone()).or_default();
        let ids: Vec<String> = record
            .request
            .iter()
            .map(|request| request.id.clone())
            .collect();
        self.requests
            .extend(ids.iter().map(|id| (id.clone(), (name.clone(), revision))));
        history.kept.push(Kept {
            ids,
            ..Kept::of(&record)
        });
        history.active = Some(Arc::clone(&record));
        history.fallback = fallback;
        history.seen_ready = false;
        for object in &record.bundle.objects {
            self.garbage.contents.remove(&object.summary.digest);
        }
        self.grown.insert(name);
        Ok(Arc::clone(&record.bundle))
    }

    /// Makes the contents durable that a bundle needs. They are garbage until a revision says otherwise.
    fn put(&mut self, bundle: &Bundle, given: &Objects) -> Result<(), CommitError> {
        if self.uncertain {
            return Err(CommitError::earlier());
        }
        self.contents
            .put(&bundle.objects, given, &mut self.garbage.contents)
            .map_err(|(path, source)| CommitError::Write { path, source })
    }

    /// What a trial of this bundle would fall back to.
    fn fallback(&self, name: &BundleName) -> Result<Option<Arc<Bundle>>, CommitError> {
        let Some(history) = self.bundles.get(name) else {
            return Ok(None);
        };
        let Some(revision) = fallback(&history.kept) else {
            return Ok(None);
        };
        if let Some(active) = &history.active
            && active.bundle.revision == revision
        {
            return Ok(Some(Arc::clone(&active.bundle)));
        }
        let read = open::revision(
            &*self.fs,
            &self.bundles_dir,
            name,
            revision,
            self.contents.keys(),
        );
        let record = read.map_err(|error| CommitError::Write {
            path: self.bundles_dir.join(name.as_str()),
            source: io::Error::other(error),
        })?;
        Ok(Some(record.bundle))
    }

    /// Makes it durable that all pods of the active revision are ready. Nothing on the disk when that does not make it
    /// good, because it is on a trial that needs somebody's word.
    pub(crate) fn mark_ready(&mut self, name: &BundleName) -> Result<(), CommitError> {
        let Some(history) = self.bundles.get_mut(name) else {
            return Ok(());
        };
        if history.on_trial().is_some_and(|it| it.needs_word()) {
            history.seen_ready = true;
            return Ok(());
        }
        self.mark(name, Sidecar::Ready)
    }

    /// Makes it durable that somebody confirmed the active revision.
    pub(crate) fn mark_confirmed(&mut self, name: &BundleName) -> Result<(), CommitError> {
        self.mark(name, Sidecar::Confirmed)
    }

    fn mark(&mut self, name: &BundleName, sidecar: Sidecar) -> Result<(), CommitError> {
        let last = self
            .bundles
            .get(name)
            .and_then(|history| history.kept.last());
        let Some(revision) = last.map(|kept| kept.revision) else {
            return Ok(());
        };
        let dir = self.bundles_dir.join(name.as_str());
        let bytes = record::encode_mark(name, revision);
        let file = record::sidecar_name(revision, sidecar);
        self.write(&dir, &file, bytes.as_bytes(), Overwrites::Nothing)?;
        if let Some(history) = self.bundles.get_mut(name)
            && let Some(kept) = history.kept.last_mut()
        {
            match sidecar {
                Sidecar::Ready => kept.ready = true,
                Sidecar::Confirmed => kept.confirmed = true,
                Sidecar::Requests => {}
            }
            history.fallback = None;
            self.grown.insert(name.clone());
        }
        Ok(())
    }

    /// Whether the disk takes writes now: writes, syncs and removes a small file.
    pub(crate) fn probe(&self) -> io::Result<()> {
        if self.uncertain {
            return Err(io::Error::other(
                "the disk failed in the middle of a commit",
            ));
        }
        fs::stage(&*self.fs, &self.bundles_dir, "probe", &[0; 4096], 0o600)?;
        self.fs.remove_file(&fs::staged(&self.bundles_dir, "probe"))
    }

    fn make_bundle_dir(&self, dir: &Path) -> Result<(), CommitError> {
        let make = || {
            self.fs.make_dir(dir, 0o700)?;
            self.fs.sync_dir(&self.bundles_dir)
        };
        make().map_err(|source| CommitError::Write {
            path: dir.to_owned(),
            source,
        })
    }

    /// Writes a durable file. After an error the old content (or no file) is there, or the store says that it does
    /// not know and takes no more writes.
    pub(super) fn write(
        &mut self,
        dir: &Path,
        name: &str,
        bytes: &[u8],
        overwrites: Overwrites,
    ) -> Result<(), CommitError> {
        let path = dir.join(name);
        if self.uncertain {
            return Err(CommitError::earlier());
        }
        let failed = |source| CommitError::Write {
            path: path.clone(),
            source,
        };
        fs::stage(&*self.fs, dir, name, bytes, 0o600).map_err(failed)?;
        fs::unveil(&*self.fs, dir, name).map_err(failed)?;
        let Err(source) = self.fs.sync_dir(dir) else {
            return Ok(());
        };
        // The new name may or may not be on the disk.
        if overwrites == Overwrites::Nothing {
            let take_back = self
                .fs
                .remove_file(&path)
                .and_then(|()| self.fs.sync_dir(dir));
            if take_back.is_err() {
                self.uncertain = true;
                return Err(CommitError::Uncertain(source));
            }
        }
        Err(failed(source))
    }
}

/// What a write replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overwrites {
    /// Nothing has that name yet: a write that failed is taken back.
    Nothing,
    /// The new content only says more of what is true anyway, and may stay when it is not known to be durable.
    WhatIsTrueToo,
}
