//! `HandoffService`.
//!
//! `request` checks what a handoff is asked for, `watch` tells of its changes, `apply` applies objects.

mod apply;
mod request;
mod watch;

use futures_util::stream::BoxStream;
use seedpod_proto::v1::{
    AbortHandoffRequest, ApplyObjectsRequest, ApplyObjectsResponse, GetHandoffRequest, Handoff,
    StartHandoffRequest, WatchHandoffRequest, WatchHandoffResponse,
    handoff_service_server::HandoffService,
};
use tonic::{Request, Response, Status};

use self::request::Start;
use super::{
    Api,
    audit::{self, Caller, Outcome},
    convert,
    injection::carry_through,
    status,
};
use crate::handoff::Record;

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
        request: Request<StartHandoffRequest>,
    ) -> Result<Response<Handoff>, Status> {
        let api = self.clone();
        let caller = audit::caller(request.extensions());
        let request = request.into_inner();
        carry_through(async move { api.start_and_record(&caller, request).await }).await
    }

    async fn get_handoff(
        &self,
        _: Request<GetHandoffRequest>,
    ) -> Result<Response<Handoff>, Status> {
        let state = self.handle.state();
        let record = state.handoff.as_ref();
        let record = record.ok_or_else(|| status::no_handoff(None))?;
        Ok(Response::new(self.shown(record)))
    }

    async fn watch_handoff(
        &self,
        _: Request<WatchHandoffRequest>,
    ) -> Result<Response<Self::WatchHandoffStream>, Status> {
        self.watch_handoff().map(Response::new)
    }

    async fn abort_handoff(
        &self,
        request: Request<AbortHandoffRequest>,
    ) -> Result<Response<Handoff>, Status> {
        let api = self.clone();
        let caller = audit::caller(request.extensions());
        let request = request.into_inner();
        carry_through(async move { api.abort_and_record(&caller, request).await }).await
    }
}

/// A stream of answers.
type Answers<T> = BoxStream<'static, Result<T, Status>>;

impl Api {
    async fn start_and_record(
        &self,
        caller: &Caller,
        request: StartHandoffRequest,
    ) -> Result<Handoff, Status> {
        let (name, validate_only) = (request.bundle.clone(), request.validate_only);
        let result = self.start(caller, request).await;
        if !validate_only {
            let outcome = match &result {
                Ok(handoff) => Outcome::Handoff(&handoff.id),
                Err(status) => Outcome::Refused(status),
            };
            audit::record(caller, "StartHandoff", &name, &outcome);
        }
        result
    }

    async fn start(
        &self,
        caller: &Caller,
        request: StartHandoffRequest,
    ) -> Result<Handoff, Status> {
        let validate_only = request.validate_only;
        let start = Start::parse(request)?;
        let max_bytes = self.info.max_bundle_bytes;
        let read = tokio::task::spawn_blocking(move || start.read(max_bytes).map(|()| start));
        let read = read.await;
        let Start {
            spec,
            material,
            request,
        } = read
            .unwrap_or_else(|_| Err(status::internal("the daemon failed to read the request")))?;
        let refused = |error| status::start_handoff(&error);
        if let Some(request) = &request {
            let replayed = self.handle.replay_handoff(request.clone()).await;
            if let Some(record) = replayed.map_err(refused)? {
                return Ok(self.shown(&record));
            }
        }
        self.handle.check_handoff(&spec).await.map_err(refused)?;
        if validate_only {
            return Ok(Handoff {
                bundle: spec.bundle.to_string(),
                ..Handoff::default()
            });
        }
        let handle = self.handle.on_behalf_of(&caller.who);
        let record = handle.start_handoff(spec, material, request).await;
        Ok(self.shown(&*record.map_err(refused)?))
    }

    async fn abort_and_record(
        &self,
        caller: &Caller,
        request: AbortHandoffRequest,
    ) -> Result<Handoff, Status> {
        let id = Some(request.id.as_str()).filter(|id| !id.is_empty());
        let handle = self.handle.on_behalf_of(&caller.who);
        let result = handle.abort_handoff(id).await;
        let result = result.map_err(|error| status::abort_handoff(&error));
        let (bundle, outcome) = match &result {
            Ok(record) => (record.spec.bundle.as_str(), Outcome::Handoff(&record.id)),
            Err(status) => ("", Outcome::Refused(status)),
        };
        audit::record(caller, "AbortHandoff", bundle, &outcome);
        Ok(self.shown(&*result?))
    }

    /// The handoff as it is now.
    fn shown(&self, record: &Record) -> Handoff {
        let message = self.handle.handoff_message().borrow().clone();
        convert::handoff(record, &message, self.handle.clock())
    }
}
