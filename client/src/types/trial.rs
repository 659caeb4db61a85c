//! Trials of revisions.

use std::time::Duration;

use seedpod_proto::v1;

use super::mirror;

/// When the node itself undoes a revision: unless it is confirmed in time, or at once when a container ends too often.
/// The node needs no client for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    timeout: Duration,
    explicit: bool,
}

impl Trial {
    /// A trial that ends well when all pods are ready at the same time within `timeout` (1 s to 24 h).
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            explicit: false,
        }
    }

    /// Only [`Client::confirm_revision`](crate::Client::confirm_revision) confirms it; that the pods are ready is not
    /// enough.
    pub fn confirmed_explicitly(mut self) -> Self {
        self.explicit = true;
        self
    }

    pub(crate) fn to_message(self) -> v1::Trial {
        let confirmation = if self.explicit {
            v1::TrialConfirmation::Explicit
        } else {
            v1::TrialConfirmation::Readiness
        };
        v1::Trial {
            // One that the format cannot hold is more than a day, which the node says better than we could.
            timeout: Some(self.timeout.try_into().unwrap_or_default()),
            confirmation: confirmation.into(),
        }
    }
}

/// How a trial stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct TrialStatus {
    /// How it stands.
    pub state: TrialState,
    /// As asked for.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::seconds", skip_serializing_if = "Option::is_none")
    )]
    pub timeout: Option<Duration>,
    /// As asked for.
    pub confirmation: TrialConfirmation,
    /// How much time is left. Only while it is pending.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::seconds", skip_serializing_if = "Option::is_none")
    )]
    pub remaining: Option<Duration>,
    /// The revision that the node goes back to; 0: the bundle is removed. Only while it is pending.
    pub fallback_revision: u64,
}

mirror! {
    /// How a trial stands.
    TrialState for v1::trial_status::State, else Unrecognized {
        /// It is neither confirmed nor over.
        Pending = "Pending",
        /// The revision stays.
        Confirmed = "Confirmed",
        /// The node went back to another revision, or another one was injected.
        Over = "Over",
    }
}

mirror! {
    /// What confirms a revision that is on trial.
    TrialConfirmation for v1::TrialConfirmation, else Unrecognized {
        /// That all its pods are ready at the same time, or [`Client::confirm_revision`](crate::Client::confirm_revision).
        Readiness = "Readiness",
        /// Only [`Client::confirm_revision`](crate::Client::confirm_revision).
        Explicit = "Explicit",
    }
}

impl From<v1::TrialStatus> for TrialStatus {
    fn from(wire: v1::TrialStatus) -> Self {
        Self {
            state: TrialState::from_wire(wire.state),
            timeout: wire.timeout.and_then(|time| time.try_into().ok()),
            confirmation: TrialConfirmation::from_wire(wire.confirmation),
            remaining: wire.remaining.and_then(|time| time.try_into().ok()),
            fallback_revision: wire.fallback_revision,
        }
    }
}
