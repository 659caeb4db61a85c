//! Connections to the API server, and one request over one of them.
//!
//! HTTP/1.1, one request at a time: nothing here needs more, and each connection leads to one API server, which in a
//! handoff matters. A connection is used again only shortly after, so that steering finds new ones.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Status, StatusDetails};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tracing::debug;

use super::{
    error::{Cause, KubeError, Refusal},
    kubeconfig::Access,
};

/// For TCP and TLS together.
const CONNECT: Duration = Duration::from_secs(5);
/// For a read.
const READ: Duration = Duration::from_secs(10);
/// For a change: webhooks may take their time, at most 30 s each, mostly none.
const CHANGE: Duration = Duration::from_secs(30);
/// For an answer over a connection that was given: one that hangs is as bad as none.
const ASK: Duration = Duration::from_secs(2);
/// How long a connection is used again.
const IDLE: Duration = Duration::from_secs(2);
/// The largest answer that is taken. A list of a kind's pods on one node has some 100 KiB.
const MAX_ANSWER: usize = 16 << 20;

/// What stands for itself in one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

type Sender = SendRequest<Full<Bytes>>;

/// A path of these segments.
pub(super) fn path(segments: &[&str]) -> String {
    segments.iter().fold(String::new(), |mut path, segment| {
        path.push('/');
        path.extend(utf8_percent_encode(segment, SEGMENT));
        path
    })
}

/// `name=value` for a query.
pub(super) fn parameter(name: &str, value: &str) -> String {
    format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
}

/// A request.
pub(super) struct Ask {
    method: Method,
    path: String,
    content: Option<(&'static str, Bytes)>,
    within: Duration,
}

impl Ask {
    pub(super) fn get(path: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            content: None,
            within: READ,
        }
    }

    pub(super) fn delete(path: &str, options: &Value) -> Self {
        Self {
            method: Method::DELETE,
            path: path.to_owned(),
            content: Some(("application/json", options.to_string().into())),
            within: CHANGE,
        }
    }

    pub(super) fn merge(path: &str, patch: &Value) -> Self {
        Self {
            method: Method::PATCH,
            path: path.to_owned(),
            content: Some(("application/merge-patch+json", patch.to_string().into())),
            within: CHANGE,
        }
    }

    /// Server-side apply. `object` is JSON, which is YAML.
    pub(super) fn apply(path: &str, object: String) -> Self {
        Self {
            method: Method::PATCH,
            path: path.to_owned(),
            content: Some(("application/apply-patch+yaml", object.into())),
            within: CHANGE,
        }
    }

    fn request(&self, access: &Access) -> Result<Request<Full<Bytes>>, KubeError> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(HOST, access.address())
            .header(USER_AGENT, concat!("seedpodd/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json");
        if let Some(authorization) = &access.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let body = match &self.content {
            Some((kind, body)) => {
                request = request.header(CONTENT_TYPE, *kind);
                body.clone()
            }
            None => Bytes::new(),
        };
        request
            .body(Full::new(body))
            .map_err(|_| KubeError::Answer {
                what: "the path of the request is not one of HTTP",
            })
    }
}

/// A good answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Bytes,
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, KubeError> {
        // serde's error may show what is secret.
        serde_json::from_slice(&self.body).map_err(|_| KubeError::Answer {
            what: "it is not the JSON of the object that was asked for",
        })
    }
}

/// Connections to the API server's address, made when they are needed.
pub(super) struct Wire {
    access: Arc<Access>,
    idle: Mutex<Option<(Sender, Instant)>>,
}

impl Wire {
    pub(super) fn new(access: Arc<Access>) -> Self {
        Self {
            access,
            idle: Mutex::default(),
        }
    }

    /// Sends the request and reads the whole answer; one that is no success is an error.
    pub(super) async fn send(&self, ask: &Ask) -> Result<Answer, KubeError> {
        let mut request = ask.request(&self.access)?;
        if let Some(mut kept) = self.take() {
            let sent = tokio::time::timeout(ask.within, kept.try_send_request(request)).await;
            match sent {
                Ok(Ok(response)) => return self.finish(kept, response, ask.within).await,
                Ok(Err(mut error)) => match error.take_message() {
                    // The API server has closed the connection meanwhile, and has not seen the request.
                    Some(unsent) => request = unsent,
                    None => return Err(self.broken(error.into_error())),
                },
                Err(_) => return Err(self.timed_out(ask.within)),
            }
        }
        let stream = dial(&self.access.host, self.access.port)
            .await
            .map_err(|source| KubeError::Connect {
                address: self.access.address(),
                source,
            })?;
        let mut sender = tokio::time::timeout(CONNECT, connect(&self.access, stream))
            .await
            .map_err(|_| self.timed_out(CONNECT))??;
        let response = tokio::time::timeout(ask.within, sender.send_request(request))
            .await
            .map_err(|_| self.timed_out(ask.within))?
            .map_err(|error| self.broken(error))?;
        self.finish(sender, response, ask.within).await
    }

    fn take(&self) -> Option<Sender> {
        let (sender, since) = self.slot().take()?;
        (since.elapsed() < IDLE && sender.is_ready()).then_some(sender)
    }

    async fn finish(
        &self,
        mut sender: Sender,
        response: Response<Incoming>,
        within: Duration,
    ) -> Result<Answer, KubeError> {
        let closes = response
            .headers()
            .get(CONNECTION)
            .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"close"));
        let answer = tokio::time::timeout(within, read(&self.access, response))
            .await
            .map_err(|_| self.timed_out(within))?;
        if !closes && matches!(answer, Ok(_) | Err(KubeError::Refused(_))) {
            // It is ready as soon as its task has seen the end of the answer.
            let ready = tokio::time::timeout(Duration::from_millis(50), sender.ready()).await;
            if matches!(ready, Ok(Ok(()))) {
                *self.slot() = Some((sender, Instant::now()));
            }
        }
        answer
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<(Sender, Instant)>> {
        self.idle
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn broken(&self, source: hyper::Error) -> KubeError {
        broken(&self.access, source)
    }

    fn timed_out(&self, after: Duration) -> KubeError {
        KubeError::TimedOut {
            address: self.access.address(),
            after,
        }
    }
}

/// A TCP connection.
pub(super) async fn dial(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let stream = tokio::time::timeout(CONNECT, TcpStream::connect((host, port))).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Requests over one connection that somebody else has made: each goes to the same API server.
pub(super) struct Given<'a> {
    access: &'a Access,
    sender: Sender,
}

impl<'a> Given<'a> {
    pub(super) async fn new(access: &'a Access, stream: TcpStream) -> Result<Self, KubeError> {
        let sender = within(access, ASK, connect(access, stream)).await?;
        Ok(Self { access, sender })
    }

    pub(super) async fn send(&mut self, ask: &Ask) -> Result<Answer, KubeError> {
        let response = self.respond(ask.request(self.access)?, ask.within).await?;
        within(self.access, ask.within, read(self.access, response)).await
    }

    async fn respond(
        &mut self,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Response<Incoming>, KubeError> {
        let access = self.access;
        within(access, limit, async {
            let ready = self.sender.ready().await;
            ready.map_err(|error| broken(access, error))?;
            let sent = self.sender.send_request(request).await;
            sent.map_err(|error| broken(access, error))
        })
        .await
    }
}

/// The status of a GET over a connection that somebody else has made.
pub(super) async fn ask(
    access: &Access,
    over: TcpStream,
    path: &str,
    impersonate: Option<&str>,
) -> Result<u16, KubeError> {
    within(access, ASK, async {
        let mut given = Given::new(access, over).await?;
        let mut request = Ask::get(path).request(access)?;
        let headers = request.headers_mut();
        if let Some(user) = impersonate {
            let user = HeaderValue::from_str(user).map_err(|_| KubeError::Answer {
                what: "the user to act as can be no header",
            })?;
            headers.insert("impersonate-user", user);
        }
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let response = given.respond(request, ASK).await?;
        let status = response.status().as_u16();
        // An answer that breaks off is none.
        let body = Limited::new(response.into_body(), MAX_ANSWER);
        body.collect().await.map_err(|source| KubeError::Broken {
            address: access.address(),
            source,
        })?;
        Ok(status)
    })
    .await
}

async fn within<T>(
    access: &Access,
    after: Duration,
    work: impl Future<Output = Result<T, KubeError>>,
) -> Result<T, KubeError> {
    match tokio::time::timeout(after, work).await {
        Ok(result) => result,
        Err(_) => Err(KubeError::TimedOut {
            address: access.address(),
            after,
        }),
    }
}

/// TLS and HTTP/1.1 over a TCP connection.
async fn connect(access: &Access, stream: TcpStream) -> Result<Sender, KubeError> {
    let connector = TlsConnector::from(Arc::clone(&access.tls));
    let stream = connector
        .connect(access.server_name.clone(), stream)
        .await
        .map_err(|source| KubeError::Tls {
            address: access.address(),
            source,
        })?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(access, error))?;
    // It ends when the sender is dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "a connection to the API server ended");
        }
    });
    Ok(sender)
}

fn broken(access: &Access, source: hyper::Error) -> KubeError {
    KubeError::Broken {
        address: access.address(),
        source: source.into(),
    }
}

async fn read(access: &Access, response: Response<Incoming>) -> Result<Answer, KubeError> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER);
    let body = body.collect().await.map_err(|source| KubeError::Broken {
        address: access.address(),
        source,
    })?;
    let body = body.to_bytes();
    if head.status.is_success() {
        return Ok(Answer {
            status: head.status,
            body,
        });
    }
    let retry_after = head
        .headers
        .get(RETRY_AFTER)
        .and_then(|it| it.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let mut refusal = refusal(&body);
    refusal.code = head.status.as_u16();
    refusal.retry_after = retry_after.or(refusal.retry_after);
    Err(KubeError::Refused(Box::new(refusal)))
}

/// What a Status object says, or whatever else it is.
fn refusal(body: &[u8]) -> Refusal {
    let Ok(status) = serde_json::from_slice::<Status>(body) else {
        return Refusal {
            message: String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned(),
            ..Refusal::default()
        };
    };
    let StatusDetails {
        kind,
        causes,
        retry_after_seconds,
        ..
    } = status.details.unwrap_or_default();
    Refusal {
        code: 0,
        reason: status.reason.unwrap_or_default(),
        message: status.message.unwrap_or_default(),
        about: kind.unwrap_or_default(),
        causes: causes
            .into_iter()
            .flatten()
            .map(|cause| Cause {
                reason: cause.reason.unwrap_or_default(),
                field: cause.field.unwrap_or_default(),
                message: cause.message.unwrap_or_default(),
            })
            .collect(),
        retry_after: retry_after_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs),
    }
}
