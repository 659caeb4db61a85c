//! `ListObjects`.

use seedpod_proto::v1::{ListObjectsRequest, ListObjectsResponse};
use tonic::Status;

use super::Api;

impl Api {
    pub(super) fn list_objects(
        &self,
        request: &ListObjectsRequest,
    ) -> Result<ListObjectsResponse, Status> {
        let _ = request;
        Ok(ListObjectsResponse::default())
    }
}
