//! `ApplyObjects`.

use seedpod_proto::v1::{ApplyObjectsRequest, ApplyObjectsResponse};
use tonic::{Request, Response, Status};

use super::Answers;
use crate::grpc::Api;

impl Api {
    #[expect(clippy::unused_async, reason = "it asks the API server")]
    pub(super) async fn apply(
        &self,
        _: Request<ApplyObjectsRequest>,
    ) -> Result<Response<Answers<ApplyObjectsResponse>>, Status> {
        Err(Status::unimplemented("ApplyObjects"))
    }
}
