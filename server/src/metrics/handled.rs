//! The layer that counts gRPC calls by their code.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tonic::{Code, Status, body::Body, codegen::Bytes};
use tower::{Layer, Service};

use crate::access::TABLE;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HandledLabels {
    grpc_service: &'static str,
    grpc_method: &'static str,
    grpc_code: &'static str,
}

/// Counts every gRPC call that has ended.
#[derive(Debug, Clone)]
pub(crate) struct HandledLayer {
    handled: Family<HandledLabels, Counter>,
}

impl HandledLayer {
    pub(super) fn new(handled: Family<HandledLabels, Counter>) -> Self {
        Self { handled }
    }
}

impl<S> Layer<S> for HandledLayer {
    type Service = Handled<S>;

    fn layer(&self, inner: S) -> Handled<S> {
        Handled {
            inner,
            handled: self.handled.clone(),
        }
    }
}

/// A service behind [`HandledLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Handled<S> {
    inner: S,
    handled: Family<HandledLabels, Counter>,
}

impl<S, B> Service<Request<B>> for Handled<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut call = Call::new(request.uri().path(), self.handled.clone());
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await?;
            // An error without a message has its code among the headers; everything else tells it at the end.
            call.look_at(response.headers());
            Ok(response.map(|body| Body::new(CountedBody { body, call })))
        })
    }
}

/// One call; counted once, at the latest when it is dropped.
struct Call {
    handled: Family<HandledLabels, Counter>,
    service: &'static str,
    method: &'static str,
    code: Option<Code>,
}

impl Call {
    fn new(path: &str, handled: Family<HandledLabels, Counter>) -> Self {
        // Only names from the table become labels: clients could make up any number of others.
        let (service, method) = TABLE
            .iter()
            .find(|(known, _)| *known == path)
            .and_then(|(known, _)| known.trim_start_matches('/').split_once('/'))
            .unwrap_or(("unknown", "unknown"));
        Self {
            handled,
            service,
            method,
            code: None,
        }
    }

    fn look_at(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.code = Some(status.code());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Given up by the client or by a time limit before there was a code.
        let code = name_of(self.code.unwrap_or(Code::Cancelled));
        let labels = HandledLabels {
            grpc_service: self.service,
            grpc_method: self.method,
            grpc_code: code,
        };
        self.handled.get_or_create(&labels).inc();
    }
}

struct CountedBody {
    body: Body,
    call: Call,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(trailers) = frame.as_ref().and_then(|f| f.as_ref().ok()?.trailers_ref()) {
            self.call.look_at(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The names that other gRPC implementations' metrics have.
fn name_of(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
