//! How far each pod has come, from what is committed, what is projected, what runs, and what probes and the kubelet
//! say. Pure.
//!
//! [`judge`] puts it together: `entries` tells which pods there are to speak of and what runs for them, `wanted` and
//! `containers` judge one, and `bundle` sums up.

mod bundle;
mod containers;
mod entries;
mod kubelet;
mod spec;
mod wanted;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use seedpod_manifest::{BundleName, NodeName, PodKey};

use super::{PodProjection, State, Waits, sandboxes_by_pod};
use crate::{
    kubelet::KubeletView,
    probe::Readiness,
    runtime_cri::{ContainerState, Observation, Sandbox},
};
pub(crate) use {
    bundle::{BundleState, BundleSummary, summary},
    entries::pod_of,
    spec::Specs,
};

/// What is known of the runtime.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RuntimeView<'a> {
    /// There is none to ask.
    NotConfigured,
    /// It did not answer, for this reason.
    Away(&'a str),
    /// This is what it lists.
    Seen(&'a [Sandbox]),
}

impl<'a> From<&'a Observation> for RuntimeView<'a> {
    fn from(observation: &'a Observation) -> Self {
        match observation {
            Observation::NotConfigured => Self::NotConfigured,
            Observation::NotYet => Self::Away("it has not been asked yet"),
            Observation::Away { cause, .. } => Self::Away(cause),
            Observation::Sandboxes(sandboxes) => Self::Seen(sandboxes),
        }
    }
}

/// How far a pod has come. See `PodState` in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PodState {
    Committed,
    Projected,
    Starting,
    Running,
    Ready,
    NotReady,
    Failed,
    Refused,
    Replacing,
    Removing,
    Standby,
    Unknown,
}

impl PodState {
    /// The state as in the API, without the prefix: a label of metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "COMMITTED",
            Self::Projected => "PROJECTED",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Ready => "READY",
            Self::NotReady => "NOT_READY",
            Self::Failed => "FAILED",
            Self::Refused => "REFUSED",
            Self::Replacing => "REPLACING",
            Self::Removing => "REMOVING",
            Self::Standby => "STANDBY",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Whether all containers run, or have ended as they should.
    pub(crate) fn is_started(self) -> bool {
        matches!(self, Self::Running | Self::Ready | Self::NotReady)
    }
}

/// A pod and what runs for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodStatus {
    pub(crate) bundle: BundleName,
    pub(crate) key: PodKey,
    pub(crate) node_pod_name: String,
    /// Of the demanded content; when nothing is demanded, of what is stopping.
    pub(crate) uid: String,
    /// That brought the demanded content; 0 when nothing is demanded.
    pub(crate) revision: u64,
    /// Of the demanded content; 0 when nothing is demanded.
    pub(crate) wave: u32,
    pub(crate) state: PodState,
    /// Since when it has been in this state, as far as this daemon has seen.
    pub(crate) state_time: Timestamp,
    /// A sentence for people.
    pub(crate) message: String,
    /// Of the sandbox, when it runs; 0 otherwise.
    pub(crate) running_revision: u64,
    /// The sandbox that the containers are of. Empty when there is none.
    pub(crate) sandbox_id: String,
    /// Empty for a pod in the host's network.
    pub(crate) pod_ips: Vec<String>,
    /// Ordered as in the manifest.
    pub(crate) containers: Vec<ContainerStatus>,
    /// The pod of a lower wave that it waits for.
    pub(crate) waits_for: Option<Waits>,
    /// Since when the kubelet has had something to do for the pod and has not done it; `None` when it has.
    pub(crate) waiting_since: Option<Instant>,
}

impl PodStatus {
    /// What pods are ordered by.
    pub(crate) fn place(&self) -> (&BundleName, &PodKey) {
        (&self.bundle, &self.key)
    }
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerStatus {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) state: ContainerState,
    pub(crate) restart_count: u32,
    /// As in the manifest, where that is known.
    pub(crate) image: String,
    pub(crate) image_id: String,
    pub(crate) start_time: Option<Timestamp>,
    /// `None` unless it has ended.
    pub(crate) finish_time: Option<Timestamp>,
    /// 0 unless it has ended.
    pub(crate) exit_code: i32,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// Whether it has ended and should not have.
    pub(crate) has_failed: bool,
    pub(crate) ready: bool,
    pub(crate) probe_message: String,
    pub(crate) last_termination: Option<Termination>,
}

/// The end of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Termination {
    pub(crate) exit_code: i32,
    pub(crate) reason: String,
    pub(crate) finish_time: Option<Timestamp>,
    /// Whether it should not have ended.
    pub(crate) is_failure: bool,
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) state: &'a State,
    pub(crate) projections: &'a [PodProjection],
    pub(crate) runtime: RuntimeView<'a>,
    pub(crate) readiness: &'a Readiness,
    pub(crate) kubelet: &'a KubeletView,
    pub(crate) specs: &'a Specs,
    pub(crate) node: &'a NodeName,
    /// After this a pod for which the kubelet has made no sandbox counts as refused.
    pub(crate) refused_after: Duration,
    /// How all pods were judged before, for since when they are so.
    pub(crate) earlier: &'a [PodStatus],
    pub(crate) now: Now,
}

/// The time, on both clocks: one for people, and one that does not jump.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) clock: Timestamp,
    pub(crate) instant: Instant,
}

impl Now {
    pub(crate) fn read() -> Self {
        Self {
            clock: Timestamp::now(),
            instant: Instant::now(),
        }
    }
}

/// Judges all pods to speak of, ordered by bundle, namespace and name; only those of bundle `only`, when it is given.
pub(crate) fn judge(parts: &Parts<'_>, only: Option<&BundleName>) -> Vec<PodStatus> {
    let sandboxes = match parts.runtime {
        RuntimeView::Seen(sandboxes) => sandboxes_by_pod(sandboxes, parts.node),
        RuntimeView::Away(_) | RuntimeView::NotConfigured => Default::default(),
    };
    let mut pods: Vec<PodStatus> = entries::entries(parts, only)
        .into_iter()
        .map(|entry| entry.status(parts, &sandboxes))
        .collect();
    wanted::tell_of_waves(&mut pods);
    pods
}

#[cfg(test)]
mod tests;
