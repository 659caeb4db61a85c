//! Calls that do something, and the stream of events.

use std::time::Duration;

use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::try_join_all,
    stream::{self, BoxStream},
};
use seedpod_manifest::{HostPort, Protocol};
use seedpod_proto::cri::{
    ContainerFilter, ExecSyncRequest, GetEventsRequest, ListContainersRequest,
    ListPodSandboxRequest, PodSandboxFilter, RemovePodSandboxRequest, StopContainerRequest,
    StopPodSandboxRequest,
};
use tonic::Response;

use super::{CriRuntime, QUESTION, ask};
use crate::runtime_cri::{ContainerState, Executed, RuntimeError, Sandbox, Traits};

/// What stopping may take beyond the grace period, and exec beyond its limit: the runtime's own work.
const MARGIN: Duration = Duration::from_secs(10);

/// The user's own annotation, which the kubelet passes on to the sandbox.
const WAVE: &str = "seedpod.dev/wave";
/// The kubelet's annotation on a container.
const GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";

/// The kubelet's annotation on a container with ports: their list, as in the manifest.
const PORTS: &str = "io.kubernetes.container.ports";

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

    pub(super) async fn remove_sandbox(&self, sandbox: &Sandbox) -> Result<(), RuntimeError> {
        let mut client = self.runtime.clone();
        let request = RemovePodSandboxRequest {
            pod_sandbox_id: sandbox.id.clone(),
        };
        ask("RemovePodSandbox", MARGIN, request, |request| {
            client.remove_pod_sandbox(request)
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
            host_ports: containers
                .containers
                .iter()
                .filter_map(|container| container.annotations.get(PORTS))
                .flat_map(|text| host_ports(text))
                .collect(),
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

    /// No deadline: it goes on for as long as the runtime lives, and a runtime in Go does not answer at all before the
    /// first event.
    pub(super) fn container_events(&self) -> BoxStream<'static, ()> {
        let mut client = self.runtime.clone();
        let begun = async move { client.get_container_events(GetEventsRequest {}).await };
        stream::once(begun)
            .map_ok(Response::into_inner)
            .try_flatten()
            .take_while(|event| std::future::ready(event.is_ok()))
            .map(drop)
            .boxed()
    }
}

/// The ports of the host in the kubelet's list. What cannot be read is none.
fn host_ports(text: &str) -> Vec<HostPort> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Port {
        #[serde(default)]
        host_port: u16,
        #[serde(default)]
        protocol: String,
        #[serde(rename = "hostIP", default)]
        host_ip: String,
    }
    let ports: Vec<Port> = serde_json::from_str(text).unwrap_or_default();
    let taken = ports.into_iter().filter(|port| port.host_port != 0);
    taken
        .map(|port| HostPort {
            port: port.host_port,
            protocol: match port.protocol.as_str() {
                "UDP" => Protocol::Udp,
                "SCTP" => Protocol::Sctp,
                _ => Protocol::Tcp,
            },
            // As the API has it: these two stand for all addresses.
            host_ip: Some(port.host_ip).filter(|ip| !matches!(ip.as_str(), "" | "0.0.0.0")),
            field: String::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_of_the_host_are_read_from_the_kubelets_annotation() {
        let text = r#"[{"name":"web","hostPort":8080,"containerPort":80,"protocol":"TCP"},
            {"hostPort":53,"containerPort":53,"protocol":"UDP","hostIP":"10.0.0.1"},
            {"containerPort":9090,"protocol":"TCP"}]"#;
        let ports = host_ports(text);
        let seen: Vec<_> = ports
            .iter()
            .map(|it| (it.port, it.protocol, it.host_ip.as_deref()))
            .collect();
        assert_eq!(
            seen,
            [
                (8080, Protocol::Tcp, None),
                (53, Protocol::Udp, Some("10.0.0.1"))
            ]
        );
        assert!(host_ports("torn").is_empty());
    }
}
