//! Why a wait ended otherwise than hoped for.

use std::{fmt, time::Duration};

use crate::{Error, Pod, error::Seconds};

/// Why waiting ended otherwise than hoped for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// A pod has failed for longer than [`Wait::patience`](crate::Wait::patience).
    #[error("pod {} has failed{}", FullName(.pod), Because(.pod))]
    #[non_exhaustive]
    Failed {
        /// The pod.
        pod: Box<Pod>,
        /// The name of the container that has failed, when the node can tell.
        container: Option<String>,
    },
    /// A wave did not get ready in its time, so that the node leaves the pods of the waves after it alone.
    #[error("wave {wave} of bundle {bundle:?} did not get ready in its time: {message}")]
    #[non_exhaustive]
    Wave {
        /// The bundle.
        bundle: String,
        /// The wave.
        wave: u32,
        /// What the node says about it.
        message: String,
        /// The pods of the wave that are not ready.
        pods: Vec<Pod>,
    },
    /// The kubelet will not start a pod.
    #[error("the kubelet refuses pod {}{}", FullName(.pod), Because(.pod))]
    #[non_exhaustive]
    Refused {
        /// The pod.
        pod: Box<Pod>,
    },
    /// The revision was on trial and did not pass it: the node itself went back.
    #[error(
        "revision {revision} of bundle {bundle:?} did not pass its trial, and the node {}: {reason}",
        WentBack { active: *.active, source: *.source_revision }
    )]
    #[non_exhaustive]
    RolledBack {
        /// The bundle.
        bundle: String,
        /// The revision that was waited for.
        revision: u64,
        /// The revision that the node made of it.
        active: u64,
        /// The revision whose content is active again; 0: the bundle was removed.
        source_revision: u64,
        /// Why the node went back.
        reason: String,
    },
    /// The node cannot tell what runs: for longer than [`Wait::patience`](crate::Wait::patience), or because it has no container runtime
    /// configured.
    #[error("it is not known whether pod {} runs{}", FullName(.pod), Because(.pod))]
    #[non_exhaustive]
    Unknown {
        /// The pod.
        pod: Box<Pod>,
    },
    /// Time is up.
    #[error("after {} {}", Seconds(*.after), Unfinished(.pods))]
    #[non_exhaustive]
    Deadline {
        /// How long was waited.
        after: Duration,
        /// The pods that are not as they should be.
        pods: Vec<Pod>,
    },
    /// Time is up, and the pods are ready, but have not been for as long as [`Wait::stable_for`](crate::Wait::stable_for)
    /// asks.
    #[error("after {} the pods had not been ready for long enough", Seconds(*.after))]
    #[non_exhaustive]
    Unstable {
        /// How long was waited.
        after: Duration,
    },
    /// Time is up, and the revision is still on trial.
    #[error("after {} revision {revision} of bundle {bundle:?} is not confirmed", Seconds(*.after))]
    #[non_exhaustive]
    Unconfirmed {
        /// How long was waited.
        after: Duration,
        /// The bundle.
        bundle: String,
        /// The revision.
        revision: u64,
    },
    /// The revision was not injected as a trial, so there is nothing to confirm.
    #[error("revision {revision} of bundle {bundle:?} is not on trial")]
    #[non_exhaustive]
    NotOnTrial {
        /// The bundle.
        bundle: String,
        /// The revision.
        revision: u64,
    },
    /// Another revision has become active meanwhile.
    #[error(
        "bundle {bundle:?} is at revision {active} now, so revision {revision} is no longer waited for"
    )]
    #[non_exhaustive]
    Superseded {
        /// The bundle.
        bundle: String,
        /// The revision that was waited for.
        revision: u64,
        /// The active one.
        active: u64,
    },
    /// The bundle was removed meanwhile.
    #[error("bundle {bundle:?} does not exist (any longer)")]
    #[non_exhaustive]
    Gone {
        /// The bundle.
        bundle: String,
    },
    /// The bundle was injected anew while its removal was waited for.
    #[error("bundle {bundle:?} has been injected again")]
    #[non_exhaustive]
    InjectedAgain {
        /// The bundle.
        bundle: String,
    },
    /// The node could not be asked.
    #[error(transparent)]
    Client(#[from] Error),
}

struct FullName<'a>(&'a Pod);

impl fmt::Display for FullName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.namespace, self.0.name)
    }
}

struct Because<'a>(&'a Pod);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.message.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.0.message)
        }
    }
}

struct Unfinished<'a>(&'a [Pod]);

impl fmt::Display for Unfinished<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the bundle's pods were not listed");
        }
        for (index, pod) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(
                f,
                "{separator}pod {} is {}{}",
                FullName(pod),
                pod.state,
                Because(pod)
            )?;
        }
        Ok(())
    }
}

struct WentBack {
    active: u64,
    source: u64,
}

impl fmt::Display for WentBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            0 => write!(f, "removed the bundle"),
            source => write!(
                f,
                "went back to revision {source}, as revision {}",
                self.active
            ),
        }
    }
}
