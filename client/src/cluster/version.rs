//! Versions of Kubernetes, and how far apart they may be.

use std::fmt;

/// `v1.37.2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second one, by which skew is counted.
    pub minor: u32,
    /// The third one.
    pub patch: u32,
    /// `-rc.1` or `+build`, as it is written.
    pub suffix: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            major,
            minor,
            patch,
            suffix,
        } = self;
        write!(f, "v{major}.{minor}.{patch}{suffix}")
    }
}
