//! What is demanded, what was done about it, and what is to be done next. Pure: time and the world come as arguments.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use seedpod_manifest::{BundleName, Digest, HostPort, NodeName, PodKey, nudge};

use super::{
    directory::{Work, Write},
    nudge::Written,
};
use crate::{
    node::{PodProjection, ProjectionPhase, State, sandboxes_of},
    runtime_cri::Sandbox,
};

/// How long after a failed write it is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// A pod that the state demands.
#[derive(Debug, Clone)]
struct Demand {
    bundle: BundleName,
    key: PodKey,
    uid: String,
    rendered: Arc<str>,
    host_ports: Vec<HostPort>,
}

/// A pod that was projected, is no longer wanted, and may still run.
#[derive(Debug, Clone)]
pub(super) struct Leaving {
    pub(super) bundle: BundleName,
    pub(super) key: PodKey,
    pub(super) uid: String,
    pub(super) host_ports: Vec<HostPort>,
}

/// One file name of ours.
#[derive(Debug, Default)]
struct Entry {
    demand: Option<Demand>,
    leaving: Vec<Leaving>,
    /// What we wrote there last, and so may replace or remove.
    on_disk: Option<Digest>,
    written: Option<Written>,
    /// When something was last done about it.
    touched: Option<Instant>,
    failures: u32,
    retry_at: Option<Instant>,
    error: Option<String>,
    /// Somebody changed the file, and it is to stay so.
    left: bool,
}

/// All file names of ours.
#[derive(Debug)]
pub(super) struct Board {
    node: NodeName,
    nudge_for: Duration,
    /// Whether there is a runtime that can confirm things.
    has_runtime: bool,
    entries: BTreeMap<String, Entry>,
}

impl Board {
    pub(super) fn new(node: NodeName, nudge_for: Duration, has_runtime: bool) -> Self {
        Self {
            node,
            nudge_for,
            has_runtime,
            entries: BTreeMap::new(),
        }
    }

    /// Takes over a newly committed state.
    pub(super) fn demand(&mut self, state: &State, now: Instant) {
        let mut wanted = BTreeSet::new();
        for (bundle, pod) in state.pods() {
            wanted.insert(pod.file.as_str());
            let entry = self.entries.entry(pod.file.clone()).or_default();
            if entry
                .demand
                .as_ref()
                .is_some_and(|demand| demand.uid == pod.uid)
            {
                continue;
            }
            entry.retire(now);
            entry.demand = Some(Demand {
                bundle: bundle.name.clone(),
                key: pod.key.clone(),
                uid: pod.uid.clone(),
                rendered: Arc::clone(&pod.rendered),
                host_ports: pod.host_ports.clone(),
            });
        }
        for (file, entry) in &mut self.entries {
            if !wanted.contains(file.as_str()) {
                entry.retire(now);
            }
        }
        self.forget();
    }

    /// A file was found at the start, or changed by somebody. Tells whether it is not what it should be.
    pub(super) fn found(&mut self, file: &str, content: Option<&[u8]>, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(file) else {
            return false;
        };
        let digest = content.map(Digest::of);
        let Some(demand) = &entry.demand else {
            // To be removed. Gone already is as good.
            if content.is_none() {
                entry.on_disk = None;
            }
            return false;
        };
        if digest.is_some() && digest == entry.on_disk {
            return false;
        }
        let same = content
            .is_some_and(|content| seedpod_manifest::is_rendering_of(content, &demand.rendered));
        entry.on_disk = digest;
        if same {
            if entry.written.is_none() {
                entry.written = Some(Written::new(now, !entry.leaving.is_empty()));
                entry.touched = Some(now);
            }
            entry.left = false;
            return false;
        }
        entry.written.take().is_some()
    }

    /// A file of an earlier revision was found: it has to go, or to be replaced.
    pub(super) fn found_leftover(&mut self, file: &str, leaving: Leaving, content: &[u8]) {
        let entry = self.entries.entry(file.to_owned()).or_default();
        match &entry.demand {
            Some(demand) if demand.uid == leaving.uid => return,
            Some(_) => {}
            None => entry.on_disk = Some(Digest::of(content)),
        }
        if entry.leaving.iter().all(|known| known.uid != leaving.uid) {
            entry.leaving.push(leaving);
        }
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

    /// Files to remove and to write now.
    pub(super) fn work(&self, now: Instant) -> Work {
        let mut work = Work::default();
        for (file, entry) in &self.entries {
            if entry.left || entry.retry_at.is_some_and(|at| at > now) {
                continue;
            }
            match &entry.demand {
                None if entry.on_disk.is_some() => work.remove.push(file.clone()),
                Some(demand) if entry.written.is_none() && !self.waits_for_port(file, demand) => {
                    work.write.push(Write {
                        file: file.clone(),
                        content: demand.rendered.to_string(),
                        over: entry.on_disk.is_some(),
                    });
                }
                _ => {}
            }
        }
        work
    }

    /// Whether a pod that still runs has a port of the host that this one needs. The kubelet may reject a pod for
    /// that, and does not try again when the port becomes free.
    fn waits_for_port(&self, file: &str, demand: &Demand) -> bool {
        // Only one that is on its way out: two pods that swap their ports would wait for each other for ever.
        let others = self.entries.iter().filter(|(name, other)| {
            *name != file && (other.demand.is_none() || other.written.is_some())
        });
        self.has_runtime
            && others.flat_map(|(_, entry)| &entry.leaving).any(|leaving| {
                leaving.host_ports.iter().any(|taken| {
                    demand
                        .host_ports
                        .iter()
                        .any(|wanted| wanted.conflicts_with(taken))
                })
            })
    }

    /// Files to rewrite so that the kubelet tries again.
    pub(super) fn nudges(&mut self, now: Instant) -> Work {
        let mut work = Work {
            only_nudges: true,
            ..Work::default()
        };
        for (file, entry) in &mut self.entries {
            let (Some(demand), Some(written)) = (&entry.demand, &mut entry.written) else {
                continue;
            };
            let due = written.next_nudge(self.nudge_for, self.has_runtime);
            if due.is_none_or(|at| at > now) {
                continue;
            }
            let content = nudge(&demand.rendered, written.nudged(now));
            work.write.push(Write {
                file: file.clone(),
                content,
                over: true,
            });
        }
        work
    }

    pub(super) fn removed(&mut self, file: &str, error: Option<String>, now: Instant) {
        let Some(entry) = self.entries.get_mut(file) else {
            return;
        };
        if error.is_none() {
            entry.on_disk = None;
            entry.touched = Some(now);
            if !self.has_runtime {
                entry.leaving.clear();
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
            // A nudge changes nothing that an answer under way could have missed.
            if entry.written.is_none() {
                entry.written = Some(Written::new(now, !entry.leaving.is_empty()));
                entry.touched = Some(now);
            }
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
            entry.leaving.retain(|leaving| {
                let runs = sandboxes_of(sandboxes, &leaving.key, &self.node)
                    .any(|sandbox| sandbox.uid == leaving.uid && sandbox.is_live());
                // As long as its own file is there, it is not on its way out, whatever runs now.
                runs || (on_disk && !demanded)
            });
            if let (Some(demand), Some(written)) = (&entry.demand, &mut entry.written) {
                let confirmed = sandboxes_of(sandboxes, &demand.key, &self.node)
                    .any(|sandbox| sandbox.uid == demand.uid);
                written.observe(!entry.leaving.is_empty(), confirmed, asked);
            }
        }
        self.forget();
    }

    /// Whether anything waits for what the runtime says, and when something was last done about it.
    pub(super) fn waits_since(&self, now: Instant) -> Option<Instant> {
        let waiting = self.entries.values().filter(|entry| {
            !entry.leaving.is_empty()
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
                || (entry.demand.is_some() && entry.written.is_none())
                || (self.has_runtime && entry.written.as_ref().is_some_and(|w| !w.is_confirmed()))
        };
        self.entries.values().filter(open).count()
    }

    /// When there is something to do by itself.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let retries = self.entries.values().filter_map(|entry| entry.retry_at);
        let nudges = self.entries.values().filter_map(|entry| {
            let written = entry.written.as_ref()?;
            written.next_nudge(self.nudge_for, self.has_runtime)
        });
        retries.chain(nudges).min()
    }

    /// For whoever asks.
    pub(super) fn pods(&self) -> Vec<PodProjection> {
        let mut pods = Vec::with_capacity(self.entries.len());
        for entry in self.entries.values() {
            let error = entry.error.clone();
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
                    error,
                });
                continue;
            }
            pods.extend(entry.leaving.iter().map(|leaving| PodProjection {
                bundle: leaving.bundle.clone(),
                key: leaving.key.clone(),
                uid: leaving.uid.clone(),
                phase: ProjectionPhase::Removing,
                error: error.clone(),
            }));
        }
        pods
    }

    /// The first write that fails, for people.
    pub(super) fn error(&self) -> Option<String> {
        self.entries
            .iter()
            .find_map(|(file, entry)| entry.error.as_ref().map(|error| format!("{file}: {error}")))
    }

    fn forget(&mut self) {
        self.entries.retain(|_, entry| {
            entry.demand.is_some() || entry.on_disk.is_some() || !entry.leaving.is_empty()
        });
    }
}

impl Entry {
    /// The demand is over: what was projected of it is on its way out.
    fn retire(&mut self, now: Instant) {
        let Some(demand) = self.demand.take() else {
            return;
        };
        // Without a file the kubelet has never seen it.
        if self.on_disk.is_some() {
            let Demand {
                bundle,
                key,
                uid,
                host_ports,
                rendered: _,
            } = demand;
            self.leaving.push(Leaving {
                bundle,
                key,
                uid,
                host_ports,
            });
        }
        self.touched = Some(now);
        self.written = None;
        self.left = false;
        self.failures = 0;
        self.retry_at = None;
        self.error = None;
    }

    fn outcome(&mut self, error: Option<String>, now: Instant) {
        match error {
            None => {
                self.failures = 0;
                self.retry_at = None;
                self.error = None;
            }
            Some(error) => {
                let delay = RETRY
                    .0
                    .saturating_mul(1 << self.failures.min(8))
                    .min(RETRY.1);
                self.failures += 1;
                self.retry_at = Some(now + delay);
                self.error = Some(error);
            }
        }
    }
}
