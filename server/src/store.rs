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
//! <stateDirectory>/objects/<keyed digest>            the content of a Secret or ConfigMap, encrypted if so configured
//! <stateDirectory>/objects/digest-key                the key of all such digests, encrypted likewise
//! <stateDirectory>/handoff/record.json               how far the node's handoff is: replaced whole
//! <stateDirectory>/handoff/<keyed digest>.material   what it needs of what is secret, encrypted likewise
//! ```
//!
//! The highest revision of a bundle is the active one, so that a commit is one rename, and after a power cut at any
//! instant there is either the old revision or the new one, whole. A removal is a revision too, one without pods:
//! revision numbers never start again, and no uid is made twice. So is what the node does when a trial fails.
//!
//! Whatever cannot be read stops the daemon: reading it as "nothing" would stop every pod.
//!
//! `open` reads all of it at the start, `read` old revisions later, `commit` and `requests` write new ones and who asked
//! for them, `prune` forgets what is no longer kept. `record` has the format of revisions, `objects` that of contents,
//! which `seal` encrypts. `handoff` keeps the node's handoff.

mod commit;
mod handoff;
mod id;
mod lock;
mod objects;
mod open;
mod prune;
mod read;
mod record;
mod requests;
mod seal;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
};

use seedpod_manifest::{BundleName, Digest, DigestKey, KeyedDigest, Objects};

pub(crate) use self::{
    commit::CommitError,
    handoff::MaterialError,
    id::{Owned, StoreId, owned_by, random_id},
    lock::{Lock, LockError},
    open::OpenError,
    read::{Past, Reader},
    seal::{EncryptionKeys, KeyFileError},
};
use self::{handoff::Handoff, objects::Contents, prune::Garbage, record::RevisionRecord};
use crate::{
    fs::FileSystem,
    node::{
        Bundle, BundleObject, BundlePod, Change, ObjectChange, OnTrial, RequestId, State,
        StoredWarning, Trial,
    },
};

/// How many revisions of a bundle are kept, the active one included, when nothing else is said.
const HISTORY: usize = 10;

/// A new revision, before it is committed.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) bundle: Bundle,
    /// Whether this is a removal: the bundle has no pods and is no longer listed.
    pub(crate) removed: bool,
    /// Whether all revisions before it are to be forgotten.
    pub(crate) forgets: bool,
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

/// The state directory, opened and locked.
#[derive(Debug)]
pub(crate) struct Store {
    fs: Arc<dyn FileSystem>,
    bundles_dir: PathBuf,
    id: StoreId,
    /// The format that `store.json` tells of: no seedpodd that knows only older ones may use the folder.
    format: u32,
    /// Of Secrets and ConfigMaps.
    contents: Arc<Contents>,
    garbage: Garbage,
    handoff: Handoff,
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
    /// The contents that it refers to.
    objects: Box<[KeyedDigest]>,
    /// The ids that die with this revision.
    ids: Vec<String>,
    has_requests: bool,
    ready: bool,
    confirmed: bool,
}

impl Kept {
    /// A revision without ids and sidecars.
    fn of(record: &RevisionRecord) -> Self {
        let objects = record.bundle.objects.iter();
        Self {
            revision: record.bundle.revision,
            removed: record.removed,
            objects: objects.map(|object| object.summary.digest).collect(),
            ..Self::default()
        }
    }

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
        self.contents.digest_key()
    }

    /// The id that uids are made with.
    pub(crate) fn id(&self) -> &StoreId {
        &self.id
    }

    /// Reads what is kept, beside this.
    pub(crate) fn reader(&self) -> Reader {
        Reader::new(
            Arc::clone(&self.fs),
            self.bundles_dir.clone(),
            Arc::clone(&self.contents),
        )
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
        self.put_handoff(&mut state);
        state
    }
}

/// The digest of a bundle's content. That of a bundle without objects is the same on each node, and never changes.
pub(crate) fn bundle_digest(pods: &[BundlePod], objects: &[BundleObject]) -> String {
    let mut text = String::new();
    for BundlePod { key, digest, .. } in pods {
        text.push_str(&format!("{key} {digest}\n"));
    }
    // No pod's line begins as an object's does: with a kind.
    for BundleObject { summary, .. } in objects {
        text.push_str(&format!("{} {}\n", summary.key, summary.digest));
    }
    Digest::of(text.as_bytes()).to_string()
}
