//! The actor: the only one who changes the state. Runs on a thread of its own, since it waits for the disk.
//!
//! `trials` is what it does about revisions that are on trial, `handoff` about the node's handoff, `words` what it says in
//! events.

mod handoff;
mod trials;
mod words;

use std::{io, sync::Arc, time::Duration};

use jiff::Timestamp;
use seedpod_manifest::BundleName;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
};
use tokio_util::sync::CancellationToken;

use self::words::{in_words, summary};
use super::{
    AbortHandoffError, AdvanceError, Bundle, Change, ChangeError, ChangeKind, ConfirmError, Inject,
    InjectError, Injected, ObjectChange, Problem, Removal, RemoveError, RequestId, Rollback,
    RollbackError, StartHandoffError, State,
    clock::BootClock,
    handoff::check_change,
    plan::{self, Place, Plan, Surroundings},
};
use crate::{
    events::{EventKind, EventSink, NewEvent},
    fs,
    handoff::{Material, Record, Spec},
    metrics::Metrics,
    projection::Directory,
    store::{Came, CommitError, Draft, Origin, Reader, Store, bundle_digest},
};

/// How often a failing disk is tried.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// What the actor is asked.
#[derive(Debug)]
pub(super) enum Command {
    Inject(
        Box<Inject>,
        Arc<str>,
        oneshot::Sender<Result<Injected, InjectError>>,
    ),
    /// What was answered to this request before.
    Replay(
        RequestId,
        oneshot::Sender<Result<Option<Injected>, InjectError>>,
    ),
    RollBack(
        Rollback,
        Arc<str>,
        oneshot::Sender<Result<Injected, RollbackError>>,
    ),
    Confirm {
        name: BundleName,
        revision: u64,
        client: Arc<str>,
        answer: oneshot::Sender<Result<bool, ConfirmError>>,
    },
    /// All pods of this revision are ready.
    MarkReady {
        bundle: BundleName,
        revision: u64,
    },
    /// This revision, which is on trial, does not work.
    FailTrial {
        bundle: BundleName,
        revision: u64,
        why: String,
    },
    Remove {
        removal: Removal,
        client: Arc<str>,
        answer: oneshot::Sender<Result<Arc<Bundle>, RemoveError>>,
    },
    StartHandoff {
        spec: Box<Spec>,
        material: Material,
        request: Option<RequestId>,
        client: Arc<str>,
        answer: oneshot::Sender<Result<Arc<Record>, StartHandoffError>>,
    },
    /// Which handoff this request began before.
    ReplayHandoff(
        RequestId,
        oneshot::Sender<Result<Option<Arc<Record>>, StartHandoffError>>,
    ),
    AbortHandoff {
        /// Only this one.
        id: Option<String>,
        client: Arc<str>,
        answer: oneshot::Sender<Result<Arc<Record>, AbortHandoffError>>,
    },
    /// The next record, unless somebody else was first.
    AdvanceHandoff(
        Box<Record>,
        oneshot::Sender<Result<Arc<Record>, AdvanceError>>,
    ),
    ForgetHandoff(oneshot::Sender<Result<(), ChangeError>>),
    Ping(oneshot::Sender<()>),
}

pub(super) struct Actor {
    pub(super) store: Store,
    pub(super) directory: Arc<Directory>,
    pub(super) place: Arc<Place>,
    pub(super) kept: Reader,
    pub(super) clock: BootClock,
    pub(super) has_runtime: bool,
    pub(super) events: EventSink,
    pub(super) publish_state: watch::Sender<Arc<State>>,
    pub(super) publish_problems: watch::Sender<Vec<Problem>>,
    pub(super) metrics: Metrics,
}

impl Actor {
    pub(super) fn run(
        mut self,
        runtime: &Handle,
        mut commands: mpsc::Receiver<Command>,
        shutdown: &CancellationToken,
    ) {
        self.measure(&self.publish_state.borrow());
        loop {
            let look_at_trials = self.end_trials();
            let failing = !self.publish_problems.borrow().is_empty();
            let next = async {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => Next::Stop,
                    command = commands.recv() => command.map_or(Next::Stop, Next::Command),
                    () = tokio::time::sleep(PROBE_INTERVAL), if failing => Next::Probe,
                    () = tokio::time::sleep(look_at_trials.unwrap_or_default()),
                        if look_at_trials.is_some() => Next::LookAtTrials,
                }
            };
            match runtime.block_on(next) {
                Next::Command(command) => {
                    // A command that was late to a trial finds it ended.
                    self.end_trials();
                    self.carry_out(command);
                    self.store.prune();
                }
                Next::Probe => self.probe(),
                Next::LookAtTrials => {}
                Next::Stop => return,
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        // A caller that went away gets no answer; what it asked for is done all the same.
        match command {
            Command::Inject(inject, client, answer) => {
                drop(answer.send(self.inject(*inject, &client)));
            }
            Command::Replay(request, answer) => drop(answer.send(self.replay(&request))),
            Command::RollBack(rollback, client, answer) => {
                drop(answer.send(self.roll_back(&rollback, &client)));
            }
            Command::Confirm {
                name,
                revision,
                client,
                answer,
            } => drop(answer.send(self.confirm(&name, revision, &client))),
            Command::MarkReady { bundle, revision } => self.mark_ready(&bundle, revision),
            Command::FailTrial {
                bundle,
                revision,
                why,
            } => self.fail_trial(&bundle, revision, &why),
            Command::Remove {
                removal,
                client,
                answer,
            } => {
                drop(answer.send(self.remove(&removal, &client)));
            }
            Command::StartHandoff {
                spec,
                material,
                request,
                client,
                answer,
            } => {
                let started = self.start_handoff(*spec, &material, request.as_ref(), &client);
                drop(answer.send(started));
            }
            Command::ReplayHandoff(request, answer) => {
                drop(answer.send(self.replay_handoff(&request)));
            }
            Command::AbortHandoff { id, client, answer } => {
                drop(answer.send(self.abort_handoff(id.as_deref(), &client)));
            }
            Command::AdvanceHandoff(next, answer) => {
                drop(answer.send(self.advance_handoff(*next)));
            }
            Command::ForgetHandoff(answer) => drop(answer.send(self.forget_handoff())),
            Command::Ping(answer) => drop(answer.send(())),
        }
    }

    fn inject(&mut self, inject: Inject, client: &str) -> Result<Injected, InjectError> {
        let request = inject.request.clone();
        if let Some(request) = &request
            && let Some(answer) = self.replay(request)?
        {
            return Ok(answer);
        }
        let state = Arc::clone(&self.publish_state.borrow());
        let terms = inject.trial;
        let plan = plan::plan(&self.surroundings(&state), inject)?;
        let (injected, is_new) = self.settle(plan, request)?;
        if is_new {
            let changes = summary(&injected.changes, &injected.object_changes);
            let message = match terms {
                None => format!("injected with {changes}"),
                Some(terms) => format!(
                    "injected with {changes}, on trial for {}",
                    in_words(terms.timeout)
                ),
            };
            self.record(EventKind::Injected, &injected.bundle, message, client);
        }
        Ok(injected)
    }

    fn roll_back(&mut self, rollback: &Rollback, client: &str) -> Result<Injected, RollbackError> {
        let request = rollback.request.clone();
        if let Some(request) = &request
            && let Some(answer) = self.replay(request)?
        {
            return Ok(answer);
        }
        let state = Arc::clone(&self.publish_state.borrow());
        let plan = plan::rollback(&self.surroundings(&state), &self.kept, rollback)?;
        let (injected, is_new) = self.settle(plan, request)?;
        if is_new {
            let changes = summary(&injected.changes, &injected.object_changes);
            let to = injected.source_revision;
            let message = format!("rolled back to revision {to} with {changes}");
            self.record(EventKind::RolledBack, &injected.bundle, message, client);
        }
        Ok(injected)
    }

    /// Commits a plan, unless all is as it says already. Also tells whether there is a new revision.
    fn settle(
        &mut self,
        plan: Plan,
        request: Option<RequestId>,
    ) -> Result<(Injected, bool), ChangeError> {
        let (changes, object_changes) = (plan.changes(), plan.object_changes());
        let warnings = plan.warnings().to_vec();
        let source_revision = plan.source_revision();
        let (bundle, is_new) = if let Some(bundle) = plan.unchanged() {
            if let Some(request) = &request {
                let remembered =
                    self.store
                        .remember(&bundle.name, request, &warnings, source_revision);
                self.note(remembered)?;
            }
            (Arc::clone(bundle), false)
        } else {
            let committed = self.store.commit(plan.draft(request, self.clock.now()));
            let bundle = self.note(committed)?;
            self.publish();
            (bundle, true)
        };
        let injected = Injected {
            bundle,
            changes,
            object_changes,
            warnings,
            source_revision,
            replayed: false,
        };
        Ok((injected, is_new))
    }

    fn surroundings<'a>(&'a self, state: &'a State) -> Surroundings<'a> {
        Surroundings {
            state,
            directory: &self.directory,
            place: &self.place,
            has_runtime: self.has_runtime,
        }
    }

    fn record(&self, kind: EventKind, bundle: &Bundle, message: String, client: &str) {
        let event = NewEvent::of_bundle(kind, &bundle.name, bundle.revision, message);
        self.events.record(event.by(client));
    }

    /// The answer that the same request got before.
    fn replay(&self, request: &RequestId) -> Result<Option<Injected>, InjectError> {
        if self.store.remembered_handoff(&request.id).is_some() {
            return Err(InjectError::RequestIdReused {
                id: request.id.clone(),
            });
        }
        let remembered = self
            .store
            .remembered(&request.id)
            .map_err(|error| ChangeError::Disk(io::Error::other(error)))?;
        let Some(remembered) = remembered else {
            return Ok(None);
        };
        if !remembered.fingerprint.is(&request.fingerprint) {
            return Err(InjectError::RequestIdReused {
                id: request.id.clone(),
            });
        }
        Ok(Some(Injected {
            bundle: remembered.bundle,
            changes: remembered.changes,
            object_changes: remembered.object_changes,
            warnings: remembered.warnings,
            source_revision: remembered.source_revision,
            replayed: true,
        }))
    }

    fn remove(&mut self, removal: &Removal, client: &str) -> Result<Arc<Bundle>, RemoveError> {
        let Removal {
            bundle: name,
            expected_revision,
            forget_history,
        } = removal;
        let state = Arc::clone(&self.publish_state.borrow());
        let old = match state.bundles.get(name) {
            Some(old) => Arc::clone(old),
            // Its history is there to be forgotten all the same.
            None if *forget_history && state.removed.contains_key(name) => {
                Arc::new(removed_bundle(name, state.removed[name], None))
            }
            None => return Err(RemoveError::NotFound { name: name.clone() }),
        };
        if let Some(expected) = expected_revision.filter(|expected| *expected != old.revision) {
            return Err(RemoveError::StaleRevision {
                expected,
                actual: old.revision,
            });
        }
        check_change(&state, name)?;
        let bundle = removed_bundle(name, state.next_revision(name), Some(old.create_time));
        let changes = old.pods.iter().map(|pod| Change {
            pod: pod.key.clone(),
            kind: ChangeKind::Removed,
            diff: String::new(),
        });
        let object_changes = old.objects.iter().map(|object| ObjectChange {
            object: object.summary.key.clone(),
            kind: ChangeKind::Removed,
            diff: String::new(),
        });
        let (changes, object_changes) = (changes.collect(), object_changes.collect());
        let mut message = format!("removed with {}", words::contents(&old));
        if *forget_history {
            message.push_str("; its history is forgotten");
        }
        let draft = Draft {
            bundle,
            removed: true,
            forgets: *forget_history,
            request: None,
            changes,
            object_changes,
            contents: seedpod_manifest::Objects::default(),
            warnings: Vec::new(),
            came: Came::from(Origin::Removed),
            trial: None,
        };
        let committed = self.store.commit(draft);
        let removal = self.note(committed)?;
        if state
            .handoff
            .as_ref()
            .is_some_and(|it| it.spec.bundle == *name)
        {
            // There is nothing to stand in any more. When it fails, the next start does it.
            let forgotten = self.store.forget_handoff();
            drop(self.note(forgotten));
        }
        self.publish();
        self.record(EventKind::Removed, &removal, message, client);
        Ok(old)
    }

    /// Published only after the durable commit.
    fn publish(&self) {
        let state = Arc::new(self.store.state());
        self.measure(&state);
        self.publish_state.send_replace(state);
    }

    fn measure(&self, state: &State) {
        let stage = state.handoff.as_ref().map(|record| record.stage.as_str());
        self.metrics.set_handoff(stage);
    }

    /// Takes note of whether the disk works.
    fn note<T>(&self, result: Result<T, CommitError>) -> Result<T, ChangeError> {
        let problems = match &result {
            Ok(_) => Vec::new(),
            Err(error) => vec![store_problem(error)],
        };
        if let Err(error) = &result {
            tracing::error!(error = %crate::error::chain(error), "a change was refused by the disk");
        }
        self.publish_problems.send_if_modified(|old| {
            let modified = *old != problems;
            *old = problems;
            modified
        });
        result.map_err(|error| match error {
            CommitError::Write { source, .. } if fs::is_full(&source) => {
                ChangeError::DiskFull(source)
            }
            CommitError::Write { source, .. } | CommitError::Uncertain(source) => {
                ChangeError::Disk(source)
            }
        })
    }

    /// Looks whether a failing disk works again.
    fn probe(&self) {
        if self.store.probe().is_ok() {
            tracing::info!("the state directory takes writes again");
            self.publish_problems.send_replace(Vec::new());
        }
    }
}

enum Next {
    Command(Command),
    Probe,
    LookAtTrials,
    Stop,
}

fn store_problem(error: &CommitError) -> Problem {
    let reason = match error {
        CommitError::Write { source, .. } if fs::is_full(source) => "DISK_FULL",
        CommitError::Write { .. } | CommitError::Uncertain(_) => "STATE_DIRECTORY_FAILED",
    };
    Problem {
        reason,
        message: format!(
            "the state directory takes no writes: {}; the pods stay as they are",
            crate::error::chain(error)
        ),
    }
}

/// A bundle that is removed.
fn removed_bundle(name: &BundleName, revision: u64, create_time: Option<Timestamp>) -> Bundle {
    let now = Timestamp::now();
    Bundle {
        name: name.clone(),
        revision,
        digest: bundle_digest(&[], &[]),
        create_time: create_time.unwrap_or(now),
        update_time: now,
        pods: Vec::new(),
        objects: Vec::new(),
    }
}
