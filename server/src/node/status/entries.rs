//! Which pods there are to speak of, and what the runtime has of each.

use std::collections::{BTreeMap, HashMap};

use seedpod_manifest::{BundleName, NodeName, PodKey};

use super::{
    Parts, PodState, PodStatus, RuntimeView, containers,
    wanted::{self, Judged},
};
use crate::{
    node::{BundlePod, PodProjection, ProjectionPhase, SandboxesByPod, pod_name},
    runtime_cri::Sandbox,
};

/// A pod to speak of: one that is demanded, or one that is being removed.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    bundle: BundleName,
    key: PodKey,
    wanted: Option<&'a BundlePod>,
    projection: Option<&'a PodProjection>,
}

/// All pods to speak of, ordered by bundle, namespace and name.
///
/// A pod that is no longer demanded stays until it stops. That is taken from the runtime and not from the projection
/// alone, which forgets it when the daemon restarts.
pub(super) fn entries<'a>(parts: &Parts<'a>, only: Option<&BundleName>) -> Vec<Entry<'a>> {
    let asked = |bundle: &BundleName| only.is_none_or(|only| only == bundle);
    // With the uid: an earlier content of the same pod may still be projected, and is another one's business.
    let projected: HashMap<(&BundleName, &PodKey, &str), &PodProjection> = parts
        .projections
        .iter()
        .map(|projection| {
            (
                (&projection.bundle, &projection.key, projection.uid.as_str()),
                projection,
            )
        })
        .collect();
    let mut entries = BTreeMap::new();
    let bundles = parts.state.bundles.values();
    for bundle in bundles.filter(|bundle| asked(&bundle.name)) {
        for pod in &bundle.pods {
            let projection = projected
                .get(&(&bundle.name, &pod.key, pod.uid.as_str()))
                .copied();
            entries.insert(
                (bundle.name.clone(), pod.key.clone()),
                (Some(pod), projection),
            );
        }
    }
    for projection in parts.projections {
        if projection.phase == ProjectionPhase::Removing && asked(&projection.bundle) {
            entries
                .entry((projection.bundle.clone(), projection.key.clone()))
                .or_insert((None, Some(projection)));
        }
    }
    if let RuntimeView::Seen(sandboxes) = parts.runtime {
        for sandbox in sandboxes.iter().filter(|sandbox| sandbox.is_live()) {
            if let Some((bundle, key)) = pod_of(sandbox, parts.node)
                && asked(&bundle)
            {
                entries.entry((bundle, key)).or_insert((None, None));
            }
        }
    }
    entries
        .into_iter()
        .map(|((bundle, key), (wanted, projection))| Entry {
            bundle,
            key,
            wanted,
            projection,
        })
        .collect()
}

/// The bundle and pod that a sandbox says it is of. `None` when it is not one of Seedpod's on this node.
pub(crate) fn pod_of(sandbox: &Sandbox, node: &NodeName) -> Option<(BundleName, PodKey)> {
    let bundle = sandbox.bundle.as_deref()?.parse().ok()?;
    let name = pod_name(&sandbox.name, node)?;
    Some((
        bundle,
        PodKey {
            namespace: sandbox.namespace.clone(),
            name: name.to_owned(),
        },
    ))
}

/// What the runtime has under a pod's name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found<'a> {
    /// The newest of the demanded content, running or not.
    pub(super) own: Option<&'a Sandbox>,
    /// The newest running one of another content.
    pub(super) other: Option<&'a Sandbox>,
}

impl<'a> Found<'a> {
    /// The one to show: what runs before what has ended, and the demanded content before another.
    fn shown(self) -> Option<&'a Sandbox> {
        self.own
            .filter(|own| own.is_live())
            .or(self.other)
            .or(self.own)
    }
}

impl Entry<'_> {
    fn find<'s>(&self, sandboxes: &SandboxesByPod<'s>) -> Found<'s> {
        let mut found = Found::default();
        let place = (self.key.namespace.as_str(), self.key.name.as_str());
        for sandbox in sandboxes.get(&place).into_iter().flatten().copied() {
            let slot = if let Some(pod) = self.wanted {
                if sandbox.uid == pod.uid {
                    &mut found.own
                } else if sandbox.is_live() {
                    &mut found.other
                } else {
                    continue;
                }
            } else if sandbox.is_live() && self.is_removed(sandbox) {
                &mut found.other
            } else {
                continue;
            };
            if slot.is_none_or(|newest| newest.created_at < sandbox.created_at) {
                *slot = Some(sandbox);
            }
        }
        found
    }

    /// Whether a sandbox is of the content that is being removed: another bundle may have the name by now.
    fn is_removed(&self, sandbox: &Sandbox) -> bool {
        sandbox.bundle.as_deref() == Some(self.bundle.as_str())
            || self
                .projection
                .is_some_and(|projection| projection.uid == sandbox.uid)
    }

    pub(super) fn status(self, parts: &Parts<'_>, sandboxes: &SandboxesByPod<'_>) -> PodStatus {
        let found = self.find(sandboxes);
        let shown = found.shown();
        let uid = match (self.wanted, shown, self.projection) {
            (Some(pod), _, _) => pod.uid.clone(),
            (None, Some(sandbox), _) => sandbox.uid.clone(),
            (None, None, Some(projection)) => projection.uid.clone(),
            (None, None, None) => String::new(),
        };
        let sandbox_id = shown.map_or_else(String::new, |sandbox| sandbox.id.clone());
        let earlier = parts
            .earlier
            .binary_search_by(|earlier| earlier.place().cmp(&(&self.bundle, &self.key)))
            .ok()
            .map(|place| &parts.earlier[place])
            .filter(|earlier| earlier.uid == uid);
        let waiting_since = earlier
            .filter(|earlier| earlier.sandbox_id == sandbox_id)
            .and_then(|earlier| earlier.waiting_since)
            .unwrap_or(parts.now.instant);
        let spec = self.wanted.map(|pod| parts.specs.of(pod));
        let spec = spec.as_deref();
        let judged = match self.wanted {
            Some(_) if parts.state.is_withheld(&self.bundle, &self.key) => {
                wanted::withheld(parts, found)
            }
            Some(pod) => wanted::Wanted {
                pod,
                projection: self.projection,
                found,
                spec: spec.unwrap_or_default(),
                has_waited: parts.now.instant.duration_since(waiting_since) >= parts.refused_after,
            }
            .judge(parts),
            None => wanted::removed(parts, found),
        };
        let Judged {
            state,
            message,
            waits,
        } = judged;
        let error = self
            .projection
            .filter(|_| !state.is_started())
            .and_then(|projection| projection.error.clone());
        PodStatus {
            node_pod_name: format!("{}-{}", self.key.name, parts.node),
            revision: self.wanted.map_or(0, |pod| pod.revision),
            wave: self.wanted.map_or(0, |pod| pod.wave),
            state,
            state_time: earlier
                .filter(|earlier| earlier.state == state)
                .map_or(parts.now.clock, |earlier| earlier.state_time),
            message: error.unwrap_or(message),
            running_revision: shown
                .filter(|sandbox| sandbox.is_live())
                .and_then(|sandbox| sandbox.revision)
                .unwrap_or(0),
            pod_ips: shown.map_or_else(Vec::new, |sandbox| sandbox.ips.clone()),
            containers: shown.map_or_else(Vec::new, |sandbox| {
                containers::list(sandbox, spec.unwrap_or_default(), parts.readiness)
            }),
            waits_for: self
                .projection
                .filter(|_| state == PodState::Committed)
                .and_then(|projection| projection.waits_for.clone()),
            waiting_since: waits.then_some(waiting_since),
            bundle: self.bundle,
            key: self.key,
            uid,
            sandbox_id,
        }
    }
}
