//! The daemon `seedpodd`.

mod access;
mod args;
mod config;
mod daemon;
mod error;
mod events;
mod fs;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grpc;
mod handoff;
mod hardening;
mod host;
mod http;
mod kube;
mod kubelet;
mod logs;
mod metrics;
mod node;
mod probe;
mod projection;
mod runtime_cri;
mod steer;
mod store;
mod volumes;

pub use args::Args;
pub use config::{
    Configuration, ConfigurationError, DEFAULT_PATH, KubeletRestart, Limits, Listen, Log,
    LogFormat, LogLevel, Projection, Readiness, TlsFiles,
};
pub use daemon::run;
