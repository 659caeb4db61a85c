//! A node's handoff, and what has become of objects that were applied.

use std::time::SystemTime;

use seedpod_proto::v1;

use super::{PodReference, mirror};

/// The handoff of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Handoff {
    /// Made by the node.
    pub id: String,
    /// The bundle with the injected control plane.
    pub bundle: String,
    /// Where it has come to.
    pub state: HandoffState,
    /// What is waited for now, for people.
    pub message: String,
    /// Why it takes or took the way back.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub failure: Option<HandoffFailure>,
    /// The injected pods that are not projected.
    pub withheld: Vec<PodReference>,
    /// When it began.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub start_time: Option<SystemTime>,
    /// When its state last changed.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub state_time: Option<SystemTime>,
    /// When the state's deadline passes. `None` when it has none.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub deadline: Option<SystemTime>,
    /// The states that it has gone through, in order, with the present one last.
    pub steps: Vec<HandoffStep>,
    /// How the port was or will be handed over. `None`: that is not decided yet.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub steering: Option<Steering>,
    /// Counts up with each change.
    pub generation: u64,
}

impl Handoff {
    /// Whether it is on its way, to one end or the other.
    pub fn is_moving(&self) -> bool {
        !matches!(
            self.state,
            HandoffState::Committed | HandoffState::Reverted | HandoffState::StandingIn
        )
    }
}

/// One state that a handoff was in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct HandoffStep {
    /// The state.
    pub state: HandoffState,
    /// When it began.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub start_time: Option<SystemTime>,
    /// When it ended. `None` for the present one.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub end_time: Option<SystemTime>,
    /// What was waited for last, or what came of it.
    pub message: String,
}

/// How new connections to the API server's port are led to one of the two API servers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Steering {
    /// Whether and how.
    pub mode: SteeringMode,
    /// Why not, for [`SteeringMode::None`].
    pub message: String,
}

impl Steering {
    /// Whether new connections can be led to one of two API servers.
    pub fn is_possible(&self) -> bool {
        matches!(self.mode, SteeringMode::ByLoopback | SteeringMode::ByMark)
    }
}

mirror! {
    /// Whether and how connections are led.
    SteeringMode for v1::steering::Mode, else Unrecognized {
        /// By the destination address.
        ByLoopback = "ByLoopback",
        /// By a mark on the newcomer's packets.
        ByMark = "ByMark",
        /// Not at all: some connections may be lost.
        None = "None",
    }
}

/// Why a handoff took the way back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct HandoffFailure {
    /// In which state.
    pub state: HandoffState,
    /// The stable reason.
    pub reason: String,
    /// For people, with the remedy.
    pub message: String,
}

mirror! {
    /// Where a handoff has come to.
    HandoffState for v1::HandoffState, else Unrecognized {
        /// The objects are applied.
        Applying = "Applying",
        /// The self-hosted pods start.
        WaitingForReady = "WaitingForReady",
        /// The kubelet is to have heard from its API server.
        WaitingForKubelet = "WaitingForKubelet",
        /// The injected scheduler and controller manager stop.
        Draining = "Draining",
        /// The API server's port is handed over.
        HandingOver = "HandingOver",
        /// A write and a read through the self-hosted API server.
        Verifying = "Verifying",
        /// Handed over.
        Committed = "Committed",
        /// On the way back.
        Reverting = "Reverting",
        /// Handed back.
        Reverted = "Reverted",
        /// The standby bundle is projected.
        StandingIn = "StandingIn",
        /// The standby bundle gives way again.
        StandingDown = "StandingDown",
    }
}

impl From<v1::Handoff> for Handoff {
    fn from(wire: v1::Handoff) -> Self {
        Self {
            id: wire.id,
            bundle: wire.bundle,
            state: HandoffState::from_wire(wire.state),
            message: wire.message,
            failure: wire.failure.map(|failure| HandoffFailure {
                state: HandoffState::from_wire(failure.state),
                reason: failure.reason,
                message: failure.message,
            }),
            withheld: wire.withheld.into_iter().map(PodReference::from).collect(),
            start_time: wire.start_time.and_then(|time| time.try_into().ok()),
            state_time: wire.state_time.and_then(|time| time.try_into().ok()),
            deadline: wire.deadline.and_then(|time| time.try_into().ok()),
            steps: wire.steps.into_iter().map(HandoffStep::from).collect(),
            steering: wire
                .steering
                .filter(|it| it.mode() != v1::steering::Mode::Unspecified)
                .map(Steering::from),
            generation: wire.generation,
        }
    }
}

impl From<v1::Steering> for Steering {
    fn from(wire: v1::Steering) -> Self {
        Self {
            mode: SteeringMode::from_wire(wire.mode),
            message: wire.message,
        }
    }
}

impl From<v1::HandoffStep> for HandoffStep {
    fn from(wire: v1::HandoffStep) -> Self {
        Self {
            state: HandoffState::from_wire(wire.state),
            start_time: wire.start_time.and_then(|time| time.try_into().ok()),
            end_time: wire.end_time.and_then(|time| time.try_into().ok()),
            message: wire.message,
        }
    }
}
