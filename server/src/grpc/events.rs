//! `WatchEvents`.

use std::sync::Arc;

use futures_util::StreamExt as _;
use seedpod_manifest::BundleName;
use seedpod_proto::v1::{self, EventType, WatchEventsRequest, WatchEventsResponse};
use tonic::Status;

use super::{Api, convert, injection::Answers, status};
use crate::events::{Event, EventKind, From};

impl Api {
    pub(super) async fn watch_events(
        &self,
        request: WatchEventsRequest,
    ) -> Result<Answers<WatchEventsResponse>, Status> {
        let only = match request.bundle.as_str() {
            "" => None,
            name => Some(status::bundle_name("bundle", name)?),
        };
        let from = request.after_sequence.map_or(From::Oldest, From::After);
        let events = self
            .handle
            .event_log()
            .watch(from, request.until_now)
            .await
            .map_err(|error| status::watch_events(&error))?;
        let answers = events.filter_map(move |events| {
            let answer = match events {
                Ok(events) => chosen(&events, only.as_ref()).map(Ok),
                Err(error) => Some(Err(status::watch_events(&error))),
            };
            std::future::ready(answer)
        });
        Ok(answers.boxed())
    }
}

/// An answer with those that are of this bundle, if there are any.
fn chosen(events: &[Arc<Event>], only: Option<&BundleName>) -> Option<WatchEventsResponse> {
    let is_wanted = |event: &&Arc<Event>| only.is_none() || event.what.bundle.as_ref() == only;
    let events: Vec<_> = events
        .iter()
        .filter(is_wanted)
        .map(|event| message(event))
        .collect();
    (!events.is_empty()).then_some(WatchEventsResponse { events })
}

fn message(event: &Event) -> v1::Event {
    let what = &event.what;
    let pod = what.pod.as_ref();
    v1::Event {
        sequence: event.sequence,
        time: Some(convert::timestamp(event.time)),
        r#type: event_type(what.kind).into(),
        bundle: what
            .bundle
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        revision: what.revision,
        namespace: pod.map(|pod| pod.namespace.clone()).unwrap_or_default(),
        name: pod.map(|pod| pod.name.clone()).unwrap_or_default(),
        message: what.message.clone(),
        client: what.client.clone(),
    }
}

fn event_type(kind: EventKind) -> EventType {
    match kind {
        EventKind::Injected => EventType::Injected,
        EventKind::Removed => EventType::Removed,
        EventKind::RolledBack => EventType::RolledBack,
        EventKind::Confirmed => EventType::Confirmed,
        EventKind::TrialFailed => EventType::TrialFailed,
        EventKind::PodProjected => EventType::PodProjected,
        EventKind::PodStarted => EventType::PodStarted,
        EventKind::PodReady => EventType::PodReady,
        EventKind::PodNotReady => EventType::PodNotReady,
        EventKind::PodFailed => EventType::PodFailed,
        EventKind::PodRefused => EventType::PodRefused,
        EventKind::PodStopped => EventType::PodStopped,
        EventKind::Drift => EventType::Drift,
        EventKind::Repaired => EventType::Repaired,
        EventKind::WaveTimedOut => EventType::WaveTimedOut,
        EventKind::BundleReady => EventType::BundleReady,
        EventKind::KubeletRestarted => EventType::KubeletRestarted,
        EventKind::PodStoppedOverCri => EventType::PodStoppedOverCri,
        EventKind::EventsLost => EventType::EventsLost,
        EventKind::HandoffStarted => EventType::HandoffStarted,
        EventKind::HandoffProgressed => EventType::HandoffProgressed,
        EventKind::HandedOver => EventType::HandedOver,
        EventKind::HandoffFailed => EventType::HandoffFailed,
        EventKind::HandedBack => EventType::HandedBack,
        EventKind::StandbyStarted => EventType::StandbyStarted,
        EventKind::StandbyStopped => EventType::StandbyStopped,
        EventKind::KubeletConfigured => EventType::KubeletConfigured,
    }
}
