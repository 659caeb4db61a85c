//! One file name of ours: what it is to hold, what it holds, and what of it may still run.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use seedpod_manifest::{BundleName, Digest, HostPort, PodKey};

use crate::{
    node::{Bundle, BundlePod},
    projection::nudge::Written,
    store::Owned,
};

/// How long after a failed write it is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// For how long a pod that was removed on an unsynced kubelet is looked for.
const LINGER: Duration = Duration::from_secs(60);

/// A pod that the state demands.
#[derive(Debug, Clone)]
pub(super) struct Demand {
    pub(super) bundle: BundleName,
    pub(super) key: PodKey,
    /// Of the content.
    pub(super) uid: String,
    /// The revision that brought the content.
    pub(super) revision: u64,
    pub(super) wave: u32,
    pub(super) rendered: Arc<str>,
    pub(super) host_ports: Vec<HostPort>,
}

impl Demand {
    pub(super) fn new(bundle: &Bundle, pod: &BundlePod) -> Self {
        Self {
            bundle: bundle.name.clone(),
            key: pod.key.clone(),
            uid: pod.uid.clone(),
            revision: pod.revision,
            wave: pod.wave,
            rendered: Arc::clone(&pod.rendered),
            host_ports: pod.host_ports.clone(),
        }
    }

    /// The content of an earlier revision, from its file. `None` when somebody has edited that, and for a pod that takes
    /// something from Secrets or ConfigMaps: it would take these to tell.
    fn of_file(owned: &Owned, content: &[u8]) -> Option<Self> {
        let rendered = seedpod_manifest::as_rendered(content)?;
        let pod = seedpod_manifest::unrender(&rendered)?;
        Some(Self {
            bundle: owned.bundle.clone(),
            key: owned.key.clone(),
            uid: owned.uid.clone(),
            revision: owned.revision,
            wave: pod.wave(),
            rendered: rendered.into(),
            host_ports: pod.host_ports().to_vec(),
        })
    }

    pub(super) fn conflicts_with(&self, taken: &[HostPort]) -> bool {
        let wanted = self.host_ports.iter();
        wanted
            .flat_map(|wanted| taken.iter().map(move |taken| (wanted, taken)))
            .any(|(wanted, taken)| wanted.conflicts_with(taken))
    }
}

/// A pod that was projected, is no longer wanted, and may still run.
#[derive(Debug, Clone)]
pub(in crate::projection) struct Leaving {
    pub(in crate::projection) bundle: BundleName,
    pub(in crate::projection) key: PodKey,
    /// Of the content.
    pub(in crate::projection) uid: String,
    pub(in crate::projection) revision: u64,
    pub(in crate::projection) wave: u32,
    pub(in crate::projection) host_ports: Vec<HostPort>,
    /// How long it may take to stop.
    pub(in crate::projection) grace: Duration,
    /// Since when its file is gone or holds another content.
    pub(in crate::projection) gone: Option<Instant>,
    pub(in crate::projection) stop: Stop,
}

/// Whether a pod is stopped over CRI.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::projection) enum Stop {
    /// It is left to the kubelet, as yet.
    #[default]
    Not,
    UnderWay,
    /// The runtime said so, then. What is seen running after that was started anew.
    Done(Instant),
    /// It is tried again after that.
    Again(Instant),
}

impl Leaving {
    /// Of a file of ours that somebody has edited, or of which that can't be told, since its pod takes something from
    /// Secrets or ConfigMaps: what can be read from it.
    fn edited(owned: Owned, content: &[u8]) -> Self {
        let host_ports = seedpod_manifest::read_foreign(content).map(|pod| pod.host_ports);
        let text = String::from_utf8_lossy(content);
        Self {
            bundle: owned.bundle,
            key: owned.key,
            uid: owned.uid,
            revision: owned.revision,
            wave: wave_of(&text),
            host_ports: host_ports.unwrap_or_default(),
            grace: seedpod_manifest::grace_period(&text),
            gone: None,
            stop: Stop::Not,
        }
    }
}

impl From<Demand> for Leaving {
    fn from(demand: Demand) -> Self {
        let Demand {
            bundle,
            key,
            uid,
            revision,
            wave,
            rendered,
            host_ports,
        } = demand;
        Self {
            bundle,
            key,
            uid,
            revision,
            wave,
            host_ports,
            grace: seedpod_manifest::grace_period(&rendered),
            gone: None,
            stop: Stop::Not,
        }
    }
}

/// The wave in the annotation of a file; 0 without one.
fn wave_of(file: &str) -> u32 {
    let pod = serde_json::from_str::<serde_json::Value>(file).unwrap_or_default();
    let wave = pod["metadata"]["annotations"]["seedpod.dev/wave"].as_str();
    wave.and_then(|wave| wave.parse().ok()).unwrap_or(0)
}

/// One file name of ours.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// What the file is to hold.
    pub(super) demand: Option<Demand>,
    /// What it is to hold when the turn of that has come. Until then all stays as it is.
    pub(super) next: Option<Demand>,
    /// The file has to go although something comes after it: its pod has a port of the host that another one needs
    /// first.
    pub(super) vacate: bool,
    pub(super) leaving: Vec<Leaving>,
    /// What we wrote there last, and so may replace or remove.
    pub(super) on_disk: Option<Digest>,
    /// The `metadata.uid` there.
    pub(super) disk_uid: Option<String>,
    /// The uid that the kubelet works on under this name, as far as can be told. An unsynced one does not let go of it,
    /// not even when the file is gone, and starts no other under this name.
    pub(super) worker: Option<String>,
    /// The uid before that of the file, if there was one.
    pub(super) predecessor: Option<String>,
    /// The uid that the demanded content itself runs under.
    pub(super) runs_as: Option<String>,
    pub(super) written: Option<Written>,
    /// When the demanded content was in the file for the first time.
    pub(super) first_written: Option<Instant>,
    /// When something was last done about it.
    pub(super) touched: Option<Instant>,
    /// When what remained of an earlier content was removed.
    pub(super) cleaned: Option<Instant>,
    /// A pod of this name had to be stopped over CRI: the kubelet did not do it in its time.
    pub(super) stopped_over_cri: bool,
    /// The kubelet was suspected once to hold on to the predecessor.
    pub(super) suspected: bool,
    failures: u32,
    pub(super) retry_at: Option<Instant>,
    pub(super) error: Option<String>,
    /// Somebody changed the file, and it is to stay so.
    pub(super) left: bool,
}

impl Entry {
    /// What the state demands, whether its turn has come or not.
    pub(super) fn target(&self) -> Option<&Demand> {
        self.next.as_ref().or(self.demand.as_ref())
    }

    /// Whether the file is to go.
    pub(super) fn is_to_be_removed(&self) -> bool {
        self.demand.is_none() && (self.next.is_none() || self.vacate)
    }

    /// Whether a removed pod may run once more: a kubelet that does not let go of it may have been about to start it.
    pub(super) fn may_return(&self, now: Instant) -> bool {
        self.demand.is_none()
            && self.next.is_none()
            && self.worker.is_some()
            && self.touched.is_some_and(|touched| now < touched + LINGER)
    }

    pub(super) fn is_confirmed(&self) -> bool {
        self.written.as_ref().is_some_and(Written::is_confirmed)
    }

    /// The demand is over: what was projected of it is on its way out.
    pub(super) fn retire(&mut self, now: Instant) {
        let Some(demand) = self.demand.take() else {
            return;
        };
        // Without a file the kubelet has never seen it, unless somebody has deleted that.
        if self.on_disk.is_some() || self.first_written.is_some() {
            self.leaving.push(demand.into());
            self.predecessor.clone_from(&self.disk_uid);
            if self.on_disk.is_none() {
                self.let_go(now);
            }
        }
        self.reset(now);
    }

    /// The turn of the next content has come.
    pub(super) fn promote(&mut self, now: Instant) {
        let Some(next) = self.next.take() else {
            return;
        };
        self.retire(now);
        self.reset(now);
        self.demand = Some(next);
    }

    fn reset(&mut self, now: Instant) {
        self.touched = Some(now);
        self.written = None;
        self.runs_as = None;
        self.first_written = None;
        self.suspected = false;
        self.stopped_over_cri = false;
        self.cleaned = None;
        self.vacate = false;
        self.left = false;
        self.failures = 0;
        self.retry_at = None;
        self.error = None;
    }

    /// The demanded content is in the file.
    pub(super) fn is_written(&mut self, now: Instant) {
        if self.written.is_none() {
            self.written = Some(Written::new(now, !self.leaving.is_empty()));
            self.first_written.get_or_insert(now);
            self.touched = Some(now);
        }
        self.let_go(now);
    }

    /// The file holds another content now, or is gone.
    pub(super) fn let_go(&mut self, now: Instant) {
        for leaving in &mut self.leaving {
            leaving.gone.get_or_insert(now);
        }
    }

    pub(super) fn outcome(&mut self, error: Option<String>, now: Instant) {
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

    /// The file holds what this store wrote.
    pub(super) fn found_ours(&mut self, owned: Owned, content: &[u8], now: Instant) {
        let is = |demand: &Option<Demand>| demand.as_ref().is_some_and(|it| it.uid == owned.uid);
        if is(&self.demand) {
            return;
        }
        if is(&self.next) {
            // What has been written is not held back again.
            self.promote(now);
            return;
        }
        let old = Demand::of_file(&owned, content);
        let is_new = self.demand.is_none() && self.on_disk.is_none();
        if let Some(old) = old.as_ref().filter(|_| is_new && self.next.is_some()) {
            // It stays until the turn of the next content has come.
            self.demand = Some(old.clone());
            return;
        }
        if is_new {
            self.on_disk = Some(Digest::of(content));
            self.disk_uid = Some(owned.kubelet_uid.clone());
            self.worker.clone_from(&self.disk_uid);
        }
        if self.leaving.iter().all(|known| known.uid != owned.uid) {
            self.leaving.push(match old {
                Some(old) => old.into(),
                None => Leaving::edited(owned, content),
            });
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.demand.is_none()
            && self.next.is_none()
            && self.on_disk.is_none()
            && self.leaving.is_empty()
            && self.worker.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wave_is_read_from_a_file_as_far_as_it_has_one() {
        let file = r#"{"metadata": {"annotations": {"seedpod.dev/wave": "3"}}}"#;
        assert_eq!(wave_of(file), 3);
        for without in ["", "{}", "[]", &file.replace('3', "-3"), &file[..20]] {
            assert_eq!(wave_of(without), 0, "{without}");
        }
    }
}
