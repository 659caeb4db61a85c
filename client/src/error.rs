//! What can go wrong, sorted by what a caller does about it.

use std::{collections::BTreeMap, error::Error as StdError, fmt, time::Duration};

use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

use crate::{
    Endpoint,
    connect::{Alert, ConnectFailure},
};

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is missing or wrong; nothing was sent.
    #[error("{option}: {message}")]
    #[non_exhaustive]
    Options {
        /// The option, named as in [`Options`](crate::Options).
        option: &'static str,
        /// What is wrong with it.
        message: String,
        /// The cause, for example that a file cannot be read.
        #[source]
        source: Option<BoxError>,
    },
    /// Nobody answers there. The node may be off, or still booting.
    #[error("cannot connect to {endpoint}")]
    #[non_exhaustive]
    Connect {
        /// Where.
        endpoint: Endpoint,
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// Client and server do not accept each other's certificates, or the server does not speak TLS 1.3.
    #[error("the TLS handshake with {endpoint} failed")]
    #[non_exhaustive]
    Tls {
        /// Where.
        endpoint: Endpoint,
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The connection broke before the answer came. Whether the node carried the call out is not known.
    #[error("the connection to {endpoint} broke before {method} was answered")]
    #[non_exhaustive]
    Broken {
        /// Where.
        endpoint: Endpoint,
        /// The call.
        method: &'static str,
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// Time is up. Whether the node carried the call out is not known.
    #[error("{method} was not answered within {}", Seconds(*.after))]
    #[non_exhaustive]
    Deadline {
        /// The call.
        method: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// The node refused or failed.
    #[error(transparent)]
    Server(Box<ServerError>),
    /// The answer lacks what the API promises.
    #[error("the answer to {method} has no {field}")]
    #[non_exhaustive]
    Answer {
        /// The call.
        method: &'static str,
        /// What is missing.
        field: &'static str,
    },
}

/// An error that the node answered with.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", ReasonLast(self))]
#[non_exhaustive]
pub struct ServerError {
    /// The call.
    pub method: &'static str,
    /// gRPC's code.
    pub code: Code,
    /// A sentence for people.
    pub message: String,
    /// The stable reason in UPPER_SNAKE_CASE. `None` when what answered is not `seedpodd`, or a proxy before it.
    pub reason: Option<String>,
    /// Further facts for programs.
    pub metadata: BTreeMap<String, String>,
    /// What is wrong in the request, field by field.
    pub field_violations: Vec<FieldViolation>,
    /// The pause that the node asks for before the call is tried again.
    pub retry_delay: Option<Duration>,
}

/// One fault in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldViolation {
    /// The path of the field from the request on, as in `manifests[0].documents[2].spec.containers[1].image`.
    pub field: String,
    /// What is wrong and what to write instead.
    pub description: String,
    /// The stable reason, when the node gives one for each field.
    pub reason: Option<String>,
}

impl Error {
    /// The stable reason that the node gave, in UPPER_SNAKE_CASE.
    pub fn reason(&self) -> Option<&str> {
        self.server()?.reason.as_deref()
    }

    /// gRPC's code, when the node answered.
    pub fn code(&self) -> Option<Code> {
        self.server().map(|error| error.code)
    }

    /// What is wrong in the request, field by field. Empty when the request is not at fault.
    pub fn field_violations(&self) -> &[FieldViolation] {
        self.server().map_or(&[], |error| &error.field_violations)
    }

    /// The pause that the node asks for.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.server()?.retry_delay
    }

    /// The number of the oldest event that the node still has, when those that were asked for are gone.
    pub fn oldest_sequence(&self) -> Option<u64> {
        self.server()?.metadata.get("oldest_sequence")?.parse().ok()
    }

    /// The node's answer, when there is one.
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            Self::Server(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the same call may well succeed a little later: nobody answers, the connection broke, or the node is
    /// busy (UNAVAILABLE).
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } => true,
            Self::Server(error) => error.code == Code::Unavailable,
            _ => false,
        }
    }

    pub(crate) fn from_status(
        status: &Status,
        method: &'static str,
        endpoint: &Endpoint,
        after: Duration,
        alert: &Alert,
    ) -> Self {
        // A status that the server sent has no source; one that tonic made up from a failure here has.
        if let Some(source) = status.source() {
            if find::<TimeoutExpired>(source).is_some() {
                return Self::Deadline { method, after };
            }
            return match origin(status) {
                Origin::Connect => Self::Connect {
                    endpoint: endpoint.clone(),
                    source: innermost(status),
                },
                Origin::Tls => Self::Tls {
                    endpoint: endpoint.clone(),
                    source: innermost(status),
                },
                Origin::Connection => match alert.take() {
                    Some(source) => Self::Tls {
                        endpoint: endpoint.clone(),
                        source: source.into(),
                    },
                    None => Self::Broken {
                        endpoint: endpoint.clone(),
                        method,
                        source: innermost(status),
                    },
                },
            };
        }
        let details = status.get_error_details();
        let info = details
            .error_info()
            .filter(|info| info.domain == seedpod_proto::ERROR_DOMAIN);
        // A deadline that gRPC itself noticed at the server (tonic says CANCELLED then) is no different from one that was
        // noticed here. seedpodd's own limit is its answer.
        if status.code() == Code::Cancelled
            || (status.code() == Code::DeadlineExceeded && info.is_none())
        {
            return Self::Deadline { method, after };
        }
        let violations = details
            .bad_request()
            .map(|bad| bad.field_violations.as_slice())
            .unwrap_or_default();
        Self::Server(Box::new(ServerError {
            method,
            code: status.code(),
            message: status.message().to_owned(),
            reason: info.map(|info| info.reason.clone()),
            metadata: info
                .map(|info| info.metadata.clone().into_iter().collect())
                .unwrap_or_default(),
            field_violations: violations
                .iter()
                .map(|violation| FieldViolation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                    reason: Some(violation.reason.clone()).filter(|reason| !reason.is_empty()),
                })
                .collect(),
            retry_delay: details.retry_info().and_then(|info| info.retry_delay),
        }))
    }

    /// An error of the first connection.
    pub(crate) fn from_transport(
        error: &tonic::transport::Error,
        endpoint: &Endpoint,
        alert: &Alert,
    ) -> Self {
        if let Some(source) = alert.take() {
            return Self::Tls {
                endpoint: endpoint.clone(),
                source: source.into(),
            };
        }
        match origin(error) {
            Origin::Tls => Self::Tls {
                endpoint: endpoint.clone(),
                source: innermost(error),
            },
            _ => Self::Connect {
                endpoint: endpoint.clone(),
                source: innermost(error),
            },
        }
    }
}

/// Where a failure on this side came from.
enum Origin {
    Connect,
    Tls,
    Connection,
}

fn origin(error: &(dyn StdError + 'static)) -> Origin {
    // In TLS 1.3 the server's refusal of our certificate comes after our side of the handshake is done, as an alert on
    // a connection that looked good: so an alert is looked for everywhere.
    if find::<rustls::Error>(error).is_some() {
        return Origin::Tls;
    }
    match find::<ConnectFailure>(error) {
        Some(ConnectFailure::Tls { .. }) => Origin::Tls,
        Some(_) => Origin::Connect,
        None => Origin::Connection,
    }
}

/// The first error of type `T` in the chain; also looks inside of `std::io::Error`, which hides what it wraps.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let wrapped = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        next = wrapped
            .map(|inner| inner as &(dyn StdError + 'static))
            .or_else(|| error.source());
    }
    None
}

/// The part of the chain that says something: tonic's and hyper's wrappers only repeat "transport error".
fn innermost(error: &(dyn StdError + 'static)) -> BoxError {
    if let Some(tls) = find::<rustls::Error>(error) {
        return Box::new(tls.clone());
    }
    if let Some(failure) = find::<ConnectFailure>(error) {
        return failure.to_string().into();
    }
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string().into()
}

struct ReasonLast<'a>(&'a ServerError);

impl fmt::Display for ReasonLast<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServerError {
            method,
            code,
            message,
            reason,
            ..
        } = self.0;
        let message = if message.is_empty() {
            code.description()
        } else {
            message
        };
        match reason {
            Some(reason) => write!(f, "{message} [{reason}]"),
            None => write!(f, "{method} failed with {code:?}: {message}"),
        }
    }
}

/// A duration as people write it: `30s`, `1.5s`.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.subsec_millis() == 0 {
            return write!(f, "{}s", self.0.as_secs());
        }
        write!(f, "{:.1}s", self.0.as_secs_f64())
    }
}
