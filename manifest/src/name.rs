//! Names that are checked once, when they are made.

use std::{fmt, str::FromStr};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?} {rule}")]
pub struct NameError {
    what: &'static str,
    given: String,
    rule: &'static str,
}

/// Whether `name` is a DNS-1123 label: lower-case letters, digits and "-", at most 63, an alphanumeric at both ends.
pub fn is_dns_label(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 63
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Whether `name` is a DNS-1123 subdomain: labels without a length limit of their own, joined by dots, at most 253.
pub fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

/// Whether `key` can be a key of a Secret or ConfigMap, and so the name of a file: Kubernetes' `IsConfigMapKey`.
pub(crate) fn is_data_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 253
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        && key != "."
        && !key.starts_with("..")
}

/// The name of a bundle: a DNS-1123 label.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct BundleName(String);

impl TryFrom<String> for BundleName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BundleName> for String {
    fn from(name: BundleName) -> Self {
        name.0
    }
}

impl BundleName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BundleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BundleName {
    type Err = NameError;

    fn from_str(given: &str) -> Result<Self, NameError> {
        if is_dns_label(given) {
            return Ok(Self(given.to_owned()));
        }
        Err(NameError {
            what: "bundle name",
            given: given.chars().take(80).collect(),
            rule: "must be 1 to 63 lower-case letters, digits and \"-\", and begin and end with a letter or digit",
        })
    }
}

/// The name of a node, in lower case, as the kubelet appends it to the names of its static pods.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NodeName {
    type Err = NameError;

    /// The kubelet lower-cases its host name before it uses it, and so does this.
    fn from_str(given: &str) -> Result<Self, NameError> {
        let lower = given.trim().to_lowercase();
        if is_dns_subdomain(&lower) {
            return Ok(Self(lower));
        }
        Err(NameError {
            what: "node name",
            given: given.chars().take(80).collect(),
            rule: "must be a DNS-1123 subdomain: lower-case letters, digits, \"-\" and \".\", at most 253 characters",
        })
    }
}
