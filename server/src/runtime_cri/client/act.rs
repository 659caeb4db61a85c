//! Calls that do something, and the stream of events.

use std::time::Duration;

use futures_util::{
    StreamExt as _,
    future::try_join_all,
    stream::{self, BoxStream},
};
use seedpod_proto::cri::{
    ContainerFilter, ExecSyncRequest, GetEventsRequest, ListContainersRequest,
    ListPodSandboxRequest, PodSandboxFilter, StopContainerRequest, StopPodSandboxRequest,
};
use tokio::time::timeout;

use super::{CriRuntime, QUESTION, ask};
use crate::runtime_cri::{ContainerState, Executed, RuntimeError, Sandbox, Traits};

/// What stopping may take beyond the grace period, and exec beyond its limit: the runtime's own work.
const MARGIN: Duration = Duration::from_secs(10);

/// The user's own annotation, which the kubelet passes on to the sandbox.
const WAVE: &str = "seedpod.dev/wave";
/// The kubelet's annotation on a container.
const GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";

/// How much of a program's output is kept.
const MAX_OUTPUT: usize = 1024;

impl CriRuntime {
    /// As the kubelet does it: each container with its grace period first, since a runtime that stops a sandbox kills
    /// what is in it at once.
    pub(super) async fn stop_all(
        &self,
        sandbox: &Sandbox,
        grace: Duration,
    ) -> Result<(), RuntimeError> {
        let running = sandbox
            .containers
            .iter()
            .filter(|container| container.state == ContainerState::Running);
        try_join_all(running.map(|container| self.stop_container(&container.id, grace))).await?;
        let mut client = self.runtime.clone();
        let request = StopPodSandboxRequest {
            pod_sandbox_id: sandbox.id.clone(),
        };
        ask("StopPodSandbox", MARGIN, request, |request| {
            client.stop_pod_sandbox(request)
        })
        .await?;
        Ok(())
    }

    /// From the annotations that the kubelet puts on the sandbox (the pod's own) and on its containers.
    pub(super) async fn traits_of(&self, sandbox: &Sandbox) -> Result<Traits, RuntimeError> {
        let (mut pods, mut containers) = (self.runtime.clone(), self.runtime.clone());
        let filter = PodSandboxFilter {
            id: sandbox.id.clone(),
            ..PodSandboxFilter::default()
        };
        let request = ListPodSandboxRequest {
            filter: Some(filter),
        };
        let pods = ask("ListPodSandbox", QUESTION, request, |request| {
            pods.list_pod_sandbox(request)
        });
        let filter = ContainerFilter {
            pod_sandbox_id: sandbox.id.clone(),
            ..ContainerFilter::default()
        };
        let request = ListContainersRequest {
            filter: Some(filter),
        };
        let containers = ask("ListContainers", QUESTION, request, |request| {
            containers.list_containers(request)
        });
        let (pods, containers) = tokio::try_join!(pods, containers)?;
        let wave = pods
            .items
            .iter()
            .find_map(|pod| pod.annotations.get(WAVE)?.parse().ok());
        let grace = containers
            .containers
            .iter()
            .filter_map(|container| container.annotations.get(GRACE_PERIOD)?.parse().ok());
        Ok(Traits {
            wave,
            grace: grace.max().map(Duration::from_secs),
        })
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), RuntimeError> {
        let mut client = self.runtime.clone();
        let request = StopContainerRequest {
            container_id: id.to_owned(),
            timeout: i64::try_from(grace.as_secs()).unwrap_or(i64::MAX),
        };
        let limit = grace.saturating_add(MARGIN);
        ask("StopContainer", limit, request, |request| {
            client.stop_container(request)
        })
        .await?;
        Ok(())
    }

    pub(super) async fn exec_sync(
        &self,
        container: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<Executed, RuntimeError> {
        let mut client = self.runtime.clone();
        let request = ExecSyncRequest {
            container_id: container.to_owned(),
            cmd: command.to_vec(),
            // The runtime counts in seconds, and 0 is without end.
            timeout: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX).max(1),
        };
        let answer = ask("ExecSync", limit + MARGIN, request, |request| {
            client.exec_sync(request)
        })
        .await?;
        let written = [answer.stdout, answer.stderr].concat();
        let kept = &written[..written.len().min(MAX_OUTPUT)];
        Ok(Executed {
            exit_code: answer.exit_code,
            output: String::from_utf8_lossy(kept).into_owned(),
        })
    }

    pub(super) async fn container_events(&self) -> Result<BoxStream<'static, ()>, RuntimeError> {
        let mut client = self.runtime.clone();
        let error = |source| RuntimeError {
            operation: "GetContainerEvents",
            source,
        };
        // No deadline for the stream itself: it goes on for as long as the runtime lives.
        let begun = timeout(QUESTION, client.get_container_events(GetEventsRequest {})).await;
        let events = begun
            .map_err(|_| error(format!("no answer within {} s", QUESTION.as_secs()).into()))?
            .map_err(|status| error(status.into()))?
            .into_inner();
        let until_it_breaks = events.take_while(|event| std::future::ready(event.is_ok()));
        Ok(stream::StreamExt::boxed(until_it_breaks.map(drop)))
    }
}
