//! The volumes of pods, put in place before their files.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{directory::Work, task::Task};
use crate::{
    error::chain,
    events::{EventKind, NewEvent},
    node::{Bundle, BundlePod, PodProjection, Problem},
    runtime_cri::Runtime,
    volumes::{Put, PutError},
};

/// How often volumes are tried again of a pod whose file is there already.
const RETRY: Duration = Duration::from_secs(5);

/// What is wrong with pods' volumes, by their files.
#[derive(Debug, Default)]
pub(super) struct Faults {
    failed: BTreeMap<String, Fault>,
    /// What somebody changed and was left so.
    left: BTreeMap<String, Fault>,
    /// When those are tried again that nothing else waits for.
    retry_at: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
struct Fault {
    pod: String,
    uid: String,
    what: String,
}

impl Faults {
    /// Whether the volumes of a file's pod could not be put.
    pub(super) fn has(&self, file: &str) -> bool {
        self.failed.contains_key(file)
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Says of pods whose file is written that their volumes are not there.
    pub(super) fn mark(&self, pods: &mut [PodProjection]) {
        for fault in self.failed.values() {
            for pod in pods.iter_mut().filter(|pod| pod.uid == fault.uid) {
                pod.error.get_or_insert_with(|| fault.what.clone());
            }
        }
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = Problem> {
        let failed = self.failed.values().next().map(|fault| Problem {
            reason: "VOLUMES_FAILED",
            message: format!(
                "pod {} does not start, or not anew, since {}; it is tried again",
                fault.pod, fault.what
            ),
        });
        let left = self.left.values().next().map(|fault| Problem {
            reason: "DRIFT",
            message: format!(
                "somebody changed the volumes of pod {}, and repairDrift is off: {}; remove that folder, and it is \
                 made anew within a minute",
                fault.pod, fault.what
            ),
        });
        failed.into_iter().chain(left)
    }
}

/// A pod whose volumes are to be put.
#[derive(Clone)]
struct Wanted {
    file: String,
    bundle: Arc<Bundle>,
    pod: BundlePod,
}

impl<R: Runtime> Task<R> {
    /// Puts the volumes of the pods whose files are about to be written. A pod that can't have its volumes is taken out
    /// of the work, and tried again as if its file could not be written.
    pub(super) async fn materialise(&mut self, work: &mut Work) {
        if work.only_nudges {
            return;
        }
        let files = work.write.iter().map(|write| write.file.clone()).collect();
        self.put_volumes(files).await;
        let now = Instant::now();
        let failed = |write: &mut super::directory::Write| self.faults.has(&write.file);
        let failed: Vec<_> = work.write.extract_if(.., failed).collect();
        for write in failed {
            let what = self.faults.failed.get(&write.file);
            let what = what.map(|fault| fault.what.clone());
            self.board.wrote(&write, what, now);
        }
    }

    /// Puts the volumes of the pods whose files are there: after a reboot they are gone, and somebody may have changed
    /// them.
    pub(super) async fn look_at_volumes(&mut self) {
        let files = self.board.written();
        for file in self.put_volumes(files.clone()).await {
            // The kubelet could not mount them, and waits longer and longer until it tries again.
            self.board.nudge_now(&file, Instant::now());
        }
        let failed = files.iter().any(|file| self.faults.has(file));
        self.faults.retry_at = failed.then(|| Instant::now() + RETRY);
    }

    /// Puts the volumes of these files' pods, as far as they have any. Tells of which ones they were made.
    async fn put_volumes(&mut self, files: Vec<String>) -> Vec<String> {
        let wanted: Vec<Wanted> = files
            .into_iter()
            .filter_map(|file| self.wants_volumes(file))
            .collect();
        if wanted.is_empty() {
            return Vec::new();
        }
        let (volumes, repair) = (Arc::clone(&self.volumes), self.settings.repair_drift);
        let pods = wanted.clone();
        let put = move || {
            let put = |it: &Wanted| volumes.put(&it.bundle, &it.pod, repair);
            pods.iter().map(put).collect::<Vec<_>>()
        };
        let done = tokio::task::spawn_blocking(put).await;
        let done = done.unwrap_or_else(|error| {
            // A fault of ours. No file is written over it: what its pod mounts may not be there.
            tracing::error!(%error, "putting volumes failed");
            wanted.iter().map(|_| Err(PutError::Panicked)).collect()
        });
        let mut made = Vec::new();
        for (wanted, result) in wanted.into_iter().zip(done) {
            if matches!(result, Ok(Put::Made)) {
                made.push(wanted.file.clone());
            }
            self.put(wanted, result);
        }
        made
    }

    /// The pod of a file, when it is demanded and has volumes. Those of an earlier content, which a file may have to be
    /// put right to, are there since then.
    fn wants_volumes(&self, file: String) -> Option<Wanted> {
        let (bundle, uid) = self.board.content_of(&file)?;
        let bundle = self.demanded.bundles.get(bundle)?;
        let has = |pod: &&BundlePod| pod.uid == uid && pod.volumes.is_some();
        let pod = bundle.pods.iter().find(has)?.clone();
        Some(Wanted {
            file,
            bundle: Arc::clone(bundle),
            pod,
        })
    }

    /// Takes note of how it went.
    fn put(&mut self, wanted: Wanted, result: Result<Put, PutError>) {
        let Wanted { file, bundle, pod } = wanted;
        let fault = |what: String| Fault {
            pod: pod.key.to_string(),
            uid: pod.uid.clone(),
            what,
        };
        let event = |kind, message: String| {
            let event = NewEvent::of_pod(kind, &bundle.name, pod.revision, &pod.key, message);
            self.outlets.events.record(event);
        };
        let put = match result {
            Ok(put) => put,
            Err(error) => {
                let fault = fault(chain(&error));
                if self.faults.failed.get(&file) != Some(&fault) {
                    tracing::error!(
                        pod = fault.pod,
                        error = fault.what,
                        "cannot put a pod's volumes"
                    );
                }
                self.faults.failed.insert(file, fault);
                return;
            }
        };
        self.faults.failed.remove(&file);
        if let Put::Left(differences) = put {
            let fault = fault(differences.to_string());
            if self.faults.left.get(&file) != Some(&fault) {
                tracing::warn!(
                    pod = fault.pod,
                    what = fault.what,
                    "somebody changed a pod's volumes; leaving them so"
                );
                let message = format!("somebody changed the pod's volumes: {}", fault.what);
                event(EventKind::Drift, message);
            }
            self.faults.left.insert(file, fault);
            return;
        }
        self.faults.left.remove(&file);
        match put {
            Put::Made => tracing::info!(pod = %pod.key, uid = pod.uid, "made a pod's volumes"),
            Put::Repaired(differences) => {
                self.metrics.count_drift();
                tracing::warn!(pod = %pod.key, what = %differences,
                    "somebody changed a pod's volumes; they were put right");
                let message = format!("somebody changed the pod's volumes: {differences}");
                event(EventKind::Drift, message);
                event(EventKind::Repaired, "its volumes were put right".to_owned());
            }
            Put::Nothing | Put::Left(_) => {}
        }
    }

    /// Forgets what was wrong with the volumes of pods that are no longer demanded.
    pub(super) fn forget_faults(&mut self) {
        let board = &self.board;
        let is_demanded = |file: &String, fault: &mut Fault| {
            let content = board.content_of(file);
            content.is_some_and(|(_, uid)| uid == fault.uid)
        };
        self.faults.failed.retain(is_demanded);
        self.faults.left.retain(is_demanded);
        if self.faults.failed.is_empty() {
            self.faults.retry_at = None;
        }
    }
}
