//! The layer before all services that lets only those in who may.

use std::{
    collections::HashMap,
    future::{Ready, ready},
    task::{Context, Poll},
};

use futures_util::future::Either;
use http::{Request, Response};
use seedpod_proto::ERROR_DOMAIN;
use tonic::{Code, Status, body::Body};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer, Service};
use tracing::info;

use crate::access::{Identity, Role, Rule, rule_for};

/// Refuses requests for which the table of `access::role` has no allowance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Authorize;

impl<S> Layer<S> for Authorize {
    type Service = Authorized<S>;

    fn layer(&self, inner: S) -> Authorized<S> {
        Authorized { inner }
    }
}

/// A service behind [`Authorize`].
#[derive(Debug, Clone)]
pub(crate) struct Authorized<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Authorized<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<Body>, S::Error>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match decide(request.uri().path(), request.extensions().get::<Identity>()) {
            Ok(()) => Either::Right(self.inner.call(request)),
            Err(refusal) => Either::Left(ready(Ok(Status::from(refusal).into_http()))),
        }
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    /// The connection has no identity. Not to be reached over the daemon's own sockets.
    Unauthenticated,
    /// There is no such method, or no rule for it, which is the same from outside.
    NoSuchMethod { path: String },
    /// A local user other than root.
    UnknownUser { who: String, path: String },
    RoleRequired {
        who: String,
        path: String,
        role: Role,
    },
}

/// The status of a call that needs this role because of what is in the request.
pub(super) fn role_required(identity: Option<&Identity>, path: &str, role: Role) -> Status {
    Refusal::RoleRequired {
        who: identity.map_or_else(|| "unknown".to_owned(), |identity| identity.name.clone()),
        path: path.to_owned(),
        role,
    }
    .into()
}

fn decide(path: &str, identity: Option<&Identity>) -> Result<(), Refusal> {
    let identity = identity.ok_or(Refusal::Unauthenticated)?;
    let who = || identity.name.clone();
    if !identity.is_authenticated() {
        info!(peer = %identity.peer, method = path, "refused: not a user who may use the socket");
        return Err(Refusal::UnknownUser {
            who: who(),
            path: path.to_owned(),
        });
    }
    match rule_for(path) {
        None => Err(Refusal::NoSuchMethod {
            path: path.to_owned(),
        }),
        Some(Rule::Authenticated) => Ok(()),
        Some(Rule::AtLeast(role)) if identity.has_role(role) => Ok(()),
        Some(Rule::AtLeast(role)) => {
            info!(
                peer = %identity.peer, client = identity.name, serial = identity.serial,
                method = path, roles = identity.roles_text(), needed = %role, "refused: role missing"
            );
            Err(Refusal::RoleRequired {
                who: who(),
                path: path.to_owned(),
                role,
            })
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, reason, message, metadata) = match refusal {
            Refusal::Unauthenticated => (
                Code::Unauthenticated,
                "UNAUTHENTICATED",
                "the connection has no client certificate; connect with one".to_owned(),
                HashMap::new(),
            ),
            Refusal::NoSuchMethod { path } => (
                Code::Unimplemented,
                "METHOD_UNKNOWN",
                format!("this version of seedpodd has no method {path}"),
                HashMap::from([("method".to_owned(), path)]),
            ),
            Refusal::UnknownUser { who, path } => (
                Code::PermissionDenied,
                "LOCAL_USER_NOT_ALLOWED",
                format!("{who} may not use this socket; use it as root"),
                HashMap::from([("method".to_owned(), path), ("client".to_owned(), who)]),
            ),
            Refusal::RoleRequired { who, path, role } => (
                Code::PermissionDenied,
                "ROLE_REQUIRED",
                format!(
                    "{who} may not call {path}: it needs the role {role} or one above it, from the \
                     Organization of the client's certificate"
                ),
                HashMap::from([
                    ("method".to_owned(), path),
                    ("role".to_owned(), role.to_string()),
                    ("client".to_owned(), who),
                ]),
            ),
        };
        let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata);
        Self::with_error_details(code, message, details)
    }
}

#[cfg(test)]
mod tests;
