//! The SDK and the tool against a scripted service in this process.

#![allow(
    clippy::disallowed_methods,
    reason = "tests write their own scratch files"
)]

mod calls;
mod certificates;
mod connections;
mod fake;
mod retries;
mod revisions;
mod streams;
mod tool;
mod tool_config;
mod tool_get;
mod tool_inject;
mod tool_lint;
mod tool_pki;
mod waiting;
