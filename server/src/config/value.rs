//! Single values of the configuration file, checked while they are read so that an error has line and column.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;

/// The most bytes of a Unix socket's path: `sun_path` has 108 with the final zero.
const MAX_SOCKET_PATH: usize = 107;

/// A path that does not depend on where the daemon was started.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct AbsolutePath(pub(super) PathBuf);

impl TryFrom<String> for AbsolutePath {
    type Error = String;

    fn try_from(given: String) -> Result<Self, String> {
        if !given.starts_with('/') {
            return Err(format!(
                "{given:?} is not an absolute path; write one that begins with \"/\""
            ));
        }
        if given.split('/').any(|part| part == "..") {
            return Err(format!(
                "{given:?} has a \"..\"; write the path that is meant"
            ));
        }
        // Rebuilt from its components, so that "/a//b/" and "/a/b" are one path when paths are compared.
        Ok(Self(PathBuf::from(given).components().collect()))
    }
}

/// An address to listen on, or nothing when it is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct OptionalAddress(pub(super) Option<SocketAddr>);

impl TryFrom<String> for OptionalAddress {
    type Error = String;

    fn try_from(given: String) -> Result<Self, String> {
        if given.is_empty() {
            return Ok(Self(None));
        }
        given
            .parse()
            .map(|address| Self(Some(address)))
            .map_err(|_| {
                format!(
                    "{given:?} is not an address and a port; write for example 0.0.0.0:10290 or \
                 \"[::]:10290\", or \"\" to turn it off"
                )
            })
    }
}

/// Where to put a Unix socket, or nothing when it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct OptionalSocket(pub(super) Option<PathBuf>);

impl TryFrom<String> for OptionalSocket {
    type Error = String;

    fn try_from(given: String) -> Result<Self, String> {
        if given.is_empty() {
            return Ok(Self(None));
        }
        Ok(Self(Some(socket_path(given)?)))
    }
}

/// The container runtime's endpoint, or nothing when it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct OptionalEndpoint(pub(super) Option<PathBuf>);

impl TryFrom<String> for OptionalEndpoint {
    type Error = String;

    fn try_from(given: String) -> Result<Self, String> {
        if given.is_empty() {
            return Ok(Self(None));
        }
        let Some(path) = given.strip_prefix("unix://") else {
            return Err(format!(
                "{given:?} is not a Unix socket's endpoint; write for example \
                 unix:///run/containerd/containerd.sock, or \"\" to work with files only"
            ));
        };
        Ok(Self(Some(socket_path(path.to_owned())?)))
    }
}

fn socket_path(given: String) -> Result<PathBuf, String> {
    if given.len() > MAX_SOCKET_PATH {
        return Err(format!(
            "the path of a Unix socket has at most {MAX_SOCKET_PATH} bytes, and this one has {}; \
             write a shorter one",
            given.len()
        ));
    }
    AbsolutePath::try_from(given).map(|path| path.0)
}

/// A duration such as `60s`, `1m30s` or `250ms`, at most a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct DurationText(pub(super) Duration);

impl TryFrom<String> for DurationText {
    type Error = String;

    fn try_from(given: String) -> Result<Self, String> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        given
            .parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok())
            .filter(|duration| *duration <= DAY)
            .map(Self)
            .ok_or_else(|| {
                format!(
                    "{given:?} is not a duration from 0s to 24h; write a number with its unit, \
                     such as 60s, 250ms or 1h30m"
                )
            })
    }
}

/// A duration that is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "DurationText")]
pub(super) struct PositiveDuration(pub(super) Duration);

impl TryFrom<DurationText> for PositiveDuration {
    type Error = &'static str;

    fn try_from(given: DurationText) -> Result<Self, &'static str> {
        if given.0.is_zero() {
            return Err("must be more than 0s; write for example 10s");
        }
        Ok(Self(given.0))
    }
}

/// A count from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct Count<const MIN: u32, const MAX: u32>(pub(super) u32);

impl<const MIN: u32, const MAX: u32> TryFrom<i64> for Count<MIN, MAX> {
    type Error = String;

    fn try_from(given: i64) -> Result<Self, String> {
        u32::try_from(given)
            .ok()
            .filter(|count| (MIN..=MAX).contains(count))
            .map(Self)
            .ok_or_else(|| format!("{given} is out of range; write a number from {MIN} to {MAX}"))
    }
}

impl<const MIN: u32, const MAX: u32> Count<MIN, MAX> {
    /// As a size; `usize` has at least 32 bits wherever a kubelet runs.
    pub(super) fn size(self) -> usize {
        self.0 as usize
    }
}
