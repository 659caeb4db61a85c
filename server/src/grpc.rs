//! Placeholder.

pub(crate) mod authorize;
