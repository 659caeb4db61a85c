//! What is true of a played cluster: its nodes, and what its API knows. It has no clock: things happen when somebody looks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
};

use seedpod_proto::v1;
use serde_json::{Value, json};
use tokio::sync::watch;

/// Names of the self-hosted pods' components, by their label.
pub(super) const COMPONENTS: [&str; 3] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

#[derive(Default)]
pub(super) struct State {
    pub(super) nodes: BTreeMap<String, Node>,
    /// Objects of the cluster by kind, namespace and name.
    pub(super) applied: BTreeSet<String>,
    /// Node objects.
    pub(super) registered: BTreeMap<String, Value>,
    pub(super) verified: Option<String>,
    /// How often leases were looked at: each look finds them renewed.
    pub(super) renewals: u32,
    /// Whom the Service `default/kubernetes` leads to: its EndpointSlice.
    pub(super) slice: Option<Value>,
    /// Each call as `NODE METHOD`, and each request to the API as `api METHOD PATH`.
    pub(super) calls: Vec<String>,
    /// The call at which the run is killed, counted from 1.
    pub(super) kill_at: Option<usize>,
    /// Whether that call is carried out, its answer being lost.
    pub(super) kill_after: bool,
}

/// A machine.
pub(super) struct Node {
    pub(super) says: v1::Node,
    pub(super) check: v1::CheckNodeResponse,
    pub(super) bundles: BTreeMap<String, Bundle>,
    pub(super) kubeconfig: Option<String>,
    pub(super) kubelet_restarts: u32,
    pub(super) handoff: Option<v1::Handoff>,
    /// Handoffs that were begun, by their request ids.
    pub(super) begun: Vec<(String, String)>,
    /// In which state its handoffs fail, from now on.
    pub(super) fails_in: Option<v1::HandoffState>,
    /// The state in which each handoff waits for ever.
    pub(super) stays_in: Option<v1::HandoffState>,
    /// Whether its pods get ready.
    pub(super) pods_get_ready: bool,
    /// Calls that are refused, by method.
    pub(super) refuses: BTreeMap<&'static str, tonic::Status>,
    pub(super) resets: Vec<v1::ResetNodeRequest>,
    pub(super) checked: Vec<v1::CheckNodeRequest>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bundle {
    pub(super) revision: u64,
    pub(super) manifests: Vec<String>,
}

impl Node {
    pub(super) fn new(name: &str) -> Self {
        Self {
            says: v1::Node {
                name: name.to_owned(),
                seedpod_version: env!("CARGO_PKG_VERSION").to_owned(),
                ..crate::fake::node()
            },
            check: v1::CheckNodeResponse {
                cgroup_version: 2,
                memory_bytes: 8 << 30,
                cpu_count: 4,
                kubelet_version: "v1.37.2".to_owned(),
                steering: Some(v1::Steering {
                    mode: v1::steering::Mode::ByLoopback.into(),
                    message: String::new(),
                }),
                kubelet_configurable: true,
                ..v1::CheckNodeResponse::default()
            },
            bundles: BTreeMap::new(),
            kubeconfig: None,
            kubelet_restarts: 0,
            handoff: None,
            begun: Vec::new(),
            fails_in: None,
            stays_in: None,
            pods_get_ready: true,
            refuses: BTreeMap::new(),
            resets: Vec::new(),
            checked: Vec::new(),
        }
    }

    pub(super) fn pods(&self, bundle: &str) -> Vec<v1::BundlePod> {
        let Some(there) = self.bundles.get(bundle) else {
            return Vec::new();
        };
        let names: &[&str] = if bundle == "etcd" {
            &["etcd"]
        } else {
            &COMPONENTS
        };
        let pod = |name: &&str| v1::BundlePod {
            namespace: "kube-system".to_owned(),
            name: (*name).to_owned(),
            uid: format!("{name}-{}", there.revision),
            revision: there.revision,
            ..v1::BundlePod::default()
        };
        names.iter().map(pod).collect()
    }

    fn runs_api_server(&self) -> bool {
        let handed = self.handoff_state() == v1::HandoffState::Committed;
        (self.bundles.contains_key("control-plane") && self.pods_get_ready) || handed
    }

    pub(super) fn handoff_state(&self) -> v1::HandoffState {
        let handoff = self.handoff.as_ref();
        handoff.map_or(v1::HandoffState::Unspecified, v1::Handoff::state)
    }

    /// The handoff goes on by one state. False when it has come to its end.
    pub(super) fn advance(&mut self) -> bool {
        use v1::HandoffState as S;
        let Some(handoff) = &mut self.handoff else {
            return false;
        };
        let now = handoff.state();
        if self.stays_in == Some(now) {
            return false;
        }
        let next = match now {
            S::Committed | S::Reverted | S::Unspecified => return false,
            S::Reverting => S::Reverted,
            now if self.fails_in == Some(now) => {
                handoff.failure = Some(v1::HandoffFailure {
                    state: now.into(),
                    reason: "HANDOFF_TIMED_OUT".to_owned(),
                    message: "the lease has no new holder; see the controller manager's log"
                        .to_owned(),
                });
                S::Reverting
            }
            S::Applying => S::WaitingForReady,
            S::WaitingForReady => S::WaitingForKubelet,
            S::WaitingForKubelet => S::Draining,
            S::Draining => S::HandingOver,
            S::HandingOver => S::Verifying,
            S::Verifying | S::StandingDown => S::Committed,
            S::StandingIn => S::StandingDown,
        };
        handoff.set_state(next);
        handoff.message = format!("something of {next:?}");
        handoff.generation += 1;
        true
    }
}

impl State {
    /// Whether an API server of the cluster answers.
    pub(super) fn api_answers(&self) -> bool {
        let has_etcd = self
            .nodes
            .values()
            .any(|node| node.bundles.contains_key("etcd") && node.pods_get_ready);
        has_etcd && self.nodes.values().any(Node::runs_api_server)
    }

    /// The kubelets do what they do by themselves.
    pub(super) fn settle(&mut self) {
        if !self.api_answers() {
            return;
        }
        for (name, node) in &self.nodes {
            if node.kubeconfig.is_some() && !self.registered.contains_key(name) {
                self.registered.insert(
                    name.clone(),
                    json!({
                        "apiVersion": "v1", "kind": "Node",
                        "metadata": { "name": name, "resourceVersion": "1", "labels": {} },
                        "spec": {},
                        "status": {
                            "nodeInfo": node_info(),
                            "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "" }],
                        },
                    }),
                );
            }
        }
    }
}

fn node_info() -> Value {
    let mut info = json!({ "kubeletVersion": "v1.37.2" });
    for key in [
        "architecture",
        "bootID",
        "containerRuntimeVersion",
        "kernelVersion",
        "kubeProxyVersion",
        "machineID",
        "operatingSystem",
        "osImage",
        "systemUUID",
    ] {
        info[key] = json!("");
    }
    info
}

/// The world, and what is told when a run is to be killed.
pub(super) struct World {
    state: Mutex<State>,
    killed: watch::Sender<bool>,
}

impl World {
    pub(super) fn new(nodes: &[&str]) -> Self {
        let nodes = nodes
            .iter()
            .map(|name| ((*name).to_owned(), Node::new(name)));
        Self {
            state: Mutex::new(State {
                nodes: nodes.collect(),
                ..State::default()
            }),
            killed: watch::channel(false).0,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panicked with it")
    }

    /// Kills the run at its `call`-th call from now on, before or after it is carried out.
    pub(super) fn kill_at(&self, call: usize, after: bool) {
        let mut state = self.state();
        state.calls.clear();
        state.kill_at = Some(call);
        state.kill_after = after;
        self.killed.send_replace(false);
    }

    pub(super) fn spare(&self) {
        self.state().kill_at = None;
        self.killed.send_replace(false);
    }

    /// Waits until the run is to be killed.
    pub(super) async fn killed(&self) {
        let mut killed = self.killed.subscribe();
        let _ = killed.wait_for(|killed| *killed).await;
    }

    /// Carries a call out, unless the run is killed at it: then nobody gets an answer.
    pub(super) async fn call<T>(&self, call: String, act: impl FnOnce(&mut State) -> T) -> T {
        let done = {
            let mut state = self.state();
            state.calls.push(call);
            let now = state.kill_at == Some(state.calls.len());
            if now && !state.kill_after {
                None
            } else {
                let done = act(&mut state);
                (!now).then_some(done)
            }
        };
        match done {
            Some(done) => done,
            None => {
                self.killed.send_replace(true);
                std::future::pending().await
            }
        }
    }
}
