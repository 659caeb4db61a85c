//! What tells others how the daemon does: health, the service manager, signals.

use std::{io, time::Duration};

use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};
use tracing::{debug, error, info, warn};

use crate::http::{self, Observed};

/// The services that `grpc.health.v1` tells about; "" is the daemon as a whole.
const SERVICES: [&str; 3] = [
    "",
    "seedpod.v1.PodInjectionService",
    "seedpod.v1.NodeService",
];

/// Lets gRPC health and `ready` say what `serving` says, and NOT_SERVING for good when `stop` comes.
pub(super) async fn follow_health(
    reporter: HealthReporter,
    mut serving: watch::Receiver<bool>,
    ready: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let mut stopping = false;
    let mut before = None;
    loop {
        let now = *serving.borrow_and_update() && !stopping;
        let status = if now {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in SERVICES {
            reporter.set_service_status(service, status).await;
        }
        ready.send_replace(now);
        match before.replace(now) {
            Some(before) if before == now => {}
            Some(_) if stopping => {}
            Some(_) if now => info!("serving again"),
            None if now => {}
            Some(_) | None => warn!("not serving; /readyz and GetNode tell why"),
        }
        if stopping {
            // Open Watch streams hear it, since they are drained after this.
            return;
        }
        tokio::select! {
            () = stop.cancelled() => stopping = true,
            changed = serving.changed() => if changed.is_err() {
                // Nobody will say any more: the node is gone.
                stopping = true;
            },
        }
    }
}

/// Keeps the service manager's watchdog quiet for as long as the node's actor answers.
pub(super) async fn watchdog<O: Observed>(observed: O, stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return stop.cancelled().await;
    };
    // A third of the limit: one lost wake-up does not cost the daemon its life.
    let interval = (limit / 3).max(Duration::from_millis(10));
    while stop
        .run_until_cancelled(tokio::time::sleep(interval))
        .await
        .is_some()
    {
        if http::is_alive(&observed, interval).await {
            notify(&[NotifyState::Watchdog]);
        } else {
            error!("the node's actor does not answer; the watchdog is not fed");
        }
    }
}

/// Tells the service manager, if there is one.
pub(super) fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "cannot reach the service manager");
    }
}

/// Resolves at the first SIGTERM or SIGINT. A second one ends the process at once.
///
/// # Errors
/// When the signals cannot be listened to.
pub fn termination() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = either(&mut terminate, &mut interrupt).await;
        info!(signal = name, "told to stop");
        tokio::spawn(async move {
            let name = either(&mut terminate, &mut interrupt).await;
            warn!(signal = name, "told to stop again; ending at once");
            // Nothing is lost: what was answered is durable.
            std::process::exit(1);
        });
    })
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
