//! What can be wrong with a manifest.

use std::fmt;

/// A place in one of the given manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which manifest, counted from 0.
    pub manifest: usize,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

/// Why a manifest was refused or warned about: stable, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// Another pod of the node takes the port of the host.
    HostPortConflict,
    /// It is not YAML or JSON.
    SyntaxError,
}

impl Reason {
    /// The reason in UPPER_SNAKE_CASE, as it stands in errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HostPortConflict => "HOST_PORT_CONFLICT",
            Self::SyntaxError => "SYNTAX_ERROR",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field from the request on, as in `manifests[0].documents[2].spec.containers[1].image`.
    pub field: String,
    /// The stable reason.
    pub reason: Reason,
    /// What is wrong and what to write instead, in a sentence. Holds no value of a Secret.
    pub description: String,
    /// Where it stands, when it stands anywhere.
    pub position: Option<Position>,
}

/// Something valid that will not work as one may think.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The path of the field, as in [`Violation::field`].
    pub field: String,
    /// The stable reason.
    pub reason: Reason,
    /// What happens, in a sentence.
    pub description: String,
    /// Where it stands.
    pub position: Option<Position>,
}
