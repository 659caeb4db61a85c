//! The durable state: what was committed, and nothing else.
//!
//! ```text
//! <stateDirectory>/lock                              held by the one daemon that may write here
//! <stateDirectory>/store.json                        the format's version and the store's id
//! <stateDirectory>/bundles/<bundle>/<revision>.json  one immutable revision: staged, synced, renamed, folder synced
//! <stateDirectory>/bundles/<bundle>/<revision>.requests.json
//!                                                    ids of requests that found this revision already active
//! <stateDirectory>/bundles/<bundle>/<revision>.ready.json
//!                                                    a mark: all its pods were ready at the same time once
//! <stateDirectory>/bundles/<bundle>/<revision>.confirmed.json
//!                                                    a mark: somebody confirmed it
//! ```
//!
//! The highest revision of a bundle is the active one, so that a commit is one rename, and after a power cut at any
//! instant there is either the old revision or the new one, whole. A removal is a revision too, one without pods:
//! revision numbers never start again, and no uid is made twice. So is what the node does when a trial fails.
//!
//! Whatever cannot be read stops the daemon: reading it as "nothing" would stop every pod.
//!
//! `open` reads all of it at the start, `read` old revisions later, `prune` forgets what is no longer kept.

mod lock;
mod open;
mod prune;
mod read;
mod record;
mod seal;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use seedpod_manifest::{BundleName, Digest, DigestKey, Objects};

use self::record::{RequestRecord, RevisionRecord, Sidecar};
pub(crate) use self::{
    lock::{Lock, LockError},
    open::OpenError,
    read::{Past, Reader},
    record::{Owned, StoreId, owned_by},
    seal::EncryptionKeys,
};
use crate::{
    fs::{self, FileSystem},
    node::{Bundle, Change, ObjectChange, OnTrial, RequestId, State, StoredWarning, Trial},
};

/// How many revisions of a bundle are kept, the active one included, when nothing else is said.
const HISTORY: usize = 10;
/// How many request ids are kept beside a revision that they found active.
const IDS_PER_REVISION: usize = 100;

/// A new revision, before it is committed.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) bundle: Bundle,
    /// Whether this is a removal: the bundle has no pods and is no longer listed.
    pub(crate) removed: bool,
    pub(crate) request: Option<RequestId>,
    pub(crate) changes: Vec<Change>,
    pub(crate) object_changes: Vec<ObjectChange>,
    /// The objects of the bundle whose content may not be on the disk yet.
    pub(crate) contents: Objects,
    pub(crate) warnings: Vec<StoredWarning>,
    pub(crate) came: Came,
    pub(crate) trial: Option<Trial>,
}

/// Where a revision comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) origin: Origin,
    /// The revision whose content it took over; 0 for none.
    pub(crate) source_revision: u64,
    /// Why the node went back by itself. Empty otherwise.
    pub(crate) reason: String,
}

impl Came {
    pub(crate) fn from(origin: Origin) -> Self {
        Self {
            origin,
            source_revision: 0,
            reason: String::new(),
        }
    }
}

/// Who made a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Origin {
    Injected,
    RolledBack,
    /// The node itself, since a trial failed.
    TrialFailed,
    Removed,
}

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

/// What an earlier request with the same id led to.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    pub(crate) fingerprint: String,
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) changes: Vec<Change>,
    pub(crate) object_changes: Vec<ObjectChange>,
    pub(crate) warnings: Vec<StoredWarning>,
    /// What a rollback was to; 0 for what was none.
    pub(crate) source_revision: u64,
}

/// The state directory, opened and locked.
#[derive(Debug)]
pub(crate) struct Store {
    fs: Arc<dyn FileSystem>,
    bundles_dir: PathBuf,
    id: StoreId,
    digest_key: DigestKey,
    bundles: BTreeMap<BundleName, History>,
    /// Where each remembered request id is written down.
    requests: HashMap<String, (BundleName, u64)>,
    /// Bundles that may have more revisions than are kept.
    grown: BTreeSet<BundleName>,
    /// How many revisions of a bundle are kept.
    history: usize,
    uncertain: bool,
    /// Released when the store is dropped. None on a simulated disk.
    _lock: Option<Lock>,
}

/// The kept revisions of one bundle.
#[derive(Debug, Default)]
struct History {
    active: Option<Arc<RevisionRecord>>,
    /// Ascending.
    kept: Vec<Kept>,
    /// What the node goes back to when the active revision's trial fails: in memory, so that it can be gone back to
    /// also when the disk gives nothing.
    fallback: Option<Arc<Bundle>>,
    /// Whether the active revision was ready, though it is on a trial for which that is not enough. Not on the disk.
    seen_ready: bool,
}

#[derive(Debug, Default)]
struct Kept {
    revision: u64,
    /// Whether it is a removal.
    removed: bool,
    /// The ids that die with this revision.
    ids: Vec<String>,
    has_requests: bool,
    ready: bool,
    confirmed: bool,
}

impl Kept {
    /// Whether it is one to go back to.
    fn is_good(&self) -> bool {
        self.ready || self.confirmed
    }
}

impl History {
    /// The trial of the active revision.
    fn on_trial(&self) -> Option<OnTrial> {
        let trial = self.active.as_ref()?.trial.clone()?;
        Some(OnTrial {
            trial,
            confirmed: self.kept.last().is_some_and(Kept::is_good),
            fallback: self.fallback.clone(),
        })
    }
}

/// The revision that a trial which follows these falls back to: the last good one, or else the last one. `None`: none.
/// What was before a removal is not gone back to.
fn fallback(kept: &[Kept]) -> Option<u64> {
    let lives = kept.rsplit(|kept| kept.removed).next()?;
    let good = lives.iter().rev().find(|kept| kept.is_good());
    good.or(lives.last()).map(|kept| kept.revision)
}

impl Store {
    /// Keeps so many revisions of a bundle.
    pub(crate) fn keeping(self, history: usize) -> Self {
        Self { history, ..self }
    }

    /// The key of the digests of what is secret.
    pub(crate) fn digest_key(&self) -> &DigestKey {
        &self.digest_key
    }

    /// The id that uids are made with.
    pub(crate) fn id(&self) -> &StoreId {
        &self.id
    }

    /// Reads what is kept, beside this.
    pub(crate) fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.fs), self.bundles_dir.clone())
    }

    /// What is committed, for publishing.
    pub(crate) fn state(&self) -> State {
        let mut state = State::default();
        for (name, history) in &self.bundles {
            let Some(active) = &history.active else {
                continue;
            };
            if let Some(good) = history.kept.iter().rev().find(|kept| kept.is_good()) {
                state.good.insert(name.clone(), good.revision);
            }
            if history.seen_ready || history.kept.last().is_some_and(|kept| kept.ready) {
                state.ready.insert(name.clone());
            }
            if let Some(on_trial) = history.on_trial().filter(|_| !active.removed) {
                state.trials.insert(name.clone(), on_trial);
            }
            if active.removed {
                state.removed.insert(name.clone(), active.bundle.revision);
            } else {
                state
                    .bundles
                    .insert(name.clone(), Arc::clone(&active.bundle));
            }
        }
        state
    }

    /// What an earlier request with this id led to.
    pub(crate) fn remembered(&self, id: &str) -> Result<Option<Remembered>, OpenError> {
        let Some((name, revision)) = self.requests.get(id) else {
            return Ok(None);
        };
        let record = match self
            .bundles
            .get(name)
            .and_then(|history| history.active.as_ref())
        {
            Some(active) if active.bundle.revision == *revision => Arc::clone(active),
            _ => Arc::new(open::revision(
                &*self.fs,
                &self.bundles_dir,
                name,
                *revision,
            )?),
        };
        if let Some(request) = record.request.as_ref().filter(|request| request.id == id) {
            return Ok(Some(Remembered {
                fingerprint: request.fingerprint.clone(),
                bundle: Arc::clone(&record.bundle),
                changes: record.changes.clone(),
                object_changes: record.object_changes.clone(),
                warnings: record.warnings.clone(),
                source_revision: record.came.source_revision,
            }));
        }
        let others = open::requests(&*self.fs, &self.bundles_dir, name, *revision)?;
        Ok(others
            .into_iter()
            .find(|request| request.id == id)
            .map(|request| Remembered {
                fingerprint: request.fingerprint,
                changes: record::unchanged(&record.bundle),
                object_changes: record::unchanged_objects(&record.bundle),
                bundle: Arc::clone(&record.bundle),
                warnings: request.warnings,
                source_revision: request.source_revision,
            }))
    }

    /// Makes a new revision durable and active.
    pub(crate) fn commit(&mut self, draft: Draft) -> Result<Arc<Bundle>, CommitError> {
        let name = draft.bundle.name.clone();
        let revision = draft.bundle.revision;
        let record = Arc::new(RevisionRecord::from(draft));
        let dir = self.bundles_dir.join(name.as_str());
        let file = record::file_name(revision);
        let fallback = match &record.trial {
            Some(_) => self.fallback(&name)?,
            None => None,
        };
        if !self.bundles.contains_key(&name) {
            self.make_bundle_dir(&dir)?;
        }
        let bytes = record.encode();
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
            revision,
            removed: record.removed,
            ids,
            ..Kept::default()
        });
        history.active = Some(Arc::clone(&record));
        history.fallback = fallback;
        history.seen_ready = false;
        self.grown.insert(name);
        Ok(Arc::clone(&record.bundle))
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
        let read = open::revision(&*self.fs, &self.bundles_dir, name, revision);
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

    /// Remembers that a request found the active revision to be what it demands.
    pub(crate) fn remember(
        &mut self,
        name: &BundleName,
        request: &RequestId,
        warnings: &[StoredWarning],
        source_revision: u64,
    ) -> Result<(), CommitError> {
        let Some(kept) = self
            .bundles
            .get(name)
            .and_then(|history| history.kept.last())
        else {
            return Ok(());
        };
        let revision = kept.revision;
        let read = open::requests(&*self.fs, &self.bundles_dir, name, revision);
        let mut requests = read.map_err(|error| CommitError::Write {
            path: record::sidecar_path(&self.bundles_dir, name, revision, Sidecar::Requests),
            source: io::Error::other(error),
        })?;
        let surplus = (requests.len() + 1).saturating_sub(IDS_PER_REVISION);
        let forgotten: Vec<RequestRecord> = requests.drain(..surplus).collect();
        requests.push(RequestRecord {
            id: request.id.clone(),
            fingerprint: request.fingerprint.to_string(),
            warnings: warnings.to_vec(),
            source_revision,
        });
        let dir = self.bundles_dir.join(name.as_str());
        let bytes = record::encode_requests(&requests);
        let file = record::sidecar_name(revision, Sidecar::Requests);
        self.write(&dir, &file, bytes.as_bytes(), Overwrites::WhatIsTrueToo)?;

        for request in &forgotten {
            self.requests.remove(&request.id);
        }
        self.requests
            .insert(request.id.clone(), (name.clone(), revision));
        if let Some(kept) = self
            .bundles
            .get_mut(name)
            .and_then(|history| history.kept.last_mut())
        {
            kept.has_requests = true;
            kept.ids
                .retain(|id| !forgotten.iter().any(|request| request.id == *id));
            kept.ids.push(request.id.clone());
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
    fn write(
        &mut self,
        dir: &Path,
        name: &str,
        bytes: &[u8],
        overwrites: Overwrites,
    ) -> Result<(), CommitError> {
        let path = dir.join(name);
        if self.uncertain {
            return Err(CommitError::Uncertain(io::Error::other(
                "an earlier commit is uncertain",
            )));
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
enum Overwrites {
    /// Nothing has that name yet: a write that failed is taken back.
    Nothing,
    /// The new content only says more of what is true anyway, and may stay when it is not known to be durable.
    WhatIsTrueToo,
}

/// The digest of a bundle's content.
pub(crate) fn bundle_digest<'a>(
    pods: impl Iterator<Item = (&'a seedpod_manifest::PodKey, &'a str)>,
) -> String {
    let mut text = String::new();
    for (key, digest) in pods {
        text.push_str(&format!("{key} {digest}\n"));
    }
    Digest::of(text.as_bytes()).to_string()
}
