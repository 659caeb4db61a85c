//! `WatchEvents`.

use futures_util::StreamExt as _;
use seedpod_proto::v1::{Event, EventType, WatchEventsRequest};

use super::*;
use crate::events::{EventKind, NewEvent};

const PATIENCE: Duration = Duration::from_secs(20);

/// All events that there are now.
async fn all(bench: &Bench, request: WatchEventsRequest) -> Result<Vec<Event>, Status> {
    let request = WatchEventsRequest {
        until_now: true,
        ..request
    };
    let mut stream = bench.pods().watch_events(request).await?.into_inner();
    let mut events = Vec::new();
    while let Some(answer) = stream.message().await? {
        assert!(!answer.events.is_empty());
        events.extend(answer.events);
    }
    Ok(events)
}

/// Waits until so many events have been written.
async fn wait_for(bench: &Bench, count: usize) -> Vec<Event> {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let events = all(bench, WatchEventsRequest::default()).await.unwrap();
            if events.len() >= count {
                return events;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("in time")
}

fn record(bench: &Bench, bundle: &str, message: &str) {
    let bundle = bundle.parse().expect("a valid name");
    let event = NewEvent::of_bundle(EventKind::BundleReady, &bundle, 4, message);
    bench.handle.events().record(event.by("somebody"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_sent_as_they_were_recorded_from_any_number_on_and_of_one_bundle() {
    let bench = Bench::new();
    for (bundle, message) in [("a", "one"), ("b", "two"), ("a", "three")] {
        record(&bench, bundle, message);
    }
    let events = wait_for(&bench, 3).await;
    let mut second = events[1].clone();
    assert!(second.time.take().is_some());
    assert_eq!(
        second,
        Event {
            sequence: 2,
            r#type: EventType::BundleReady.into(),
            bundle: "b".into(),
            revision: 4,
            message: "two".into(),
            client: "somebody".into(),
            ..Event::default()
        }
    );
    let numbers = async |request| {
        let events = all(&bench, request).await;
        events.map(|all| all.iter().map(|event| event.sequence).collect::<Vec<_>>())
    };
    let after = |after| WatchEventsRequest {
        after_sequence: Some(after),
        ..WatchEventsRequest::default()
    };
    assert_eq!(numbers(after(0)).await.unwrap(), [1, 2, 3]);
    assert_eq!(numbers(after(2)).await.unwrap(), [3]);
    assert!(numbers(after(3)).await.unwrap().is_empty());
    let of_a = WatchEventsRequest {
        bundle: "a".into(),
        ..after(0)
    };
    assert_eq!(numbers(of_a).await.unwrap(), [1, 3]);

    let error = numbers(after(4)).await.unwrap_err();
    assert_eq!(
        (error.code(), reason(&error).as_str()),
        (Code::OutOfRange, "SEQUENCE_NOT_REACHED")
    );
    let bad = WatchEventsRequest {
        bundle: "A b".into(),
        ..after(0)
    };
    assert_eq!(
        reason(&numbers(bad).await.unwrap_err()),
        "INVALID_BUNDLE_NAME"
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_gone_are_said_to_be_with_the_oldest_one_left() {
    let bench = Bench::with_rules(Rules {
        max_events: 100,
        ..Rules::default()
    });
    for number in 0..3000 {
        record(&bench, "a", &format!("event {number}"));
    }
    let gone = WatchEventsRequest {
        after_sequence: Some(0),
        ..WatchEventsRequest::default()
    };
    let error = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Err(error) = all(&bench, gone.clone()).await {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let error = error.await.expect("in time");
    assert_eq!(error.code(), Code::OutOfRange);
    let info = error.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.reason, "EVENTS_GONE");
    let oldest: u64 = info.metadata["oldest_sequence"].parse().expect("a number");
    assert!((2..=2900).contains(&oldest), "{oldest}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_injection_that_is_projected_drifts_and_is_repaired_leaves_its_events() {
    let bench = Bench::new();
    let mut stream = bench
        .pods()
        .watch_events(WatchEventsRequest::default())
        .await
        .unwrap()
        .into_inner();
    bench.inject("app", &["web"]).await;
    let mut seen: Vec<Event> = Vec::new();
    let mut changed = false;
    while !seen
        .iter()
        .any(|event| event.r#type() == EventType::Repaired)
    {
        let answer = tokio::time::timeout(PATIENCE, stream.next()).await;
        let answer = answer.expect("in time").expect("no end").unwrap();
        seen.extend(answer.events);
        let projected = |event: &Event| event.r#type() == EventType::PodProjected;
        if !changed && seen.iter().any(projected) {
            changed = true;
            let file = bench
                .folder
                .path()
                .join("manifests/seedpod_default_web.json");
            crate::access::testing::write(&file, "{}");
        }
    }
    let of_projection: Vec<_> = seen
        .iter()
        .filter(|event| !event.name.is_empty())
        .map(|event| {
            (
                event.r#type(),
                event.bundle.as_str(),
                event.revision,
                event.name.as_str(),
            )
        })
        .collect();
    assert_eq!(
        of_projection,
        [
            (EventType::PodProjected, "app", 1, "web"),
            (EventType::Drift, "app", 1, "web"),
            (EventType::Repaired, "app", 1, "web"),
        ]
    );
    drop(stream);
    bench.end().await;
}
