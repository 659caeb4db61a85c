//! Any text as a manifest.

use seedpod_manifest::{FieldValidation, Options, check};

/// How the targets check manifests.
pub(crate) fn options(field_validation: FieldValidation, allow_secret_env: bool) -> Options {
    Options {
        node: "node-1".parse().expect("a node's name"),
        max_pods: 64,
        max_bytes: 4 << 20,
        field_validation,
        allow_secret_env,
    }
}

/// Checks `data` as a manifest, and as several when it has NUL bytes.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let several: Vec<&str> = text.split('\0').collect();
    for validation in [FieldValidation::Strict, FieldValidation::Warn] {
        for manifests in [&[&*text][..], &several] {
            let options = options(validation, false);
            let Err(violations) = check(manifests, &options) else {
                continue;
            };
            assert!(!violations.is_empty());
            for violation in violations {
                assert!(violation.field.starts_with("manifests"), "{violation:?}");
                assert!(violation.description.len() < 2000, "{violation:?}");
            }
        }
    }
}
