//! Placeholder.

pub(crate) mod admit;
pub(crate) mod authorize;
pub(crate) mod deadline;
