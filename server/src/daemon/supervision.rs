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
) -> HealthReporter {
    let mut before = true;
    loop {
        let now = *serving.borrow_and_update();
        if before != now {
            before = now;
            if now {
                info!("serving again");
            } else {
                warn!("not serving; /readyz and GetNode tell why");
            }
        }
        report(&reporter, &ready, now).await;
        // A node that is gone will say no more; the daemon ends with it.
        if stop
            .run_until_cancelled(serving.changed())
            .await
            .is_none_or(|changed| changed.is_err())
        {
            break;
        }
    }
    report(&reporter, &ready, false).await;
    stop.cancelled().await;
    reporter
}

async fn report(reporter: &HealthReporter, ready: &watch::Sender<bool>, serving: bool) {
    let status = if serving {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
    ready.send_replace(serving);
    // What `systemctl status` shows.
    notify(&[NotifyState::Status(if serving {
        "serving"
    } else {
        "not serving"
    })]);
}

/// Ends the Watch streams of health, which would otherwise hold up the drain for all of its time. They still give
/// the last status.
pub(super) async fn end_watches(mut reporter: HealthReporter) {
    for service in SERVICES {
        reporter.clear_service_status(service).await;
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
pub(crate) fn termination() -> io::Result<impl Future<Output = ()>> {
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
