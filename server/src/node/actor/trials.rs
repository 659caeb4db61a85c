//! What the actor does about revisions that are on trial.

use std::{sync::Arc, time::Duration};

use seedpod_manifest::BundleName;

use super::{
    Actor, PROBE_INTERVAL,
    words::{in_words, summary},
};
use crate::{
    events::EventKind,
    node::{ConfirmError, Left, OnTrial, plan},
};

/// How often the clock is looked at while a trial is pending, at least: the timer that wakes us stands still while the
/// node sleeps, and the boot clock does not.
const LOOK_AT_TRIALS: Duration = Duration::from_secs(1);

impl Actor {
    pub(super) fn confirm(
        &mut self,
        name: &BundleName,
        revision: u64,
        client: &str,
    ) -> Result<bool, ConfirmError> {
        let state = Arc::clone(&self.publish_state.borrow());
        let Some(bundle) = state.bundles.get(name) else {
            return Err(ConfirmError::NotFound { name: name.clone() });
        };
        if bundle.revision != revision {
            let active = bundle.revision;
            return Err(ConfirmError::NotActive { active });
        }
        let on_trial = state.trials.get(name).ok_or(ConfirmError::NoTrial)?;
        let is_new = on_trial.is_pending();
        if is_new {
            let marked = self.store.mark_confirmed(name);
            self.note(marked)?;
            self.publish();
            let message = format!("revision {revision} is confirmed and stays");
            self.record(EventKind::Confirmed, bundle, message, client);
        }
        Ok(is_new)
    }

    /// Takes note that all pods of a revision are ready, which ends a trial well unless it needs somebody's word.
    pub(super) fn mark_ready(&mut self, name: &BundleName, revision: u64) {
        let state = Arc::clone(&self.publish_state.borrow());
        let Some(bundle) = state.bundles.get(name) else {
            return;
        };
        if bundle.revision != revision || state.ready.contains(name) {
            return;
        }
        let marked = self.store.mark_ready(name);
        if self.note(marked).is_err() {
            // It is told again as long as it is so.
            return;
        }
        self.publish();
        let message = format!("all pods of revision {revision} are ready");
        self.record(EventKind::BundleReady, bundle, message, "");
        let was_pending = state.trials.get(name).is_some_and(OnTrial::is_pending);
        let now = self.publish_state.borrow();
        if was_pending && now.trials.get(name).is_some_and(|trial| trial.confirmed) {
            let message = format!("revision {revision} is ready, which confirms it: it stays");
            self.record(EventKind::Confirmed, bundle, message, "");
        }
    }

    /// Ends the trials whose time is over, and tells when to look again; `None`: nothing is on trial.
    pub(super) fn end_trials(&mut self) -> Option<Duration> {
        let state = Arc::clone(&self.publish_state.borrow());
        let now = self.clock.now();
        let mut next = None;
        for (name, on_trial) in state.trials.iter().filter(|(_, it)| it.is_pending()) {
            let Some(bundle) = state.bundles.get(name) else {
                continue;
            };
            let why = match on_trial.trial.left(&now) {
                Left::Time(left) => {
                    let left = left.min(LOOK_AT_TRIALS);
                    next = Some(next.map_or(left, |next: Duration| next.min(left)));
                    continue;
                }
                Left::Nothing => format!(
                    "it was not confirmed within {}",
                    in_words(on_trial.trial.terms.timeout)
                ),
                Left::Rebooted => "the node was restarted during its trial".to_owned(),
            };
            self.fail_trial(name, bundle.revision, &why);
            if self.publish_state.borrow().trials.contains_key(name) {
                // The disk took no write.
                next = Some(PROBE_INTERVAL);
            }
        }
        next
    }

    /// Goes back to what was before a trial.
    pub(super) fn fail_trial(&mut self, name: &BundleName, revision: u64, why: &str) {
        let state = Arc::clone(&self.publish_state.borrow());
        let Some((bundle, on_trial)) = state.bundles.get(name).zip(state.trials.get(name)) else {
            return;
        };
        if bundle.revision != revision || !on_trial.is_pending() {
            return;
        }
        let fallback = on_trial.fallback.as_deref();
        let plan = plan::fall_back(&state, &self.place, name, fallback, why.to_owned());
        let committed = plan.and_then(|plan| {
            let changes = summary(&plan.changes(), &plan.object_changes());
            let committed = self.store.commit(plan.draft(None, self.clock.now()));
            Ok((self.note(committed)?, changes))
        });
        let (new, changes) = match committed {
            Ok(committed) => committed,
            Err(error) => {
                // Tried again: the trial is still there.
                tracing::error!(
                    bundle = %name,
                    revision,
                    error = %crate::error::chain(&error),
                    "a trial has failed, and the node could not go back"
                );
                return;
            }
        };
        self.publish();
        self.store.prune();
        tracing::warn!(bundle = %name, revision, new_revision = new.revision, why, "a trial has failed");
        let message = format!("the trial of revision {revision} has failed: {why}");
        self.record(EventKind::TrialFailed, bundle, message, "");
        let message = match fallback {
            Some(fallback) => format!(
                "the node went back to revision {} with {changes}: {why}",
                fallback.revision
            ),
            None => format!(
                "the node removed the bundle, of which there was no earlier revision, with {changes}: {why}"
            ),
        };
        self.record(EventKind::RolledBack, &new, message, "");
    }
}
