//! The layer for the calls that stream: how many may be open, and that they end when the daemon does.
//!
//! It works on the answer's body, so that the methods themselves need to know of neither.

use std::{
    collections::HashMap,
    future::{Ready, ready as at_once},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::Either;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame};
use seedpod_proto::ERROR_DOMAIN;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Code, Status, body::Body, codegen::Bytes};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer, Service};

use super::status;
use crate::{
    access::{Admission, Admissions, Full, Identity},
    config::Limits,
};

/// The methods of ours that stream.
const STREAMING: &[&str] = &[
    "/seedpod.v1.HandoffService/ApplyObjects",
    "/seedpod.v1.HandoffService/WatchHandoff",
    "/seedpod.v1.PodInjectionService/GetPodLogs",
    "/seedpod.v1.PodInjectionService/WatchEvents",
    "/seedpod.v1.PodInjectionService/WatchPods",
];

/// When a client that had too many may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Counts open streams, answers RESOURCE_EXHAUSTED when there are too many, and ends all with UNAVAILABLE at `stop`.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    admissions: Admissions,
    stop: CancellationToken,
}

impl Streams {
    pub(crate) fn new(limits: &Limits, stop: CancellationToken) -> Self {
        Self {
            admissions: Admissions::new(limits.max_streams, limits.max_streams_per_client),
            stop,
        }
    }
}

impl<S> Layer<S> for Streams {
    type Service = Streamed<S>;

    fn layer(&self, inner: S) -> Streamed<S> {
        Streamed {
            inner,
            streams: self.clone(),
        }
    }
}

/// A service behind [`Streams`].
#[derive(Debug, Clone)]
pub(crate) struct Streamed<S> {
    inner: S,
    streams: Streams,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S, B> Service<Request<B>> for Streamed<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<
        S::Future,
        Either<
            Ready<Result<Response<Body>, S::Error>>,
            BoxFuture<Result<Response<Body>, S::Error>>,
        >,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !STREAMING.contains(&request.uri().path()) {
            return Either::Left(self.inner.call(request));
        }
        let client = request
            .extensions()
            .get()
            .map(Identity::counted_as)
            .unwrap_or_default();
        let admitted = self.streams.admissions.admit(&client);
        drop(client);
        let admission = match admitted {
            Ok(admission) => admission,
            Err(full) => {
                let refused = Ok(too_many(full).into_http());
                return Either::Right(Either::Left(at_once(refused)));
            }
        };
        let stop = self.streams.stop.clone();
        let response = self.inner.call(request);
        Either::Right(Either::Right(Box::pin(async move {
            let response = response.await?;
            Ok(response.map(|body| {
                Body::new(OpenStream {
                    open: Some((body, admission)),
                    stop: Box::pin(stop.cancelled_owned()),
                })
            }))
        })))
    }
}

/// An answer that goes on until its method, its client or the daemon ends it.
struct OpenStream {
    open: Option<(Body, Admission)>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl HttpBody for OpenStream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some((body, _)) = &mut this.open else {
            return Poll::Ready(None);
        };
        if this.stop.as_mut().poll(cx).is_ready() {
            this.open = None;
            let mut trailers = HeaderMap::new();
            let ended = status::shutting_down().add_header(&mut trailers);
            return Poll::Ready(Some(ended.map(|()| Frame::trailers(trailers))));
        }
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            this.open = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.open
            .as_ref()
            .is_none_or(|(body, _)| body.is_end_stream())
    }
}

fn too_many(full: Full) -> Status {
    let message = match full {
        Full::Total => "the daemon has limits.maxStreams streams open; try again later",
        Full::Client => {
            "this client has limits.maxStreamsPerClient streams open; close those that are not needed"
        }
    };
    let mut details =
        ErrorDetails::with_error_info("TOO_MANY_STREAMS", ERROR_DOMAIN, HashMap::new());
    details.set_retry_info(Some(RETRY_AFTER));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

#[cfg(test)]
mod tests;
