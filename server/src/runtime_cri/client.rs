//! The calls to the runtime.

mod act;
mod cluster;
mod images;
mod processes;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::stream::BoxStream;
use seedpod_proto::cri::{
    ContainerStatusRequest, ListContainersRequest, ListPodSandboxRequest, PodSandboxStatusRequest,
    VersionRequest, image_service_client::ImageServiceClient,
    runtime_service_client::RuntimeServiceClient,
};
use tokio::time::timeout;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint},
};

use super::{
    ContainerDetails, Executed, Listing, Runtime, RuntimeError, RuntimeVersion, Sandbox, Traits,
    join,
};

/// How long the runtime may take for a question. A healthy one answers within milliseconds.
const QUESTION: Duration = Duration::from_secs(2);

/// The largest answer. The kubelet's own limit, so that what it can list we can.
const MAX_ANSWER: usize = 16 << 20;

/// A client of the runtime behind one socket. Cheap to clone.
///
/// It connects with the first call and again after the runtime restarted, so the socket need not be there when this
/// is made. Each call has a deadline: a runtime that is away or hangs gives an error, never a wait without end.
#[derive(Debug, Clone)]
pub(crate) struct CriRuntime {
    endpoint: Arc<str>,
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
}

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "containerRuntimeEndpoint {0:?} must be a Unix socket with an absolute path, as in \
     unix:///run/containerd/containerd.sock"
)]
pub(crate) struct EndpointError(String);

impl CriRuntime {
    /// A client of the runtime at `endpoint`: `unix:///run/containerd/containerd.sock` or only the path.
    ///
    /// Must be called inside a tokio runtime. Does not connect yet.
    ///
    /// # Errors
    /// When the endpoint is not a Unix socket with an absolute path.
    pub(crate) fn new(endpoint: &str) -> Result<Self, EndpointError> {
        let invalid = || EndpointError(endpoint.to_owned());
        let path = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
        if !path.starts_with('/') {
            return Err(invalid());
        }
        let endpoint: Arc<str> = format!("unix://{path}").into();
        let channel = Endpoint::from_shared(endpoint.to_string())
            .map_err(|_| invalid())?
            .connect_timeout(QUESTION)
            .connect_lazy();
        Ok(Self {
            endpoint,
            runtime: RuntimeServiceClient::new(channel.clone())
                .max_decoding_message_size(MAX_ANSWER),
            images: ImageServiceClient::new(channel),
        })
    }

    /// The endpoint, as in `unix:///run/containerd/containerd.sock`.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The runtime's name and version.
    pub(crate) async fn version(&self) -> Result<RuntimeVersion, RuntimeError> {
        let mut client = self.runtime.clone();
        let request = VersionRequest {
            version: "v1".to_owned(),
        };
        let answer = ask("Version", QUESTION, request, |request| {
            client.version(request)
        })
        .await?;
        Ok(RuntimeVersion {
            name: answer.runtime_name,
            version: answer.runtime_version,
        })
    }
}

impl Runtime for CriRuntime {
    async fn sandboxes(&self) -> Result<Vec<Sandbox>, RuntimeError> {
        Ok(self.listing().await?.sandboxes)
    }

    async fn listing(&self) -> Result<Listing, RuntimeError> {
        let (mut pods, mut containers) = (self.runtime.clone(), self.runtime.clone());
        let (pods, containers) = tokio::try_join!(
            ask(
                "ListPodSandbox",
                QUESTION,
                ListPodSandboxRequest::default(),
                |request| { pods.list_pod_sandbox(request) }
            ),
            ask(
                "ListContainers",
                QUESTION,
                ListContainersRequest::default(),
                |request| { containers.list_containers(request) }
            ),
        )?;
        Ok(join::listing(pods.items, containers.containers))
    }

    async fn sandbox_ips(&self, id: &str) -> Result<Vec<String>, RuntimeError> {
        let mut client = self.runtime.clone();
        let request = PodSandboxStatusRequest {
            pod_sandbox_id: id.to_owned(),
            verbose: false,
        };
        let answer = ask("PodSandboxStatus", QUESTION, request, |request| {
            client.pod_sandbox_status(request)
        })
        .await?;
        let network = answer
            .status
            .and_then(|status| status.network)
            .unwrap_or_default();
        Ok(std::iter::once(network.ip)
            .chain(network.additional_ips.into_iter().map(|ip| ip.ip))
            .filter(|ip| !ip.is_empty())
            .collect())
    }

    async fn container_status(&self, id: &str) -> Result<ContainerDetails, RuntimeError> {
        let mut client = self.runtime.clone();
        let request = ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: false,
        };
        let answer = ask("ContainerStatus", QUESTION, request, |request| {
            client.container_status(request)
        })
        .await?;
        let status = answer.status.unwrap_or_default();
        Ok(ContainerDetails {
            exit_code: status.exit_code,
            reason: status.reason,
            message: status.message,
            started_at: (status.started_at > 0).then(|| join::timestamp(status.started_at)),
            finished_at: (status.finished_at > 0).then(|| join::timestamp(status.finished_at)),
            image_id: if status.image_id.is_empty() {
                status.image_ref
            } else {
                status.image_id
            },
            log_path: status.log_path,
        })
    }

    async fn processes_of(&self, uid: &str) -> Result<BTreeSet<u32>, RuntimeError> {
        self.processes_of_pod(uid).await
    }

    async fn stop(&self, sandbox: &Sandbox, grace: Duration) -> Result<(), RuntimeError> {
        self.stop_all(sandbox, grace).await
    }

    async fn remove(&self, sandbox: &Sandbox) -> Result<(), RuntimeError> {
        self.remove_sandbox(sandbox).await
    }

    async fn traits(&self, sandbox: &Sandbox) -> Result<Traits, RuntimeError> {
        self.traits_of(sandbox).await
    }

    async fn exec(
        &self,
        container: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<Executed, RuntimeError> {
        self.exec_sync(container, command, limit).await
    }

    async fn events(&self) -> Result<BoxStream<'static, ()>, RuntimeError> {
        Ok(self.container_events())
    }
}

/// Makes one call, with a deadline that holds for connecting too and that the runtime is told of.
async fn ask<Q, A, F>(
    operation: &'static str,
    limit: Duration,
    request: Q,
    call: impl FnOnce(Request<Q>) -> F,
) -> Result<A, RuntimeError>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let mut request = Request::new(request);
    request.set_timeout(limit);
    match timeout(limit, call(request)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(RuntimeError {
            operation,
            source: status.into(),
        }),
        Err(_) => Err(RuntimeError {
            operation,
            source: format!("no answer within {} s", limit.as_secs()).into(),
        }),
    }
}

#[cfg(test)]
mod tests;
