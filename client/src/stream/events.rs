//! Watching what happens.

use seedpod_proto::v1;
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use super::Call;
use crate::{Event, client::injection};

/// Which events to get. By default: all that are left, and each new one.
#[derive(Debug, Clone, Default)]
pub struct EventOptions {
    after: Option<u64>,
    bundle: String,
    until_now: bool,
}

impl EventOptions {
    /// Only events after this number; 0: from the very first.
    pub fn after(mut self, sequence: u64) -> Self {
        self.after = Some(sequence);
        self
    }

    /// Only events of this bundle.
    pub fn bundle(mut self, bundle: impl Into<String>) -> Self {
        self.bundle = bundle.into();
        self
    }

    /// End when all events that there are now were delivered.
    pub fn until_now(mut self) -> Self {
        self.until_now = true;
        self
    }
}

/// The call, with the last number that was delivered as `after`.
pub(crate) struct WatchEvents(EventOptions);

impl WatchEvents {
    pub(crate) fn new(options: EventOptions) -> Self {
        Self(options)
    }
}

impl Call for WatchEvents {
    type Request = v1::WatchEventsRequest;
    type Answer = v1::WatchEventsResponse;
    type Item = Event;

    const METHOD: &'static str = "WatchEvents";

    fn request(&mut self) -> Self::Request {
        v1::WatchEventsRequest {
            after_sequence: self.0.after,
            bundle: self.0.bundle.clone(),
            until_now: self.0.until_now,
        }
    }

    async fn open(
        channel: Channel,
        request: Request<Self::Request>,
    ) -> Result<Response<Streaming<Self::Answer>>, Status> {
        injection(channel).watch_events(request).await
    }

    fn take(&mut self, answer: Self::Answer) -> Vec<Event> {
        let events: Vec<Event> = answer.events.into_iter().map(Event::from).collect();
        if let Some(last) = events.last() {
            self.0.after = Some(last.sequence);
        }
        events
    }

    fn ends(&self) -> bool {
        self.0.until_now
    }
}
