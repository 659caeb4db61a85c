//! Words for Secrets and ConfigMaps.

use seedpod_client::{Object, ObjectKind};

/// How many hexadecimal digits of a digest people are shown: enough to tell the keys of one node apart.
const DIGITS: usize = 12;

/// The kind in lower case, as it is typed.
pub(crate) fn word(kind: ObjectKind) -> String {
    kind.as_str().to_lowercase()
}

pub(crate) fn full_name(object: &Object) -> String {
    format!("{}/{}", object.namespace, object.name)
}

/// `hmac-sha256:0123456789ab`.
pub(crate) fn short_digest(digest: &str) -> String {
    match digest.split_once(':') {
        Some((algorithm, digits)) => {
            let digits: String = digits.chars().take(DIGITS).collect();
            format!("{algorithm}:{digits}")
        }
        None => digest.chars().take(DIGITS).collect(),
    }
}

/// The pods that use it; those in its own namespace, as they all are, without saying so again.
pub(crate) fn used_by(object: &Object) -> String {
    if object.used_by.is_empty() {
        return "-".to_owned();
    }
    let names: Vec<&str> = object.used_by.iter().map(|pod| pod.name.as_str()).collect();
    names.join(",")
}

/// The type, and whether it may be changed.
pub(crate) fn type_of(object: &Object) -> String {
    let immutable = object.immutable.then_some("immutable");
    let words: Vec<&str> = Some(object.r#type.as_str())
        .filter(|word| !word.is_empty())
        .into_iter()
        .chain(immutable)
        .collect();
    if words.is_empty() {
        "-".to_owned()
    } else {
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_shortened_behind_its_algorithm() {
        let digest = format!("hmac-sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(short_digest(&digest), "hmac-sha256:0123456789ab");
        assert_eq!(short_digest("hmac-sha256:01"), "hmac-sha256:01");
        assert_eq!(short_digest(""), "");
    }
}
