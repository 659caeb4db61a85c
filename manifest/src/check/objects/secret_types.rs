//! What the types of Secrets want: the API server's `ValidateSecret`.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::{Reason, check::report::Report, field::Path, object::Datum};

/// The type of a Secret that names none.
pub(super) const OPAQUE: &str = "Opaque";

const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

/// Checks that a Secret has what its type wants. Other types than these want nothing.
pub(super) fn check(
    report: &mut Report<'_>,
    object_type: &str,
    data: &BTreeMap<String, Datum>,
    metadata: Option<&ObjectMeta>,
) {
    match object_type {
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if !data.contains_key(key) {
                    missing(report, object_type, key);
                }
            }
        }
        "kubernetes.io/dockerconfigjson" => {
            check_json(report, object_type, ".dockerconfigjson", data);
        }
        "kubernetes.io/dockercfg" => check_json(report, object_type, ".dockercfg", data),
        // One of them will do.
        "kubernetes.io/basic-auth"
            if !data.contains_key("username") && !data.contains_key("password") =>
        {
            let description =
                format!("a Secret of the type {object_type} has username, password or both");
            report.refuse(&Path::ROOT.key("data"), Reason::MissingField, description);
        }
        "kubernetes.io/ssh-auth" => {
            let key = "ssh-privatekey";
            if data.get(key).is_none_or(|datum| datum.bytes.is_empty()) {
                missing(report, object_type, key);
            }
        }
        "kubernetes.io/service-account-token" => {
            let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
            let name = annotations.and_then(|annotations| annotations.get(SERVICE_ACCOUNT_NAME));
            // Metadata that could not be read has been reported.
            if metadata.is_some() && name.is_none_or(String::is_empty) {
                let root = Path::ROOT;
                let path = root.key("metadata");
                let description = format!(
                    "a Secret of the type {object_type} names its ServiceAccount here; use the type {OPAQUE} for a \
                     token that no API server knows"
                );
                report.refuse(
                    &path.key("annotations").key(SERVICE_ACCOUNT_NAME),
                    Reason::MissingField,
                    description,
                );
            }
        }
        _ => {}
    }
}

fn missing(report: &mut Report<'_>, object_type: &str, key: &str) {
    let description = format!(
        "a Secret of the type {object_type} must have this key: set it, or use the type {OPAQUE}"
    );
    refuse(report, key, Reason::MissingField, description);
}

fn check_json(
    report: &mut Report<'_>,
    object_type: &str,
    key: &str,
    data: &BTreeMap<String, Datum>,
) {
    let Some(datum) = data.get(key) else {
        missing(report, object_type, key);
        return;
    };
    // The reader's own words may quote the text.
    if serde_json::from_slice::<Option<JsonObject>>(&datum.bytes).is_err() {
        let description =
            format!("a Secret of the type {object_type} must hold a JSON object here: correct it");
        refuse(report, key, Reason::InvalidValue, description);
    }
}

/// At the value that counts.
fn refuse(report: &mut Report<'_>, key: &str, reason: Reason, description: String) {
    let root = Path::ROOT;
    let plain = root.key("stringData");
    if report.has(&plain.key(key)) {
        report.refuse(&plain.key(key), reason, description);
    } else {
        report.refuse(&root.key("data").key(key), reason, description);
    }
}

/// Any JSON object; nothing of it is kept.
struct JsonObject;

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for JsonObject {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self)
    }
}
