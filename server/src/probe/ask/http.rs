//! An HTTP or HTTPS probe.

use std::{error::Error, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri,
    header::{
        ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, LOCATION, TRAILER, TRANSFER_ENCODING, USER_AGENT,
    },
};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use super::{Told, connect, failed, late, tls, url};
use crate::probe::spec::HttpAsk;

/// How much of a body is read. What is in it does not matter.
const MOST_OF_BODY: usize = 10 * 1024;

/// How many requests a chain of redirections may take.
const MOST_REQUESTS: usize = 10;

type BoxError = Box<dyn Error + Send + Sync>;

/// An answer, and what goes on reading its body for as long as this is kept.
type Answer = (Response<Incoming>, AbortOnDropHandle<()>);

/// Passes with a status from 200 to 399. Redirections to the same host are followed, and one to another host passes.
pub(super) async fn get(ask: &HttpAsk, host: &str, limit: Duration) -> Told {
    let deadline = Instant::now() + limit;
    let Some(mut uri) = url::first(ask, host) else {
        return Told::NotRun(format!("cannot be run: {host:?} is not a host"));
    };
    let first_host = uri.host().map(str::to_owned);
    let mut headers = match Headers::new(ask) {
        Ok(headers) => headers,
        Err(told) => return told,
    };
    for _ in 0..MOST_REQUESTS {
        let answer = match timeout_at(deadline, send(&uri, &headers)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return failed(&*error),
            Err(_) => return late(limit),
        };
        let Some(location) = location(&answer.0) else {
            return judge(answer, deadline).await;
        };
        let Some(next) = url::follow(&uri, &location) else {
            return Told::Failed("was redirected to what is not a URL".to_owned());
        };
        if next.host() != first_host.as_deref() {
            return judge(answer, deadline).await;
        }
        if !matches!(next.scheme_str(), Some("http" | "https")) {
            return Told::Failed("was redirected to what is neither http nor https".to_owned());
        }
        if is_absolute(&location) {
            // A Host of the probe's own is for the place that it was written for.
            headers.host = None;
        }
        uri = next;
    }
    Told::Failed(format!("was redirected {MOST_REQUESTS} times"))
}

/// Where the answer redirects to.
fn location(response: &Response<Incoming>) -> Option<String> {
    let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| redirects)?;
    let location = String::from_utf8_lossy(location.as_bytes());
    // One without a location is an answer like any other.
    (!location.is_empty()).then(|| location.into_owned())
}

fn is_absolute(location: &str) -> bool {
    let scheme = location.split([':', '/', '?', '#']).next().unwrap_or("");
    !scheme.is_empty() && location[scheme.len()..].starts_with(':')
}

/// Judges an answer after the beginning of its body, for which the kubelet waits, too: when that does not come, the
/// result counts for neither side.
async fn judge((response, _reading): Answer, deadline: Instant) -> Told {
    let status = response.status();
    let mut body = response.into_body();
    let read = async {
        let mut size = 0;
        while size < MOST_OF_BODY
            && let Some(frame) = body.frame().await
        {
            size += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok::<(), hyper::Error>(())
    };
    let broken = format!("answered {}, and broke off", status.as_u16());
    match timeout_at(deadline, read).await {
        Ok(Ok(())) if (StatusCode::OK..StatusCode::BAD_REQUEST).contains(&status) => Told::Passed,
        Ok(Ok(())) => Told::Failed(format!("answered {}", status.as_u16())),
        Ok(Err(_)) | Err(_) => Told::NotRun(broken),
    }
}

/// The headers of the probe.
#[derive(Debug)]
struct Headers {
    /// What the probe wants for the URL's.
    host: Option<HeaderValue>,
    others: HeaderMap,
}

impl Headers {
    fn new(ask: &HttpAsk) -> Result<Self, Told> {
        let mut others = HeaderMap::new();
        for (name, value) in &ask.headers {
            let header = HeaderName::from_bytes(name.as_bytes()).ok();
            let Some((header, value)) = header.zip(HeaderValue::from_bytes(value.as_bytes()).ok())
            else {
                return Err(Told::Failed(format!(
                    "cannot be sent: the header {name:?} or its value is not allowed in HTTP"
                )));
            };
            others.append(header, value);
        }
        let host = others.remove(HOST).filter(|host| !host.is_empty());
        // Those are not for the probe to say.
        for header in [CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER] {
            others.remove(header);
        }
        // Given as empty means: not at all.
        for (header, default) in [(USER_AGENT, super::USER_AGENT), (ACCEPT, "*/*")] {
            match others.get(&header) {
                None => drop(others.insert(header, HeaderValue::from_static(default))),
                Some(given) if given.is_empty() => drop(others.remove(header)),
                Some(_) => {}
            }
        }
        Ok(Self { host, others })
    }
}

/// Sends one request over a connection of its own.
async fn send(uri: &Uri, headers: &Headers) -> Result<Answer, BoxError> {
    let host = uri.host().ok_or("no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let https = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
    let stream = connect(host, port).await?;
    if !https {
        return send_http1(stream, uri, headers).await;
    }
    // A name that is none for TLS is not sent, as an address is not.
    let name = match ServerName::try_from(host.to_owned()) {
        Ok(name) => name,
        Err(_) => stream.peer_addr()?.ip().into(),
    };
    let stream = tls::connector()?.connect(name, stream).await?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        send_http2(stream, uri, headers).await
    } else {
        send_http1(stream, uri, headers).await
    }
}

async fn send_http1<S>(stream: S, uri: &Uri, headers: &Headers) -> Result<Answer, BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        // As Go writes them, for servers that do not know that it makes no difference.
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await?;
    let reading = AbortOnDropHandle::new(tokio::spawn(async move {
        // What goes wrong is told to those who wait for the answer.
        let _ = connection.await;
    }));
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::get(target).body(Empty::<Bytes>::new())?;
    let host = match &headers.host {
        Some(host) => host.clone(),
        None => uri.authority().ok_or("no host")?.as_str().parse()?,
    };
    // First, as it should be.
    request.headers_mut().insert(HOST, host);
    let others = headers.others.iter();
    for (name, value) in others {
        request.headers_mut().append(name, value.clone());
    }
    let close = HeaderValue::from_static("close");
    request.headers_mut().entry(CONNECTION).or_insert(close);
    Ok((sender.send_request(request).await?, reading))
}

async fn send_http2<S>(stream: S, uri: &Uri, headers: &Headers) -> Result<Answer, BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(stream))
        .await?;
    let reading = AbortOnDropHandle::new(tokio::spawn(async move {
        let _ = connection.await;
    }));
    let mut parts = uri.clone().into_parts();
    if let Some(host) = &headers.host {
        parts.authority = Some(host.as_bytes().try_into()?);
    }
    let mut request = Request::get(Uri::from_parts(parts)?).body(Empty::<Bytes>::new())?;
    request.headers_mut().clone_from(&headers.others);
    // HTTP/2 has none of that, and refuses it.
    request.headers_mut().remove(CONNECTION);
    Ok((sender.send_request(request).await?, reading))
}
