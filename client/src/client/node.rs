//! The calls about a node as a whole.

use seedpod_proto::v1::{self, node_service_client::NodeServiceClient};
use tonic::transport::Channel;

use super::{Client, MAX_ANSWER};
use crate::{
    CheckNode, ConfigureKubelet, ConfiguredKubelet, Error, Node, NodeCheck, ResetDone, ResetNode,
    retry::Repeat,
};

impl Client {
    /// The node and the daemon on it. Answers also when something is wrong, and says what.
    ///
    /// # Errors
    /// Those of [`Error`].
    pub async fn get_node(&self) -> Result<Node, Error> {
        self.call(
            "GetNode",
            Repeat::Safe,
            v1::GetNodeRequest {},
            |channel, request| async move { service(channel).get_node(request).await },
        )
        .await
        .map(Node::from)
    }

    /// Looks at what a control plane needs on the node: ports, images, disk space, the clock, cgroups. Changes nothing,
    /// and answers whatever it finds.
    ///
    /// # Errors
    /// Those of [`Error`].
    pub async fn check_node(&self, request: &CheckNode) -> Result<NodeCheck, Error> {
        self.call(
            "CheckNode",
            Repeat::Safe,
            request.to_message(),
            |channel, request| async move { service(channel).check_node(request).await },
        )
        .await
        .map(NodeCheck::from)
    }

    /// Gives the kubelet what it needs to join a cluster, or takes it away, and restarts it when something has changed.
    /// Doing the same again changes nothing. Needs the role `seedpod:admin`.
    ///
    /// # Errors
    /// Those of [`Error`]; [`Code::FailedPrecondition`](crate::Code::FailedPrecondition) when the daemon is not
    /// configured for it.
    pub async fn configure_kubelet(
        &self,
        request: &ConfigureKubelet,
    ) -> Result<ConfiguredKubelet, Error> {
        self.call(
            "ConfigureKubelet",
            Repeat::Safe,
            request.to_message(),
            |channel, request| async move { service(channel).configure_kubelet(request).await },
        )
        .await
        .map(ConfiguredKubelet::from)
    }

    /// Takes back what installing a control plane has done: the handoff, bundles with their history, the kubelet's files,
    /// directories. Called again after a failure, it goes on. Needs the role `seedpod:admin`.
    ///
    /// The deadline of this call is what the request says may be waited for pods and a minute more, not that of the
    /// client.
    ///
    /// # Errors
    /// Those of [`Error`].
    pub async fn reset_node(&self, request: &ResetNode) -> Result<ResetDone, Error> {
        self.with_deadline(request.patience())
            .call(
                "ResetNode",
                Repeat::Safe,
                request.to_message(),
                |channel, request| async move { service(channel).reset_node(request).await },
            )
            .await
            .map(ResetDone::from)
    }
}

fn service(channel: Channel) -> NodeServiceClient<Channel> {
    NodeServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER)
}
