use tonic_types::StatusExt as _;

use super::*;

fn request() -> GetPodLogsRequest {
    GetPodLogsRequest {
        name: "web".to_owned(),
        ..GetPodLogsRequest::default()
    }
}

/// The reason and the field of the fault.
fn refused(request: GetPodLogsRequest) -> (String, String) {
    let status = Status::from(parse(request, Timestamp::UNIX_EPOCH).expect_err("a fault"));
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let details = status.get_error_details();
    let field = &details.bad_request().expect("a field").field_violations[0];
    let reason = details.error_info().expect("a reason").reason.clone();
    (reason, field.field.clone())
}

#[test]
fn what_makes_no_sense_is_refused_with_the_field() {
    type Spoil = fn(&mut GetPodLogsRequest);
    let time = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
    let rows: [(Spoil, &str, &str); 7] = [
        (|r| r.name.clear(), "INVALID_POD_NAME", "name"),
        (
            |r| (r.follow, r.previous) = (true, true),
            "INVALID_LOG_OPTIONS",
            "previous",
        ),
        (
            |r| r.tail_lines = Some(-1),
            "INVALID_LOG_OPTIONS",
            "tail_lines",
        ),
        (
            |r| {
                r.since_time = Some(prost_types::Timestamp::default());
                r.since = Some(prost_types::Duration::default());
            },
            "INVALID_LOG_OPTIONS",
            "since",
        ),
        (
            |r| {
                r.since = Some(prost_types::Duration {
                    seconds: -1,
                    nanos: 0,
                });
            },
            "INVALID_LOG_OPTIONS",
            "since",
        ),
        (
            |r| {
                r.since = Some(prost_types::Duration {
                    seconds: 1,
                    nanos: -1,
                });
            },
            "INVALID_LOG_OPTIONS",
            "since",
        ),
        (
            |r| {
                r.since_time = Some(prost_types::Timestamp {
                    seconds: i64::MAX,
                    nanos: 0,
                });
            },
            "INVALID_LOG_OPTIONS",
            "since_time",
        ),
    ];
    for (spoil, reason, field) in rows {
        let mut spoiled = request();
        spoil(&mut spoiled);
        assert_eq!(refused(spoiled), (reason.to_owned(), field.to_owned()));
    }
    let mut odd = request();
    odd.since_time = time(0, -1);
    assert_eq!(refused(odd).1, "since_time");
}

#[test]
fn the_namespace_is_default_and_since_is_counted_from_now() {
    let mut given = request();
    given.since = Some(prost_types::Duration {
        seconds: 10,
        nanos: 500_000_000,
    });
    let now = Timestamp::from_second(100).expect("a time");
    let (pod, wanted) = parse(given, now).expect("a good request");
    assert_eq!(
        (pod.namespace.as_str(), pod.name.as_str()),
        ("default", "web")
    );
    let since = wanted.since.expect("a time").as_nanosecond();
    assert_eq!(since, 89_500_000_000);
    assert_eq!(wanted.container, None);
    // Longer than time itself.
    let mut long = request();
    long.since = Some(prost_types::Duration {
        seconds: i64::MAX,
        nanos: 0,
    });
    let (_, wanted) = parse(long, now).expect("a good request");
    assert_eq!(wanted.since, Some(Timestamp::MIN));
}

#[test]
fn all_containers_of_a_rendered_pod_are_named() {
    let rendered =
        r#"{"spec":{"initContainers":[{"name":"i"}],"containers":[{"name":"a"},{"name":"b"}]}}"#;
    assert_eq!(container_names(rendered), ["i", "a", "b"]);
}
