//! Placeholder.

pub(crate) mod authorize;
pub(crate) mod deadline;
