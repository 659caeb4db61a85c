//! What is checked of an `InjectPodsRequest` before its manifests are looked at.

use std::time::Duration;

use seedpod_manifest::{BundleName, Digest, FieldValidation};
use seedpod_proto::v1::{self, InjectPodsRequest, RollbackBundleRequest, TrialConfirmation};

use super::super::{
    reason::Reason,
    status::{Fault, bundle_name},
};
use crate::node::{Confirmation, RequestId, Terms};

const MAX_REQUEST_ID: usize = 64;

/// How long a trial may be.
const TRIAL_TIMES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// A request whose fields, but for the manifests' contents, are right.
#[derive(Debug)]
pub(super) struct Injection {
    pub(super) bundle: BundleName,
    pub(super) manifests: Vec<String>,
    pub(super) expected_revision: Option<u64>,
    pub(super) field_validation: FieldValidation,
    /// `None` without an id, and for a request that changes nothing.
    pub(super) request: Option<RequestId>,
    pub(super) trial: Option<Terms>,
    pub(super) allow_secret_env: bool,
}

impl Injection {
    /// # Errors
    /// All that is wrong in the request; the reason is that of the first fault in the order of the fields.
    pub(super) fn parse(request: InjectPodsRequest) -> Result<Self, Fault> {
        let mut faults = Vec::new();
        let mut keep = |fault| faults.push(fault);
        let bundle = bundle_name("bundle", &request.bundle)
            .map_err(&mut keep)
            .ok();
        if request.manifests.is_empty() {
            keep(Fault::field(
                Reason::NoManifests,
                "manifests",
                "at least one manifest is required; to remove the bundle's pods use RemoveBundle",
            ));
        }
        let has_id = has_id(request.validate_only, &request.request_id)
            .map_err(&mut keep)
            .unwrap_or(false);
        let field_validation = field_validation(request.field_validation)
            .map_err(&mut keep)
            .ok();
        let trial = match &request.trial {
            Some(trial) => terms(trial).map_err(&mut keep).ok(),
            None => None,
        };
        match (bundle, field_validation) {
            (Some(bundle), Some(field_validation)) if faults.is_empty() => Ok(Self {
                request: has_id.then(|| RequestId {
                    id: request.request_id.clone(),
                    fingerprint: fingerprint(&request, field_validation, trial),
                }),
                bundle,
                manifests: request.manifests,
                expected_revision: request.expected_revision,
                field_validation,
                trial,
                allow_secret_env: request.allow_secret_env,
            }),
            _ => {
                let mut faults = faults.into_iter();
                // Whatever is missing left a fault.
                let first = faults.next().unwrap_or_else(|| {
                    Fault::new(Reason::Internal, "the request was refused without a fault")
                });
                Err(first.and(faults))
            }
        }
    }
}

/// Whether the request has an id that matters.
pub(in super::super) fn has_id(validate_only: bool, id: &str) -> Result<bool, Fault> {
    let has_id = !validate_only && !id.is_empty();
    if has_id && !is_request_id(id) {
        return Err(Fault::field(
            Reason::InvalidRequestId,
            "request_id",
            "must be 1 to 64 characters of A-Z, a-z, 0-9, \"-\", \"_\", \".\" and \":\"; best a UUID",
        ));
    }
    Ok(has_id)
}

/// The id of a rollback, which only repeats a rollback.
pub(in super::super) fn rollback_id(
    request: &RollbackBundleRequest,
) -> Result<Option<RequestId>, Fault> {
    let has_id = has_id(request.validate_only, &request.request_id)?;
    Ok(has_id.then(|| RequestId {
        id: request.request_id.clone(),
        fingerprint: rollback_fingerprint(request),
    }))
}

fn terms(trial: &v1::Trial) -> Result<Terms, Fault> {
    let bad = |field, description: String| Fault::field(Reason::InvalidTrial, field, description);
    let timeout = trial.timeout.ok_or_else(|| {
        bad(
            "trial.timeout",
            "is required: how long the revision has until it must be confirmed, 1 s to 24 h"
                .to_owned(),
        )
    })?;
    let timeout = Duration::try_from(timeout)
        .ok()
        .filter(|timeout| TRIAL_TIMES.contains(timeout))
        .ok_or_else(|| bad("trial.timeout", "must be between 1 s and 24 h".to_owned()))?;
    let confirmation = match TrialConfirmation::try_from(trial.confirmation) {
        Ok(TrialConfirmation::Unspecified | TrialConfirmation::Readiness) => {
            Confirmation::Readiness
        }
        Ok(TrialConfirmation::Explicit) => Confirmation::Explicit,
        Err(_) => {
            let description = format!(
                "{} is not known to this version; use TRIAL_CONFIRMATION_READINESS or \
                 TRIAL_CONFIRMATION_EXPLICIT",
                trial.confirmation
            );
            return Err(bad("trial.confirmation", description));
        }
    };
    Ok(Terms {
        timeout,
        confirmation,
    })
}

fn is_request_id(id: &str) -> bool {
    id.len() <= MAX_REQUEST_ID
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

fn field_validation(given: i32) -> Result<FieldValidation, Fault> {
    match v1::FieldValidation::try_from(given) {
        Ok(v1::FieldValidation::Unspecified | v1::FieldValidation::Strict) => {
            Ok(FieldValidation::Strict)
        }
        Ok(v1::FieldValidation::Warn) => Ok(FieldValidation::Warn),
        Err(_) => Err(Fault::field(
            Reason::InvalidFieldValidation,
            "field_validation",
            format!(
                "{given} is not known to this version; use FIELD_VALIDATION_STRICT or \
                 FIELD_VALIDATION_WARN"
            ),
        )),
    }
}

/// A digest over all of a request that matters, which is all but its id. Kept on disk: it must never change.
fn fingerprint(
    request: &InjectPodsRequest,
    field_validation: FieldValidation,
    trial: Option<Terms>,
) -> Digest {
    let mut content = Vec::new();
    // Each part has a fixed length or its length before it, so that no two requests give the same bytes.
    let bundle = request.bundle.as_bytes();
    content.extend((bundle.len() as u64).to_be_bytes());
    content.extend(bundle);
    content.push(match field_validation {
        FieldValidation::Strict => 1,
        FieldValidation::Warn => 2,
    });
    content.push(u8::from(request.expected_revision.is_some()));
    content.extend(request.expected_revision.unwrap_or(0).to_be_bytes());
    for manifest in &request.manifests {
        content.extend(Digest::of(manifest.as_bytes()).as_bytes());
    }
    // 13 bytes, so that they are never taken for a manifest's 32. None of them without a trial, as before there were
    // trials.
    if let Some(terms) = trial {
        content.extend(terms.timeout.as_secs().to_be_bytes());
        content.extend(terms.timeout.subsec_nanos().to_be_bytes());
        content.push(match terms.confirmation {
            Confirmation::Readiness => 1,
            Confirmation::Explicit => 2,
        });
    }
    // As of the trial.
    if request.allow_secret_env {
        content.push(1);
    }
    Digest::of(&content)
}

/// The same of a rollback.
fn rollback_fingerprint(request: &RollbackBundleRequest) -> Digest {
    // No injection begins with this: it would be the length of its bundle's name.
    let mut content = u64::MAX.to_be_bytes().to_vec();
    content.push(1);
    let name = request.name.as_bytes();
    content.extend((name.len() as u64).to_be_bytes());
    content.extend(name);
    content.extend(request.to_revision.to_be_bytes());
    content.push(u8::from(request.expected_revision.is_some()));
    content.extend(request.expected_revision.unwrap_or(0).to_be_bytes());
    Digest::of(&content)
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic_types::StatusExt;

    use super::*;

    fn good() -> InjectPodsRequest {
        InjectPodsRequest {
            bundle: "web".to_owned(),
            manifests: vec!["a".to_owned(), "b".to_owned()],
            request_id: "0a1B-_.:".to_owned(),
            ..InjectPodsRequest::default()
        }
    }

    fn reasons(request: InjectPodsRequest) -> (String, Vec<(String, String)>) {
        let status = Status::from(Injection::parse(request).unwrap_err());
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        let violations = status.get_details_bad_request().unwrap().field_violations;
        let fields = violations
            .into_iter()
            .map(|v| (v.field, v.reason))
            .collect();
        (status.get_details_error_info().unwrap().reason, fields)
    }

    #[test]
    fn each_bad_field_is_named_with_its_reason() {
        let long = "x".repeat(65);
        type Row = (fn(&mut InjectPodsRequest, &str), &'static str, &'static str);
        let rows: [Row; 6] = [
            (
                |r, _| r.bundle = String::new(),
                "bundle",
                "INVALID_BUNDLE_NAME",
            ),
            (
                |r, _| r.bundle = "Web".to_owned(),
                "bundle",
                "INVALID_BUNDLE_NAME",
            ),
            (|r, _| r.manifests.clear(), "manifests", "NO_MANIFESTS"),
            (
                |r, _| r.request_id = "a b".to_owned(),
                "request_id",
                "INVALID_REQUEST_ID",
            ),
            (
                |r, long| r.request_id = long.to_owned(),
                "request_id",
                "INVALID_REQUEST_ID",
            ),
            (
                |r, _| r.field_validation = 9,
                "field_validation",
                "INVALID_FIELD_VALIDATION",
            ),
        ];
        for (spoil, field, reason) in rows {
            let mut request = good();
            spoil(&mut request, &long);
            let expected = (
                reason.to_owned(),
                vec![(field.to_owned(), reason.to_owned())],
            );
            assert_eq!(reasons(request), expected);
        }
    }

    #[test]
    fn all_bad_fields_are_told_at_once() {
        let request = InjectPodsRequest {
            request_id: "/".to_owned(),
            ..Default::default()
        };
        let (reason, fields) = reasons(request);
        assert_eq!(reason, "INVALID_BUNDLE_NAME");
        let fields: Vec<_> = fields.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["bundle", "manifests", "request_id"]);
    }

    #[test]
    fn a_validation_does_not_look_at_the_request_id() {
        let request = InjectPodsRequest {
            validate_only: true,
            request_id: "/".to_owned(),
            ..good()
        };
        assert!(Injection::parse(request).unwrap().request.is_none());
    }

    #[test]
    fn the_fingerprint_is_over_everything_but_the_id() {
        let print = |request: InjectPodsRequest| {
            Injection::parse(request)
                .unwrap()
                .request
                .unwrap()
                .fingerprint
        };
        let base = print(good());
        assert_eq!(
            print(InjectPodsRequest {
                request_id: "other".to_owned(),
                ..good()
            }),
            base
        );
        // Strict is what is meant when nothing is said.
        assert_eq!(
            print(InjectPodsRequest {
                field_validation: 1,
                ..good()
            }),
            base
        );
        let manifests = |list: &[&str]| list.iter().map(|m| (*m).to_owned()).collect::<Vec<_>>();
        for other in [
            InjectPodsRequest {
                bundle: "wec".to_owned(),
                ..good()
            },
            InjectPodsRequest {
                manifests: manifests(&["ab"]),
                ..good()
            },
            InjectPodsRequest {
                manifests: manifests(&["b", "a"]),
                ..good()
            },
            InjectPodsRequest {
                manifests: manifests(&["a", "b", ""]),
                ..good()
            },
            InjectPodsRequest {
                expected_revision: Some(0),
                ..good()
            },
            InjectPodsRequest {
                expected_revision: Some(1),
                ..good()
            },
            InjectPodsRequest {
                field_validation: 2,
                ..good()
            },
            InjectPodsRequest {
                allow_secret_env: true,
                ..good()
            },
        ] {
            assert_ne!(print(other.clone()), base, "{other:?}");
        }
    }

    #[test]
    fn the_fingerprint_of_a_known_request_never_changes() {
        let request = InjectPodsRequest {
            expected_revision: Some(3),
            ..good()
        };
        let found = Injection::parse(request)
            .unwrap()
            .request
            .unwrap()
            .fingerprint;
        assert_eq!(
            found.to_string(),
            "sha256:451f62f6897d99da924a3862ab3ffa857f8a89ef81328af0fbc9414ebb7d2e9f"
        );
    }
}
