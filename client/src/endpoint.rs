//! Where a daemon listens.

use std::{fmt, path::PathBuf, str::FromStr};

use tonic::transport::Uri;

/// The port that `seedpodd` listens on when nothing else is configured.
const DEFAULT_PORT: u16 = 10290;

/// Where a daemon listens: `https://host:port`, `host:port`, `host`, `unix:///path/of/the.sock`, or that
/// path alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// TCP with mutual TLS.
    Tcp {
        /// A host name or an IP address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket on this node.
    Unix(PathBuf),
}

/// Why an endpoint was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("endpoint {given:?} {rule}")]
pub struct EndpointError {
    given: String,
    rule: &'static str,
}

impl Endpoint {
    /// The socket that the daemon makes on its own node when nothing else is configured.
    pub fn default_socket() -> Self {
        Self::Unix(PathBuf::from("/run/seedpod/seedpod.sock"))
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(given: &str) -> Result<Self, EndpointError> {
        let refuse = |rule| EndpointError {
            given: given.to_owned(),
            rule,
        };
        if let Some(path) = given.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') {
                return Err(refuse(
                    "must have an absolute path, as in unix:///run/seedpod/seedpod.sock",
                ));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        if given.starts_with('/') {
            return Ok(Self::Unix(PathBuf::from(given)));
        }
        if given.starts_with("http://") {
            return Err(refuse(
                "has no TLS, which seedpodd does not serve; write https:// or unix://",
            ));
        }
        let authority = given
            .strip_prefix("https://")
            .unwrap_or(given)
            .trim_end_matches('/');
        let form = "must look like https://host:10290 or unix:///run/seedpod/seedpod.sock";
        if authority.is_empty() || authority.contains("://") {
            return Err(refuse(form));
        }
        let uri: Uri = format!("https://{authority}/")
            .parse()
            .map_err(|_| refuse(form))?;
        let parsed = uri.authority().ok_or_else(|| refuse(form))?;
        // What follows the host must be a port: `host:` and `user@host` are slips of the pen, not defaults.
        let rest = authority
            .strip_prefix(parsed.host())
            .ok_or_else(|| refuse(form))?;
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => DEFAULT_PORT,
            None => return Err(refuse(form)),
            Some(port) => port
                .parse()
                .map_err(|_| refuse("must have a port between 1 and 65535"))?,
        };
        if port == 0 {
            return Err(refuse("must have a port between 1 and 65535"));
        }
        let host = parsed.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(refuse(form));
        }
        Ok(Self::Tcp {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "https://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "https://{host}:{port}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_are_read_and_written_alike() {
        for (given, canonical) in [
            ("https://node-1:10290", "https://node-1:10290"),
            ("https://node-1:10290/", "https://node-1:10290"),
            ("node-1", "https://node-1:10290"),
            ("10.0.0.7:443", "https://10.0.0.7:443"),
            ("[fd00::7]:10290", "https://[fd00::7]:10290"),
            ("https://[fd00::7]", "https://[fd00::7]:10290"),
            ("unix:///run/s.sock", "unix:///run/s.sock"),
            ("unix:/run/s.sock", "unix:///run/s.sock"),
            ("/run/s.sock", "unix:///run/s.sock"),
        ] {
            let endpoint: Endpoint = given.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(endpoint.to_string(), canonical, "{given}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for given in [
            "",
            "https://",
            "http://node-1:10290",
            "ftp://node-1",
            "node-1:",
            "node-1:0",
            "node-1:70000",
            "root@node-1:10290",
            "node-1/path",
            "unix://relative.sock",
            "a b",
        ] {
            assert!(given.parse::<Endpoint>().is_err(), "{given:?} was taken");
        }
    }
}
