//! Wires the parts of the node to each other and starts them.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    NodeHandle, State, actor::Actor, clock::BootClock, disown_copies, follow, handle::Published,
    plan::Place, status::Specs, trial,
};
use crate::{
    events,
    fs::FileSystem,
    kubelet::KubeletWatch,
    metrics::Metrics,
    probe,
    projection::{self, Directory, Settings},
    runtime_cri::{self, Runtime, Sandbox},
    store::{EncryptionKeys, OpenError, Store},
    volumes::{self, Committed, Volumes},
};

/// How many changes may wait. Each takes a few milliseconds of disk time, so that the last of them is answered within
/// a second on any disk that a node should have; more than that is a client that does not wait for its answers.
const QUEUE: usize = 64;

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
    /// `None`: the contents of objects are not encrypted.
    pub(crate) encryption_keys: Option<EncryptionKeys>,
    /// Where pods' volumes of Secrets and ConfigMaps are put.
    pub(crate) volumes_directory: PathBuf,
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
        encryption_keys,
        volumes_directory,
        projection: settings,
        runtime,
        kubelet,
        rules,
        clock,
        metrics,
    } = setup;
    let store =
        Store::open(Arc::clone(&fs), &state_directory, encryption_keys)?.keeping(rules.history);
    let kept = store.reader();
    let id = Arc::new(store.id().clone());
    let place = Arc::new(Place {
        id: Arc::clone(&id),
        digest_key: store.digest_key().clone(),
        node: settings.node.clone(),
        volumes_directory: volumes_directory.clone(),
    });
    let volumes = Arc::new(Volumes::new(
        Arc::clone(&fs),
        Committed {
            kept: kept.clone(),
            node: settings.node.clone(),
        },
        volumes_directory,
    ));
    let has_runtime = runtime.is_some();
    let state = Arc::new(store.state());
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
        Arc::clone(&volumes),
        Arc::clone(&id),
        runtime.clone(),
        events.clone(),
        metrics.clone(),
        shutdown.clone(),
    );
    let disown = {
        let (id, node) = (Arc::clone(&id), node.clone());
        move |sandboxes: &mut [Sandbox]| disown_copies(sandboxes, &id, &node)
    };
    let (observation, observing) = runtime_cri::observe(runtime.clone(), disown, shutdown.clone());
    let collecting = volumes::collect(
        volumes,
        kept.clone(),
        volumes::Inlets {
            state: state.clone(),
            observation: observation.clone(),
        },
        shutdown.clone(),
    );
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
        place: Arc::clone(&place),
        kept: kept.clone(),
        clock: clock.clone(),
        has_runtime,
        events: events.clone(),
        publish_state,
        publish_problems,
        metrics,
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
            place,
            events: events.passive(),
            kept,
            clock,
            has_runtime,
            handoff_message: Arc::new(watch::channel(String::new()).0),
            client: Arc::default(),
        },
        vec![
            acting, projecting, observing, collecting, probing, following, on_trial, writing,
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
