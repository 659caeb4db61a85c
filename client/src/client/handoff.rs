//! The calls about handing over to a self-hosted control plane.

use seedpod_proto::v1::{self, handoff_service_client::HandoffServiceClient};
use tonic::transport::Channel;

use super::{Client, MAX_ANSWER};
use crate::{Error, Handoff, StartHandoff, retry::Repeat};

impl Client {
    /// Begins a handoff: from the injected control plane to the self-hosted one. The answer comes when that is durable
    /// on the node, which goes on without this client; [`Self::watch_handoff`] tells how. With
    /// [`validate_only`](StartHandoff::validate_only) nothing begins.
    ///
    /// # Guarantees
    /// Those of [`Self::inject`]: with the same request id it begins once, however often it is sent.
    ///
    /// # Errors
    /// Those of [`Error`]; [`Code::FailedPrecondition`](crate::Code::FailedPrecondition) when the bundle is not ready, is on
    /// trial or is handed over already, [`Code::AlreadyExists`](crate::Code::AlreadyExists) when a handoff is under way.
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
    ///
    /// # Errors
    /// Those of [`Error`]; [`Code::NotFound`](crate::Code::NotFound) when there was none.
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

    /// Has the handoff that is under way take its way back; with an id, only this one. The answer comes when that is
    /// durable; the injected pods are back when the state is
    /// [`Reverted`](crate::HandoffState::Reverted). Aborting one that goes back or was handed back does nothing.
    ///
    /// # Errors
    /// Those of [`Error`]; [`Code::NotFound`](crate::Code::NotFound) when there is no such handoff,
    /// [`Code::FailedPrecondition`](crate::Code::FailedPrecondition) when it is committed.
    pub async fn abort_handoff(&self, id: Option<&str>) -> Result<Handoff, Error> {
        let message = v1::AbortHandoffRequest {
            id: id.unwrap_or_default().to_owned(),
        };
        self.call(
            "AbortHandoff",
            Repeat::Safe,
            message,
            |channel, request| async move { service(channel).abort_handoff(request).await },
        )
        .await
        .map(Handoff::from)
    }
}

pub(crate) fn service(channel: Channel) -> HandoffServiceClient<Channel> {
    HandoffServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER)
}
