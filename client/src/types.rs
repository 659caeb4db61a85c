//! What the node answers with, as this crate's own types.
//!
//! All of them may grow fields and variants with a newer API, hence `non_exhaustive`. Times are `None` where the node
//! gives none. With the feature `serde` they serialise with lowerCamelCase keys.

mod applied;
mod bundle;
mod check;
mod container;
mod event;
mod handoff;
mod log;
mod node;
mod object;
mod pod;
mod revision;
mod status;
mod trial;

pub use applied::{AppliedObject, AppliedResult, ObjectReference};
pub(crate) use bundle::required as required_bundle;
pub use bundle::{Bundle, BundlePod, Change, ChangeType, Injected, Warning};
pub use check::{ConfiguredKubelet, ImageCheck, NodeCheck, PathCheck, PortCheck, ResetDone};
pub use container::{Container, ContainerState, Termination};
pub use event::{Event, EventType};
pub use handoff::{Handoff, HandoffFailure, HandoffState, HandoffStep, Steering, SteeringMode};
pub use log::{LogLine, LogStream};
pub use node::{
    Kubelet, KubeletState, KubeletSync, Limits, Node, Objects, Problem, Runtime, RuntimeState,
};
pub use object::{Object, ObjectChange, ObjectKey, ObjectKind};
pub use pod::{Pod, PodReference, PodState};
pub use revision::{Origin, Revision, RolledBack};
pub use status::{BundleState, BundleStatus};
pub use trial::{Trial, TrialConfirmation, TrialState, TrialStatus};

/// Makes an enum that mirrors one of the API's, with a word for each variant and one for what a newer node may send.
macro_rules! mirror {
    (
        $(#[$meta:meta])*
        $name:ident for $wire:ty, else $unknown:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $word:literal ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[non_exhaustive]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )+
            /// Something that this version of the SDK does not know.
            $unknown,
        }

        impl $name {
            /// The word for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                    Self::$unknown => stringify!($unknown),
                }
            }

            pub(crate) fn from_wire(value: i32) -> Self {
                match <$wire>::try_from(value) {
                    $( Ok(<$wire>::$variant) => Self::$variant, )+
                    _ => Self::$unknown,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use mirror;

/// RFC 3339 for times.
#[cfg(feature = "serde")]
pub(crate) mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Serialize, Serializer};

    #[allow(
        clippy::ref_option,
        reason = "serde calls it with a reference to the field"
    )]
    pub(crate) fn serialize<S: Serializer>(
        time: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.and_then(|time| jiff::Timestamp::try_from(time).ok())
            .serialize(serializer)
    }
}

/// Durations as protobuf's JSON has them: `60s`, `1.500s`.
#[cfg(feature = "serde")]
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::Serializer;

    #[allow(
        clippy::ref_option,
        reason = "serde calls it with a reference to the field"
    )]
    pub(crate) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) if duration.subsec_millis() == 0 => {
                serializer.collect_str(&format_args!("{}s", duration.as_secs()))
            }
            Some(duration) => {
                serializer.collect_str(&format_args!("{:.3}s", duration.as_secs_f64()))
            }
            None => serializer.serialize_none(),
        }
    }
}
