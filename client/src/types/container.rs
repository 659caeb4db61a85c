//! Containers.

use std::time::SystemTime;

use seedpod_proto::v1;

use super::mirror;

/// One container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Container {
    /// The name.
    pub name: String,
    /// The id.
    pub id: String,
    /// What the runtime says of it.
    pub state: ContainerState,
    /// How often the kubelet has started it again.
    pub restart_count: u32,
    /// The image as in the manifest.
    pub image: String,
    /// When it was started.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub start_time: Option<SystemTime>,
    /// The exit code. Only for [`ContainerState::Exited`].
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub exit_code: Option<i32>,
    /// The runtime's word for why, for example `OOMKilled`. May be empty.
    pub reason: String,
    /// When it ended. Only for [`ContainerState::Exited`].
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub finish_time: Option<SystemTime>,
    /// What the runtime adds to the reason. May be empty.
    pub message: String,
    /// The id of the image that it was made from.
    pub image_id: String,
    /// Whether it runs and its startup and readiness probes pass.
    pub ready: bool,
    /// What its probes say: the last failure. Empty when they pass or there are none.
    pub probe_message: String,
    /// How the attempt before this one ended. `None` when there was none, or nothing is left of it.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub last_termination: Option<Termination>,
}

/// The end of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Termination {
    /// The exit code.
    pub exit_code: i32,
    /// The runtime's word for it. May be empty.
    pub reason: String,
    /// When it ended.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub finish_time: Option<SystemTime>,
}

mirror! {
    /// What the runtime says of a container.
    ContainerState for v1::container::State, else Unrecognized {
        /// Made, not started.
        Created = "Created",
        /// Running.
        Running = "Running",
        /// Ended.
        Exited = "Exited",
        /// The runtime does not know.
        Unknown = "Unknown",
    }
}

impl From<v1::Container> for Container {
    fn from(wire: v1::Container) -> Self {
        let state = ContainerState::from_wire(wire.state);
        Self {
            name: wire.name,
            id: wire.id,
            state,
            restart_count: wire.restart_count,
            image: wire.image,
            start_time: wire.start_time.and_then(|time| time.try_into().ok()),
            exit_code: (state == ContainerState::Exited).then_some(wire.exit_code),
            reason: wire.reason,
            finish_time: wire.finish_time.and_then(|time| time.try_into().ok()),
            message: wire.message,
            image_id: wire.image_id,
            ready: wire.ready,
            probe_message: wire.probe_message,
            last_termination: wire.last_termination.map(Termination::from),
        }
    }
}

impl From<v1::container::Termination> for Termination {
    fn from(wire: v1::container::Termination) -> Self {
        Self {
            exit_code: wire.exit_code,
            reason: wire.reason,
            finish_time: wire.finish_time.and_then(|time| time.try_into().ok()),
        }
    }
}
