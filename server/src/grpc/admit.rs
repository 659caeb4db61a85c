//! The layer that keeps one client, and all clients together, from having too many requests in flight.

use std::{
    collections::HashMap,
    future::{Ready, ready},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::Either;
use http::{Request, Response};
use seedpod_proto::ERROR_DOMAIN;
use tonic::{Code, Status, body::Body};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer, Service};

use crate::{
    access::{Admissions, Full, Identity},
    config::Limits,
};

/// When a client that had too many may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Answers RESOURCE_EXHAUSTED at once, rather than to let requests wait with their messages in memory.
#[derive(Debug, Clone)]
pub(crate) struct Admit {
    admissions: Admissions,
}

impl Admit {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            admissions: Admissions::new(limits.max_requests, limits.max_requests_per_client),
        }
    }
}

impl<S> Layer<S> for Admit {
    type Service = Admitted<S>;

    fn layer(&self, inner: S) -> Admitted<S> {
        Admitted {
            inner,
            admissions: self.admissions.clone(),
        }
    }
}

/// A service behind [`Admit`].
#[derive(Debug, Clone)]
pub(crate) struct Admitted<S> {
    inner: S,
    admissions: Admissions,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S, B> Service<Request<B>> for Admitted<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<
        Ready<Result<Response<Body>, S::Error>>,
        BoxFuture<Result<Response<Body>, S::Error>>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The layer for rights is before this one, so that there is an identity.
        let client = request
            .extensions()
            .get()
            .map(Identity::counted_as)
            .unwrap_or_default();
        let admitted = self.admissions.admit(&client);
        drop(client);
        match admitted {
            Ok(admission) => {
                let response = self.inner.call(request);
                // Until the answer begins: by then the message has been taken in and dealt with.
                Either::Right(Box::pin(async move {
                    let response = response.await;
                    drop(admission);
                    response
                }))
            }
            Err(full) => Either::Left(ready(Ok(too_many(full).into_http()))),
        }
    }
}

fn too_many(full: Full) -> Status {
    let message = match full {
        Full::Total => "the daemon has limits.maxRequests requests in flight; try again later",
        Full::Client => {
            "this client has limits.maxRequestsPerClient requests in flight; wait for their answers"
        }
    };
    let mut details =
        ErrorDetails::with_error_info("TOO_MANY_REQUESTS", ERROR_DOMAIN, HashMap::new());
    details.set_retry_info(Some(RETRY_AFTER));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}
