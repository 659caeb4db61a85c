//! Events for what was committed by a daemon that did not live to record it.

use seedpod_manifest::BundleName;

use super::{EventKind, NewEvent, record::Recorded};
use crate::node::State;

/// A bundle's last commit.
#[derive(Debug, Clone)]
pub(super) struct Commit {
    bundle: BundleName,
    revision: u64,
    removed: bool,
}

/// The last commit of every bundle, removed ones included.
pub(super) fn committed(state: &State) -> Vec<Commit> {
    let active = state.bundles.values().map(|bundle| Commit {
        bundle: bundle.name.clone(),
        revision: bundle.revision,
        removed: false,
    });
    let removed = state.removed.iter().map(|(bundle, revision)| Commit {
        bundle: bundle.clone(),
        revision: *revision,
        removed: true,
    });
    active.chain(removed).collect()
}

/// The events that the log lacks.
pub(super) fn catch_up(committed: &[Commit], recorded: &Recorded) -> Vec<NewEvent> {
    let is_missing =
        |commit: &&Commit| recorded.get(&commit.bundle).copied().unwrap_or(0) < commit.revision;
    let event = |commit: &Commit| {
        let Commit {
            bundle,
            revision,
            removed,
        } = commit;
        let (kind, what) = if *removed {
            (EventKind::Removed, "removed")
        } else {
            (EventKind::Injected, "committed")
        };
        let message = format!(
            "revision {revision} of bundle {bundle} was {what} before seedpodd started; nobody recorded it then"
        );
        NewEvent::of_bundle(kind, bundle, *revision, message)
    };
    committed.iter().filter(is_missing).map(event).collect()
}
