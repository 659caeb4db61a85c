//! Applying objects to the cluster.

use futures_util::{Stream, TryStreamExt as _, stream};
use seedpod_proto::v1::handoff_service_client::HandoffServiceClient;
use tonic::{Request, Streaming};

use super::{Client, MAX_ANSWER};
use crate::{AppliedObject, ApplyObjects, Error};

const METHOD: &str = "ApplyObjects";

impl Client {
    /// Has the node apply objects to its cluster, and tells of each object when it is applied, and what it waits for
    /// when it must wait. The stream ends when all are applied, or with the first error.
    ///
    /// # Guarantees
    /// The request can be made again at any time, whatever became of it: what is applied already is left as it is. The
    /// stream does not do that by itself, since the node tries for as long as the [request](ApplyObjects::timeout) says.
    /// The deadline of calls does not hold for it.
    ///
    /// # Errors
    /// Those of [`Error`]; [`Code::Aborted`](crate::Code::Aborted) when another field manager has a field,
    /// [`Code::PermissionDenied`](crate::Code::PermissionDenied) when the kubeconfig's credentials do not suffice,
    /// [`Code::Unavailable`](crate::Code::Unavailable) when the time was up.
    ///
    /// # Cancel safety
    /// Dropping the stream ends the call; what was applied stays.
    pub fn apply_objects(
        &self,
        request: &ApplyObjects,
    ) -> impl Stream<Item = Result<AppliedObject, Error>> + Send + Unpin + use<> {
        let client = self.clone();
        let message = request.to_message();
        let opened = async move {
            let mut service = HandoffServiceClient::new(client.channel.clone())
                .max_decoding_message_size(MAX_ANSWER);
            let call = service.apply_objects(Request::new(message));
            let deadline = client.settings.deadline;
            let answers: Streaming<_> = match tokio::time::timeout(deadline, call).await {
                Ok(Ok(response)) => response.into_inner(),
                Ok(Err(status)) => return Err(client.broken_stream(&status, METHOD)),
                Err(_) => {
                    return Err(Error::Deadline {
                        method: METHOD,
                        after: deadline,
                    });
                }
            };
            Ok(answers
                .map_ok(AppliedObject::from)
                .map_err(move |status| client.broken_stream(&status, METHOD)))
        };
        Box::pin(stream::once(opened).try_flatten())
    }
}
