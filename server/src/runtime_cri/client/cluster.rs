//! Pods that the kubelet has from an API server.

use seedpod_proto::cri::{ListPodSandboxRequest, PodSandboxState};

use super::{CriRuntime, QUESTION, ask};
use crate::runtime_cri::RuntimeError;

/// The kubelet notes on each pod where it has it from, and passes that on to the sandbox.
const SOURCE: &str = "kubernetes.io/config.source";
const API: &str = "api";

impl CriRuntime {
    /// The names, with namespaces, of the pods of the cluster that have a sandbox which stands.
    pub(crate) async fn pods_of_cluster(&self) -> Result<Vec<String>, RuntimeError> {
        let mut client = self.runtime.clone();
        let answer = ask(
            "ListPodSandbox",
            QUESTION,
            ListPodSandboxRequest::default(),
            |request| client.list_pod_sandbox(request),
        )
        .await?;
        let mut names: Vec<String> = answer
            .items
            .into_iter()
            .filter(|pod| pod.state() == PodSandboxState::SandboxReady)
            .filter(|pod| pod.annotations.get(SOURCE).is_some_and(|it| it == API))
            .filter_map(|pod| pod.metadata)
            .map(|pod| format!("{}/{}", pod.namespace, pod.name))
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}
