//! What has happened on the node.

use std::time::SystemTime;

use seedpod_proto::v1;

use super::mirror;

/// Something that has happened on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Event {
    /// Its number: 1, 2, 3, ...
    pub sequence: u64,
    /// When it was recorded.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub time: Option<SystemTime>,
    /// What has happened.
    pub r#type: EventType,
    /// The bundle that it is about. Empty when it is about none.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "String::is_empty"))]
    pub bundle: String,
    /// The revision of the bundle.
    pub revision: u64,
    /// The namespace of the pod that it is about. Empty when it is about none.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "String::is_empty"))]
    pub namespace: String,
    /// The name of that pod as in the manifest.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "String::is_empty"))]
    pub name: String,
    /// One sentence for people.
    pub message: String,
    /// Who did it: the name in the client's certificate, or the local user. Empty when nobody asked for it.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "String::is_empty"))]
    pub client: String,
}

mirror! {
    /// What has happened.
    EventType for v1::EventType, else Unrecognized {
        /// A revision was committed by [`Client::inject`](crate::Client::inject).
        Injected = "Injected",
        /// A bundle was removed.
        Removed = "Removed",
        /// A revision was committed by [`Client::rollback_bundle`](crate::Client::rollback_bundle), or by the
        /// node itself at the end of a trial.
        RolledBack = "RolledBack",
        /// A trial has ended well: by [`Client::confirm_revision`](crate::Client::confirm_revision) or by readiness.
        Confirmed = "Confirmed",
        /// A trial has failed; the rollback follows.
        TrialFailed = "TrialFailed",
        /// A pod's file was written into the static pod directory.
        PodProjected = "PodProjected",
        /// All containers of a pod run.
        PodStarted = "PodStarted",
        /// A pod has become ready.
        PodReady = "PodReady",
        /// A pod that was ready is so no more, though its containers run.
        PodNotReady = "PodNotReady",
        /// A container of a pod has ended and should not have.
        PodFailed = "PodFailed",
        /// The kubelet will not start a pod.
        PodRefused = "PodRefused",
        /// A pod that is no longer demanded has stopped.
        PodStopped = "PodStopped",
        /// Somebody else changed or removed a file of Seedpod's.
        Drift = "Drift",
        /// Such a file was put right.
        Repaired = "Repaired",
        /// A wave did not get ready in its time; the waves after it wait.
        WaveTimedOut = "WaveTimedOut",
        /// All pods of a revision were ready at the same time, for the first time.
        BundleReady = "BundleReady",
        /// The kubelet was restarted, so that it starts what it would not have otherwise.
        KubeletRestarted = "KubeletRestarted",
        /// A pod was stopped over CRI, since the kubelet would not stop it.
        PodStoppedOverCri = "PodStoppedOverCri",
        /// Events could not be written and were lost; the message tells how many.
        EventsLost = "EventsLost",
        /// A handoff has begun.
        HandoffStarted = "HandoffStarted",
        /// A handoff has come to another state; the message says which and why.
        HandoffProgressed = "HandoffProgressed",
        /// A handoff is committed: the self-hosted control plane serves, and the bundle is standby.
        HandedOver = "HandedOver",
        /// A handoff takes its way back; the message says why.
        HandoffFailed = "HandoffFailed",
        /// The injected pods are back.
        HandedBack = "HandedBack",
        /// No API server answered on the node for a while: the standby bundle is projected.
        StandbyStarted = "StandbyStarted",
        /// The self-hosted control plane serves again: the standby bundle has given way.
        StandbyStopped = "StandbyStopped",
        /// The kubelet's files were changed.
        KubeletConfigured = "KubeletConfigured",
    }
}

impl From<v1::Event> for Event {
    fn from(wire: v1::Event) -> Self {
        Self {
            sequence: wire.sequence,
            time: wire.time.and_then(|time| time.try_into().ok()),
            r#type: EventType::from_wire(wire.r#type),
            bundle: wire.bundle,
            revision: wire.revision,
            namespace: wire.namespace,
            name: wire.name,
            message: wire.message,
            client: wire.client,
        }
    }
}
