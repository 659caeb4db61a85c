//! The daemon's configuration file.

/// `kind: DaemonConfiguration`.
#[derive(Debug, Clone)]
pub struct Configuration {}
