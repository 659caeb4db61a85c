use std::io::Error;

use seedpod_manifest::{ObjectKey, ObjectKind, PodKey, Position};
use tonic::Code;

use super::*;
use crate::node::{ChangeError, InjectError, RemoveError};

fn pod() -> PodKey {
    PodKey {
        namespace: "default".to_owned(),
        name: "web".to_owned(),
    }
}

fn bundle() -> BundleName {
    "app".parse().unwrap()
}

fn fault(n: usize, length: usize) -> Violation {
    Violation {
        field: format!("manifests[0].documents[{n}].spec.containers[0].image"),
        reason: seedpod_manifest::Reason::MissingField,
        description: format!("é {}", "x ".repeat(length / 2)),
        position: Some(Position {
            manifest: 0,
            line: n + 1,
            column: 7,
        }),
    }
}

#[test]
fn every_refusal_has_its_code_and_its_one_reason() {
    use ChangeError as C;
    use InjectError as I;
    let field = || "manifests[0].metadata.name".to_owned();
    let file = || "web.yaml".to_owned();
    let rows: [(InjectError, Code, &str, Option<&str>); 12] = [
        (
            I::Violations(vec![fault(0, 10)]),
            Code::InvalidArgument,
            "INVALID_MANIFEST",
            Some("manifests[0].documents[0].spec.containers[0].image"),
        ),
        (
            I::ForeignPod {
                pod: pod(),
                file: file(),
                field: field(),
            },
            Code::AlreadyExists,
            "FOREIGN_POD",
            Some("manifests[0].metadata.name"),
        ),
        (
            I::ForeignFile {
                pod: pod(),
                file: file(),
                field: field(),
            },
            Code::AlreadyExists,
            "FOREIGN_FILE",
            Some("manifests[0].metadata.name"),
        ),
        (
            I::OtherBundle {
                pod: pod(),
                owner: bundle(),
                field: field(),
            },
            Code::AlreadyExists,
            "POD_IN_OTHER_BUNDLE",
            Some("manifests[0].metadata.name"),
        ),
        (
            I::ImmutableObject {
                object: ObjectKey {
                    kind: ObjectKind::Secret,
                    namespace: "default".to_owned(),
                    name: "tls".to_owned(),
                },
                field: "manifests[0].documents[1]".to_owned(),
            },
            Code::FailedPrecondition,
            "IMMUTABLE_OBJECT",
            Some("manifests[0].documents[1]"),
        ),
        (
            I::StaleRevision {
                expected: 1,
                actual: 2,
            },
            Code::Aborted,
            "STALE_REVISION",
            None,
        ),
        (
            I::RequestIdReused { id: "x".to_owned() },
            Code::AlreadyExists,
            "REQUEST_ID_REUSED",
            Some("request_id"),
        ),
        (
            C::Busy {
                retry_after: Duration::from_millis(200),
            }
            .into(),
            Code::Unavailable,
            "BUSY",
            None,
        ),
        (
            C::ShuttingDown.into(),
            Code::Unavailable,
            "SHUTTING_DOWN",
            None,
        ),
        (
            C::DiskFull(Error::from_raw_os_error(28)).into(),
            Code::ResourceExhausted,
            "DISK_FULL",
            None,
        ),
        (
            C::Disk(Error::from_raw_os_error(30)).into(),
            Code::Internal,
            "STATE_DIRECTORY_FAILED",
            None,
        ),
        (
            C::StaticPodDirectory(Error::from_raw_os_error(13)).into(),
            Code::Internal,
            "STATIC_POD_DIRECTORY_FAILED",
            None,
        ),
    ];
    for (error, code, reason, field) in rows {
        let status = inject(&error, &bundle());
        assert_eq!(status.code(), code, "{error:?}");
        let infos = status
            .get_error_details_vec()
            .iter()
            .filter(|detail| matches!(detail, tonic_types::ErrorDetail::ErrorInfo(_)))
            .count();
        assert_eq!(infos, 1, "{error:?}");
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            (reason, "seedpod.dev")
        );
        let violated = details
            .bad_request()
            .map(|bad| bad.field_violations[0].field.as_str());
        assert_eq!(violated, field, "{error:?}");
        let retry = details.retry_info().and_then(|retry| retry.retry_delay);
        assert_eq!(retry.is_some(), code == Code::Unavailable, "{error:?}");
        assert!(
            field.is_none_or(|field| status.message().contains(field)),
            "{status:?}"
        );
    }
}

#[test]
fn the_retry_is_after_what_the_node_said() {
    let retry_after = Duration::from_millis(200);
    let status = inject(&ChangeError::Busy { retry_after }.into(), &bundle());
    assert_eq!(
        status.get_details_retry_info().unwrap().retry_delay,
        Some(retry_after)
    );
}

#[test]
fn a_refused_removal_names_the_bundle() {
    let status = remove(&RemoveError::NotFound { name: bundle() }, &bundle());
    assert_eq!(status.code(), Code::NotFound);
    let resource = status.get_details_resource_info().unwrap();
    assert_eq!(
        (
            resource.resource_type.as_str(),
            resource.resource_name.as_str()
        ),
        ("seedpod.dev/Bundle", "app")
    );
    let stale = RemoveError::StaleRevision {
        expected: 3,
        actual: 0,
    };
    let status = remove(&stale, &bundle());
    assert_eq!(status.code(), Code::Aborted);
    assert!(
        status.message().contains("there is no bundle app"),
        "{}",
        status.message()
    );
    assert_eq!(
        status.get_details_error_info().unwrap().metadata["actual_revision"],
        "0"
    );
    let status = remove(&ChangeError::ShuttingDown.into(), &bundle());
    assert_eq!(status.code(), Code::Unavailable);
}

#[test]
fn the_cause_of_a_disk_error_is_told() {
    let status = inject(
        &ChangeError::Disk(Error::from_raw_os_error(30)).into(),
        &bundle(),
    );
    assert!(
        status.message().contains("Read-only file system"),
        "{}",
        status.message()
    );
    assert!(
        status.message().contains("nothing has changed"),
        "{}",
        status.message()
    );
}

#[test]
fn a_violation_has_its_reason_and_its_place() {
    let status = violations(&[fault(4, 10), fault(5, 10)]);
    let first = &status.get_details_bad_request().unwrap().field_violations[0];
    assert_eq!(first.reason, "MISSING_FIELD");
    assert!(
        first.description.ends_with("(line 5, column 7)"),
        "{}",
        first.description
    );
    assert!(
        status
            .message()
            .starts_with("the manifests have 2 faults, the first at manifests[0]")
    );
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["first_reason"], "MISSING_FIELD");
    assert!(!info.metadata.contains_key("violations_left_out"));
}

/// What HTTP/2 counts of a status' trailers, and of what goes with them.
fn header_list(status: &Status) -> usize {
    let response = status.clone().into_http::<()>();
    let headers = response.headers().iter();
    let others = ":status200".len() + "date".len() + 29 + 2 * 32;
    headers
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum::<usize>()
        + others
}

#[test]
fn no_error_is_too_large_for_a_client_to_read() {
    for (count, length) in [
        (1, 10),
        (20, 100),
        (60, 100),
        (1000, 20),
        (300, 100_000),
        (1, 1 << 22),
    ] {
        let found: Vec<_> = (0..count).map(|n| fault(n, length)).collect();
        let status = violations(&found);
        let size = header_list(&status);
        assert!(size <= 8192, "{count} of {length}: {size}");
        let details = status.get_error_details();
        let told = details.bad_request().unwrap().field_violations.len();
        assert!(told >= count.min(5), "{count} of {length}: {told}");
        let metadata = &details.error_info().unwrap().metadata;
        if told < count {
            assert_eq!(metadata["violations"], count.to_string());
            assert_eq!(metadata["violations_left_out"], (count - told).to_string());
        }
    }
    let name = format!("{}x", "☃ %".repeat(500));
    let fault = Fault::field(Reason::InvalidBundleName, &name, name.clone())
        .meta("pod", &name)
        .resource("seedpod.dev/Pod", &name);
    let size = header_list(&fault.into());
    assert!(size <= 8192, "{size}");
}

#[test]
fn a_missing_name_is_told_otherwise_than_a_wrong_one() {
    let missing = Status::from(bundle_name("bundle", "").unwrap_err());
    assert!(
        missing.message().contains("is required"),
        "{}",
        missing.message()
    );
    let wrong = Status::from(bundle_name("name", "Web").unwrap_err());
    assert!(
        wrong
            .message()
            .starts_with("name: bundle name \"Web\" must be"),
        "{}",
        wrong.message()
    );
}
