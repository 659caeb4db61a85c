//! The layer that ends requests which take too long.
//!
//! tonic has one of its own, but it answers CANCELLED, which tells a client that somebody gave up on purpose.

use std::{
    collections::HashMap,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use seedpod_proto::ERROR_DOMAIN;
use tonic::{Code, Status, body::Body, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer, Service};

/// How long the client waits for the answer, as it says in `grpc-timeout`. `None`: as long as it takes.
pub(super) fn of_client(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number.saturating_mul(3600))),
        "M" => Some(Duration::from_secs(number.saturating_mul(60))),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Calls that bound themselves: they wait for pods to stop, or for the kubelet to restart.
const PATIENT: [&str; 2] = [
    "/seedpod.v1.NodeService/ConfigureKubelet",
    "/seedpod.v1.NodeService/ResetNode",
];

/// Answers DEADLINE_EXCEEDED when a service has not answered in time. Streams that have begun may go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(pub(crate) Duration);

impl<S> Layer<S> for Deadline {
    type Service = WithDeadline<S>;

    fn layer(&self, inner: S) -> WithDeadline<S> {
        WithDeadline {
            inner,
            limit: self.0,
        }
    }
}

/// A service behind [`Deadline`].
#[derive(Debug, Clone)]
pub(crate) struct WithDeadline<S> {
    inner: S,
    limit: Duration,
}

impl<S, B> Service<Request<B>> for WithDeadline<S>
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
        let limit = self.limit;
        let is_patient = PATIENT.contains(&request.uri().path());
        let response = self.inner.call(request);
        if is_patient {
            return Box::pin(response);
        }
        Box::pin(async move {
            match tokio::time::timeout(limit, response).await {
                Ok(response) => response,
                Err(_) => Ok(too_long(limit).into_http()),
            }
        })
    }
}

fn too_long(limit: Duration) -> Status {
    let message = format!(
        "the request took more than limits.requestTimeout, {limit:?}; whether it was carried out \
         is not known, so ask with GetBundle, or repeat it with the same request_id"
    );
    let details = ErrorDetails::with_error_info("REQUEST_TIMEOUT", ERROR_DOMAIN, HashMap::new());
    Status::with_error_details(Code::DeadlineExceeded, message, details)
}
