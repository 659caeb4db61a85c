//! Keeps the TLS credentials as the files are.
//!
//! The parents of the files are watched, not the files: cert-manager, the kubelet and certbot swap symbolic links or
//! rename new files in. Where a link leads is watched too. Should inotify see nothing (a network file system, a mount
//! over a parent, no watches left), a slow poll does.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use futures_util::{FutureExt, StreamExt};
use inotify::{EventStream, Inotify, WatchMask};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::tls::{Credentials, TlsError};
use crate::metrics::Metrics;

/// How often the files are looked at when nothing is heard of them.
const POLL: Duration = Duration::from_secs(60);
/// How soon files that do not belong together, or are not there, are looked at again.
const RETRY: Duration = Duration::from_secs(1);
/// Certificate and key are written one after the other: most often both are there after this.
const SETTLE: Duration = Duration::from_millis(50);

/// Follows the files until `stop`.
pub(super) async fn follow(credentials: Credentials, metrics: Metrics, stop: CancellationToken) {
    let mut watcher = Watcher::new();
    let mut complaint = None;
    metrics.set_certificate_end(credentials.current().not_after);

    loop {
        // Watches first, then the look: a change in between is heard of.
        watcher.watch(&directories(&credentials));
        let wait = match refresh(&credentials).await {
            Ok(changed) => {
                if changed || complaint.is_some() {
                    let not_after = credentials.current().not_after;
                    metrics.set_certificate_end(not_after);
                    let until = not_after.map(|end| end.to_string()).unwrap_or_default();
                    info!(valid_until = until, "TLS files were read again");
                }
                complaint = None;
                POLL
            }
            Err(error) => {
                let text = crate::error::chain(&error);
                // Once per fault, not once per look.
                if complaint.as_ref() != Some(&text) {
                    warn!(
                        error = text,
                        "TLS files changed and cannot be used; the ones before stay in use"
                    );
                    complaint = Some(text);
                }
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            () = watcher.changed() => {
                tokio::time::sleep(SETTLE).await;
                watcher.forget();
            }
        }
    }
}

async fn refresh(credentials: &Credentials) -> Result<bool, TlsError> {
    let credentials = credentials.clone();
    // The files may be on a slow disk, and keys take a moment to check.
    match tokio::task::spawn_blocking(move || credentials.refresh()).await {
        Ok(result) => result,
        Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
        // The runtime is going down.
        Err(_) => Ok(false),
    }
}

/// The directories in which a change may change what one of the files is.
fn directories(credentials: &Credentials) -> BTreeSet<PathBuf> {
    let files = credentials.files();
    [&files.cert_file, &files.key_file, &files.client_ca_file]
        .into_iter()
        .flat_map(|file| [Some(file.clone()), std::fs::canonicalize(file).ok()])
        .flatten()
        .filter_map(|file| file.parent().map(Into::into))
        .collect()
}

/// inotify, as far as it is to be had.
struct Watcher {
    events: Option<EventStream<[u8; 1024]>>,
}

impl Watcher {
    fn new() -> Self {
        let events = Inotify::init().and_then(|inotify| inotify.into_event_stream([0; 1024]));
        Self {
            events: events
                .inspect_err(|error| {
                    warn!(%error, "no inotify: changed TLS files are noticed within a minute only");
                })
                .ok(),
        }
    }

    /// Watching a directory twice is watching it once, and one that is gone is no longer watched.
    fn watch(&mut self, directories: &BTreeSet<PathBuf>) {
        let Some(events) = &self.events else { return };
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::DELETE
            | WatchMask::ATTRIB
            | WatchMask::ONLYDIR;
        for directory in directories {
            if let Err(error) = events.watches().add(directory, mask) {
                debug!(directory = %directory.display(), %error, "cannot watch for changed TLS files");
            }
        }
    }

    async fn changed(&mut self) {
        let Some(events) = &mut self.events else {
            return std::future::pending().await;
        };
        match events.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                warn!(%error, "inotify failed: changed TLS files are noticed within a minute only");
                self.events = None;
            }
            None => self.events = None,
        }
    }

    /// Drops what has been heard of so far; the next look covers it.
    fn forget(&mut self) {
        let Some(events) = &mut self.events else {
            return;
        };
        while let Some(Some(Ok(_))) = events.next().now_or_never() {}
    }
}
