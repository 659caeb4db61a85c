//! The kubelet's static pod directory: made to hold what the committed state demands, and nothing else of ours.
//!
//! One task (`task`) owns the directory. It is level-triggered: whatever wakes it (a new state, a change in the
//! directory, a deadline), it compares what is demanded with what is there and with what runs, and does what is
//! missing. `board` is the pure part that decides, `nudge` its rule for asking the kubelet to try again; `directory`
//! reads and writes; `drift` watches with inotify, `look` compares; `materialise` puts pods' volumes first; `effects` stops pods over CRI and restarts the
//! kubelet (`restart`), where the kubelet does not do its part.
//!
//! What holds at each instant, also after a crash: a demanded pod that was projected has a whole file, the old one or
//! the new one; a foreign file is never touched; the directory itself is never renamed or made anew.

mod board;
mod directory;
mod drift;
mod effects;
mod look;
mod materialise;
mod nudge;
mod publish;
mod restart;
mod task;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    directory::{Directory, ForeignFile},
    restart::Restarter,
};
use crate::{
    config::KubeletRestart,
    events::EventSink,
    kubelet::KubeletWatch,
    metrics::Metrics,
    node::{PodProjection, Problem, State, StatusWatch},
    runtime_cri::Runtime,
    store::StoreId,
    volumes::Volumes,
};

/// How the projection works.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The kubelet's static pod directory.
    pub(crate) directory: PathBuf,
    /// The node's name, as the kubelet appends it to pod names.
    pub(crate) node: seedpod_manifest::NodeName,
    /// For how long a file is rewritten to make the kubelet try again at once.
    pub(crate) nudge_for: Duration,
    /// Whether owned files that somebody changed are put right.
    pub(crate) repair_drift: bool,
    /// How the kubelet may be restarted.
    pub(crate) kubelet_restart: Option<KubeletRestart>,
}

/// What the projection publishes.
#[derive(Debug, Clone)]
pub(crate) struct ProjectionView {
    /// All demanded pods, and those that are being removed.
    pub(crate) pods: watch::Receiver<Arc<Vec<PodProjection>>>,
    /// What is wrong with the directory.
    pub(crate) problems: watch::Receiver<Vec<Problem>>,
    /// How the kubelet is restarted, also by others.
    pub(crate) restarter: Restarter,
}

/// What the projection looks at.
#[derive(Debug)]
pub(crate) struct Inlets {
    pub(crate) state: watch::Receiver<Arc<State>>,
    /// For the waves: a pod waits until those of the lower waves are ready.
    pub(crate) statuses: StatusWatch,
    pub(crate) kubelet: KubeletWatch,
}

/// Starts the projection's task. It ends when `shutdown` is cancelled.
#[expect(clippy::too_many_arguments, reason = "each is another thing")]
pub(crate) fn start<R: Runtime>(
    settings: Settings,
    wave_timeout: Duration,
    inlets: Inlets,
    directory: Arc<Directory>,
    volumes: Arc<Volumes>,
    id: Arc<StoreId>,
    runtime: Option<R>,
    events: EventSink,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> (ProjectionView, JoinHandle<()>) {
    let (publish_pods, pods) = watch::channel(Arc::new(Vec::new()));
    let (publish_problems, problems) = watch::channel(Vec::new());
    let restarter = Restarter::new(settings.kubelet_restart.clone());
    let task = task::Task::new(
        settings,
        restarter.clone(),
        wave_timeout,
        directory,
        volumes,
        id,
        runtime,
        metrics,
        task::Outlets {
            pods: publish_pods,
            problems: publish_problems,
            events,
        },
    );
    let task = tokio::spawn(task.run(inlets, shutdown));
    let view = ProjectionView {
        pods,
        problems,
        restarter,
    };
    (view, task)
}
