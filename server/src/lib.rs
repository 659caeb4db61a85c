//! The daemon `seedpodd`.

mod access;
mod args;
mod config;
mod daemon;
mod error;
mod fs;
mod grpc;
mod http;
mod metrics;
mod node;
mod projection;
mod runtime_cri;
mod store;

pub use args::Args;
pub use config::{
    Configuration, ConfigurationError, DEFAULT_PATH, Limits, Listen, Log, LogFormat, LogLevel,
    Projection, TlsFiles,
};
pub use daemon::run;
