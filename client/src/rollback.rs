//! The request to go back to an earlier revision.

use seedpod_proto::v1;
use uuid::Uuid;

/// Which bundle goes back, and where to: to the last good revision before the active one unless
/// [`Self::to_revision`] says otherwise. The content becomes a new revision; pods that are equal in both are not
/// touched.
#[derive(Debug, Clone)]
pub struct RollbackBundle {
    name: String,
    to_revision: u64,
    expected_revision: Option<u64>,
    request_id: String,
    validate_only: bool,
}

impl RollbackBundle {
    /// A request with a fresh request id.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            to_revision: 0,
            expected_revision: None,
            request_id: Uuid::new_v4().to_string(),
            validate_only: false,
        }
    }

    /// The revision to go back to.
    pub fn to_revision(mut self, revision: u64) -> Self {
        self.to_revision = revision;
        self
    }

    /// Carry the request out only if the bundle's active revision is this one.
    pub fn expected_revision(mut self, revision: u64) -> Self {
        self.expected_revision = Some(revision);
        self
    }

    /// The id under which the node recognises this request when it comes again; see
    /// [`InjectPods::request_id`](crate::InjectPods::request_id).
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = id.into();
        self
    }

    /// Only check, and answer with the changes and their diffs.
    pub fn validate_only(mut self, validate_only: bool) -> Self {
        self.validate_only = validate_only;
        self
    }

    /// The id of this request.
    pub fn id(&self) -> &str {
        &self.request_id
    }

    pub(crate) fn to_message(&self) -> v1::RollbackBundleRequest {
        let Self {
            name,
            to_revision,
            expected_revision,
            request_id,
            validate_only,
        } = self.clone();
        v1::RollbackBundleRequest {
            name,
            to_revision,
            expected_revision,
            request_id,
            validate_only,
        }
    }
}
