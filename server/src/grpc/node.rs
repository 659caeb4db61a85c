//! `NodeService`.
//!
//! `check` looks at what a control plane needs, `configure` gives the kubelet its files, `reset` takes all of it back.

mod check;
mod configure;
mod reset;

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use seedpod_proto::v1::{
    CheckNodeRequest, CheckNodeResponse, ConfigureKubeletRequest, ConfigureKubeletResponse,
    ContainerRuntime, GetNodeRequest, Kubelet, Limits, Node, Objects, Problem, ResetNodeRequest,
    ResetNodeResponse, container_runtime, kubelet, node_service_server::NodeService,
};
use tokio::{net::UnixStream, time::timeout};
use tonic::{Request, Response, Status};

use super::{Api, audit, convert, injection::carry_through, reason::Reason};
use crate::{
    handoff::{Record, Stage},
    kubelet::Sync,
};

/// How long the kubelet may take to accept a connection. It does so at once or not at all.
const KUBELET: Duration = Duration::from_millis(500);

/// The way back of a handoff takes less.
const REVERTING: Duration = Duration::from_secs(60);

/// The kubelet's pod resources socket below its root directory: on by default in every version since 1.28.
const POD_RESOURCES: &str = "pod-resources/kubelet.sock";

#[tonic::async_trait]
impl NodeService for Api {
    async fn get_node(&self, _: Request<GetNodeRequest>) -> Result<Response<Node>, Status> {
        let info = &self.info;
        let mut problems: Vec<Problem> = self
            .handle
            .problems()
            .iter()
            .map(convert::problem)
            .collect();
        let ((container_runtime, away), seen, foreign) = tokio::join!(
            self.container_runtime(),
            is_kubelet_seen(&info.kubelet_root_directory),
            self.handle.foreign_files(),
        );
        problems.extend(away);
        if !seen {
            problems.push(not_seen(&info.kubelet_root_directory));
        }
        let foreign_files = foreign.unwrap_or_else(|error| {
            let failed = Reason::StaticPodDirectoryFailed.as_str();
            // The projection reads it too, and has mostly said so already.
            if problems.iter().all(|problem| problem.reason != failed) {
                let message = format!(
                    "the static pod directory {} cannot be read: {error}; make it readable",
                    info.static_pod_path.display()
                );
                problems.push(Problem {
                    reason: failed.to_owned(),
                    message,
                });
            }
            Vec::new()
        });
        let state = self.handle.state();
        problems.extend(
            state
                .handoff
                .as_ref()
                .and_then(|it| self.handoff_problem(it)),
        );
        Ok(Response::new(Node {
            name: info.node.to_string(),
            seedpod_version: info.version.to_owned(),
            start_time: Some(convert::timestamp(info.start_time)),
            static_pod_path: info.static_pod_path.display().to_string(),
            state_directory: info.state_directory.display().to_string(),
            container_runtime: Some(container_runtime),
            kubelet: Some(Kubelet {
                state: if seen {
                    kubelet::State::Seen
                } else {
                    kubelet::State::NotSeen
                }
                .into(),
                root_directory: info.kubelet_root_directory.display().to_string(),
                sync: kubelet_sync(self.handle.kubelet().borrow().sync).into(),
            }),
            bundle_count: saturate(state.bundles.len()),
            pod_count: saturate(state.pods().count()),
            problems,
            limits: Some(Limits {
                max_pods_per_bundle: saturate(info.max_pods_per_bundle),
                max_bundle_bytes: info.max_bundle_bytes as u64,
            }),
            foreign_files,
            objects: Some(Objects {
                volumes_directory: info.volumes_directory.display().to_string(),
                encrypted: info.encryption_key.is_some(),
                key_name: info.encryption_key.clone().unwrap_or_default(),
            }),
        }))
    }

    async fn check_node(
        &self,
        request: Request<CheckNodeRequest>,
    ) -> Result<Response<CheckNodeResponse>, Status> {
        self.check_node(request.into_inner())
            .await
            .map(Response::new)
    }

    async fn configure_kubelet(
        &self,
        request: Request<ConfigureKubeletRequest>,
    ) -> Result<Response<ConfigureKubeletResponse>, Status> {
        let api = self.clone();
        let caller = audit::caller(request.extensions());
        let request = request.into_inner();
        carry_through(async move { api.configure_and_record(&caller, request).await }).await
    }

    async fn reset_node(
        &self,
        request: Request<ResetNodeRequest>,
    ) -> Result<Response<ResetNodeResponse>, Status> {
        let api = self.clone();
        let caller = audit::caller(request.extensions());
        let request = request.into_inner();
        carry_through(async move { api.reset_and_record(&caller, request).await }).await
    }
}

impl Api {
    /// What is wrong with the handoff, now.
    fn handoff_problem(&self, record: &Record) -> Option<Problem> {
        let since = record.steps.last().map(|step| step.start_time);
        let lasts = since.and_then(|since| Timestamp::now().duration_since(since).try_into().ok());
        let waits_for = match self.handle.handoff_message().borrow().as_str() {
            "" => String::new(),
            message => format!(": {message}"),
        };
        let bundle = &record.spec.bundle;
        let (reason, message) = match record.stage {
            Stage::Reverting if lasts.is_none_or(|lasts: Duration| lasts >= REVERTING) => (
                Reason::HandoffReverting,
                format!(
                    "the handoff of bundle {bundle} takes its way back and is not at its end{waits_for}; \
                     it is tried again for ever, and GetHandoff has the details"
                ),
            ),
            Stage::StandingIn | Stage::StandingDown => (
                Reason::StandingIn,
                format!(
                    "no API server answered on this node, and the standby control plane of bundle \
                     {bundle} runs{waits_for}; it stands down when the cluster's own one serves here"
                ),
            ),
            _ => return None,
        };
        Some(Problem {
            reason: reason.as_str().to_owned(),
            message,
        })
    }

    /// The runtime, and what is wrong with it.
    async fn container_runtime(&self) -> (ContainerRuntime, Option<Problem>) {
        use container_runtime::State;
        let Some(runtime) = &self.runtime else {
            let state = State::NotConfigured.into();
            return (
                ContainerRuntime {
                    state,
                    ..ContainerRuntime::default()
                },
                None,
            );
        };
        let endpoint = runtime.endpoint().to_owned();
        match runtime.version().await {
            Ok(version) => {
                let state = State::Connected.into();
                let (name, version) = (version.name, version.version);
                (
                    ContainerRuntime {
                        state,
                        endpoint,
                        name,
                        version,
                    },
                    None,
                )
            }
            Err(error) => {
                let message = format!(
                    "the container runtime at {endpoint} does not answer: {}; start it, or set \
                     containerRuntimeEndpoint to its socket",
                    error.root_cause()
                );
                let reason = Reason::RuntimeUnreachable.as_str().to_owned();
                let state = State::Unreachable.into();
                let runtime = ContainerRuntime {
                    state,
                    endpoint,
                    ..ContainerRuntime::default()
                };
                (runtime, Some(Problem { reason, message }))
            }
        }
    }
}

fn kubelet_sync(sync: Sync) -> kubelet::Sync {
    match sync {
        Sync::Synced => kubelet::Sync::Synced,
        Sync::Unsynced => kubelet::Sync::Unsynced,
        Sync::Down => kubelet::Sync::Down,
        Sync::Unknown => kubelet::Sync::Unknown,
    }
}

fn not_seen(root: &Path) -> Problem {
    let message = format!(
        "no kubelet answers at {}; start it, or set kubeletRootDirectory to its --root-dir",
        root.join(POD_RESOURCES).display()
    );
    Problem {
        reason: Reason::KubeletNotSeen.as_str().to_owned(),
        message,
    }
}

async fn is_kubelet_seen(root: &Path) -> bool {
    let connect = UnixStream::connect(root.join(POD_RESOURCES));
    timeout(KUBELET, connect)
        .await
        .is_ok_and(|connected| connected.is_ok())
}

fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
