//! Which processes a pod has.

use std::collections::BTreeSet;

use seedpod_proto::cri::ContainerStatusRequest;

use super::{CriRuntime, QUESTION, ask};
use crate::{
    runtime_cri::{ContainerState, Runtime as _, RuntimeError},
    steer::with_descendants,
};

impl CriRuntime {
    /// The first process of each container, as the runtime knows it, and all that it has started.
    pub(super) async fn processes_of_pod(&self, uid: &str) -> Result<BTreeSet<u32>, RuntimeError> {
        let sandboxes = self.sandboxes().await?;
        let containers = sandboxes
            .iter()
            .filter(|sandbox| sandbox.kubelet_uid == uid)
            .flat_map(|sandbox| &sandbox.containers)
            .filter(|container| container.state == ContainerState::Running);
        let mut first = Vec::new();
        for container in containers {
            match self.first_process(&container.id).await {
                Ok(pid) => first.extend(pid),
                // It was removed in the meantime.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(with_descendants(first))
    }

    /// `None`: it has just ended.
    async fn first_process(&self, container: &str) -> Result<Option<u32>, RuntimeError> {
        let mut client = self.runtime.clone();
        let request = ContainerStatusRequest {
            container_id: container.to_owned(),
            verbose: true,
        };
        let answer = ask("ContainerStatus", QUESTION, request, |request| {
            client.container_status(request)
        })
        .await?;
        let pid = answer.info.get("info").and_then(|text| pid(text));
        let pid = pid.ok_or_else(|| RuntimeError {
            operation: "ContainerStatus",
            source: "the runtime does not tell a container's pid; containerd and CRI-O do".into(),
        })?;
        Ok(Some(pid).filter(|pid| *pid != 0))
    }
}

/// Of the text only this is kept.
fn pid(text: &str) -> Option<u32> {
    #[derive(serde::Deserialize)]
    struct Info {
        pid: u32,
    }
    serde_json::from_str::<Info>(text).ok().map(|info| info.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_is_found_among_the_rest() {
        let text = r#"{"sandboxID":"s1","pid":4711,"removing":false,"config":{"envs":[]}}"#;
        assert_eq!(pid(text), Some(4711));
        assert_eq!(pid(r#"{"pid":0}"#), Some(0));
        assert_eq!(pid("{}"), None);
        assert_eq!(pid("torn"), None);
    }
}
