//! What is demanded, what was done about it, and what is to be done next. Pure: time and the world come as arguments.
//!
//! `entry` is one file name of ours; `waves` tells whose turn it is, `kubelet` what a kubelet does not do of itself.

mod entry;
mod kubelet;
#[cfg(test)]
mod tests;
mod waves;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use seedpod_manifest::{BundleName, Digest, HostPort, NodeName, PodKey, nudge};

pub(super) use self::{entry::Leaving, kubelet::StopOrder};
use self::{
    entry::{Demand, Entry, Stop},
    kubelet::Kubelet,
    waves::Progress,
};
use super::directory::{Work, Write};
use crate::{
    node::{PodProjection, ProjectionPhase, State, sandboxes_of, status::PodStatus},
    runtime_cri::Sandbox,
    store::Owned,
};

/// What the board is told of its surroundings.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) node: NodeName,
    pub(super) nudge_for: Duration,
    /// How long a wave may take.
    pub(super) wave_timeout: Duration,
    /// Whether there is a runtime that can confirm things.
    pub(super) has_runtime: bool,
    /// Whether the kubelet may be restarted.
    pub(super) can_restart: bool,
}

/// Something to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Happened {
    WaveTimedOut {
        bundle: BundleName,
        revision: u64,
        pod: PodKey,
        message: String,
    },
}

/// A live sandbox of ours that no file and no demand explains: what was removed before the daemon was restarted.
#[derive(Debug, Clone)]
pub(super) struct Orphan {
    pub(super) bundle: BundleName,
    pub(super) key: PodKey,
    pub(super) uid: String,
    pub(super) kubelet_uid: String,
    pub(super) revision: u64,
    pub(super) wave: u32,
    pub(super) grace: Duration,
    pub(super) host_ports: Vec<HostPort>,
}

/// All file names of ours.
#[derive(Debug)]
pub(super) struct Board {
    node: NodeName,
    nudge_for: Duration,
    wave_timeout: Duration,
    has_runtime: bool,
    entries: BTreeMap<String, Entry>,
    /// The files of pods that are handed over: they go at once, in whatever order.
    withheld: BTreeSet<String>,
    /// Of the bundles that are demanded.
    waves: BTreeMap<BundleName, Progress>,
    statuses: Arc<Vec<PodStatus>>,
    kubelet: Kubelet,
    /// Whether the runtime has answered yet. Only it knows what runs from before the daemon started.
    has_observed: bool,
    /// Whether the runtime is to be asked although nothing is waited for.
    looks_again: bool,
    /// Whether its first answer is no longer waited for.
    goes_on_blindly: bool,
    /// When there was something to do for the first time.
    begun: Option<Instant>,
    happened: Vec<Happened>,
}

impl Board {
    pub(super) fn new(terms: Terms) -> Self {
        let Terms {
            node,
            nudge_for,
            wave_timeout,
            has_runtime,
            can_restart,
        } = terms;
        Self {
            node,
            nudge_for,
            wave_timeout,
            has_runtime,
            entries: BTreeMap::new(),
            withheld: BTreeSet::new(),
            waves: BTreeMap::new(),
            statuses: Arc::default(),
            kubelet: Kubelet::new(can_restart && has_runtime),
            has_observed: false,
            looks_again: false,
            goes_on_blindly: false,
            begun: None,
            happened: Vec::new(),
        }
    }

    /// Takes over a newly committed state.
    pub(super) fn demand(&mut self, state: &State, now: Instant) {
        self.begun.get_or_insert(now);
        let mut wanted = BTreeSet::new();
        self.withheld.clear();
        for (bundle, pod) in state.pods() {
            if state.is_withheld(&bundle.name, &pod.key) {
                self.withheld.insert(pod.file.clone());
                continue;
            }
            wanted.insert(pod.file.as_str());
            let entry = self.entries.entry(pod.file.clone()).or_default();
            let is = |demand: &Option<Demand>| demand.as_ref().is_some_and(|it| it.uid == pod.uid);
            if is(&entry.demand) {
                entry.next = None;
            } else if !is(&entry.next) {
                entry.next = Some(Demand::new(bundle, pod));
                entry.touched = Some(now);
            }
        }
        for (file, entry) in &mut self.entries {
            if !wanted.contains(file.as_str()) {
                entry.next = None;
                entry.retire(now);
            }
        }
        self.waves
            .retain(|bundle, _| state.bundles.contains_key(bundle));
        for (name, bundle) in &state.bundles {
            let progress = self.waves.entry(name.clone()).or_default();
            if progress.revision != bundle.revision {
                *progress = Progress::of(bundle.revision);
            }
        }
        self.forget();
    }

    /// How the pods are.
    pub(super) fn statuses(&mut self, statuses: Arc<Vec<PodStatus>>) {
        self.statuses = statuses;
    }

    /// Whether a file is as it was written or seen last, so that there is no more to be said of it.
    pub(super) fn is_as_known(&self, file: &str, content: &[u8]) -> bool {
        let known = self.entries.get(file).and_then(|entry| entry.on_disk);
        known.is_some_and(|known| known == Digest::of(content))
    }

    /// A file was found at the start, or changed by somebody; `owned` when it proves to be ours. Tells whether it is not
    /// what it should be.
    pub(super) fn found(
        &mut self,
        file: &str,
        content: Option<&[u8]>,
        owned: Option<Owned>,
        now: Instant,
    ) -> bool {
        let disk_uid = owned.as_ref().map(|owned| owned.kubelet_uid.clone());
        if let (Some(owned), Some(content)) = (owned, content) {
            let entry = self.entries.entry(file.to_owned()).or_default();
            entry.found_ours(owned, content, now);
        }
        let Some(entry) = self.entries.get_mut(file) else {
            return false;
        };
        let digest = content.map(Digest::of);
        let seen_first = entry.on_disk.is_none() && entry.worker.is_none();
        let Some(demand) = &entry.demand else {
            // To be removed: gone already is as good. Or to be written when its turn comes.
            if content.is_none() || entry.next.is_some() {
                entry.on_disk = digest;
                entry.disk_uid = disk_uid;
            }
            if content.is_none() {
                entry.let_go(now);
            }
            return false;
        };
        if digest.is_some() && digest == entry.on_disk {
            return false;
        }
        let same = content
            .is_some_and(|content| seedpod_manifest::is_rendering_of(content, &demand.rendered));
        entry.on_disk = digest;
        entry.disk_uid = disk_uid;
        if seen_first {
            entry.worker.clone_from(&entry.disk_uid);
        }
        if same {
            entry.is_written(now);
            entry.left = false;
            return false;
        }
        entry.written.take().is_some()
    }

    /// Leaves a changed file as somebody made it, until there is a new demand.
    pub(super) fn leave(&mut self, file: &str) {
        if let Some(entry) = self.entries.get_mut(file) {
            entry.left = true;
        }
    }

    /// The files that are left as somebody made them.
    pub(super) fn left(&self) -> Vec<&str> {
        let left = self.entries.iter().filter(|(_, entry)| entry.left);
        left.map(|(file, _)| file.as_str()).collect()
    }

    /// Whether a name is one of ours.
    pub(super) fn knows(&self, file: &str) -> bool {
        self.entries.contains_key(file)
    }

    pub(super) fn files(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// The bundle, the revision and the pod of a file.
    pub(super) fn pod_of(&self, file: &str) -> Option<(&BundleName, u64, &PodKey)> {
        let demand = self.entries.get(file)?.demand.as_ref()?;
        Some((&demand.bundle, demand.revision, &demand.key))
    }

    /// The bundle of a file, and the uid of the content that it is to hold.
    pub(super) fn content_of(&self, file: &str) -> Option<(&BundleName, &str)> {
        let demand = self.entries.get(file)?.demand.as_ref()?;
        Some((&demand.bundle, &demand.uid))
    }

    /// The files that hold what they are to hold, or what somebody made of that.
    pub(super) fn written(&self) -> Vec<String> {
        let written = self.entries.iter();
        let written = written.filter(|(_, entry)| entry.written.is_some() || entry.left);
        written.map(|(file, _)| file.clone()).collect()
    }

    /// Files to remove and to write now.
    pub(super) fn work(&self, now: Instant) -> Work {
        let mut work = Work::default();
        for (file, entry) in &self.entries {
            if entry.left || entry.retry_at.is_some_and(|at| at > now) {
                continue;
            }
            let Some(demand) = &entry.demand else {
                let goes = entry.is_to_be_removed() && entry.on_disk.is_some();
                if goes && self.may_go(file, entry) {
                    work.remove.push(file.clone());
                }
                continue;
            };
            let is_due = entry.written.is_none() || self.needs_kept_uid(entry, demand, now);
            if let Some(uid) = self.uid_for(entry, demand, now).filter(|_| is_due) {
                work.write.push(Write {
                    file: file.clone(),
                    content: seedpod_manifest::keep_uid(&demand.rendered, uid),
                    uid: uid.to_owned(),
                    over: entry.on_disk.is_some(),
                });
            }
        }
        work
    }

    /// Files to rewrite so that the kubelet tries again.
    pub(super) fn nudges(&mut self, now: Instant) -> Work {
        let mut work = Work {
            only_nudges: true,
            ..Work::default()
        };
        let due: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, entry)| self.next_nudge(entry).is_some_and(|at| at <= now))
            .map(|(file, _)| file.clone())
            .collect();
        for file in due {
            let Some(entry) = self.entries.get_mut(&file) else {
                continue;
            };
            let (Some(demand), Some(written)) = (&entry.demand, &mut entry.written) else {
                continue;
            };
            let uid = entry.disk_uid.as_ref().unwrap_or(&demand.uid);
            let content = seedpod_manifest::keep_uid(&demand.rendered, uid);
            work.write.push(Write {
                content: nudge(&content, written.nudged(now)),
                uid: uid.clone(),
                file,
                over: true,
            });
        }
        work
    }

    fn next_nudge(&self, entry: &Entry) -> Option<Instant> {
        // One that waits for a restart is not helped by it.
        let written = entry.written.as_ref().filter(|_| !self.is_wedged(entry))?;
        written.next_nudge(self.nudge_for, self.has_runtime)
    }

    pub(super) fn removed(&mut self, file: &str, error: Option<String>, now: Instant) {
        let Some(entry) = self.entries.get_mut(file) else {
            return;
        };
        if error.is_none() {
            entry.on_disk = None;
            entry.disk_uid = None;
            entry.touched = Some(now);
            entry.let_go(now);
            if !self.has_runtime {
                entry.leaving.clear();
            }
            if self.kubelet.is_synced() || !self.has_runtime {
                entry.worker = None;
            }
        }
        entry.outcome(error, now);
        self.forget();
    }

    pub(super) fn wrote(&mut self, write: &Write, error: Option<String>, now: Instant) {
        let Some(entry) = self.entries.get_mut(&write.file) else {
            return;
        };
        if error.is_none() {
            entry.on_disk = Some(Digest::of(write.content.as_bytes()));
            if entry.disk_uid.as_ref() != Some(&write.uid) {
                // Under another uid it is another pod for the kubelet.
                entry.written = None;
            }
            entry.disk_uid = Some(write.uid.clone());
            if entry.worker.is_none() || self.kubelet.takes_new_uids() {
                entry.worker.clone_from(&entry.disk_uid);
            }
            // A nudge changes nothing that an answer under way could have missed.
            entry.is_written(now);
            if !self.has_runtime {
                // Nobody can tell when the old one has stopped.
                entry.leaving.clear();
            }
        }
        entry.outcome(error, now);
    }

    /// What the runtime ran when it was asked.
    pub(super) fn observe(&mut self, sandboxes: &[Sandbox], asked: Instant) {
        for entry in self.entries.values_mut() {
            // Something was done since then, and the answer knows nothing of it.
            if entry.touched.is_some_and(|touched| touched > asked) {
                continue;
            }
            let on_disk = entry.on_disk.is_some();
            let demanded = entry.demand.is_some();
            let mut by_kubelet = false;
            entry.leaving.retain(|leaving| {
                let runs = sandboxes_of(sandboxes, &leaving.key, &self.node)
                    .any(|sandbox| sandbox.uid == leaving.uid && sandbox.is_live());
                by_kubelet |= !runs && leaving.stop == Stop::Not;
                // As long as its own file is there, it is not on its way out, whatever runs now.
                runs || (on_disk && !demanded && leaving.gone.is_none())
            });
            if by_kubelet && entry.leaving.is_empty() && self.kubelet.is_unknown() {
                // It has let go of the pod: an unsynced one would not.
                entry.worker.clone_from(&entry.disk_uid);
            }
            if let (Some(demand), Some(written)) = (&entry.demand, &mut entry.written) {
                let confirmed = sandboxes_of(sandboxes, &demand.key, &self.node)
                    .any(|sandbox| sandbox.uid == demand.uid);
                written.observe(!entry.leaving.is_empty(), confirmed, asked);
            }
        }
        self.has_observed = true;
        self.conclude(sandboxes, asked);
        self.forget();
    }

    /// The uids of all contents that are known here. Whatever else of ours runs is an orphan.
    pub(super) fn known_uids(&self) -> BTreeSet<String> {
        let entries = self.entries.values();
        entries
            .flat_map(|entry| {
                let demanded = entry.demand.iter().chain(&entry.next).map(|it| &it.uid);
                demanded.chain(entry.leaving.iter().map(|it| &it.uid))
            })
            .cloned()
            .collect()
    }

    /// Takes over what runs and is not wanted.
    pub(super) fn adopt(&mut self, orphan: Orphan, now: Instant) {
        let file = orphan.key.file_name();
        if self.known_uids().contains(&orphan.uid) {
            return;
        }
        let entry = self.entries.entry(file).or_default();
        if !self.kubelet.takes_new_uids() {
            // It may well go on with this one.
            entry.worker.get_or_insert(orphan.kubelet_uid);
        }
        entry.leaving.push(Leaving {
            bundle: orphan.bundle,
            key: orphan.key,
            uid: orphan.uid,
            revision: orphan.revision,
            wave: orphan.wave,
            host_ports: orphan.host_ports,
            grace: orphan.grace,
            gone: Some(now),
            stop: Stop::Not,
        });
        entry.touched = Some(now);
    }

    /// What is to be recorded.
    pub(super) fn take_happened(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.happened)
    }

    /// Asks the runtime once more although nothing is expected of it: what nobody waits for may run.
    pub(super) fn look_again(&mut self) {
        self.looks_again = true;
    }

    /// The runtime is being asked.
    pub(super) fn looks(&mut self) {
        self.looks_again = false;
    }

    /// Whether anything waits for what the runtime says, and when something was last done about it.
    pub(super) fn waits_since(&self, now: Instant) -> Option<Instant> {
        if !self.has_observed {
            return Some(self.begun.unwrap_or(now));
        }
        if self.looks_again {
            return Some(now);
        }
        let waiting = self.entries.values().filter(|entry| {
            !entry.leaving.is_empty()
                || entry.may_return(now)
                || entry
                    .written
                    .as_ref()
                    .is_some_and(|written| !written.is_confirmed())
        });
        waiting.map(|entry| entry.touched.unwrap_or(now)).max()
    }

    /// How many pods are not yet as demanded.
    pub(super) fn queue(&self) -> usize {
        let open = |entry: &&Entry| {
            !entry.leaving.is_empty()
                || entry.error.is_some()
                || entry.next.is_some()
                || (entry.demand.is_some() && entry.written.is_none())
                || (self.has_runtime && entry.written.as_ref().is_some_and(|w| !w.is_confirmed()))
        };
        self.entries.values().filter(open).count()
    }

    /// When there is something to do by itself.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let retries = self.entries.values().filter_map(|entry| entry.retry_at);
        let nudges = self
            .entries
            .values()
            .filter_map(|entry| self.next_nudge(entry));
        let others = self.wave_deadline().into_iter();
        let others = others.chain(self.kubelet_deadline());
        retries.chain(nudges).chain(others).min()
    }

    /// For whoever asks.
    pub(super) fn pods(&self) -> Vec<PodProjection> {
        let mut pods = Vec::with_capacity(self.entries.len());
        for entry in self.entries.values() {
            let error = entry.error.clone();
            if let Some(next) = &entry.next {
                pods.push(PodProjection {
                    bundle: next.bundle.clone(),
                    key: next.key.clone(),
                    uid: next.uid.clone(),
                    phase: ProjectionPhase::Pending,
                    waits_for: self.waits_for(next),
                    error,
                });
                continue;
            }
            if let Some(demand) = &entry.demand {
                let phase = match &entry.written {
                    None => ProjectionPhase::Pending,
                    Some(written) if written.is_confirmed() => ProjectionPhase::Confirmed,
                    Some(_) if !entry.leaving.is_empty() => ProjectionPhase::Replacing,
                    Some(_) => ProjectionPhase::Written,
                };
                pods.push(PodProjection {
                    bundle: demand.bundle.clone(),
                    key: demand.key.clone(),
                    uid: demand.uid.clone(),
                    phase,
                    waits_for: None,
                    error,
                });
                continue;
            }
            pods.extend(entry.leaving.iter().map(|leaving| PodProjection {
                bundle: leaving.bundle.clone(),
                key: leaving.key.clone(),
                uid: leaving.uid.clone(),
                phase: ProjectionPhase::Removing,
                waits_for: None,
                error: error.clone(),
            }));
        }
        pods
    }

    /// The first write that fails among those that `counts`, for people.
    pub(super) fn error(&self, counts: impl Fn(&str) -> bool) -> Option<String> {
        self.entries
            .iter()
            .filter(|(file, _)| counts(file))
            .find_map(|(file, entry)| entry.error.as_ref().map(|error| format!("{file}: {error}")))
    }

    fn forget(&mut self) {
        self.entries.retain(|_, entry| !entry.is_over());
    }
}
