//! What the container runtime and the kubelet say over gRPC, asked without Seedpod.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use seedpod_proto::cri::runtime_service_client::RuntimeServiceClient;
use seedpod_proto::cri::{
    ContainerFilter, ContainerState, ContainerStateValue, ListContainersRequest,
    ListPodSandboxRequest, PodSandboxFilter, RemovePodSandboxRequest, StopContainerRequest,
    StopPodSandboxRequest,
};
use seedpod_proto::kubelet::ListPodsRequest;
use seedpod_proto::kubelet::pods_client::PodsClient;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

/// The label of each sandbox and container that holds its pod's uid.
const UID_LABEL: &str = "io.kubernetes.pod.uid";
/// The longest that one call may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A blocking client of a container runtime, such as `crictl` is one.
#[derive(Debug)]
pub struct Cri {
    runtime: Runtime,
    client: RuntimeServiceClient<Channel>,
}

impl Cri {
    /// A client of the runtime behind a socket. It connects with the first call.
    ///
    /// # Errors
    /// Fails when the path can't be used.
    pub fn new(socket: &Path) -> Result<Self> {
        let (runtime, channel) = connect(socket)?;
        let client = RuntimeServiceClient::new(channel);
        Ok(Self { runtime, client })
    }

    /// The ids of the running containers of a pod.
    ///
    /// # Errors
    /// Fails when the runtime does not answer.
    pub fn running_containers(&self, uid: &str) -> Result<Vec<String>> {
        let filter = ContainerFilter {
            state: Some(ContainerStateValue {
                state: ContainerState::ContainerRunning.into(),
            }),
            label_selector: [(UID_LABEL.to_owned(), uid.to_owned())].into(),
            ..ContainerFilter::default()
        };
        let request = ListContainersRequest {
            filter: Some(filter),
        };
        let mut client = self.client.clone();
        let answer = self.runtime.block_on(client.list_containers(request));
        let containers = answer
            .context("list the containers")?
            .into_inner()
            .containers;
        Ok(containers.into_iter().map(|it| it.id).collect())
    }

    /// Stops all containers of a pod, each with a grace period, and then its sandboxes, as the kubelet does.
    ///
    /// # Errors
    /// Fails when the runtime refuses.
    pub fn stop_pod(&self, uid: &str, grace: Duration) -> Result<()> {
        for container_id in self.running_containers(uid)? {
            let request = StopContainerRequest {
                container_id,
                timeout: i64::try_from(grace.as_secs())?,
            };
            let mut client = self.client.clone();
            self.runtime
                .block_on(client.stop_container(request))
                .context("stop a container")?;
        }
        self.stop_sandboxes(uid)
    }

    /// Stops the sandboxes of a pod, and with them, without any grace, its containers.
    ///
    /// # Errors
    /// Fails when the runtime refuses.
    pub fn stop_sandboxes(&self, uid: &str) -> Result<()> {
        for pod_sandbox_id in self.sandboxes(uid)? {
            let request = StopPodSandboxRequest { pod_sandbox_id };
            let mut client = self.client.clone();
            self.runtime
                .block_on(client.stop_pod_sandbox(request))
                .context("stop a sandbox")?;
        }
        Ok(())
    }

    /// Removes the stopped sandboxes of a pod and all containers in them, so that nobody knows of them any more.
    ///
    /// # Errors
    /// Fails when the runtime refuses.
    pub fn remove_sandboxes(&self, uid: &str) -> Result<()> {
        for pod_sandbox_id in self.sandboxes(uid)? {
            let request = RemovePodSandboxRequest { pod_sandbox_id };
            let mut client = self.client.clone();
            self.runtime
                .block_on(client.remove_pod_sandbox(request))
                .context("remove a sandbox")?;
        }
        Ok(())
    }

    fn sandboxes(&self, uid: &str) -> Result<Vec<String>> {
        let filter = PodSandboxFilter {
            label_selector: [(UID_LABEL.to_owned(), uid.to_owned())].into(),
            ..PodSandboxFilter::default()
        };
        let request = ListPodSandboxRequest {
            filter: Some(filter),
        };
        let mut client = self.client.clone();
        let answer = self.runtime.block_on(client.list_pod_sandbox(request));
        let sandboxes = answer.context("list the sandboxes")?.into_inner().items;
        Ok(sandboxes.into_iter().map(|it| it.id).collect())
    }
}

/// A blocking client of the kubelet's Pods API.
#[derive(Debug)]
pub struct KubeletPods {
    runtime: Runtime,
    client: PodsClient<Channel>,
}

impl KubeletPods {
    /// A client of the kubelet with this `--root-dir`. It connects with the first call.
    ///
    /// # Errors
    /// Fails when the path can't be used.
    pub fn new(kubelet_root: &Path) -> Result<Self> {
        let socket: PathBuf = kubelet_root.join("pods-api/pods-api.sock");
        let (runtime, channel) = connect(&socket)?;
        let client = PodsClient::new(channel);
        Ok(Self { runtime, client })
    }

    /// How many pods the kubelet has, or the code and message of its refusal, as in
    /// `FailedPrecondition: Kubelet is initializing`.
    ///
    /// # Errors
    /// The refusal.
    pub fn count(&self) -> Result<usize, String> {
        let mut client = self.client.clone();
        match self.runtime.block_on(client.list_pods(ListPodsRequest {})) {
            Ok(answer) => Ok(answer.into_inner().pods.len()),
            Err(status) => Err(format!("{:?}: {}", status.code(), status.message())),
        }
    }
}

fn connect(socket: &Path) -> Result<(Runtime, Channel)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))
        .with_context(|| format!("use the socket {}", socket.display()))?
        .timeout(LIMIT);
    let channel = {
        // The connection's own task is to live in this runtime.
        let _inside = runtime.enter();
        endpoint.connect_lazy()
    };
    Ok((runtime, channel))
}
