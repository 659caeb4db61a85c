//! Runs a probe once.

mod exec;
mod grpc;
mod http;
mod tls;
mod url;

use std::{error::Error, io, net::IpAddr, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use super::{
    machine::{Kind, Outcome},
    spec::{Ask, HttpAsk, Probe},
};
use crate::runtime_cri::Runtime;

/// What the kubelet of the version that we know calls itself to those it probes. Servers look for `kube-probe/`.
const USER_AGENT: &str = "kube-probe/1.37";

/// How often a probe that could not be run is tried, at once. As `maxProbeRetries` of the kubelet.
const TRIES: u32 = 3;

/// A probe to run.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) kind: Kind,
    pub(super) probe: &'a Probe,
    /// The pod's address.
    pub(super) host: Option<&'a str>,
    /// The container's id.
    pub(super) container: &'a str,
}

/// What one try told. The texts go on from what was asked: "answered 500".
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Passed,
    Failed(String),
    NotRun(String),
}

/// Runs a probe. It ends by its time-out, except where the runtime does not keep that of an exec probe, which
/// [`Runtime::exec`] bounds.
pub(super) async fn run<R: Runtime>(job: Job<'_>, runtime: Option<&R>) -> Outcome {
    let mut told = once(&job, runtime).await;
    for _ in 1..TRIES {
        if !matches!(told, Told::NotRun(_)) {
            break;
        }
        told = once(&job, runtime).await;
    }
    match told {
        Told::Passed => Outcome::Passed,
        Told::Failed(what) => Outcome::Failed(format!("{} {what}", job.shown())),
        Told::NotRun(what) => Outcome::NotRun(format!("{} {what}", job.shown())),
    }
}

/// Whether a server on this machine answers HTTPS on a port as one that serves. Whose certificate it has is not looked
/// at, as in any probe. One that does not talk to strangers counts.
pub(crate) async fn https_answers(port: u16, path: &str, limit: Duration) -> Result<(), String> {
    let get = HttpAsk {
        https: true,
        host: None,
        port,
        path: path.to_owned(),
        headers: Vec::new(),
    };
    match http::get(&get, "127.0.0.1", limit).await {
        Told::Passed => Ok(()),
        Told::Failed(what) if matches!(&*what, "answered 401" | "answered 403") => Ok(()),
        Told::Failed(what) | Told::NotRun(what) => Err(format!("{path} {what}")),
    }
}

async fn once<R: Runtime>(job: &Job<'_>, runtime: Option<&R>) -> Told {
    let limit = job.probe.pace.timeout;
    match (&job.probe.ask, job.host()) {
        (Ask::Exec { command }, _) => exec::exec(runtime, job.container, command, limit).await,
        (Ask::Nothing(reason), _) => Told::NotRun(format!("cannot be run: {reason}")),
        (_, None) => Told::NotRun("waits: the pod has no address yet".to_owned()),
        (Ask::Http(get), Some(host)) => http::get(get, host, limit).await,
        (Ask::Tcp { port, .. }, Some(host)) => within(limit, tcp(host, *port)).await,
        (Ask::Grpc { port, service }, Some(host)) => {
            within(limit, grpc::check(&authority(host, *port), service)).await
        }
    }
}

impl Job<'_> {
    /// The host to ask: the probe's own, or the pod's.
    fn host(&self) -> Option<&str> {
        let own = match &self.probe.ask {
            Ask::Http(HttpAsk { host, .. }) | Ask::Tcp { host, .. } => host.as_deref(),
            Ask::Grpc { .. } | Ask::Exec { .. } | Ask::Nothing(_) => None,
        };
        own.or(self.host)
    }

    /// What is asked, for people.
    fn shown(&self) -> String {
        let kind = self.kind.as_str();
        let host = self.host().unwrap_or("?");
        match &self.probe.ask {
            Ask::Http(get) => format!("{kind} probe {}", url::shown(get, host)),
            Ask::Tcp { port, .. } => format!("{kind} probe tcp {}", authority(host, *port)),
            Ask::Grpc { port, .. } => format!("{kind} probe grpc {}", authority(host, *port)),
            // Not its arguments: there are those who put passwords there.
            Ask::Exec { command } => {
                let program = command.first().map_or("", String::as_str);
                format!("{kind} probe exec {}", line(program))
            }
            Ask::Nothing(_) => format!("{kind} probe"),
        }
    }
}

async fn within(limit: Duration, ask: impl Future<Output = Told>) -> Told {
    timeout(limit, ask).await.unwrap_or_else(|_| late(limit))
}

fn late(limit: Duration) -> Told {
    Told::Failed(format!("got no answer within {} s", limit.as_secs()))
}

/// Passes when the port takes a connection.
async fn tcp(host: &str, port: u16) -> Told {
    match connect(host, port).await {
        Ok(_) => Told::Passed,
        Err(error) => failed(&error),
    }
}

/// Connects. Only a name is looked up, which takes a thread.
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    match host.parse::<IpAddr>() {
        Ok(ip) => TcpStream::connect((ip, port)).await,
        Err(_) => TcpStream::connect((host, port)).await,
    }
}

/// `host:port`, as in a URL.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn failed(error: &(dyn Error + 'static)) -> Told {
    Told::Failed(format!("failed: {}", cause(error)))
}

/// The innermost cause, in plain words where it is a frequent one.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut inner = error;
    loop {
        if let Some(error) = inner.downcast_ref::<io::Error>()
            && let Some(said) = plain(error.kind())
        {
            return said.to_owned();
        }
        match inner.source() {
            Some(source) => inner = source,
            None => return line(&inner.to_string()),
        }
    }
}

fn plain(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::ConnectionRefused => Some("connection refused"),
        io::ErrorKind::ConnectionReset => Some("connection reset"),
        io::ErrorKind::HostUnreachable => Some("no route to the host"),
        io::ErrorKind::NetworkUnreachable => Some("the network is unreachable"),
        io::ErrorKind::TimedOut => Some("the connection timed out"),
        io::ErrorKind::UnexpectedEof => Some("the connection was closed"),
        _ => None,
    }
}

/// The first line of a text from outside, short and printable.
fn line(text: &str) -> String {
    const MOST: usize = 160;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    let printable = line.unwrap_or("").chars().filter(|it| !it.is_control());
    printable.take(MOST).collect()
}

#[cfg(test)]
mod tests;
