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

/// An error with all of its causes, for logs and messages.
fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
