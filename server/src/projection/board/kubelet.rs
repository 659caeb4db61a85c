//! What the kubelet does of itself, and what has to be done for it.
//!
//! A kubelet that has not heard from its API server since it started ("unsynced") starts new pods, and stops none. It
//! goes on with the uid that it has under a name (`Entry::worker`) whatever becomes of the file, and lets a pod with
//! another uid wait for that one's end, which never comes. So there a pod is stopped over CRI; and its replacement
//! either gets a new uid and a restarted kubelet, or keeps the uid.
//!
//! What uid it has, the file tells after a restart of the daemon, or else the newest sandbox. Where it has read a file
//! that was deleted since, and has made no sandbox yet, only the kubelet knows: the pod then gets a uid that such a
//! kubelet does not go over to before it is synced or restarted, and the problem KUBELET_UNSYNCED tells so.
//!
//! Of a kubelet without the Pods API it is not known whether it is unsynced. Removals and new uids are then left to it
//! for as long as they may take; what still runs after that, an unsynced one has.

use std::time::{Duration, Instant};

use super::{Board, Demand, Entry, Leaving, entry::Stop};
use crate::{
    kubelet::Sync,
    node::{Problem, sandboxes_of},
    runtime_cri::Sandbox,
};

/// How long the kubelet gets to read a file before the pod is stopped: it would start the old content again.
const SETTLE: Duration = Duration::from_millis(200);
/// A kubelet that has just started is unsynced until it has heard from its API server, which takes a moment where that
/// is there.
const PATIENCE: Duration = Duration::from_secs(3);
/// What a kubelet may take for stopping a pod beyond its grace period.
const MARGIN: Duration = Duration::from_secs(5);
/// How long after a failed stop it is tried again, and when something runs again that was stopped.
const STOP_AGAIN: Duration = Duration::from_secs(2);
/// How long the old pods of other files are waited for before the kubelet is restarted for one.
const RESTART_WAIT: Duration = Duration::from_secs(30);
/// What comes close together shares a restart.
const RESTART_DEBOUNCE: Duration = Duration::from_millis(100);
/// The kubelet is not restarted more often than this.
const RESTART_INTERVAL: Duration = Duration::from_secs(10);
/// How long after a restart that failed it is tried again. Until then replacements keep the uid.
const RESTART_RETRY: Duration = Duration::from_secs(60);
/// After this a pod that does not start on an unsynced kubelet is taken to wait for the one before it.
const SUSPICIOUS: Duration = Duration::from_secs(10);
/// After this one is, too, of which nobody knows what was before it.
const BAFFLING: Duration = Duration::from_secs(45);
/// After this it is reported that something waits for an unsynced kubelet.
const REPORT: Duration = Duration::from_secs(10);

/// What is known of the kubelet.
#[derive(Debug, Default)]
pub(super) struct Kubelet {
    /// `None` before it was asked.
    sync: Option<Sync>,
    since: Option<Instant>,
    /// Whether it may be restarted at all.
    can_restart: bool,
    restarting: bool,
    restarted: Option<Instant>,
    /// How and when the last restart failed.
    failed: Option<(Instant, String)>,
    /// Since when a restart is due.
    due: Option<Instant>,
}

impl Kubelet {
    pub(super) fn new(can_restart: bool) -> Self {
        Self {
            can_restart,
            ..Self::default()
        }
    }

    pub(super) fn is_synced(&self) -> bool {
        self.sync == Some(Sync::Synced)
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.sync == Some(Sync::Unknown)
    }

    /// Whether a file under a new uid makes it go over to that.
    pub(super) fn takes_new_uids(&self) -> bool {
        matches!(self.sync, Some(Sync::Synced | Sync::Down))
    }

    /// Whether it may be one that stops and replaces nothing.
    fn may_be_unsynced(&self) -> bool {
        matches!(self.sync, Some(Sync::Unsynced | Sync::Unknown))
    }

    fn may_restart(&self, now: Instant) -> bool {
        let rested = |at: Instant| now.saturating_duration_since(at) >= RESTART_INTERVAL;
        let works = |at: Instant| now.saturating_duration_since(at) >= RESTART_RETRY;
        self.can_restart
            && (self.restarting || self.restarted.is_none_or(rested))
            && self.failed.as_ref().is_none_or(|(at, _)| works(*at))
    }
}

/// A pod to be stopped over CRI.
#[derive(Debug, Clone)]
pub(in crate::projection) struct StopOrder {
    pub(in crate::projection) file: String,
    pub(in crate::projection) leaving: Leaving,
    pub(in crate::projection) sandboxes: Vec<Sandbox>,
    /// The new content comes up under the same uid.
    pub(in crate::projection) kept: bool,
}

impl Board {
    /// What the kubelet says of itself.
    pub(in crate::projection) fn kubelet(&mut self, sync: Sync, now: Instant) {
        let before = self.kubelet.sync.replace(sync);
        if before == Some(sync) {
            return;
        }
        self.kubelet.since = Some(now);
        // Each kubelet that starts knows only what it finds in the directory; a synced one comes to that.
        let begins_anew = match (before, sync) {
            (_, Sync::Synced | Sync::Down) | (Some(Sync::Synced | Sync::Down), _) => true,
            (None | Some(Sync::Unsynced | Sync::Unknown), _) => false,
        };
        if begins_anew {
            self.forget_workers();
        }
        if sync == Sync::Synced {
            self.kubelet.failed = None;
        }
    }

    fn forget_workers(&mut self) {
        for entry in self.entries.values_mut() {
            entry.worker.clone_from(&entry.disk_uid);
        }
        self.forget();
    }

    /// The uid that a content is to be written with now. `None`: it is not known yet.
    pub(super) fn uid_for<'a>(
        &self,
        entry: &'a Entry,
        demand: &'a Demand,
        now: Instant,
    ) -> Option<&'a str> {
        let unsynced = self.kubelet.sync == Some(Sync::Unsynced);
        if unsynced && entry.worker.is_none() && !self.knows_what_runs() {
            // It may still have another uid under this name, from before the daemon was restarted.
            return None;
        }
        let Some(worker) = entry.worker.as_deref().filter(|uid| *uid != demand.uid) else {
            return Some(&demand.uid);
        };
        if entry.runs_as.as_deref() == Some(worker) {
            // Somebody has changed the file, and the pod need not be started anew for that.
            return Some(worker);
        }
        let keep = match self.kubelet.sync? {
            Sync::Synced | Sync::Down => false,
            // What still runs could not be stopped: an old pod is better than none.
            Sync::Unsynced if !self.has_runtime => true,
            Sync::Unknown if !self.has_runtime => false,
            Sync::Unsynced | Sync::Unknown => !self.kubelet.may_restart(now),
        };
        Some(if keep { worker } else { &demand.uid })
    }

    /// Whether the kubelet goes on with another uid than that of the file, and so will not start what is in it.
    pub(super) fn is_wedged(&self, entry: &Entry) -> bool {
        self.kubelet.may_be_unsynced()
            && entry.demand.is_some()
            && entry.written.is_some()
            && !entry.is_confirmed()
            && entry.worker.is_some()
            && entry.worker != entry.disk_uid
    }

    /// Whether the file has to be written again, since the kubelet will not start what is in it.
    pub(super) fn needs_kept_uid(&self, entry: &Entry, demand: &Demand, now: Instant) -> bool {
        self.is_wedged(entry)
            && !self.kubelet.restarting
            && self.uid_for(entry, demand, now) != entry.disk_uid.as_deref()
    }

    /// What of the sandboxes has to be stopped over CRI now. The board takes it as ordered.
    pub(in crate::projection) fn stops(
        &mut self,
        sandboxes: &[Sandbox],
        asked: Instant,
        now: Instant,
    ) -> Vec<StopOrder> {
        let mut orders = Vec::new();
        for (file, entry) in &mut self.entries {
            // As long as something was done since then, the answer is an old one.
            if entry.touched.is_some_and(|touched| touched > asked) {
                continue;
            }
            for leaving in &mut entry.leaving {
                let live: Vec<Sandbox> = sandboxes_of(sandboxes, &leaving.key, &self.node)
                    .filter(|sandbox| sandbox.uid == leaving.uid && sandbox.is_live())
                    .cloned()
                    .collect();
                let again = match leaving.stop {
                    Stop::Not => true,
                    Stop::UnderWay => false,
                    Stop::Done(at) => at < asked && now >= at + STOP_AGAIN,
                    Stop::Again(at) => now >= at,
                };
                // Under the same uid, the new content starts when the old one ends, on any kubelet.
                let kept = live
                    .iter()
                    .any(|sandbox| entry.disk_uid.as_ref() == Some(&sandbox.kubelet_uid));
                if live.is_empty() || !again || !self.kubelet.leaves_running(leaving, kept, now) {
                    continue;
                }
                leaving.stop = Stop::UnderWay;
                orders.push(StopOrder {
                    file: file.clone(),
                    leaving: leaving.clone(),
                    sandboxes: live,
                    kept,
                });
            }
        }
        orders
    }

    /// Stopped sandboxes of an earlier content under a uid that was kept: as long as they are there, the kubelet takes
    /// their end for a crash of the new content, and waits before it starts that. The board takes it as ordered.
    pub(in crate::projection) fn remains(
        &mut self,
        sandboxes: &[Sandbox],
        now: Instant,
    ) -> Vec<(String, Vec<Sandbox>)> {
        let mut orders = Vec::new();
        for (file, entry) in &mut self.entries {
            let Some(demand) = entry.demand.as_ref().filter(|_| entry.written.is_some()) else {
                continue;
            };
            let is_kept = entry
                .disk_uid
                .as_ref()
                .is_some_and(|uid| *uid != demand.uid);
            if !is_kept || entry.cleaned.is_some_and(|at| now < at + STOP_AGAIN) {
                continue;
            }
            let remains: Vec<Sandbox> = sandboxes_of(sandboxes, &demand.key, &self.node)
                .filter(|it| Some(&it.kubelet_uid) == entry.disk_uid.as_ref())
                .filter(|it| it.uid != demand.uid && !it.is_live())
                .cloned()
                .collect();
            if !remains.is_empty() {
                entry.cleaned = Some(now);
                orders.push((file.clone(), remains));
            }
        }
        orders
    }

    /// What kept the kubelet from starting a pod is out of the way: it should look again now.
    pub(in crate::projection) fn nudge_now(&mut self, file: &str, now: Instant) {
        let written = self
            .entries
            .get_mut(file)
            .and_then(|it| it.written.as_mut());
        if let Some(written) = written {
            written.nudge_once_more(now);
        }
    }

    /// How an order went.
    pub(in crate::projection) fn stopped(&mut self, order: &StopOrder, ok: bool, now: Instant) {
        let Some(entry) = self.entries.get_mut(&order.file) else {
            return;
        };
        for leaving in &mut entry.leaving {
            if leaving.uid == order.leaving.uid {
                leaving.stop = if ok {
                    Stop::Done(now)
                } else {
                    Stop::Again(now + STOP_AGAIN)
                };
            }
        }
        if ok {
            entry.stopped_over_cri = true;
            entry.touched = Some(now);
        }
    }

    /// Whether the kubelet has to be restarted now. The board takes it as begun.
    pub(in crate::projection) fn restart(&mut self, now: Instant) -> bool {
        let wedged = || self.entries.values().filter(|entry| self.is_wedged(entry));
        let ready = wedged().any(|entry| entry.leaving.is_empty());
        let others_stop = wedged().any(|entry| !entry.leaving.is_empty());
        if !ready {
            self.kubelet.due = None;
        }
        if !ready || self.kubelet.restarting || !self.kubelet.may_restart(now) {
            return false;
        }
        let due = *self.kubelet.due.get_or_insert(now);
        let wait = if others_stop {
            RESTART_WAIT
        } else {
            RESTART_DEBOUNCE
        };
        let begins = now >= due + wait;
        self.kubelet.restarting |= begins;
        begins
    }

    /// How the restart went.
    pub(in crate::projection) fn restarted(&mut self, result: Result<(), String>, now: Instant) {
        self.kubelet.restarting = false;
        self.kubelet.due = None;
        match result {
            Ok(()) => {
                self.kubelet.restarted = Some(now);
                self.kubelet.failed = None;
                self.forget_workers();
                for entry in self.entries.values_mut() {
                    if !entry.is_confirmed() {
                        entry.touched = Some(now);
                    }
                }
            }
            Err(message) => self.kubelet.failed = Some((now, message)),
        }
    }

    /// What the runtime's answer tells of the kubelet.
    pub(super) fn conclude(&mut self, sandboxes: &[Sandbox], asked: Instant) {
        let Some(since) = self.kubelet.since else {
            return;
        };
        let (unsynced, unknown) = (
            self.kubelet.sync == Some(Sync::Unsynced),
            self.kubelet.is_unknown(),
        );
        for entry in self.entries.values_mut() {
            let is_lost = unsynced && !self.kubelet.can_restart && entry.worker.is_none();
            if let Some(lost) = entry
                .target()
                .filter(|_| is_lost && entry.written.is_none())
            {
                // Its file is gone, which an unsynced kubelet does not mind: it goes on with what it has had. Where it
                // can be restarted, another uid is found out to be in vain in time.
                let newest = sandboxes_of(sandboxes, &lost.key, &self.node);
                let newest = newest.max_by_key(|sandbox| sandbox.created_at);
                entry.worker = newest.map(|newest| newest.kubelet_uid.clone());
            }
            let Some(demand) = &entry.demand else {
                continue;
            };
            let own = sandboxes_of(sandboxes, &demand.key, &self.node)
                .filter(|sandbox| sandbox.uid == demand.uid)
                .max_by_key(|sandbox| sandbox.created_at);
            if let Some(own) = own.filter(|own| own.is_live()) {
                entry.worker = Some(own.kubelet_uid.clone());
                entry.runs_as.clone_from(&entry.worker);
                continue;
            }
            if own.is_some() || entry.written.is_none() {
                continue;
            }
            // After a restart of the daemon only the runtime knows what was there before.
            let before = sandboxes_of(sandboxes, &demand.key, &self.node)
                .filter(|sandbox| Some(&sandbox.kubelet_uid) != entry.disk_uid.as_ref())
                .max_by_key(|sandbox| sandbox.created_at);
            if let Some(before) = before {
                entry.predecessor = Some(before.kubelet_uid.clone());
            }
            let begun = entry.touched.map_or(since, |touched| touched.max(since));
            let waited = asked.saturating_duration_since(begun);
            // Of one that is not known, that it has left a pod running tells.
            let is_unsynced = unsynced || (unknown && entry.stopped_over_cri);
            if !is_unsynced || entry.suspected || !entry.leaving.is_empty() {
                continue;
            }
            if entry.predecessor.is_some() && waited >= SUSPICIOUS {
                entry.suspected = true;
                entry.worker.clone_from(&entry.predecessor);
            } else if self.kubelet.can_restart && waited >= BAFFLING {
                // Nobody knows of a pod before it. A kubelet that begins anew does not, either.
                entry.suspected = true;
                entry.worker = Some(String::new());
            }
        }
    }

    /// When something is due that has to do with the kubelet.
    pub(super) fn kubelet_deadline(&self) -> Option<Instant> {
        let due = self.kubelet.due.filter(|_| !self.kubelet.restarting)?;
        let others_stop = self
            .entries
            .values()
            .any(|entry| self.is_wedged(entry) && !entry.leaving.is_empty());
        let wait = if others_stop {
            RESTART_WAIT
        } else {
            RESTART_DEBOUNCE
        };
        let rested = self.kubelet.restarted.map(|at| at + RESTART_INTERVAL);
        Some(rested.map_or(due + wait, |at| at.max(due + wait)))
    }

    /// What is wrong with the kubelet.
    pub(in crate::projection) fn kubelet_problem(&self, now: Instant) -> Option<Problem> {
        if let Some((_, message)) = &self.kubelet.failed {
            return Some(Problem {
                reason: "KUBELET_RESTART_FAILED",
                message: format!(
                    "the kubelet could not be restarted: {message}; put kubeletRestart right. Until then a replaced pod \
                     keeps its uid, and comes up when the kubelet's back-off for it is over"
                ),
            });
        }
        let since = self.kubelet.since?;
        let long = |at: Instant| now.saturating_duration_since(at) >= REPORT;
        let waits = |entry: &Entry| {
            let open =
                !entry.leaving.is_empty() || (entry.demand.is_some() && !entry.is_confirmed());
            open && entry.touched.is_some_and(long)
        };
        let waiting = self.entries.iter().find(|(_, entry)| waits(entry));
        let (file, _) = waiting.filter(|_| {
            self.kubelet.sync == Some(Sync::Unsynced) && !self.kubelet.can_restart && long(since)
        })?;
        Some(Problem {
            reason: "KUBELET_UNSYNCED",
            message: format!(
                "the kubelet has not heard from its API server since it started, so it stops and replaces no pod by \
                 itself, and {file} waits for it; a replaced pod that keeps its uid comes up when the kubelet's \
                 back-off for it is over. Start the API server, or set kubeletRestart"
            ),
        })
    }
}

impl Kubelet {
    /// Whether the kubelet will not stop by itself what has lost its file.
    fn leaves_running(&self, leaving: &Leaving, kept: bool, now: Instant) -> bool {
        // As long as its own file is there, it is to run.
        let Some((gone, since)) = leaving.gone.zip(self.since) else {
            return false;
        };
        match self.sync {
            _ if kept => now >= gone + SETTLE,
            None | Some(Sync::Synced | Sync::Down) => false,
            Some(Sync::Unsynced) => now >= (gone + SETTLE).max(since + PATIENCE),
            Some(Sync::Unknown) => now >= gone + leaving.grace + MARGIN,
        }
    }
}
