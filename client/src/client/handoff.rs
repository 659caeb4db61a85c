//! The calls about handing over to a self-hosted control plane.

use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use seedpod_proto::v1::{self, handoff_service_client::HandoffServiceClient};
use tonic::{Status, transport::Channel};

use super::{Client, MAX_ANSWER, Settings};
use crate::{AppliedObject, ApplyObjects, Error, Handoff, StartHandoff, retry::Repeat};

impl Client {
    /// Applies objects to the cluster through the node, and tells what has become of each.
    pub fn apply_objects(
        &self,
        request: &ApplyObjects,
    ) -> impl Stream<Item = Result<AppliedObject, Error>> + Send + Unpin + use<> {
        let client = self.clone();
        let message = request.to_message();
        let open = async move {
            let opened = service(client.channel.clone()).apply_objects(message).await;
            let stream = opened.map_err(|status| client.failure("ApplyObjects", &status))?;
            let stream = stream.into_inner().map(move |answer| {
                answer
                    .map(AppliedObject::from)
                    .map_err(|status| client.failure("ApplyObjects", &status))
            });
            Ok::<_, Error>(stream)
        };
        Box::pin(stream::once(open).try_flatten())
    }

    /// Begins a handoff.
    pub async fn start_handoff(&self, request: &StartHandoff) -> Result<Handoff, Error> {
        self.call(
            "StartHandoff",
            Repeat::Safe,
            request.to_message(),
            |channel, request| async move { service(channel).start_handoff(request).await },
        )
        .await
        .map(Handoff::from)
    }

    /// The node's handoff.
    pub async fn get_handoff(&self) -> Result<Handoff, Error> {
        self.call(
            "GetHandoff",
            Repeat::Safe,
            v1::GetHandoffRequest {},
            |channel, request| async move { service(channel).get_handoff(request).await },
        )
        .await
        .map(Handoff::from)
    }

    /// The node's handoff, now and whenever it has changed.
    pub fn watch_handoff(
        &self,
    ) -> impl Stream<Item = Result<Handoff, Error>> + Send + Unpin + use<> {
        let client = self.clone();
        let open = async move {
            let opened = service(client.channel.clone())
                .watch_handoff(v1::WatchHandoffRequest {})
                .await;
            let stream = opened.map_err(|status| client.failure("WatchHandoff", &status))?;
            let stream = stream.into_inner().map(move |answer| {
                answer
                    .map(|answer| Handoff::from(answer.handoff.unwrap_or_default()))
                    .map_err(|status| client.failure("WatchHandoff", &status))
            });
            Ok::<_, Error>(stream)
        };
        Box::pin(stream::once(open).try_flatten())
    }

    fn failure(&self, method: &'static str, status: &Status) -> Error {
        let Settings {
            endpoint, deadline, ..
        } = &*self.settings;
        Error::from_status(status, method, endpoint, *deadline, &self.alert)
    }
}

fn service(channel: Channel) -> HandoffServiceClient<Channel> {
    HandoffServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER)
}
