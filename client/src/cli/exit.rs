//! From an error to words on stderr and an exit code.

use std::{error::Error as StdError, io::ErrorKind, process::ExitCode};

use anstream::eprintln;
use seedpod_client::{Code, Endpoint, Error, HandoffState, Pod, WaitError, cluster::UpError};

use super::output::style;

/// Wrong usage that clap cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// The command failed and has said everything already.
#[derive(Debug, thiserror::Error)]
#[error("the command failed")]
pub(crate) struct Reported;

/// Somebody has interrupted it; the message says where it stands.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Interrupted(pub(crate) String);

/// The node could not hand over, and has its injected control plane back.
#[derive(Debug, thiserror::Error)]
#[error(
    "the handoff has failed in {state}, and the injected control plane is back: {message} ({reason})"
)]
pub(crate) struct HandedBack {
    pub(crate) state: HandoffState,
    pub(crate) reason: String,
    pub(crate) message: String,
}

const FAILURE: u8 = 1;
const USAGE: u8 = 2;
const TIMEOUT: u8 = 3;
const UNREACHABLE: u8 = 4;
const POD_FAILED: u8 = 5;
const POD_REFUSED: u8 = 6;
const ROLLED_BACK: u8 = 7;
const OVERTAKEN: u8 = 8;
const NOT_KNOWN: u8 = 9;
/// As a shell says it of SIGINT.
const INTERRUPTED: u8 = 130;

/// Prints the error, what caused it and what to do about it.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        // Whoever read our output has seen enough, as with `seedpod get pods | head -1`.
        return ExitCode::SUCCESS;
    }
    let code = code(error);
    if error.downcast_ref::<Reported>().is_none() {
        eprintln!("{}error:{} {}", style::ERROR, style::RESET, headline(error));
        for cause in error.chain().skip(1) {
            eprintln!("  caused by: {cause}");
        }
        if let Some(hint) = hint(error) {
            eprintln!("{}hint:{} {hint}", style::HINT, style::RESET);
        }
    }
    ExitCode::from(code)
}

/// The error itself; where it is about several pods, with a line for each.
fn headline(error: &anyhow::Error) -> String {
    match find::<WaitError>(error) {
        Some(WaitError::Deadline { pods, .. }) if pods.len() > 1 => {
            let line = |pod: &Pod| {
                format!(
                    "\n  {}/{} is {}: {}",
                    pod.namespace, pod.name, pod.state, pod.message
                )
            };
            let lines: String = pods
                .iter()
                .map(|pod| line(pod).trim_end_matches(": ").to_owned())
                .collect();
            format!("time is up for {} pods:{lines}", pods.len())
        }
        _ => error.to_string(),
    }
}

fn code(error: &anyhow::Error) -> u8 {
    if find::<Usage>(error).is_some() {
        return USAGE;
    }
    if find::<Interrupted>(error).is_some() {
        return INTERRUPTED;
    }
    if find::<HandedBack>(error).is_some() {
        return ROLLED_BACK;
    }
    if let Some(error) = find::<UpError>(error) {
        return up_code(error);
    }
    if let Some(code) = find::<WaitError>(error).and_then(wait_code) {
        return code;
    }
    client_error(error).map_or(FAILURE, client_code)
}

fn wait_code(error: &WaitError) -> Option<u8> {
    match error {
        WaitError::Deadline { .. } | WaitError::Unstable { .. } | WaitError::Unconfirmed { .. } => {
            Some(TIMEOUT)
        }
        WaitError::Failed { .. } | WaitError::Wave { .. } => Some(POD_FAILED),
        WaitError::Refused { .. } => Some(POD_REFUSED),
        WaitError::RolledBack { .. } => Some(ROLLED_BACK),
        WaitError::Superseded { .. } | WaitError::Gone { .. } | WaitError::InjectedAgain { .. } => {
            Some(OVERTAKEN)
        }
        WaitError::Unknown { .. } => Some(NOT_KNOWN),
        _ => None,
    }
}

fn client_code(error: &Error) -> u8 {
    match error {
        Error::Options { .. } => USAGE,
        Error::Deadline { .. } => TIMEOUT,
        Error::Server(server) if server.code == Code::DeadlineExceeded => TIMEOUT,
        Error::Connect { .. } | Error::Tls { .. } | Error::Broken { .. } => UNREACHABLE,
        _ => FAILURE,
    }
}

fn up_code(error: &UpError) -> u8 {
    let wait = match error.first() {
        UpError::Deadline { .. } => Some(TIMEOUT),
        UpError::HandedBack { .. } => Some(ROLLED_BACK),
        UpError::NotReady { source, .. } => wait_code(source),
        _ => None,
    };
    wait.or_else(|| error.client_error().map(client_code))
        .unwrap_or(FAILURE)
}

fn hint(error: &anyhow::Error) -> Option<&'static str> {
    if let Some(WaitError::Failed { .. } | WaitError::Wave { .. }) = find::<WaitError>(error) {
        return Some(
            "`seedpod describe pod` and `seedpod logs` tell more; `seedpod rollback` goes back",
        );
    }
    let client = client_error(error)?;
    Some(match client {
        Error::Options { option, .. } => match *option {
            "ca" => "give --ca-file (SEEDPOD_CA_FILE), or a context that has one",
            "certificate" | "key" => {
                "give --cert-file and --key-file (SEEDPOD_CERT_FILE, SEEDPOD_KEY_FILE), or a context that has them; \
                 `seedpod pki issue` makes them"
            }
            _ => return None,
        },
        Error::Connect {
            endpoint: Endpoint::Unix(_),
            source,
            ..
        } => {
            let cause = source.to_string();
            if cause.contains("ermission denied") {
                "the socket is root's: run this as root, or use --endpoint https://... with a certificate"
            } else {
                "is seedpodd running on this machine? For another node give --endpoint or --context"
            }
        }
        Error::Connect { .. } => {
            "is seedpodd running there, and is its port (listenAddress) open for this machine?"
        }
        Error::Tls { source, .. } => tls_hint(&source.to_string()),
        // With TLS 1.3 the node judges the client's certificate after the client has begun to send, and what it says
        // of it can be lost with the connection.
        Error::Broken { endpoint, .. } if endpoint.to_string().starts_with("https") => {
            "if it happens again: perhaps the node refused the client's certificate, which must come from the node's \
             tls.clientCAFile and be in date"
        }
        Error::Server(server) => match (server.code, client.reason()) {
            (Code::Unauthenticated, _) => {
                "the node wants a client certificate from its tls.clientCAFile"
            }
            (Code::PermissionDenied, Some("LOCAL_USER_NOT_ALLOWED")) => {
                "run this as root, or use --endpoint https://... with a certificate"
            }
            (Code::PermissionDenied, _) => {
                "the role is the certificate's Organization; `seedpod pki issue --role injector` makes one that may \
                 inject and remove"
            }
            (Code::OutOfRange, _) if server.metadata.contains_key("oldest_sequence") => {
                "leave --after out to begin with the oldest event that is left"
            }
            (Code::Unimplemented, _) => "this daemon does not know the call; see `seedpod version`",
            _ => return None,
        },
        _ => return None,
    })
}

fn tls_hint(cause: &str) -> &'static str {
    if cause.contains("UnknownIssuer") || cause.contains("BadSignature") {
        "--ca-file must hold the CA that issued the node's certificate"
    } else if cause.contains("NotValidForName") || cause.contains("not valid for name") {
        "the node's certificate is for another name: give --server-name, or issue one with --san"
    } else if cause.contains("xpired")
        || cause.contains("NotValidYet")
        || cause.contains("not valid yet")
    {
        "a certificate is too old or too new, or a clock is wrong: compare `date` here and on the node"
    } else if cause.contains("alert") {
        "the node refused the client's certificate: it must come from the node's tls.clientCAFile and be in date"
    } else {
        "is this really seedpodd's port, and not one without TLS 1.3?"
    }
}

/// The SDK's error, also when it ended a wait.
fn client_error(error: &anyhow::Error) -> Option<&Error> {
    find::<Error>(error)
        .or_else(|| match find::<WaitError>(error) {
            Some(WaitError::Client(error)) => Some(error),
            _ => None,
        })
        .or_else(|| find::<UpError>(error)?.client_error())
}

fn find<T: StdError + 'static>(error: &anyhow::Error) -> Option<&T> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    find::<std::io::Error>(error).is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
