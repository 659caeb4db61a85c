//! How far a pod has come, from its file, its sandboxes, and what the kubelet says.

use super::{
    Parts, PodState, PodStatus, RuntimeView, containers, entries::Found, kubelet, spec::Spec,
};
use crate::{
    kubelet::Sync,
    node::{BundlePod, PodProjection, ProjectionPhase},
    runtime_cri::Sandbox,
};

/// What is to be said of a pod.
pub(super) struct Judged {
    pub(super) state: PodState,
    pub(super) message: String,
    /// Whether the kubelet has something to do for it: to make a sandbox or a container.
    pub(super) waits: bool,
}

impl Judged {
    pub(super) fn new(state: PodState, message: impl Into<String>) -> Self {
        Self {
            state,
            message: message.into(),
            waits: false,
        }
    }

    pub(super) fn waiting(state: PodState, message: impl Into<String>) -> Self {
        Self {
            waits: true,
            ..Self::new(state, message)
        }
    }
}

/// A demanded pod and what is known of it.
pub(super) struct Wanted<'a> {
    pub(super) pod: &'a BundlePod,
    pub(super) projection: Option<&'a PodProjection>,
    pub(super) found: Found<'a>,
    pub(super) spec: &'a Spec,
    /// Whether the kubelet has had something to do for it for longer than it should take.
    pub(super) has_waited: bool,
}

impl Wanted<'_> {
    pub(super) fn judge(&self, parts: &Parts<'_>) -> Judged {
        // None: the projection has not seen the commit yet.
        let is_written = self
            .projection
            .is_some_and(|projection| projection.phase != ProjectionPhase::Pending);
        let is_seen = matches!(parts.runtime, RuntimeView::Seen(_));
        if is_seen {
            if let Some(old) = self.older() {
                if is_written || self.found.own.is_some() {
                    let message = self.replacing(old, parts.kubelet.sync);
                    return Judged::new(PodState::Replacing, message);
                }
            } else if let Some(own) = self.found.own {
                return containers::judge(own, self.spec, parts, self.has_waited);
            }
        }
        if !is_written {
            return Judged::new(PodState::Committed, self.turn());
        }
        if is_seen {
            return self.without_sandbox(parts);
        }
        let message = format!(
            "the file is in the static pod directory; whether the pod runs is not known: {}",
            ignorance(parts.runtime)
        );
        Judged::new(PodState::Unknown, message)
    }

    /// What the file waits for.
    fn turn(&self) -> String {
        let waits = self.projection.and_then(|it| it.waits_for.as_ref());
        let Some(waits) = waits else {
            return "the pod is committed, and its file is about to be written".to_owned();
        };
        let late = if waits.timed_out {
            ", which takes longer than readiness.waveTimeout allows"
        } else {
            ""
        };
        let (key, wave) = (&waits.key, waits.wave);
        format!("the pod is committed, and waits until pod {key} of wave {wave} is ready{late}")
    }

    /// The kubelet has the file, and the runtime has nothing of the pod.
    fn without_sandbox(&self, parts: &Parts<'_>) -> Judged {
        let known = kubelet::pod(parts.kubelet, &self.pod.uid);
        if let Some(known) = known
            && known.phase == "Failed"
        {
            let message = format!("the kubelet has refused the pod{}", kubelet::why(known));
            return Judged::new(PodState::Refused, message);
        }
        let waits_for = known.and_then(kubelet::waits_for);
        let limit = parts.refused_after.as_secs();
        let (state, message) = match (self.has_waited, parts.kubelet.sync, waits_for) {
            (false, Sync::Down, _) => (
                PodState::Projected,
                "the file is in the static pod directory, and the kubelet does not answer; it \
                 starts the pod when it runs again"
                    .to_owned(),
            ),
            (true, Sync::Down, _) => (
                PodState::Starting,
                "the kubelet does not answer; it starts the pod when it runs again".to_owned(),
            ),
            (false, _, Some(reason)) => (
                PodState::Projected,
                format!("the kubelet has taken the pod and has made no sandbox yet: {reason}"),
            ),
            (true, _, Some(reason)) => (
                PodState::Starting,
                format!(
                    "the kubelet has taken the pod and has made no sandbox for it within {limit} s: \
                     {reason}"
                ),
            ),
            (false, ..) => (
                PodState::Projected,
                "the file is in the static pod directory, and the kubelet has not started the pod \
                 yet"
                .to_owned(),
            ),
            (true, Sync::Synced, None) if known.is_some() => (
                PodState::Starting,
                format!(
                    "the kubelet has taken the pod and has made no sandbox for it within {limit} s: \
                     it waits for a volume, for the network, or for the end of an earlier pod of \
                     this name; its log says for which"
                ),
            ),
            (true, Sync::Synced, None) => (
                PodState::Refused,
                format!(
                    "the kubelet has had the file for more than {limit} s and does not know the \
                     pod: it has refused the file, or does not read this directory; its log says \
                     why"
                ),
            ),
            (true, Sync::Unsynced, None) if self.replaces() => (
                PodState::Starting,
                "the kubelet has not heard from its API server since it started, and starts no \
                 other content of this pod until it has, or is restarted"
                    .to_owned(),
            ),
            (true, Sync::Unsynced | Sync::Unknown, None) => (
                PodState::Refused,
                format!(
                    "the kubelet has had the file for more than {limit} s and has made no sandbox: \
                     it has refused the pod (for a host port that is taken, a node selector that \
                     does not match, too little memory, ...), or it does not run or does not read \
                     this directory; its log says which"
                ),
            ),
        };
        Judged::waiting(state, message)
    }

    fn replaces(&self) -> bool {
        self.projection
            .is_some_and(|projection| projection.phase == ProjectionPhase::Replacing)
    }

    /// The sandbox of an earlier content that still runs. It may have the demanded uid: on a kubelet that would not
    /// start another one, a replacement keeps the uid, and only the revision tells them apart.
    fn older(&self) -> Option<&Sandbox> {
        self.found.other.or_else(|| {
            self.found.own.filter(|own| {
                own.is_live()
                    && own
                        .revision
                        .is_some_and(|revision| revision != self.pod.revision)
            })
        })
    }

    fn replacing(&self, old: &Sandbox, sync: Sync) -> String {
        let returns = old.revision == Some(self.pod.revision);
        let old = old.revision.map_or_else(
            || "a pod that is not Seedpod's".to_owned(),
            |revision| format!("revision {revision}"),
        );
        let hindrance = match sync {
            Sync::Down => "; the kubelet does not answer",
            Sync::Unsynced => {
                "; the kubelet has not heard from its API server yet, and does not stop it by itself"
            }
            Sync::Synced | Sync::Unknown => "",
        };
        if returns {
            return format!(
                "the pod was to be handed over, and still stops before it is started anew{hindrance}"
            );
        }
        format!(
            "{old} still runs under this name and is being stopped for revision {}{hindrance}",
            self.pod.revision
        )
    }
}

/// How far it is with a pod that is handed over.
pub(super) fn withheld(parts: &Parts<'_>, found: Found<'_>) -> Judged {
    let runs = |sandbox: &Sandbox| sandbox.is_live();
    match parts.runtime {
        RuntimeView::Seen(_) if found.own.is_some_and(runs) || found.other.is_some() => {
            Judged::new(
                PodState::Removing,
                "the pod is handed over to the cluster's own control plane and is being stopped; it \
                 has its grace period",
            )
        }
        RuntimeView::Seen(_) => Judged::new(
            PodState::Standby,
            "the pod is handed over to the cluster's own control plane, and kept for the time that \
             this does not run",
        ),
        RuntimeView::Away(_) | RuntimeView::NotConfigured => Judged::new(
            PodState::Unknown,
            format!(
                "the pod is handed over to the cluster's own control plane; whether it still runs is \
                 not known: {}",
                ignorance(parts.runtime)
            ),
        ),
    }
}

/// How far the removal of a pod has come.
pub(super) fn removed(parts: &Parts<'_>, found: Found<'_>) -> Judged {
    match (parts.runtime, found.other) {
        (RuntimeView::Seen(_), Some(_)) => Judged::new(
            PodState::Removing,
            "the pod is no longer in the bundle and is being stopped; it has its grace period",
        ),
        (RuntimeView::Seen(_), None) => Judged::new(
            PodState::Removing,
            "the pod is no longer in the bundle, and nothing of it runs any more",
        ),
        (RuntimeView::Away(_) | RuntimeView::NotConfigured, _) => Judged::new(
            PodState::Unknown,
            format!(
                "the pod is no longer in the bundle; whether it still runs is not known: {}",
                ignorance(parts.runtime)
            ),
        ),
    }
}

/// Why the runtime is not known.
fn ignorance(view: RuntimeView<'_>) -> String {
    match view {
        RuntimeView::NotConfigured => "no containerRuntimeEndpoint is configured".to_owned(),
        RuntimeView::Away(cause) => format!("the container runtime does not answer ({cause})"),
        RuntimeView::Seen(_) => String::new(),
    }
}

/// Says of each pod that is held back by its wave which pod it waits for, and what that one waits for.
pub(super) fn tell_of_waves(pods: &mut [PodStatus]) {
    let messages: Vec<Option<String>> = pods
        .iter()
        .map(|pod| {
            let waits = pod.waits_for.as_ref()?;
            let awaited = pods
                .binary_search_by(|other| other.place().cmp(&(&pod.bundle, &waits.key)))
                .map_or("it is not there yet", |place| &pods[place].message);
            let late = if waits.timed_out {
                ", for longer than a wave may take"
            } else {
                ""
            };
            Some(format!(
                "the pod waits for wave {}{late}: pod {}/{} is not ready: {awaited}",
                waits.wave, waits.key.namespace, waits.key.name
            ))
        })
        .collect();
    for (pod, message) in pods.iter_mut().zip(messages) {
        if let Some(message) = message {
            pod.message = message;
        }
    }
}
