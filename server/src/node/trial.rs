//! Watches over revisions that are on trial.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{Rules, State, StatusWatch, actor::Command};

/// Starts the task. It ends when `shutdown` is cancelled.
pub(super) fn start(
    state: watch::Receiver<Arc<State>>,
    statuses: StatusWatch,
    commands: mpsc::Sender<Command>,
    rules: Rules,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        shutdown.cancelled().await;
        drop((state, statuses, commands, rules));
    })
}
