//! What can go wrong with one request to the API server.

use std::{fmt, io, time::Duration};

/// Why a request has no good answer. Nothing secret in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubeError {
    /// Nobody listens, or no way leads there.
    #[error("cannot connect to the API server at {address}")]
    Connect {
        address: String,
        #[source]
        source: io::Error,
    },
    /// It is not the API server of the kubeconfig's CA, or no TLS at all.
    #[error("the TLS handshake with the API server at {address} failed")]
    Tls {
        address: String,
        #[source]
        source: io::Error,
    },
    /// It took too long.
    #[error("the API server at {address} did not answer within {after:?}")]
    TimedOut { address: String, after: Duration },
    /// The connection ended before the answer was there.
    #[error("the connection to the API server at {address} broke")]
    Broken {
        address: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API server has said no.
    #[error("the API server answered {0}")]
    Refused(#[source] Box<Refusal>),
    /// It is no answer of an API server.
    #[error("the API server's answer cannot be read: {what}")]
    Answer { what: &'static str },
    /// What was written is not what was read back.
    #[error("what was written was not read back: the API server does not keep what it is told")]
    NotKept,
}

impl KubeError {
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.code == 404)
    }

    /// Whether the API server's certificate is not one of the kubeconfig's CA for that name.
    pub(crate) fn is_untrusted(&self) -> bool {
        let Self::Tls { source, .. } = self else {
            return false;
        };
        let inner = source.get_ref().and_then(|it| it.downcast_ref());
        matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
    }
}

/// What the API server said when it refused a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) code: u16,
    /// For programs, such as `Forbidden`. Empty when something else than an API server answered.
    pub(crate) reason: String,
    pub(crate) message: String,
    /// Of what kind is what the refusal is about, in the plural: `namespaces`.
    pub(crate) about: String,
    pub(crate) causes: Vec<Cause>,
    /// When to try again.
    pub(crate) retry_after: Option<Duration>,
}

/// One fault, mostly of one field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) reason: String,
    pub(crate) field: String,
    pub(crate) message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " {}", self.reason)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", shortened(&self.message))?;
        }
        Ok(())
    }
}

/// At most 600 characters in one line.
pub(super) fn shortened(text: &str) -> String {
    const MOST: usize = 600;
    let mut short: String = text
        .trim()
        .chars()
        .take(MOST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.trim().chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}
