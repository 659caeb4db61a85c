//! Removing the volumes of pods that are neither demanded nor run any more.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{PutError, REMOVING_PREFIX, Volumes};
use crate::{
    error::chain,
    fs::{Dir, Name, STAGED_PREFIX, remove_tree},
    node::State,
    runtime_cri::{Observation, ObservationWatch},
    store::{OpenError, Reader},
};

/// How long a change waits for others: a commit makes several.
const SETTLE: Duration = Duration::from_millis(200);

/// How often it is looked again while something is there that is not demanded: at first, and at last.
const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How many observations have to have come since a uid was first seen as not demanded. The first of them may have been
/// asked for before; they are made one after the other, so the second one was not.
const LATER: u8 = 2;

/// What the collection looks at.
#[derive(Debug)]
pub(crate) struct Inlets {
    pub(crate) state: watch::Receiver<Arc<State>>,
    pub(crate) observation: ObservationWatch,
}

/// Starts collecting. The task ends when `shutdown` is cancelled.
pub(crate) fn start(
    volumes: Arc<Volumes>,
    kept: Reader,
    inlets: Inlets,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let collecting = run(volumes, kept, inlets);
        let ended = shutdown.run_until_cancelled(collecting).await;
        if ended.is_some() {
            // The actor is gone, and the whole daemon with it.
            shutdown.cancelled().await;
        }
    })
}

async fn run(volumes: Arc<Volumes>, kept: Reader, inlets: Inlets) {
    let Inlets {
        mut state,
        mut observation,
    } = inlets;
    let mut projected = volumes.projected.subscribe();
    let mut has_observation = true;
    let kept = move |state: &State| kept_uids(&kept, state);
    let mut collector = Collector::new(volumes, kept, state.clone(), observation.clone());
    let mut look = LOOK.0;
    loop {
        let pass = tokio::task::spawn_blocking(move || {
            collector.pass();
            collector
        });
        collector = match pass.await {
            Ok(collector) => collector,
            Err(error) => {
                // A fault of ours. What is left over is only that.
                tracing::error!(%error, "collecting volumes failed; it is given up until seedpodd is restarted");
                return;
            }
        };
        let waits = collector.waits();
        tokio::select! {
            changed = state.changed() => {
                if changed.is_err() {
                    return;
                }
                look = LOOK.0;
            }
            changed = projected.changed() => {
                if changed.is_err() {
                    return;
                }
                look = LOOK.0;
            }
            changed = observation.changed(), if waits && has_observation => {
                has_observation = changed.is_ok();
            }
            () = sleep(look), if waits => look = (look * 2).min(LOOK.1),
        }
        sleep(SETTLE).await;
    }
}

/// A folder that is there although its uid is not demanded.
#[derive(Debug)]
struct Surplus {
    /// The newest observation when it was looked at last.
    observation: Arc<Observation>,
    /// How many others have come since it was first seen so.
    later: u8,
    /// Whether it has been told that it cannot be removed.
    told: bool,
}

pub(super) struct Collector {
    volumes: Arc<Volumes>,
    /// Reads the uids in all revisions that are kept.
    kept: Box<ReadKept>,
    state: watch::Receiver<Arc<State>>,
    observation: ObservationWatch,
    /// The configured folder, and those that pods had before the configuration was changed.
    directories: BTreeSet<PathBuf>,
    surplus: BTreeMap<String, Surplus>,
    /// Without a runtime: the uids in all revisions that are kept, and the state in which they were read.
    kept_uids: Option<(Arc<State>, HashSet<String>)>,
    /// What was told already: names that are none of ours, and folders that can't be read.
    told: BTreeSet<PathBuf>,
}

type ReadKept = dyn Fn(&State) -> Result<HashSet<String>, OpenError> + Send;

/// What is known when one folder is looked at.
struct Facts {
    state: Arc<State>,
    /// The uids that are demanded, or that the projection knows of.
    wanted: HashSet<String>,
    observation: Arc<Observation>,
}

impl Collector {
    pub(super) fn new(
        volumes: Arc<Volumes>,
        kept: impl Fn(&State) -> Result<HashSet<String>, OpenError> + Send + 'static,
        state: watch::Receiver<Arc<State>>,
        observation: ObservationWatch,
    ) -> Self {
        let directories = BTreeSet::from([volumes.directory.clone()]);
        Self {
            volumes,
            kept: Box::new(kept),
            state,
            observation,
            directories,
            surplus: BTreeMap::new(),
            kept_uids: None,
            told: BTreeSet::new(),
        }
    }

    /// Whether something is there that may have to go later.
    pub(super) fn waits(&self) -> bool {
        !self.surplus.is_empty()
    }

    /// Looks at all folders once.
    pub(super) fn pass(&mut self) {
        let state = Arc::clone(&self.state.borrow());
        let folders = state.pods().filter_map(|(_, pod)| pod.volumes.as_deref());
        let parents = folders.filter_map(Path::parent);
        self.directories.extend(parents.map(Path::to_owned));
        if self.waits() && matches!(**self.observation.borrow(), Observation::NotConfigured) {
            self.read_kept(&state);
        }
        let mut seen = HashSet::new();
        for directory in self.directories.clone() {
            match self.pass_in(&directory, &mut seen) {
                Ok(()) => drop(self.told.remove(&directory)),
                Err(error) => {
                    // Nothing is known of what is there.
                    seen.extend(self.surplus.keys().cloned());
                    if self.told.insert(directory) {
                        let error = chain(&error);
                        tracing::warn!(error, "cannot look for volumes that are no longer needed");
                    }
                }
            }
        }
        self.surplus.retain(|uid, _| seen.contains(uid));
    }

    fn pass_in(&mut self, path: &Path, seen: &mut HashSet<String>) -> Result<(), PutError> {
        let volumes = Arc::clone(&self.volumes);
        let Some(dir) = volumes.open(path)? else {
            return Ok(());
        };
        let failed = |source| PutError::of(path, source);
        // The order matters. All that is listed was put for a state that has been published before, and the state is
        // read after that; whatever is put later waits, and is put anew if it is gone.
        let _writing = volumes.write();
        let names = dir.list().map_err(failed)?;
        let facts = self.facts();
        for name in names {
            let text = name.as_str().unwrap_or_default();
            if text.starts_with(STAGED_PREFIX) || text.starts_with(REMOVING_PREFIX) {
                // Nobody is at it: they would hold the lock.
                remove_tree(&*dir, &name).map_err(failed)?;
                continue;
            }
            if !is_uid(text) {
                let stray = path.join(name.as_os_str());
                if !self.told.contains(&stray) {
                    tracing::warn!(path = %stray.display(),
                        "this is not Seedpod's and should not be among the volumes; leaving it there");
                    self.told.insert(stray);
                }
                continue;
            }
            if facts.as_ref().is_some_and(|facts| self.may_go(text, facts)) {
                match remove(&*dir, &name, text) {
                    Ok(()) => {
                        tracing::info!(uid = text, "removed the volumes of a pod");
                        continue;
                    }
                    Err(error) => self.cannot(text, &error),
                }
            }
            seen.insert(text.to_owned());
        }
        Ok(())
    }

    /// What is known now. `None` until the projection knows what is there.
    fn facts(&self) -> Option<Facts> {
        let projected = self.volumes.projected.borrow().clone()?;
        let state = Arc::clone(&self.state.borrow());
        let mut wanted: HashSet<String> = projected.into_iter().collect();
        // One that is handed over comes back under another uid.
        let pods = state
            .pods()
            .filter(|(bundle, pod)| !state.is_withheld(&bundle.name, &pod.key));
        wanted.extend(pods.map(|(_, pod)| pod.uid.clone()));
        Some(Facts {
            wanted,
            state,
            observation: Arc::clone(&self.observation.borrow()),
        })
    }

    /// Whether nobody needs the volumes of this uid any more. What is not known counts as needed.
    fn may_go(&mut self, uid: &str, facts: &Facts) -> bool {
        if facts.wanted.contains(uid) {
            self.surplus.remove(uid);
            return false;
        }
        let newest = &facts.observation;
        let surplus = self
            .surplus
            .entry(uid.to_owned())
            .or_insert_with(|| Surplus {
                observation: Arc::clone(newest),
                later: 0,
                told: false,
            });
        if !Arc::ptr_eq(&surplus.observation, newest) {
            surplus.observation = Arc::clone(newest);
            surplus.later = surplus.later.saturating_add(1);
        }
        match &**newest {
            Observation::NotYet | Observation::Away { .. } => false,
            Observation::Sandboxes(sandboxes) => {
                surplus.later >= LATER
                    && !sandboxes
                        .iter()
                        .any(|sandbox| sandbox.uid == uid && sandbox.is_live())
            }
            Observation::NotConfigured => self.kept_uids.as_ref().is_some_and(|(state, uids)| {
                Arc::ptr_eq(state, &facts.state) && !uids.contains(uid)
            }),
        }
    }

    fn cannot(&mut self, uid: &str, error: &std::io::Error) {
        if let Some(surplus) = self.surplus.get_mut(uid)
            && !std::mem::replace(&mut surplus.told, true)
        {
            tracing::warn!(uid, %error, "cannot remove the volumes of a pod; it is tried again");
        }
    }

    /// Reads which uids the kept revisions have, once for each state.
    fn read_kept(&mut self, state: &Arc<State>) {
        if matches!(&self.kept_uids, Some((read, _)) if Arc::ptr_eq(read, state)) {
            return;
        }
        self.kept_uids = match (self.kept)(state) {
            Ok(uids) => Some((Arc::clone(state), uids)),
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "cannot tell which volumes are still needed"
                );
                None
            }
        };
    }
}

fn kept_uids(kept: &Reader, state: &State) -> Result<HashSet<String>, OpenError> {
    let mut uids = HashSet::new();
    for name in state.bundles.keys().chain(state.removed.keys()) {
        let newest = state.newest_revision(name).unwrap_or(0);
        for listed in kept.list(name, newest)? {
            // Gone meanwhile: then it is not kept.
            if let Some(past) = kept.revision(name, listed.revision)? {
                uids.extend(past.bundle.pods.iter().map(|pod| pod.uid.clone()));
            }
        }
    }
    Ok(uids)
}

/// Removes a folder, under another name first: whenever that ends halfway, nobody takes the rest for a pod's volumes.
fn remove(dir: &dyn Dir, name: &Name, uid: &str) -> std::io::Result<()> {
    let removing = Name::new(format!("{REMOVING_PREFIX}{uid}"))?;
    remove_tree(dir, &removing)?;
    dir.rename(name, &removing)?;
    if !dir.is_in_memory()? {
        dir.sync()?;
    }
    remove_tree(dir, &removing)
}

/// Whether a name is a pod's uid, as `StoreId::pod_uid` makes them.
fn is_uid(name: &str) -> bool {
    name.len() == 36
        && name.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}
