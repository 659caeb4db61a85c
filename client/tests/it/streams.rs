//! Streams, and how they go on after what breaks them.

use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, TryStreamExt as _};
use seedpod_client::{
    Client, Code, Error, EventOptions, EventType, LogOptions, PodState, RetryPolicy,
};
use seedpod_proto::v1::{self, PodState as State};

use crate::fake::{
    Answer, Fake, Gone, Script, Step, after, always, change, each, gate, pod, refusal, watch, whole,
};

/// The default policy, only faster.
async fn client(fake: &Fake) -> Client {
    let policy = RetryPolicy::new(4, Duration::from_millis(1), Duration::from_millis(5));
    Client::connect(fake.options().retry(policy))
        .await
        .expect("a connection")
}

fn stopping() -> tonic::Status {
    refusal(Code::Unavailable, "SHUTTING_DOWN", "the daemon stops")
}

fn names(pods: &[seedpod_client::Pod]) -> Vec<(&str, PodState)> {
    pods.iter()
        .map(|pod| (pod.name.as_str(), pod.state))
        .collect()
}

#[tokio::test]
async fn a_watch_tells_the_whole_and_then_the_changes() {
    let (a, b) = (
        pod("a", "uid-a", State::Ready, ""),
        pod("b", "uid-b", State::Starting, ""),
    );
    let ready = pod("b", "uid-b", State::Ready, "");
    let fake = Fake::start(Script {
        watch_pods: watch(vec![
            whole(&[a.clone(), b]),
            change(&[ready]),
            Step::Send(v1::WatchPodsResponse {
                removed: vec![v1::PodReference {
                    bundle: a.bundle,
                    namespace: a.namespace,
                    name: a.name,
                }],
                ..Default::default()
            }),
        ]),
        ..Script::default()
    });
    let mut updates = client(&fake).await.watch_pods(Some("web"));
    let mut next = async || updates.next().await.expect("goes on").expect("no error");

    let first = next().await;
    assert_eq!(
        names(&first.pods),
        [("a", PodState::Ready), ("b", PodState::Starting)]
    );
    assert_eq!(first.changed, first.pods);
    let second = next().await;
    assert_eq!(
        names(&second.pods),
        [("a", PodState::Ready), ("b", PodState::Ready)]
    );
    assert_eq!(names(&second.changed), [("b", PodState::Ready)]);
    let third = next().await;
    assert_eq!(names(&third.pods), [("b", PodState::Ready)]);
    assert!(third.changed.is_empty());
    assert_eq!(third.removed[0].name, "a");
    assert_eq!(fake.script().pods_watched[0].bundle, "web");
}

#[tokio::test]
async fn a_watch_that_breaks_goes_on_and_tells_only_what_differs() {
    let read = gate();
    let (a, b, c) = (
        pod("a", "uid-a", State::Ready, ""),
        pod("b", "uid-b", State::Starting, ""),
        pod("c", "uid-c", State::Ready, ""),
    );
    let steps = vec![
        vec![
            whole(&[a.clone(), b.clone()]),
            Step::Gate(read.clone()),
            Step::Cut,
        ],
        vec![whole(&[a.clone(), b]), Step::Fail(stopping())],
        vec![whole(&[a, c]), Step::Stay(None)],
    ];
    let fake = Fake::start(Script {
        watch_pods: each(steps),
        ..Script::default()
    });
    let mut updates = client(&fake).await.watch_pods(None);
    let first = updates.next().await.expect("goes on").expect("no error");
    assert_eq!(first.pods.len(), 2);
    read.add_permits(1);
    let second = updates.next().await.expect("goes on").expect("no error");
    assert_eq!(
        names(&second.changed),
        [("c", PodState::Ready)],
        "the same whole again is no update"
    );
    assert_eq!(second.removed[0].name, "b");
    assert_eq!(fake.script().pods_watched.len(), 3);
}

#[tokio::test]
async fn a_watch_gives_up_when_the_node_stays_away() {
    let fake = Fake::start(Script {
        watch_pods: Some(Box::new(|_| Answer::Refuse(stopping()))),
        ..Script::default()
    });
    let mut updates = client(&fake).await.watch_pods(None);
    let error = updates.next().await.expect("an item").expect_err("no node");
    assert_eq!(error.reason(), Some("SHUTTING_DOWN"));
    assert!(updates.next().await.is_none(), "it is over");
    assert_eq!(
        fake.script().pods_watched.len(),
        5,
        "one call and four retries"
    );
}

#[tokio::test]
async fn a_stream_outlives_the_deadline_of_calls_and_ends_at_the_node_when_it_is_dropped() {
    let (later, gone) = (gate(), gate());
    let fake = Fake::start(Script {
        watch_pods: always(vec![
            whole(&[]),
            Step::Gate(later.clone()),
            change(&[pod("a", "uid-a", State::Ready, "")]),
            Step::Stay(Some(Gone(gone.clone()))),
        ]),
        ..Script::default()
    });
    let client = client(&fake).await;
    let mut updates = client
        .with_deadline(Duration::from_millis(200))
        .watch_pods(None);
    updates.next().await.expect("goes on").expect("no error");
    let silence = tokio::time::timeout(Duration::from_millis(500), updates.next()).await;
    assert!(silence.is_err(), "neither an item nor an end: {silence:?}");
    later.add_permits(1);
    updates.next().await.expect("goes on").expect("no error");
    drop(updates);
    tokio::time::timeout(Duration::from_secs(10), gone.acquire())
        .await
        .expect("the node hears of it")
        .expect("open")
        .forget();
}

fn event(sequence: u64) -> v1::Event {
    v1::Event {
        sequence,
        r#type: v1::EventType::PodReady.into(),
        bundle: "web".to_owned(),
        name: "a".to_owned(),
        message: format!("event {sequence}"),
        ..Default::default()
    }
}

fn events(sequences: std::ops::RangeInclusive<u64>) -> Step<v1::WatchEventsResponse> {
    Step::Send(v1::WatchEventsResponse {
        events: sequences.map(event).collect(),
    })
}

#[tokio::test]
async fn events_go_on_after_the_last_one_that_was_delivered() {
    let read = gate();
    let steps = vec![
        vec![
            events(1..=2),
            events(3..=3),
            Step::Gate(read.clone()),
            Step::Cut,
        ],
        vec![events(4..=5), Step::Fail(stopping())],
        vec![events(6..=6)],
        vec![events(7..=7), Step::Stay(None)],
    ];
    let fake = Fake::start(Script {
        events: each(steps),
        ..Script::default()
    });
    let mut seen = Vec::new();
    let mut stream = client(&fake)
        .await
        .watch_events(EventOptions::default().bundle("web"));
    while seen.len() < 7 {
        let event = stream.next().await.expect("goes on").expect("no error");
        assert_eq!(event.r#type, EventType::PodReady);
        seen.push(event.sequence);
        if event.sequence == 3 {
            read.add_permits(1);
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
    let script = fake.script();
    let after: Vec<_> = script
        .events_watched
        .iter()
        .map(|request| request.after_sequence)
        .collect();
    assert_eq!(after, [None, Some(3), Some(5), Some(6)]);
    assert!(
        script
            .events_watched
            .iter()
            .all(|request| request.bundle == "web" && !request.until_now)
    );
}

#[tokio::test]
async fn events_until_now_end() {
    let fake = Fake::start(Script {
        events: always(vec![events(8..=9)]),
        ..Script::default()
    });
    let options = EventOptions::default().after(7).until_now();
    let seen: Vec<_> = client(&fake)
        .await
        .watch_events(options)
        .try_collect()
        .await
        .expect("no error");
    assert_eq!(seen.len(), 2);
    let request = fake.script().events_watched[0].clone();
    assert_eq!((request.after_sequence, request.until_now), (Some(7), true));
}

#[tokio::test]
async fn events_that_are_gone_already_are_an_error_with_the_oldest_that_is_left() {
    use tonic_types::{ErrorDetails, StatusExt as _};
    let details = ErrorDetails::with_error_info(
        "EVENTS_GONE",
        "seedpod.dev",
        [("oldest_sequence".to_owned(), "40".to_owned())],
    );
    let gone = tonic::Status::with_error_details(Code::OutOfRange, "they are gone", details);
    let fake = Fake::start(Script {
        events: after(vec![Answer::Refuse(gone)], Vec::new()),
        ..Script::default()
    });
    let options = EventOptions::default().after(7);
    let mut stream = client(&fake).await.watch_events(options);
    let error = stream.next().await.expect("an item").expect_err("gone");
    assert_eq!(error.code(), Some(Code::OutOfRange));
    assert_eq!(error.oldest_sequence(), Some(40));
}

fn at(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

fn lines(lines: &[(i64, &str, &str)]) -> Step<v1::GetPodLogsResponse> {
    let lines = lines
        .iter()
        .map(|(seconds, container, text)| v1::LogLine {
            time: Some(at(*seconds)),
            container: (*container).to_owned(),
            stream: v1::log_line::Stream::Stdout.into(),
            text: (*text).to_owned(),
            ..Default::default()
        })
        .collect();
    Step::Send(v1::GetPodLogsResponse { lines })
}

#[tokio::test]
async fn a_log_goes_on_without_a_line_missed_or_doubled() {
    let read = gate();
    let steps = vec![
        vec![
            lines(&[(1, "a", "1"), (5, "a", "2"), (5, "a", "3")]),
            Step::Gate(read.clone()),
            Step::Cut,
        ],
        // From the time of the last line on: two of these are known, one has the same time and is not.
        vec![
            lines(&[(5, "a", "2"), (5, "a", "3"), (5, "a", "4"), (5, "b", "5")]),
            lines(&[(6, "a", "6")]),
        ],
    ];
    let fake = Fake::start(Script {
        logs: each(steps),
        ..Script::default()
    });
    let options = LogOptions::new("web").namespace("apps").tail_lines(3);
    let mut stream = client(&fake).await.follow_logs(options);
    let mut seen = Vec::new();
    while let Some(line) = stream.next().await {
        seen.push(line.expect("no error").text);
        if seen.len() == 3 {
            read.add_permits(1);
        }
    }
    assert_eq!(
        seen,
        ["1", "2", "3", "4", "5", "6"],
        "it ends when the pod is gone"
    );
    let asked = &fake.script().logs_asked;
    assert_eq!(
        (asked[0].tail_lines, asked[0].since_time, asked[0].follow),
        (Some(3), None, true)
    );
    assert_eq!(
        (asked[1].tail_lines, asked[1].since_time, asked[1].follow),
        (None, Some(at(5)), true)
    );
    assert_eq!(
        (asked[1].name.as_str(), asked[1].namespace.as_str()),
        ("web", "apps")
    );
}

#[tokio::test]
async fn a_log_that_was_empty_when_it_broke_loses_nothing() {
    let fake = Fake::start(Script {
        logs: each(vec![
            vec![Step::Fail(stopping())],
            vec![lines(&[(1, "a", "1"), (2, "a", "2")])],
        ]),
        ..Script::default()
    });
    let options = LogOptions::new("web").tail_lines(0).follow(true);
    let stream = client(&fake).await.get_pod_logs(options);
    let seen: Vec<_> = stream.try_collect().await.expect("no error");
    assert_eq!(seen.len(), 2);
    let asked = &fake.script().logs_asked;
    assert_eq!(asked[0].tail_lines, Some(0));
    assert_eq!(
        asked[1].tail_lines, None,
        "all that was written since, not the last 0 lines"
    );
    assert!(asked[1].since.is_some());
}

#[tokio::test]
async fn which_lines_are_wanted_reaches_the_node() {
    let fake = Fake::start(Script {
        logs: always(Vec::new()),
        ..Script::default()
    });
    let client = client(&fake).await;
    let since = SystemTime::UNIX_EPOCH + Duration::from_secs(90);
    for options in [
        LogOptions::new("a")
            .container("c")
            .previous(true)
            .since_time(since),
        LogOptions::new("a").since(Duration::from_secs(5)),
    ] {
        let lines: Vec<_> = client
            .get_pod_logs(options)
            .try_collect()
            .await
            .expect("no error");
        assert!(lines.is_empty());
    }
    let asked = &fake.script().logs_asked;
    assert_eq!(asked[0].container, "c");
    assert!(asked[0].previous && !asked[0].follow);
    assert_eq!(asked[0].since_time, Some(at(90)));
    assert_eq!(
        asked[1].since,
        Some(prost_types::Duration {
            seconds: 5,
            nanos: 0
        })
    );
}

#[tokio::test]
async fn a_log_of_nobody_is_an_error() {
    let fake = Fake::start(Script {
        logs: Some(Box::new(|_| {
            Answer::Refuse(refusal(
                Code::NotFound,
                "POD_NOT_FOUND",
                "there is no such pod",
            ))
        })),
        ..Script::default()
    });
    let mut stream = client(&fake).await.get_pod_logs(LogOptions::new("a"));
    let error = stream.next().await.expect("an item").expect_err("none");
    assert!(matches!(&error, Error::Server(_)), "{error:?}");
    assert_eq!(error.reason(), Some("POD_NOT_FOUND"));
}
