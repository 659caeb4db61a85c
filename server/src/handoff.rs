//! The handoff: from the injected control plane to the self-hosted one, with the way back kept open.
//!
//! Here is what everything speaks of: what a handoff is asked for ([`Spec`], [`Material`]) and what is durable of it
//! ([`Record`]). The node's actor commits a record, the machine says which one comes next:
//!
//! - `transitions` (pure): from a record to the next one;
//! - `reason`: why a handoff takes its way back;
//! - `world`: what the machine sees and does, as traits; `effects` is the real one;
//! - `machine`: the one task. It looks at the committed record, carries out its stage, and commits the next one;
//! - `stages`: what each stage does and waits for;
//! - `lead`: to whom new connections to the API server's port go.

mod effects;
mod lead;
mod machine;
mod reason;
mod stages;
#[cfg(test)]
mod tests;
mod transitions;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use jiff::Timestamp;
use seedpod_manifest::{BundleName, PodKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub(crate) use self::{
    effects::start,
    reason::Reason,
    transitions::{Moment, event},
    world::Settings,
};
use crate::node::BootTime;

/// What a handoff is asked for, checked. Nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Spec {
    /// The bundle that holds the injected control plane.
    pub(crate) bundle: BundleName,
    /// Exactly one is an API server.
    pub(crate) components: Vec<Component>,
    /// What the Node object gets, and loses on the way back.
    pub(crate) node_labels: BTreeMap<String, String>,
    pub(crate) deadlines: Deadlines,
    /// How long the self-hosted API server has to have served before the injected one gives way.
    pub(crate) stable_for: Duration,
}

/// One program of the control plane in its two forms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Component {
    pub(crate) kind: Kind,
    /// The injected pod.
    pub(crate) injected: PodKey,
    /// Where the self-hosted pods are.
    pub(crate) namespace: String,
    /// The labels of the self-hosted pods.
    pub(crate) selector: BTreeMap<String, String>,
}

/// How a component is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Kind {
    /// Both forms share a port.
    ApiServer { port: u16 },
    /// The Lease of this name in kube-system says which one works.
    LeaderElected { lease: String },
}

/// How long each state may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Deadlines {
    pub(crate) apply: Duration,
    pub(crate) ready: Duration,
    pub(crate) kubelet: Duration,
    pub(crate) drain: Duration,
    pub(crate) hand_over: Duration,
    pub(crate) verify: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            apply: minutes(2),
            ready: minutes(5),
            kubelet: minutes(2),
            drain: minutes(2),
            hand_over: minutes(2),
            verify: minutes(1),
        }
    }
}

/// What a handoff needs that is secret: kept like Secrets, read when it is needed, wiped then.
#[derive(Clone)]
pub(crate) struct Material {
    /// The objects to apply.
    pub(crate) manifests: Vec<Zeroizing<String>>,
    pub(crate) kubeconfig: Zeroizing<String>,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("manifests", &self.manifests.len())
            .finish_non_exhaustive()
    }
}

/// Where a handoff has come to. See `HandoffState` in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Stage {
    Applying,
    WaitingForReady,
    WaitingForKubelet,
    Draining,
    HandingOver,
    Verifying,
    Committed,
    Reverting,
    Reverted,
    StandingIn,
    StandingDown,
}

impl Stage {
    /// The stage as in the API, without the prefix: a label of metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Applying => "APPLYING",
            Self::WaitingForReady => "WAITING_FOR_READY",
            Self::WaitingForKubelet => "WAITING_FOR_KUBELET",
            Self::Draining => "DRAINING",
            Self::HandingOver => "HANDING_OVER",
            Self::Verifying => "VERIFYING",
            Self::Committed => "COMMITTED",
            Self::Reverting => "REVERTING",
            Self::Reverted => "REVERTED",
            Self::StandingIn => "STANDING_IN",
            Self::StandingDown => "STANDING_DOWN",
        }
    }

    /// Whether a failure has the handoff take its way back.
    pub(crate) fn is_under_way(self) -> bool {
        matches!(
            self,
            Self::Applying
                | Self::WaitingForReady
                | Self::WaitingForKubelet
                | Self::Draining
                | Self::HandingOver
                | Self::Verifying
        )
    }
}

/// What is durable of a handoff. Committed whole by the node's actor; `generation` counts up by one with each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) spec: Spec,
    pub(crate) generation: u64,
    pub(crate) stage: Stage,
    pub(crate) start_time: Timestamp,
    /// The stages that it went through, the present one last.
    pub(crate) steps: Vec<Step>,
    /// When the present stage began, or the daemon found it after another start of the node.
    pub(crate) since: BootTime,
    /// When the present stage has failed; `None`: it has no deadline.
    pub(crate) deadline: Option<BootTime>,
    /// Why it takes or took the way back.
    pub(crate) failure: Option<Failure>,
    /// The pods of the bundle that are not projected.
    pub(crate) withheld: BTreeSet<PodKey>,
    /// What this handoff has made in the cluster, which the way back removes if it is a workload.
    pub(crate) created: Vec<ObjectReference>,
    pub(crate) steering: Option<SteeringUsed>,
    /// How often the daemon has gone on with it after a restart.
    pub(crate) resumptions: u32,
}

/// One stage that a handoff was in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) stage: Stage,
    pub(crate) start_time: Timestamp,
    /// What came of it. Empty for the present one.
    pub(crate) message: String,
}

/// Why a handoff takes the way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    /// Stable, UPPER_SNAKE_CASE.
    pub(crate) reason: String,
    /// For people, with the remedy. Nothing secret.
    pub(crate) message: String,
}

/// An object of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ObjectReference {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    /// Empty for objects of the cluster as a whole.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl fmt::Display for ObjectReference {
    /// `DaemonSet kube-system/proxy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            namespace,
            name,
            ..
        } = self;
        match namespace.as_str() {
            "" => write!(f, "{kind} {name}"),
            namespace => write!(f, "{kind} {namespace}/{name}"),
        }
    }
}

/// How the port is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum SteeringUsed {
    /// By the destination: [::1] is the newcomer's own.
    ByLoopback,
    /// By a mark on the packets of the newcomer's group.
    ByMark,
    /// Not at all; why not.
    None { why: String },
}
