//! `HandoffService`.

mod apply;

use std::pin::Pin;

use futures_util::Stream;
use seedpod_proto::v1::{
    AbortHandoffRequest, ApplyObjectsRequest, ApplyObjectsResponse, GetHandoffRequest, Handoff,
    StartHandoffRequest, WatchHandoffRequest, WatchHandoffResponse,
    handoff_service_server::HandoffService,
};
use tonic::{Request, Response, Status};

use super::Api;

#[tonic::async_trait]
impl HandoffService for Api {
    type ApplyObjectsStream = Answers<ApplyObjectsResponse>;
    type WatchHandoffStream = Answers<WatchHandoffResponse>;

    async fn apply_objects(
        &self,
        request: Request<ApplyObjectsRequest>,
    ) -> Result<Response<Self::ApplyObjectsStream>, Status> {
        self.apply(request).await
    }

    async fn start_handoff(
        &self,
        _: Request<StartHandoffRequest>,
    ) -> Result<Response<Handoff>, Status> {
        Err(Status::unimplemented("StartHandoff"))
    }

    async fn get_handoff(
        &self,
        _: Request<GetHandoffRequest>,
    ) -> Result<Response<Handoff>, Status> {
        Err(Status::unimplemented("GetHandoff"))
    }

    async fn watch_handoff(
        &self,
        _: Request<WatchHandoffRequest>,
    ) -> Result<Response<Self::WatchHandoffStream>, Status> {
        Err(Status::unimplemented("WatchHandoff"))
    }

    async fn abort_handoff(
        &self,
        _: Request<AbortHandoffRequest>,
    ) -> Result<Response<Handoff>, Status> {
        Err(Status::unimplemented("AbortHandoff"))
    }
}

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
