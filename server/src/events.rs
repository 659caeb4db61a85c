//! What has happened on the node: numbered, on disk, bounded.
//!
//! Everybody who changes something or sees a change has an [`EventSink`] and records it there.

use seedpod_manifest::{BundleName, PodKey};

/// What has happened. See `EventType` in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum EventKind {
    Injected,
    Removed,
    RolledBack,
    Confirmed,
    TrialFailed,
    PodProjected,
    PodStarted,
    PodReady,
    PodNotReady,
    PodFailed,
    PodRefused,
    PodStopped,
    Drift,
    Repaired,
    WaveTimedOut,
    BundleReady,
    KubeletRestarted,
    PodStoppedOverCri,
    EventsLost,
}

/// An event before it has a number and a time. Never holds anything that may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewEvent {
    pub(crate) kind: EventKind,
    pub(crate) bundle: Option<BundleName>,
    /// Of the bundle; 0 when it is about none.
    pub(crate) revision: u64,
    pub(crate) pod: Option<PodKey>,
    /// One sentence for people.
    pub(crate) message: String,
    /// Who asked for it; empty when nobody did.
    pub(crate) client: String,
}

impl NewEvent {
    /// About a bundle as a whole.
    pub(crate) fn of_bundle(
        kind: EventKind,
        bundle: &BundleName,
        revision: u64,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            bundle: Some(bundle.clone()),
            revision,
            pod: None,
            message: message.into(),
            client: String::new(),
        }
    }

    /// About one pod of a bundle.
    pub(crate) fn of_pod(
        kind: EventKind,
        bundle: &BundleName,
        revision: u64,
        pod: &PodKey,
        message: impl Into<String>,
    ) -> Self {
        Self {
            pod: Some(pod.clone()),
            ..Self::of_bundle(kind, bundle, revision, message)
        }
    }

    /// Asked for by this client.
    pub(crate) fn by(self, client: impl Into<String>) -> Self {
        Self {
            client: client.into(),
            ..self
        }
    }
}

/// Where events are recorded. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventSink {}

impl EventSink {
    /// Records an event. Never waits: what cannot be written now is written later, or counted as lost.
    pub(crate) fn record(&self, event: NewEvent) {
        tracing::debug!(kind = ?event.kind, message = event.message, "event");
    }
}
