//! TLS handshakes under way, so many that no flood of them keeps a good client out.
//!
//! Whoever connects has a handshake's time to prove who it is. When there are too many, the oldest one of the address
//! that has the most gives way: a good handshake takes milliseconds and is among the newest, and one address alone
//! can only push out itself.

use std::{collections::HashMap, io, net::SocketAddr, time::Duration};

use rustls::{CertificateError, Error as TlsError};
use tokio::{
    net::TcpStream,
    task::{AbortHandle, Id, JoinError, JoinSet},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{Identity, identity::IdentityError, tls::Credentials};

/// A handshake that has come to its end.
pub(super) struct Outcome {
    pub(super) peer: SocketAddr,
    pub(super) result: Result<(Box<TlsStream<TcpStream>>, Identity), HandshakeError>,
}

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("the handshake took more than limits.handshakeTimeout")]
    Timeout,
    #[error("{}", in_plain_words(.0))]
    Tls(#[source] io::Error),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// The handshakes of one listener.
pub(super) struct Handshakes {
    credentials: Credentials,
    max: usize,
    timeout: Duration,
    tasks: JoinSet<Outcome>,
    /// Oldest first.
    pending: Vec<Pending>,
}

struct Pending {
    id: Id,
    peer: SocketAddr,
    task: AbortHandle,
}

impl Handshakes {
    pub(super) fn new(credentials: Credentials, max: usize, timeout: Duration) -> Self {
        Self {
            credentials,
            max,
            timeout,
            tasks: JoinSet::new(),
            pending: Vec::new(),
        }
    }

    /// Begins one more; returns who had to give way for it.
    pub(super) fn begin(&mut self, stream: TcpStream, peer: SocketAddr) -> Option<SocketAddr> {
        let given_up = (self.pending.len() >= self.max).then(|| self.give_up_one());
        let handshake = handshake(self.credentials.clone(), self.timeout, stream, peer);
        let task = self.tasks.spawn(handshake);
        self.pending.push(Pending {
            id: task.id(),
            peer,
            task,
        });
        given_up
    }

    /// The next one that comes to its end; pending while there is none. Cancel safe.
    pub(super) async fn next(&mut self) -> Outcome {
        loop {
            let Some(joined) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
            self.pending.retain(|pending| pending.id != id);
            match joined {
                Ok((_, outcome)) => return outcome,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // It gave way.
                Err(_) => {}
            }
        }
    }

    fn give_up_one(&mut self) -> SocketAddr {
        let mut of_address = HashMap::new();
        for pending in &self.pending {
            *of_address.entry(pending.peer.ip()).or_insert(0_usize) += 1;
        }
        let most = of_address.values().copied().max().unwrap_or_default();
        let oldest = self
            .pending
            .iter()
            .position(|pending| of_address[&pending.peer.ip()] == most)
            .unwrap_or_default();
        let pending = self.pending.remove(oldest);
        pending.task.abort();
        pending.peer
    }
}

async fn handshake(
    credentials: Credentials,
    timeout: Duration,
    stream: TcpStream,
    peer: SocketAddr,
) -> Outcome {
    let acceptor = TlsAcceptor::from(credentials.current().config.clone());
    let result = match tokio::time::timeout(timeout, acceptor.accept(stream)).await {
        Err(_) => Err(HandshakeError::Timeout),
        Ok(Err(error)) => Err(HandshakeError::Tls(error)),
        Ok(Ok(stream)) => identify(&stream, peer).map(|identity| (Box::new(stream), identity)),
    };
    Outcome { peer, result }
}

fn identify(stream: &TlsStream<TcpStream>, peer: SocketAddr) -> Result<Identity, HandshakeError> {
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first);
    // rustls does not finish a handshake without one, as `tls` configures it; if it did, nobody would be let in.
    let certificate = certificate
        .ok_or_else(|| HandshakeError::Tls(io::Error::other(TlsError::NoCertificatesPresented)))?;
    Ok(Identity::from_certificate(certificate, peer)?)
}

/// What an operator who reads the log needs to know, rather than what the protocol calls it.
fn in_plain_words(error: &io::Error) -> String {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TlsError>());
    let Some(tls) = tls else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                "the client hung up during the handshake".to_owned()
            }
            _ => "the connection broke during the handshake".to_owned(),
        };
    };
    match tls {
        TlsError::NoCertificatesPresented => "the client sent no certificate".to_owned(),
        TlsError::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the client's certificate has expired (or this node's clock is wrong)".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the client's certificate is not valid yet (or this node's clock is wrong)"
                    .to_owned()
            }
            // A bad signature: the authority has the same name, but another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the client's certificate is not from an authority in tls.clientCAFile".to_owned()
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "the client's certificate is not one for clients".to_owned()
            }
            other => format!("the client's certificate was refused: {other}"),
        },
        TlsError::InvalidMessage(_) => {
            "what the client sent is not TLS (a client without TLS?)".to_owned()
        }
        TlsError::PeerIncompatible(_) => {
            "the client does not speak TLS 1.3 in a way that this server does".to_owned()
        }
        TlsError::NoApplicationProtocol => "the client does not speak HTTP/2".to_owned(),
        TlsError::AlertReceived(alert) => format!(
            "the client refused the server ({alert:?}): does it trust the authority of tls.certFile, \
             and does that certificate name this address?"
        ),
        other => format!("TLS failed: {other}"),
    }
}
