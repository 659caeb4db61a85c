//! Versions of Kubernetes, and how far apart they may be.

use std::{fmt, str::FromStr};

/// How many minor versions a kubelet may be older than its API server.
const KUBELET_SKEW: u32 = 3;

/// `v1.37.2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second one, by which skew is counted.
    pub minor: u32,
    /// The third one.
    pub patch: u32,
    /// `-rc.1` or `+build`, as it is written.
    pub suffix: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            major,
            minor,
            patch,
            suffix,
        } = self;
        write!(f, "v{major}.{minor}.{patch}{suffix}")
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let form = || format!("{given:?} is no version; write it as in v1.37.2");
        let text = given.strip_prefix('v').ok_or_else(form)?;
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (numbers, suffix) = text.split_at(end);
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b'_');
        if suffix.len() == 1 || !suffix.bytes().all(allowed) {
            return Err(form());
        }
        let mut numbers = numbers.split('.').map(|number| {
            let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let plain = digits && (number == "0" || !number.starts_with('0'));
            number.parse::<u32>().ok().filter(|_| plain)
        });
        let mut next = || numbers.next().flatten().ok_or_else(form);
        let version = Self {
            major: next()?,
            minor: next()?,
            patch: next()?,
            suffix: suffix.to_owned(),
        };
        if numbers.next().is_some() {
            return Err(form());
        }
        Ok(version)
    }
}

/// Why a kubelet cannot be with a control plane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SkewError {
    /// The kubelet is newer than the API server.
    #[error(
        "the kubelet is {kubelet}, which is newer than the control plane's {control_plane}; a kubelet may be older, but \
         never newer: raise kubernetesVersion, or install an older kubelet"
    )]
    Newer {
        /// The kubelet's.
        kubelet: Version,
        /// The control plane's.
        control_plane: Version,
    },
    /// The kubelet is older than an API server of that version knows.
    #[error(
        "the kubelet is {kubelet}, which is more than {KUBELET_SKEW} minor versions older than the control plane's \
         {control_plane}; install a newer kubelet first"
    )]
    Older {
        /// The kubelet's.
        kubelet: Version,
        /// The control plane's.
        control_plane: Version,
    },
}

/// Whether a kubelet of one version may be with a control plane of another: the same minor version, or up to three
/// older.
///
/// # Errors
/// [`SkewError`], with the remedy.
pub fn check_skew(control_plane: &Version, kubelet: &Version) -> Result<(), SkewError> {
    let own = (kubelet.major, kubelet.minor);
    let theirs = (control_plane.major, control_plane.minor);
    let (kubelet, control_plane) = (kubelet.clone(), control_plane.clone());
    if own > theirs {
        return Err(SkewError::Newer {
            kubelet,
            control_plane,
        });
    }
    if own.0 < theirs.0 || theirs.1 - own.1 > KUBELET_SKEW {
        return Err(SkewError::Older {
            kubelet,
            control_plane,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(given: &str) -> Version {
        given.parse().expect(given)
    }

    #[test]
    fn versions_are_read_and_printed() {
        for given in ["v1.37.2", "v1.37.0-rc.1", "v1.36.3+k3s1", "v2.0.0"] {
            assert_eq!(version(given).to_string(), given);
        }
        for given in [
            "",
            "1.37.2",
            "v1.37",
            "v1.37.2.1",
            "v1.037.2",
            "v1.37.x",
            "v1.37.2-",
            "v1.37.2 ",
            "v1.37.2-a/b",
            "latest",
            "v1.+3.2",
        ] {
            assert!(given.parse::<Version>().is_err(), "{given:?} was taken");
        }
    }

    #[test]
    fn a_kubelet_may_be_three_minor_versions_older_and_never_newer() {
        let check = |kubelet| check_skew(&version("v1.37.2"), &version(kubelet));
        for kubelet in ["v1.37.2", "v1.37.9", "v1.37.0", "v1.34.0"] {
            assert_eq!(check(kubelet), Ok(()), "{kubelet}");
        }
        assert!(matches!(check("v1.33.9"), Err(SkewError::Older { .. })));
        assert!(matches!(check("v0.37.9"), Err(SkewError::Older { .. })));
        assert!(matches!(check("v1.38.0"), Err(SkewError::Newer { .. })));
        assert!(matches!(check("v2.0.0"), Err(SkewError::Newer { .. })));
    }
}
