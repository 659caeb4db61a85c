//! The order of a bundle's pods: which one's turn has come, and which one has to go first.
//!
//! A content is written when all demanded pods of the bundle with a lower wave are ready with it, and when no pod that is on
//! its way out has a port of the host that it needs: the kubelet may reject a pod for that, and does not try again.
//! Until then the old content of the same pod stays and runs. It gives way only when it has a port that a pod needs whose
//! turn has come: else these two would wait for each other for ever.
//!
//! What has been written once is not held back again.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use seedpod_manifest::{BundleName, PodKey};

use super::{Board, Demand, Entry, Happened};
use crate::node::{Waits, status::PodState, status::PodStatus};

/// How long the runtime's first answer is waited for.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// Whether the next wave may come. The only place that says so.
fn is_ready(status: &PodStatus) -> bool {
    status.state == PodState::Ready
}

/// How a bundle's waves go on.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Of the bundle.
    pub(super) revision: u64,
    /// The lowest wave that another one waits for, and since when.
    waiting: Option<(u32, Instant)>,
    /// The waves of this revision of which was reported that they took too long.
    late: BTreeSet<u32>,
}

impl Progress {
    pub(super) fn of(revision: u64) -> Self {
        Self {
            revision,
            ..Self::default()
        }
    }
}

impl Board {
    /// Lets all contents come in whose turn has come, and looks for waves that take too long.
    pub(in crate::projection) fn advance(&mut self, now: Instant) {
        self.goes_on_blindly |= self.begun.is_some_and(|begun| now >= begun + FIRST_ANSWER);
        let waiting: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.next.is_some())
            .map(|(file, _)| file.clone())
            .collect();
        // First what waits for nothing; that may be what others wait for.
        for file in &waiting {
            if self.may_come(file) && self.in_the_way(file).is_empty() {
                self.promote(file, now);
            }
        }
        for file in &waiting {
            if self.is_in_turn(file) {
                self.make_way(file, now);
            }
        }
        self.watch_waves(now);
    }

    fn promote(&mut self, file: &str, now: Instant) {
        if let Some(entry) = self.entries.get_mut(file) {
            entry.promote(now);
        }
    }

    /// The next content of a file, if its wave's turn has come.
    fn in_turn(&self, file: &str) -> Option<&Demand> {
        let next = self.entries.get(file)?.next.as_ref()?;
        self.waits_for(next).is_none().then_some(next)
    }

    fn is_in_turn(&self, file: &str) -> bool {
        self.in_turn(file).is_some()
    }

    /// What was removed before the daemon was restarted is only known from the runtime. It is waited for, but not for
    /// ever: better a pod out of order than none.
    pub(super) fn knows_what_runs(&self) -> bool {
        self.has_observed || self.goes_on_blindly || !self.has_runtime
    }

    /// Whether it is a content's turn, and no pod on its way out has a port that it needs.
    fn may_come(&self, file: &str) -> bool {
        let Some(next) = self.in_turn(file) else {
            return false;
        };
        if !next.host_ports.is_empty() && !self.knows_what_runs() {
            return false;
        }
        let mut others = self.entries.iter().filter(|(name, _)| *name != file);
        !self.has_runtime
            || !others.any(|(_, other)| {
                let mut leaving = other.leaving.iter();
                leaving.any(|leaving| next.conflicts_with(&leaving.host_ports))
            })
    }

    /// The files whose content stays for now, and has a port that the next content of this one needs.
    fn in_the_way(&self, file: &str) -> Vec<String> {
        let next = self.entries.get(file).and_then(|entry| entry.next.as_ref());
        let Some(next) = next.filter(|_| self.has_runtime) else {
            return Vec::new();
        };
        let is_in_the_way = |(name, other): &(&String, &Entry)| {
            let stays = other.demand.as_ref().filter(|_| other.next.is_some());
            *name != file
                // Also when somebody has deleted its file, which is about to be written again.
                && (other.on_disk.is_some() || other.first_written.is_some())
                && stays.is_some_and(|stays| next.conflicts_with(&stays.host_ports))
        };
        let found = self.entries.iter().filter(is_in_the_way);
        found.map(|(name, _)| name.clone()).collect()
    }

    /// Takes contents away that are in the way of this one and do not go by themselves.
    fn make_way(&mut self, file: &str, now: Instant) {
        let Some(next) = self.entries.get(file).and_then(|it| it.next.clone()) else {
            return;
        };
        for (name, other) in &mut self.entries {
            // What was being removed, or was edited, and is demanded anew since: its file is still there.
            let stays = name != file
                && other.demand.is_none()
                && other.next.is_some()
                && other.on_disk.is_some();
            let mut leaving = other.leaving.iter();
            if stays && leaving.any(|leaving| next.conflicts_with(&leaving.host_ports)) {
                other.vacate = true;
            }
        }
        for other in self.in_the_way(file) {
            let goes = self.is_in_turn(&other) && self.in_the_way(&other).is_empty();
            if !goes && let Some(entry) = self.entries.get_mut(&other) {
                entry.retire(now);
                entry.vacate = true;
            }
        }
    }

    /// The pod of a lower wave that a content waits for, if there is one. The lowest wave's first.
    pub(super) fn waits_for(&self, demand: &Demand) -> Option<Waits> {
        // Nobody can tell what is ready; better in any order than never.
        if !self.has_runtime {
            return None;
        }
        let (wave, key) = self
            .entries
            .values()
            .filter_map(|entry| {
                let target = entry.target()?;
                (target.bundle == demand.bundle && target.wave < demand.wave).then_some(())?;
                (!self.is_ready(entry)).then_some((target.wave, &target.key))
            })
            .min()?;
        let progress = self.waves.get(&demand.bundle);
        Some(Waits {
            key: key.clone(),
            wave,
            timed_out: progress.is_some_and(|progress| progress.late.contains(&wave)),
        })
    }

    /// Whether a file's pod is as demanded, and ready.
    fn is_ready(&self, entry: &Entry) -> bool {
        let Some(demand) = entry.demand.as_ref().filter(|_| entry.next.is_none()) else {
            return false;
        };
        entry.written.is_some()
            && self
                .status(&demand.bundle, &demand.key)
                .is_some_and(|status| status.uid == demand.uid && is_ready(status))
    }

    fn status(&self, bundle: &BundleName, key: &PodKey) -> Option<&PodStatus> {
        let mut statuses = self.statuses.iter();
        statuses.find(|status| status.bundle == *bundle && status.key == *key)
    }

    /// Whether a file may be removed: not while a pod of a higher wave of the bundle is still stopping. One that is handed
    /// over does not wait: who takes over says when it goes.
    pub(super) fn may_go(&self, file: &str, entry: &Entry) -> bool {
        if !self.has_runtime || entry.vacate || self.withheld.contains(file) {
            return true;
        }
        if !self.knows_what_runs() {
            return false;
        }
        let mut others = self.entries.iter().filter(|(name, _)| *name != file);
        !others.any(|(_, other)| {
            // One whose next content cannot be written, or has to wait, is not on its way out.
            let goes = other.is_to_be_removed() || other.written.is_some();
            let mut leaving = other.leaving.iter();
            leaving.any(|higher| {
                // Its last content's wave counts, and not that of one before it: two files would wait for each other.
                let mut mine = entry.leaving.iter().rev();
                let mine = mine.find(|it| it.gone.is_none());
                (goes || higher.gone.is_some())
                    && mine.is_some_and(|it| it.bundle == higher.bundle && it.wave < higher.wave)
            })
        })
    }

    /// Takes note of the waves that are waited for, and of those that take too long.
    fn watch_waves(&mut self, now: Instant) {
        let mut waves = std::mem::take(&mut self.waves);
        for (bundle, progress) in &mut waves {
            let waits = self.lowest_wait(bundle);
            progress.waiting = waits.as_ref().map(|waits| match progress.waiting {
                Some((wave, since)) if wave == waits.wave => (wave, since),
                _ => (waits.wave, now),
            });
            let Some((wave, deadline)) = self.deadline(bundle, progress) else {
                continue;
            };
            if deadline <= now
                && let Some(waits) = waits
                && progress.late.insert(wave)
            {
                let status = self.status(bundle, &waits.key);
                let why = status.map_or("nothing is known of it", |status| &status.message);
                self.happened.push(Happened::WaveTimedOut {
                    bundle: bundle.clone(),
                    revision: progress.revision,
                    message: format!(
                        "wave {wave} is not ready after {} s, and the waves after it wait: pod {}: {why}",
                        self.wave_timeout.as_secs(),
                        waits.key
                    ),
                    pod: waits.key,
                });
            }
        }
        self.waves = waves;
    }

    fn lowest_wait(&self, bundle: &BundleName) -> Option<Waits> {
        let next = self
            .entries
            .values()
            .filter_map(|entry| entry.next.as_ref());
        next.filter(|next| next.bundle == *bundle)
            .filter_map(|next| self.waits_for(next))
            .min_by_key(|waits| waits.wave)
    }

    /// The wave that is waited for, and when it should be ready: so long after the last of its pods was written. Never as
    /// long as one of them could not be written.
    fn deadline(&self, bundle: &BundleName, progress: &Progress) -> Option<(u32, Instant)> {
        let (wave, since) = progress.waiting?;
        if progress.late.contains(&wave) {
            return None;
        }
        let mut last = since;
        for entry in self.entries.values() {
            let mine = entry
                .target()
                .is_some_and(|target| target.bundle == *bundle && target.wave == wave);
            if mine {
                last = last.max(entry.first_written.filter(|_| entry.next.is_none())?);
            }
        }
        Some((wave, last + self.wave_timeout))
    }

    pub(super) fn wave_deadline(&self) -> Option<Instant> {
        let waves = self.waves.iter();
        waves
            .filter_map(|(bundle, progress)| self.deadline(bundle, progress))
            .map(|(_, at)| at)
            .min()
    }
}
