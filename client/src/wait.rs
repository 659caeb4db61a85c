//! Waiting until pods are ready, or are gone.

mod error;
mod handoff;
mod judge;
mod removal;
mod revision;

use std::{fmt, time::Duration};

use crate::{Client, Pod};
pub use error::WaitError;
use judge::Goal;

type Progress<'a> = Box<dyn FnMut(&[Pod]) + Send + 'a>;

/// The least time that a look at the node is given, also the last one: what it shows is what the wait ends with.
const SHORTEST_LOOK: Duration = Duration::from_secs(1);

/// How long to wait, and whom to tell about progress.
pub struct Wait<'a> {
    deadline: Duration,
    patience: Duration,
    stable_for: Duration,
    progress: Option<Progress<'a>>,
}

impl<'a> Wait<'a> {
    /// Wait at most this long.
    pub fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            patience: Duration::from_secs(30),
            stable_for: Duration::ZERO,
            progress: None,
        }
    }

    /// Give up on a pod that has been [`Failed`](crate::PodState::Failed), or [`Unknown`](crate::PodState::Unknown), for
    /// so long without a break. Default: 30 s, which lets a pod crash twice while what it needs is still starting (the
    /// kubelet starts it again after 10, 20, 40 ... s). One that is [`Refused`](crate::PodState::Refused) is given up
    /// after 2 s: the kubelet rarely changes its mind.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The pods must stay as they should be for so long without a break. Default: not at all. A pod without probes is
    /// ready as soon as its containers run, also when they end a second later. [`Client::wait_confirmed`] does not look
    /// at it.
    pub fn stable_for(mut self, time: Duration) -> Self {
        self.stable_for = time;
        self
    }

    /// Called with the bundle's pods first and whenever they have changed.
    pub fn on_progress(mut self, progress: impl FnMut(&[Pod]) + Send + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    fn tell(&mut self, pods: &[Pod]) {
        if let Some(progress) = &mut self.progress {
            progress(pods);
        }
    }
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("deadline", &self.deadline)
            .field("patience", &self.patience)
            .field("stable_for", &self.stable_for)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Waits until each pod of the bundle's revision is [`Ready`](crate::PodState::Ready) with the content that the
    /// revision demands, all at once. Returns the pods as they were then. While the node does not answer (the daemon may
    /// be restarting) it is asked again until the deadline.
    ///
    /// # Errors
    /// Those of [`WaitError`]: a pod has failed or was refused, a wave timed out, what runs is not known, time is up,
    /// the node went back after a failed trial, or somebody else changed or removed the bundle.
    ///
    /// # Cancel safety
    /// Dropping the future only ends the waiting.
    pub async fn wait_ready(
        &self,
        bundle: &str,
        revision: u64,
        wait: Wait<'_>,
    ) -> Result<Vec<Pod>, WaitError> {
        revision::wait(self, bundle, revision, Goal::Ready, wait).await
    }

    /// As [`Self::wait_ready`], but it is enough that the containers of each pod run, whatever their probes say.
    ///
    /// # Errors
    /// Those of [`Self::wait_ready`].
    ///
    /// # Cancel safety
    /// Dropping the future only ends the waiting.
    pub async fn wait_running(
        &self,
        bundle: &str,
        revision: u64,
        wait: Wait<'_>,
    ) -> Result<Vec<Pod>, WaitError> {
        revision::wait(self, bundle, revision, Goal::Running, wait).await
    }

    /// Waits until the trial of a revision has ended well: by readiness or by [`Self::confirm_revision`], whichever was
    /// asked for. [`Wait::patience`] is not looked at, since it is the node that decides.
    ///
    /// # Errors
    /// Those of [`WaitError`]; [`WaitError::RolledBack`] when the trial has failed.
    ///
    /// # Cancel safety
    /// Dropping the future only ends the waiting; the trial goes on.
    pub async fn wait_confirmed(
        &self,
        bundle: &str,
        revision: u64,
        wait: Wait<'_>,
    ) -> Result<Vec<Pod>, WaitError> {
        revision::wait(self, bundle, revision, Goal::Confirmed, wait).await
    }

    /// Waits until none of the bundle's pods is left on the node.
    ///
    /// # Errors
    /// [`WaitError::Deadline`], [`WaitError::InjectedAgain`] or [`WaitError::Client`].
    ///
    /// # Cancel safety
    /// Dropping the future only ends the waiting.
    pub async fn wait_removed(&self, bundle: &str, wait: Wait<'_>) -> Result<(), WaitError> {
        removal::wait(self, bundle, wait).await
    }
}
