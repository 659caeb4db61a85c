//! How far a bundle has come, from its pods.

use super::{PodState, PodStatus};

/// How far a bundle has come. See `BundleState` in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BundleState {
    Ready,
    Progressing,
    Failed,
    Standby,
    Unknown,
}

/// What runs of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BundleSummary {
    pub(crate) state: BundleState,
    /// A sentence for people.
    pub(crate) message: String,
    /// How many of the demanded pods are ready.
    pub(crate) ready_pods: usize,
    /// The lowest wave that is not ready.
    pub(crate) wave: Option<u32>,
}

/// Sums up the pods of one bundle.
pub(crate) fn summary(pods: &[PodStatus]) -> BundleSummary {
    let of = |states: &[PodState]| pods.iter().find(|pod| states.contains(&pod.state));
    let waits = first_unready(pods);
    let is_late = |pod: &&PodStatus| pod.waits_for.as_ref().is_some_and(|waits| waits.timed_out);
    let late = pods.iter().find(is_late);
    let demanded = pods.iter().filter(|pod| pod.revision != 0);
    let standby = pods.iter().filter(|pod| pod.state == PodState::Standby);
    let standby = standby.count();
    let ready_pods = demanded.filter(|pod| pod.state == PodState::Ready).count();
    let (state, about) = if let Some(pod) = of(&[PodState::Failed, PodState::Refused]) {
        (BundleState::Failed, Some(pod))
    } else if let (Some(_), Some((_, place))) = (late, waits) {
        (BundleState::Failed, Some(&pods[place]))
    } else if let Some(pod) = of(&[PodState::Unknown]) {
        (BundleState::Unknown, Some(pod))
    } else if let Some((_, place)) = waits {
        (BundleState::Progressing, Some(&pods[place]))
    } else if let Some(pod) = of(&[PodState::Removing]) {
        (BundleState::Progressing, Some(pod))
    } else if standby > 0 {
        (BundleState::Standby, None)
    } else {
        (BundleState::Ready, None)
    };
    let message = match (about, ready_pods) {
        (None, 0) if standby > 0 => {
            "the bundle is handed over to the cluster's own control plane and kept as standby"
                .to_owned()
        }
        (None, ready) if standby > 0 => format!(
            "{ready} pods are ready, and {standby} are handed over to the cluster's own control plane"
        ),
        (Some(pod), _) => format!("{}/{}: {}", pod.key.namespace, pod.key.name, pod.message),
        (None, 0) => "the bundle has no pods".to_owned(),
        (None, 1) => "its pod is ready".to_owned(),
        (None, ready) => format!("all {ready} pods are ready"),
    };
    BundleSummary {
        state,
        message,
        ready_pods,
        wave: waits.map(|(wave, _)| wave),
    }
}

/// The lowest wave with a demanded pod that is not ready, and the first such pod in it.
fn first_unready(pods: &[PodStatus]) -> Option<(u32, usize)> {
    pods.iter()
        .enumerate()
        .filter(|(_, pod)| pod.revision != 0)
        .filter(|(_, pod)| !matches!(pod.state, PodState::Ready | PodState::Standby))
        .map(|(place, pod)| (pod.wave, place))
        .min()
}
