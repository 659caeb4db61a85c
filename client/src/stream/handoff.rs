//! Watching the handoff.

use seedpod_proto::v1;
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use super::Call;
use crate::{Handoff, client::handoff_service};

/// The call, with the handoff as it was delivered last.
#[derive(Default)]
pub(crate) struct WatchHandoff {
    last: Option<Handoff>,
}

impl Call for WatchHandoff {
    type Request = v1::WatchHandoffRequest;
    type Answer = v1::WatchHandoffResponse;
    type Item = Handoff;

    const METHOD: &'static str = "WatchHandoff";

    fn request(&mut self) -> Self::Request {
        v1::WatchHandoffRequest {}
    }

    async fn open(
        channel: Channel,
        request: Request<Self::Request>,
    ) -> Result<Response<Streaming<Self::Answer>>, Status> {
        handoff_service(channel).watch_handoff(request).await
    }

    fn take(&mut self, answer: Self::Answer) -> Vec<Handoff> {
        let Some(handoff) = answer.handoff.map(Handoff::from) else {
            return Vec::new();
        };
        // After a reconnection it comes again.
        if self.last.as_ref() == Some(&handoff) {
            return Vec::new();
        }
        self.last = Some(handoff.clone());
        vec![handoff]
    }

    fn ends(&self) -> bool {
        false
    }
}
