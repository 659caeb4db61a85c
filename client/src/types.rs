//! What the node answers with, as this crate's own types.
//!
//! All of them may grow fields and variants with a newer API, hence `non_exhaustive`. Times are `None` where the node
//! gives none. With the feature `serde` they serialise with lowerCamelCase keys.

mod bundle;
mod node;
mod pod;

pub use bundle::{Bundle, BundlePod, Change, ChangeType, Injected, Warning};
pub use node::{Kubelet, KubeletState, Limits, Node, Problem, Runtime, RuntimeState};
pub use pod::{Container, ContainerState, Pod, PodState};

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
