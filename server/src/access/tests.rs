mod ending;
mod handshakes;
mod reloading;
mod requests;
mod sockets;

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose};
use seedpod_proto::v1::{
    CheckNodeRequest, CheckNodeResponse, ConfigureKubeletRequest, ConfigureKubeletResponse,
    GetNodeRequest, Node, ResetNodeRequest, ResetNodeResponse,
    node_service_client::NodeServiceClient,
    node_service_server::{NodeService, NodeServiceServer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, service::Routes, transport::Channel};
use tonic_types::StatusExt;

use super::{
    handshake::{Handshakes, Outcome},
    listen::ListenError,
    serve::ServeError,
    testing::*,
    *,
};
use crate::{config::Configuration, metrics::Metrics};

/// Answers with what it knows of the client; hangs when it is told to.
#[derive(Clone, Default)]
struct TestNode {
    /// Resolves once for each call that hangs.
    hanging: Arc<Notify>,
    /// Lets the calls that hang go on.
    release: Arc<Notify>,
}

#[tonic::async_trait]
impl NodeService for TestNode {
    async fn get_node(&self, request: Request<GetNodeRequest>) -> Result<Response<Node>, Status> {
        let identity = request.extensions().get::<Identity>().unwrap().clone();
        if request.metadata().contains_key("hang") {
            self.hanging.notify_one();
            self.release.notified().await;
        }
        Ok(Response::new(Node {
            name: format!("{} {}", identity.name, identity.roles_text()),
            static_pod_path: identity.peer.to_string(),
            state_directory: identity.serial.unwrap_or_default(),
            ..Node::default()
        }))
    }

    async fn check_node(
        &self,
        _: Request<CheckNodeRequest>,
    ) -> Result<Response<CheckNodeResponse>, Status> {
        Err(Status::unimplemented("not called"))
    }

    async fn configure_kubelet(
        &self,
        _: Request<ConfigureKubeletRequest>,
    ) -> Result<Response<ConfigureKubeletResponse>, Status> {
        Err(Status::unimplemented("not called"))
    }

    async fn reset_node(
        &self,
        _: Request<ResetNodeRequest>,
    ) -> Result<Response<ResetNodeResponse>, Status> {
        Err(Status::unimplemented("not called"))
    }
}

struct Server {
    address: std::net::SocketAddr,
    service: TestNode,
    metrics: Metrics,
    stop: CancellationToken,
    served: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    async fn start(configuration: &Configuration) -> Self {
        let listeners = Listeners::bind(configuration).await.unwrap();
        let address = listeners.address();
        let (service, metrics, stop) = (
            TestNode::default(),
            Metrics::default(),
            CancellationToken::new(),
        );
        let served = tokio::spawn({
            let routes = Routes::new(NodeServiceServer::new(service.clone()));
            let (limits, metrics, stop) =
                (configuration.limits.clone(), metrics.clone(), stop.clone());
            async move { serve(listeners, routes, &limits, &metrics, stop).await }
        });
        Self {
            address,
            service,
            metrics,
            stop,
            served,
        }
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.served)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

async fn get_node(channel: &Channel) -> Result<Node, Status> {
    Ok(NodeServiceClient::new(channel.clone())
        .get_node(GetNodeRequest {})
        .await?
        .into_inner())
}

/// A call that hangs in the service.
fn hang(channel: &Channel) -> JoinHandle<Result<Response<Node>, Status>> {
    let mut client = NodeServiceClient::new(channel.clone());
    tokio::spawn(async move {
        let mut request = Request::new(GetNodeRequest {});
        request.metadata_mut().insert("hang", "1".parse().unwrap());
        client.get_node(request).await
    })
}
