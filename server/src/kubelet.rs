//! What the kubelet says of itself and its pods, over its Pods API (KEP-4188), where it has one.
//!
//! `ask.rs` asks and follows, `decode.rs` reads the little that is wanted of each pod.

mod ask;
mod decode;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, path::Path, sync::Arc};

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Whether the kubelet carries out removals and replacements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sync {
    /// Each of its sources of pods has reported since it started.
    Synced,
    /// It waits for its API server: it starts new pods, but stops and replaces none.
    Unsynced,
    /// It does not answer on the socket, though there is one.
    Down,
    /// It has no such socket, or has not been asked yet.
    #[default]
    Unknown,
}

/// What the kubelet said last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KubeletView {
    pub(crate) sync: Sync,
    /// By uid, as the kubelet has it. Only when it is synced.
    pub(crate) pods: HashMap<String, KubeletPod>,
}

/// A pod as the kubelet sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KubeletPod {
    /// "Pending", "Running", "Failed", ….
    pub(crate) phase: String,
    /// Why it was rejected, as in "NodePorts". Often empty.
    pub(crate) reason: String,
    pub(crate) message: String,
    /// The first of its IP addresses; the node's for a pod in the host's network.
    pub(crate) ip: String,
    /// What containers wait for: name, reason as in "ErrImageNeverPull", message.
    pub(crate) waiting: Vec<Waiting>,
}

/// A container that the kubelet has not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) container: String,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// What is published of the kubelet.
pub(crate) type KubeletWatch = watch::Receiver<Arc<KubeletView>>;

/// Starts asking the kubelet below this root directory. The task ends when `shutdown` is cancelled.
///
/// The first answer is published also when it is that nothing is known.
pub(crate) fn start(root: &Path, shutdown: CancellationToken) -> (KubeletWatch, JoinHandle<()>) {
    let (publish, view) = watch::channel(Arc::new(KubeletView::default()));
    let asker = ask::Asker::new(root.join("pods-api/pods-api.sock"), publish);
    let task = tokio::spawn(async move {
        shutdown.run_until_cancelled_owned(asker.run()).await;
    });
    (view, task)
}

/// A kubelet of which nothing is known.
#[cfg(test)]
pub(crate) fn unknown() -> KubeletWatch {
    watch::channel(Arc::new(KubeletView::default())).1
}

/// A kubelet that is as it is said to be, for as long as the sender is kept.
#[cfg(test)]
pub(crate) fn played(sync: Sync) -> (watch::Sender<Arc<KubeletView>>, KubeletWatch) {
    let (sender, mut watch) = watch::channel(Arc::default());
    sender.send_replace(Arc::new(KubeletView {
        sync,
        pods: HashMap::new(),
    }));
    watch.mark_changed();
    (sender, watch)
}
