//! Kubernetes' rules for names, and the checks of single values that many fields share.

use std::net::IpAddr;

use super::report::Report;
use crate::{
    Reason,
    field::{Path, shorten},
    name::{is_dns_label, is_dns_subdomain},
};

const LABEL_RULE: &str =
    "must be 1 to 63 lower-case letters, digits or \"-\", and begin and end with a letter or digit";
const SUBDOMAIN_RULE: &str = "must be lower-case letters, digits, \"-\" or \".\", at most 253, each part beginning and ending with a letter or digit";

/// Checks a DNS-1123 label.
pub(crate) fn dns_label(report: &mut Report<'_>, path: &Path<'_>, name: &str) {
    if !is_dns_label(name) {
        report.refuse(
            path,
            Reason::InvalidName,
            format!("\"{}\" is no valid name: it {LABEL_RULE}", shorten(name)),
        );
    }
}

/// Checks a DNS-1123 label that must be there.
pub(crate) fn required_dns_label(report: &mut Report<'_>, path: &Path<'_>, name: &str) {
    if name.is_empty() {
        report.refuse(path, Reason::MissingField, "a name is required");
    } else {
        dns_label(report, path, name);
    }
}

/// Checks a DNS-1123 subdomain.
pub(crate) fn dns_subdomain(report: &mut Report<'_>, path: &Path<'_>, name: &str) {
    if !is_dns_subdomain(name) {
        let description = format!(
            "\"{}\" is no valid name: it {SUBDOMAIN_RULE}",
            shorten(name)
        );
        report.refuse(path, Reason::InvalidName, description);
    }
}

/// Whether it is letters, digits, `-`, `_` and `.`, at most 63, with a letter or digit at both ends.
fn is_name_part(text: &str) -> bool {
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Whether it is a qualified name: `name` or `domain/name`.
pub fn is_qualified_name(name: &str) -> bool {
    match name.split_once('/') {
        Some((domain, name)) => is_dns_subdomain(domain) && is_name_part(name),
        None => is_name_part(name),
    }
}

/// Whether it can be the value of a label.
pub fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_name_part(value)
}

/// Checks that a text is one of a few; an empty one stands for the default.
pub(crate) fn one_of(
    report: &mut Report<'_>,
    path: &Path<'_>,
    value: Option<&str>,
    allowed: &[&str],
) {
    if let Some(value) = value
        && !value.is_empty()
        && !allowed.contains(&value)
    {
        let description = format!(
            "\"{}\" is not one of {}",
            shorten(value),
            allowed.join(", ")
        );
        report.refuse(path, Reason::InvalidValue, description);
    }
}

/// As [`one_of`], for a field that has no default: the empty text is refused as well.
pub(crate) fn one_of_strictly(
    report: &mut Report<'_>,
    path: &Path<'_>,
    value: Option<&str>,
    allowed: &[&str],
) {
    if value == Some("") {
        let description = format!(
            "it is empty: remove it or write one of {}",
            allowed.join(", ")
        );
        report.refuse(path, Reason::InvalidValue, description);
    }
    one_of(report, path, value, allowed);
}

/// Checks that a number lies between two others.
pub(crate) fn in_range(
    report: &mut Report<'_>,
    path: &Path<'_>,
    value: Option<i64>,
    least: i64,
    most: i64,
) {
    if let Some(value) = value
        && !(least..=most).contains(&value)
    {
        report.refuse(
            path,
            Reason::InvalidValue,
            format!("{value} is not between {least} and {most}"),
        );
    }
}

/// Checks that a number is not negative.
pub(crate) fn not_negative(report: &mut Report<'_>, path: &Path<'_>, value: Option<i64>) {
    if let Some(value) = value
        && value < 0
    {
        report.refuse(path, Reason::InvalidValue, format!("{value} is negative"));
    }
}

/// Checks the number of a port.
pub(crate) fn port_number(report: &mut Report<'_>, path: &Path<'_>, port: i64) {
    in_range(report, path, Some(port), 1, 65535);
}

/// Checks the name of a port.
pub(crate) fn port_name(report: &mut Report<'_>, path: &Path<'_>, name: &str) {
    let is_valid = name.len() <= 15
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name.bytes().any(|b| b.is_ascii_lowercase())
        && !name.contains("--")
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !is_valid {
        let description = format!(
            "\"{}\" is no valid name of a port: it must be at most 15 lower-case letters, digits and single \"-\" \
             between them, with at least one letter",
            shorten(name)
        );
        report.refuse(path, Reason::InvalidName, description);
    }
}

/// Checks that something required is there.
pub(crate) fn required(
    report: &mut Report<'_>,
    path: &Path<'_>,
    value: Option<&str>,
    what: &str,
) -> bool {
    let is_there = value.is_some_and(|value| !value.is_empty());
    if !is_there {
        report.refuse(path, Reason::MissingField, format!("{what} is required"));
    }
    is_there
}

/// Checks that a path has no `..` step.
pub(crate) fn no_backsteps(report: &mut Report<'_>, path: &Path<'_>, value: &str) {
    if value.split('/').any(|step| step == "..") {
        report.refuse(
            path,
            Reason::InvalidValue,
            "the path must have no \"..\" step",
        );
    }
}

/// Checks that a path leads down from where it starts.
pub(crate) fn descending_path(report: &mut Report<'_>, path: &Path<'_>, value: &str) {
    if value.starts_with('/') {
        report.refuse(path, Reason::InvalidValue, "the path must be relative");
    }
    no_backsteps(report, path, value);
}

/// Checks an IP address.
pub(crate) fn ip_address(report: &mut Report<'_>, path: &Path<'_>, value: &str) {
    // The kubelet still takes IPv4 numbers with leading zeros, which the standard library does not.
    let without_zeros = value.split('.').map(|part| {
        let trimmed = part.trim_start_matches('0');
        if trimmed.is_empty() && !part.is_empty() {
            "0"
        } else {
            trimmed
        }
    });
    let legacy = without_zeros.collect::<Vec<_>>().join(".");
    if value.parse::<IpAddr>().is_err()
        && (value.contains(':') || legacy.parse::<IpAddr>().is_err())
    {
        report.refuse(
            path,
            Reason::InvalidValue,
            format!("\"{}\" is no IP address", shorten(value)),
        );
    }
}
