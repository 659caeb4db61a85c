//! The little of a pod's spec that its state depends on.

use serde::Deserialize;

/// What a pod's containers are called and when they are started again.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    restart_policy: Option<RestartPolicy>,
    init_containers: Vec<ContainerSpec>,
    containers: Vec<ContainerSpec>,
}

/// When the kubelet starts a container again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

/// A container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerSpec {
    pub(super) name: String,
    pub(super) image: String,
    restart_policy: Option<RestartPolicy>,
}

/// What a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Must end well before the next one starts.
    Init,
    /// Runs beside the pod's containers, or is one of them.
    Main,
}

impl Spec {
    /// Reads a rendered file. We rendered it, so it is readable; what was not would count as a pod with no containers.
    pub(super) fn read(rendered: &str) -> Self {
        #[derive(Default, Deserialize)]
        struct Pod {
            spec: Spec,
        }
        serde_json::from_str::<Pod>(rendered)
            .unwrap_or_default()
            .spec
    }

    /// All containers in the order of the manifest, which is that of their start.
    pub(super) fn all(&self) -> impl Iterator<Item = (Role, RestartPolicy, &ContainerSpec)> {
        let policy = self.restart_policy.unwrap_or(RestartPolicy::Always);
        let init = self.init_containers.iter().map(move |container| {
            match container.restart_policy {
                // A sidecar: it is started among the init containers and stays.
                Some(RestartPolicy::Always) => (Role::Main, RestartPolicy::Always, container),
                own => (Role::Init, own.unwrap_or(policy), container),
            }
        });
        let main = self.containers.iter().map(move |container| {
            (
                Role::Main,
                container.restart_policy.unwrap_or(policy),
                container,
            )
        });
        init.chain(main)
    }
}
