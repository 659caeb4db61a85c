//! The daemon `seedpodd`.

mod access;
mod config;
mod daemon;
mod fs;
mod grpc;
mod metrics;
mod node;
mod projection;
mod runtime_cri;
mod store;

pub use config::Configuration;
