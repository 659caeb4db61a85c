//! The request to remove a bundle.

use seedpod_proto::v1;

use crate::retry::Repeat;

/// Which bundle to remove.
#[derive(Debug, Clone)]
pub struct RemoveBundle {
    name: String,
    expected_revision: Option<u64>,
    allow_missing: bool,
    forget_history: bool,
}

impl RemoveBundle {
    /// Remove the bundle of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            expected_revision: None,
            allow_missing: false,
            forget_history: false,
        }
    }

    /// Only if its active revision is this one.
    pub fn expected_revision(mut self, revision: u64) -> Self {
        self.expected_revision = Some(revision);
        self
    }

    /// No error when there is no such bundle.
    pub fn allow_missing(mut self, allow: bool) -> Self {
        self.allow_missing = allow;
        self
    }

    /// Forget its earlier revisions too, with the contents of their Secrets and ConfigMaps: it cannot be rolled back to.
    /// Also of a bundle that was removed already.
    pub fn forget_history(mut self, forget: bool) -> Self {
        self.forget_history = forget;
        self
    }

    /// Repeating the bare request could report a removal that succeeded as NOT_FOUND, or remove what somebody injected
    /// in between. With both conditions set neither can happen.
    pub(crate) fn repeat(&self) -> Repeat {
        if self.allow_missing && self.expected_revision.is_some() {
            Repeat::Safe
        } else {
            Repeat::Unsafe
        }
    }

    pub(crate) fn to_message(&self) -> v1::RemoveBundleRequest {
        v1::RemoveBundleRequest {
            name: self.name.clone(),
            expected_revision: self.expected_revision,
            allow_missing: self.allow_missing,
            forget_history: self.forget_history,
        }
    }
}
