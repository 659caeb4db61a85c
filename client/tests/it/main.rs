//! The SDK and the tool against a scripted service in this process.

#![allow(
    clippy::disallowed_methods,
    reason = "tests write their own scratch files"
)]

mod calls;
mod certificates;
mod cluster;
mod connections;
mod fake;
mod handoffs;
mod objects;
mod retries;
mod revisions;
mod snapshots;
mod streams;
mod tool;
mod tool_config;
mod tool_folder;
mod tool_get;
mod tool_inject;
mod tool_keys;
mod tool_lint;
mod tool_objects;
mod tool_pki;
mod tool_pods;
mod tool_render;
mod tool_revisions;
mod tool_terminal;
mod tool_wait;
mod tool_watch;
mod waiting;
