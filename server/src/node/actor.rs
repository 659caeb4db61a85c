//! The actor: the only one who changes the state. Runs on a thread of its own, since it waits for the disk.
//!
//! `trials` is what it does about revisions that are on trial, `words` what it says in events.

mod trials;
mod words;

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use seedpod_manifest::BundleName;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::words::{counted, in_words, summary};
use super::{
    Bundle, Change, ChangeError, ChangeKind, ConfirmError, Inject, InjectError, Injected,
    NodeHandle, Problem, Published, RemoveError, RequestId, Rollback, RollbackError, State,
    clock::BootClock,
    disown_copies, follow,
    plan::{self, Plan, Surroundings},
    status::Specs,
    trial,
};
use crate::{
    events::{self, EventKind, EventSink, NewEvent},
    fs::{self, FileSystem},
    kubelet::KubeletWatch,
    metrics::Metrics,
    probe,
    projection::{self, Directory, Settings},
    runtime_cri::{self, Runtime, Sandbox},
    store::{Came, CommitError, Draft, OpenError, Origin, Reader, Store, bundle_digest},
};

/// How many changes may wait. Each takes a few milliseconds of disk time, so that the last of them is answered within
/// a second on any disk that a node should have; more than that is a client that does not wait for its answers.
const QUEUE: usize = 64;

/// How often a failing disk is tried.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// What the actor is asked.
#[derive(Debug)]
pub(super) enum Command {
    Inject(
        Inject,
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
        name: BundleName,
        expected_revision: Option<u64>,
        client: Arc<str>,
        answer: oneshot::Sender<Result<Arc<Bundle>, RemoveError>>,
    },
    Ping(oneshot::Sender<()>),
}

/// Why the node cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("the state directory cannot be used")]
    Store(#[from] OpenError),
    #[error("the static pod directory {path} cannot be made")]
    Directory {
        path: String,
        #[source]
        source: io::Error,
    },
}

/// What the node is made of and lives in.
pub(crate) struct Setup<R> {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) state_directory: PathBuf,
    pub(crate) projection: Settings,
    /// `None`: none is configured.
    pub(crate) runtime: Option<R>,
    pub(crate) kubelet: KubeletWatch,
    pub(crate) rules: Rules,
    /// What trials are timed by.
    pub(crate) clock: BootClock,
    pub(crate) metrics: Metrics,
}

/// How the node judges what it sees. From the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// How long a wave may take to get ready before that is reported.
    pub(crate) wave_timeout: Duration,
    /// After this a pod without a sandbox counts as refused.
    pub(crate) refused_after: Duration,
    /// How often a container of a revision on trial may end.
    pub(crate) max_crashes: u32,
    /// How many revisions of a bundle are kept.
    pub(crate) history: usize,
    /// How many events are kept at least.
    pub(crate) max_events: usize,
    /// Where probes reach pods in the host's network.
    pub(crate) node_ip: Option<IpAddr>,
}

impl Default for Rules {
    /// The configuration's defaults.
    fn default() -> Self {
        Self {
            wave_timeout: Duration::from_secs(300),
            refused_after: Duration::from_secs(30),
            max_crashes: 3,
            history: 10,
            max_events: 20_000,
            node_ip: None,
        }
    }
}

/// Opens the store and starts the actor and the projection. The tasks end when `shutdown` is cancelled, and only then:
/// one that ends by itself has failed.
pub(crate) fn start<R: Runtime>(
    setup: Setup<R>,
    shutdown: CancellationToken,
) -> Result<(NodeHandle, Vec<JoinHandle<()>>), StartError> {
    let Setup {
        fs,
        state_directory,
        projection: settings,
        runtime,
        kubelet,
        rules,
        clock,
        metrics,
    } = setup;
    let store = Store::open(Arc::clone(&fs), &state_directory)?.keeping(rules.history);
    let kept = store.reader();
    let has_runtime = runtime.is_some();
    let state = Arc::new(store.state());
    let id = Arc::new(store.id().clone());
    make_static_pod_directory(&*fs, &settings.directory, &state)?;
    let (events, event_log, writing) = events::start(
        Arc::clone(&fs),
        state_directory.join("events"),
        rules.max_events,
        &state,
        shutdown.clone(),
    );

    let (publish_state, state) = watch::channel(state);
    let (publish_problems, store_problems) = watch::channel(Vec::new());
    let directory = Arc::new(Directory::new(fs, settings.directory.clone()));
    // Each reads what the other publishes.
    let (publish_statuses, statuses) = watch::channel(Arc::new(Vec::new()));
    let node = settings.node.clone();
    let (projection, projecting) = projection::start(
        settings,
        rules.wave_timeout,
        projection::Inlets {
            state: state.clone(),
            statuses: statuses.clone(),
            kubelet: kubelet.clone(),
        },
        Arc::clone(&directory),
        Arc::clone(&id),
        runtime.clone(),
        events.clone(),
        metrics,
        shutdown.clone(),
    );
    let disown = {
        let (id, node) = (Arc::clone(&id), node.clone());
        move |sandboxes: &mut [Sandbox]| disown_copies(sandboxes, &id, &node)
    };
    let (observation, observing) = runtime_cri::observe(runtime.clone(), disown, shutdown.clone());
    let (readiness, probing) = probe::start(
        probe::Inlets {
            state: state.clone(),
            observation: observation.clone(),
            kubelet: kubelet.clone(),
        },
        runtime,
        rules.node_ip,
        shutdown.clone(),
    );
    let (specs, refused_after) = (Specs::default(), rules.refused_after);
    let following = follow::start(
        follow::Inlets {
            state: state.clone(),
            projections: projection.pods.clone(),
            observation: observation.clone(),
            readiness: readiness.clone(),
            kubelet: kubelet.clone(),
        },
        specs.clone(),
        node.clone(),
        refused_after,
        events.clone(),
        publish_statuses,
        shutdown.clone(),
    );
    let (commands, receiver) = mpsc::channel(QUEUE);
    let actor = Actor {
        store,
        directory: Arc::clone(&directory),
        kept: kept.clone(),
        clock: clock.clone(),
        has_runtime,
        events: events.clone(),
        publish_state,
        publish_problems,
    };
    let on_trial = trial::start(
        state.clone(),
        statuses.clone(),
        commands.clone(),
        rules.max_crashes,
        shutdown.clone(),
    );
    let runtime = Handle::current();
    let acting = tokio::task::spawn_blocking(move || actor.run(&runtime, receiver, &shutdown));
    let published = Published {
        state,
        store_problems,
        projection,
        observation,
        readiness,
        kubelet,
        statuses,
        specs,
        node,
        refused_after,
        event_log,
    };
    Ok((
        NodeHandle {
            commands,
            published,
            directory,
            id,
            events: events.passive(),
            kept,
            clock,
            has_runtime,
            client: Arc::default(),
        },
        vec![
            acting, projecting, observing, probing, following, on_trial, writing,
        ],
    ))
}

/// A fresh node may not have the directory yet, and a kubelet waits for it. With bundles committed it must have been
/// there: then its absence is a fault (a mount that is missing, perhaps) which the projection reports.
fn make_static_pod_directory(
    fs: &dyn FileSystem,
    path: &Path,
    state: &State,
) -> Result<(), StartError> {
    let absent = fs
        .list(path)
        .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    if absent && state.bundles.is_empty() {
        tracing::info!(path = %path.display(), "making the static pod directory");
        fs.make_dir(path, 0o755)
            .map_err(|source| StartError::Directory {
                path: path.display().to_string(),
                source,
            })?;
    }
    Ok(())
}

struct Actor {
    store: Store,
    directory: Arc<Directory>,
    kept: Reader,
    clock: BootClock,
    has_runtime: bool,
    events: EventSink,
    publish_state: watch::Sender<Arc<State>>,
    publish_problems: watch::Sender<Vec<Problem>>,
}

impl Actor {
    fn run(
        mut self,
        runtime: &Handle,
        mut commands: mpsc::Receiver<Command>,
        shutdown: &CancellationToken,
    ) {
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
                drop(answer.send(self.inject(inject, &client)));
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
                name,
                expected_revision,
                client,
                answer,
            } => {
                drop(answer.send(self.remove(&name, expected_revision, &client)));
            }
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
            let changes = summary(&injected.changes);
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
            let changes = summary(&injected.changes);
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
        let (changes, warnings) = (plan.changes(), plan.warnings().to_vec());
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
            id: self.store.id(),
            has_runtime: self.has_runtime,
        }
    }

    fn record(&self, kind: EventKind, bundle: &Bundle, message: String, client: &str) {
        let event = NewEvent::of_bundle(kind, &bundle.name, bundle.revision, message);
        self.events.record(event.by(client));
    }

    /// The answer that the same request got before.
    fn replay(&self, request: &RequestId) -> Result<Option<Injected>, InjectError> {
        let remembered = self
            .store
            .remembered(&request.id)
            .map_err(|error| ChangeError::Disk(io::Error::other(error)))?;
        let Some(remembered) = remembered else {
            return Ok(None);
        };
        if remembered.fingerprint != request.fingerprint.to_string() {
            return Err(InjectError::RequestIdReused {
                id: request.id.clone(),
            });
        }
        Ok(Some(Injected {
            bundle: remembered.bundle,
            changes: remembered.changes,
            warnings: remembered.warnings,
            source_revision: remembered.source_revision,
            replayed: true,
        }))
    }

    fn remove(
        &mut self,
        name: &BundleName,
        expected_revision: Option<u64>,
        client: &str,
    ) -> Result<Arc<Bundle>, RemoveError> {
        let state = Arc::clone(&self.publish_state.borrow());
        let Some(old) = state.bundles.get(name) else {
            return Err(RemoveError::NotFound { name: name.clone() });
        };
        if let Some(expected) = expected_revision.filter(|expected| *expected != old.revision) {
            return Err(RemoveError::StaleRevision {
                expected,
                actual: old.revision,
            });
        }
        let bundle = Bundle {
            name: name.clone(),
            revision: state.next_revision(name),
            digest: bundle_digest(std::iter::empty()),
            create_time: old.create_time,
            update_time: Timestamp::now(),
            pods: Vec::new(),
        };
        let changes = old.pods.iter().map(|pod| Change {
            pod: pod.key.clone(),
            kind: ChangeKind::Removed,
            diff: String::new(),
        });
        let changes = changes.collect();
        let draft = Draft {
            bundle,
            removed: true,
            request: None,
            changes,
            warnings: Vec::new(),
            came: Came::from(Origin::Removed),
            trial: None,
        };
        let committed = self.store.commit(draft);
        let removal = self.note(committed)?;
        self.publish();
        let message = format!("removed with {}", counted(old.pods.len(), "pod"));
        self.record(EventKind::Removed, &removal, message, client);
        Ok(Arc::clone(old))
    }

    /// Published only after the durable commit.
    fn publish(&self) {
        self.publish_state
            .send_replace(Arc::new(self.store.state()));
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
