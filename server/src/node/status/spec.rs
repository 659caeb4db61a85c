//! The little of a pod's spec that its state depends on.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, de::IgnoredAny};

use crate::node::{BundlePod, State};

/// The specs of the committed pods, each read once. Cheap to clone; the clones share what they have read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Specs(Arc<Mutex<HashMap<String, Arc<Spec>>>>);

impl Specs {
    /// The spec of a pod. Its uid stands for its content.
    pub(super) fn of(&self, pod: &BundlePod) -> Arc<Spec> {
        let mut specs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spec) = specs.get(&pod.uid) {
            return Arc::clone(spec);
        }
        let spec = Arc::new(Spec::read(&pod.rendered));
        specs.insert(pod.uid.clone(), Arc::clone(&spec));
        spec
    }

    /// Forgets what is no longer committed.
    pub(crate) fn keep(&self, state: &State) {
        let uids: HashSet<&str> = state.pods().map(|(_, pod)| pod.uid.as_str()).collect();
        let mut specs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        specs.retain(|uid, _| uids.contains(uid.as_str()));
    }
}

/// What a pod's containers are called and when they are started again.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Spec {
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
    image_pull_policy: String,
    restart_policy: Option<RestartPolicy>,
    startup_probe: Option<IgnoredAny>,
    readiness_probe: Option<IgnoredAny>,
}

impl ContainerSpec {
    /// Whether its readiness depends on more than that it runs.
    pub(super) fn is_probed(&self) -> bool {
        self.startup_probe.is_some() || self.readiness_probe.is_some()
    }

    pub(super) fn may_be_pulled(&self) -> bool {
        self.image_pull_policy != "Never"
    }
}

/// What a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Must end well before the next one starts.
    Init,
    /// Runs beside the pod's containers, or is one of them.
    Main,
}

impl Default for &Spec {
    /// Of a pod that is not demanded.
    fn default() -> Self {
        static NONE: Spec = Spec {
            restart_policy: None,
            init_containers: Vec::new(),
            containers: Vec::new(),
        };
        &NONE
    }
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
