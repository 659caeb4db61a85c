//! The task that watches the runtime.

use std::sync::Arc;

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{Observation, ObservationWatch, Runtime};

/// Starts watching. The task ends when `shutdown` is cancelled.
pub(crate) fn observe<R: Runtime>(
    runtime: Option<R>,
    shutdown: CancellationToken,
) -> (ObservationWatch, JoinHandle<()>) {
    let (publish, observation) = watch::channel(Arc::new(Observation::not_yet()));
    let task = tokio::spawn(async move {
        shutdown.cancelled().await;
        drop((runtime, publish));
    });
    (observation, task)
}
