//! `ListRevisions`, `GetRevision`, `RollbackBundle` and `ConfirmRevision`.

use seedpod_proto::v1::{
    ConfirmRevisionRequest, ConfirmRevisionResponse, GetRevisionRequest, ListRevisionsRequest,
    ListRevisionsResponse, Revision, RollbackBundleRequest, RollbackBundleResponse,
};
use tonic::{Request, Status};

use super::{Api, audit::Caller, reason::Reason, status::Fault};

/// Until it is there.
fn not_yet() -> Status {
    Fault::new(
        Reason::MethodUnknown,
        "this version of seedpodd does not have it yet",
    )
    .into()
}

#[expect(clippy::unused_async)]
impl Api {
    pub(super) async fn list_revisions(
        &self,
        _: ListRevisionsRequest,
    ) -> Result<ListRevisionsResponse, Status> {
        Err(not_yet())
    }

    pub(super) async fn get_revision(
        &self,
        _: Request<GetRevisionRequest>,
    ) -> Result<Revision, Status> {
        Err(not_yet())
    }

    pub(super) async fn rollback_and_record(
        &self,
        _: &Caller,
        _: RollbackBundleRequest,
    ) -> Result<RollbackBundleResponse, Status> {
        Err(not_yet())
    }

    pub(super) async fn confirm_and_record(
        &self,
        _: &Caller,
        _: ConfirmRevisionRequest,
    ) -> Result<ConfirmRevisionResponse, Status> {
        Err(not_yet())
    }
}
