//! Kubernetes' rules for names.

/// Whether it is a DNS-1123 label: lower-case letters, digits and "-", at most 63, an alphanumeric at both ends.
pub(super) fn is_dns_label(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 63
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Whether it is labels that are joined by dots, at most 253 characters.
pub(super) fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_label)
}

/// Whether it can be a label's value, or the name in its key: letters, digits, "-", "_" and ".", at most 63, an
/// alphanumeric at both ends.
fn is_label_name(name: &str) -> bool {
    let at_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    bytes.len() <= 63
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        && at_end(bytes.first())
        && at_end(bytes.last())
}

/// Whether it can be a label's key: a name, or a subdomain, "/" and a name.
pub(super) fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_label_name(key),
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_label_name(name),
    }
}

/// Whether it can be a label's value.
pub(super) fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_label_name(value)
}

/// Whether a certificate can be for it: a DNS name, perhaps with a leading "*.", or an address.
pub(super) fn is_subject(given: &str) -> bool {
    crate::certificates::subject(given).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kubernetes_rules() {
        assert!(is_dns_label("node-1") && is_dns_label(&"a".repeat(63)));
        for name in ["", "-a", "a-", "A", "a.b", "ä", &"a".repeat(64)] {
            assert!(!is_dns_label(name), "{name:?}");
        }
        assert!(is_dns_subdomain("node-1.example") && !is_dns_subdomain("a..b"));
        assert!(is_label_key("role") && is_label_key("node-role.kubernetes.io/worker"));
        for key in ["", "/a", "a/", "a/b/c", "-a", "a b", "Example.com/a"] {
            assert!(!is_label_key(key), "{key:?}");
        }
        assert!(is_label_value("") && is_label_value("a_b.C") && !is_label_value("a/b"));
    }
}
