//! Waiting for the pods of a revision.
//!
//! The pods are watched; the bundle is looked at now and then, for what its pods do not tell: that another revision is
//! active, that a wave timed out, that a trial has ended.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tonic::Code;

use super::{
    SHORTEST_LOOK, Wait, WaitError,
    judge::{Goal, Judge, Verdict, timed_out_wave},
    removal::may_pass,
};
use crate::{Bundle, Client, Error, Origin, Pod, PodState, RuntimeState, TrialState};

/// How often the bundle is looked at while nothing happens.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The shortest time between two looks, and the pause before the node is asked again when it did not answer.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn wait(
    client: &Client,
    bundle: &str,
    revision: u64,
    goal: Goal,
    wait: Wait<'_>,
) -> Result<Vec<Pod>, WaitError> {
    let now = Instant::now();
    let mut waiting = Waiting {
        client,
        bundle,
        revision,
        end: now + wait.deadline,
        next_look: now,
        judge: Judge::new(goal, wait.patience, wait.stable_for),
        wait,
        known: false,
        confirmed: false,
        unfinished: Vec::new(),
        unanswered: None,
        runtime_checked: false,
    };
    waiting.run().await
}

/// The state of one wait.
struct Waiting<'a> {
    client: &'a Client,
    bundle: &'a str,
    revision: u64,
    wait: Wait<'a>,
    end: Instant,
    next_look: Instant,
    judge: Judge,
    /// Whether the bundle has been seen, so that the judge knows which pods are wanted.
    known: bool,
    /// Whether the trial has ended well.
    confirmed: bool,
    unfinished: Vec<Pod>,
    /// Why the node could not be asked the last time.
    unanswered: Option<Error>,
    runtime_checked: bool,
}

impl Waiting<'_> {
    async fn run(&mut self) -> Result<Vec<Pod>, WaitError> {
        let mut updates = self.client.watch_pods(Some(self.bundle));
        let mut pods: Option<Vec<Pod>> = None;
        loop {
            if Instant::now() >= self.next_look {
                self.look().await?;
                self.next_look = Instant::now() + LOOK_EVERY;
            }
            let mut wake = self.next_look.min(self.end);
            if let (true, Some(pods)) = (self.known, &pods) {
                match self.judge.judge(pods, Instant::now()) {
                    Verdict::Reached(pods) if self.is_final() => return Ok(pods),
                    // The node has seen them ready and confirmed the revision; what came after is not the trial's.
                    _ if self.confirmed => return Ok(pods.clone()),
                    Verdict::Reached(_) => self.unfinished.clear(),
                    Verdict::Settling(until) => {
                        wake = wake.min(until);
                        self.unfinished.clear();
                    }
                    Verdict::Hopeless(error) => return Err(error),
                    Verdict::Wait {
                        unfinished,
                        until,
                        missing,
                    } => {
                        if let Some(until) = until {
                            wake = wake.min(until);
                        }
                        if missing {
                            self.next_look = self.next_look.min(Instant::now() + PAUSE);
                            wake = wake.min(self.next_look);
                        }
                        self.check_runtime(&unfinished).await?;
                        self.unfinished = unfinished;
                    }
                }
            }
            if Instant::now() >= self.end {
                return Err(self.time_is_up());
            }
            let update = tokio::select! {
                update = updates.next() => update,
                () = tokio::time::sleep_until(wake.into()) => continue,
            };
            match update {
                Some(Ok(update)) => {
                    self.unanswered = None;
                    self.wait.tell(&update.pods);
                    pods = Some(update.pods);
                }
                Some(Err(error)) if !may_pass(&error) => return Err(error.into()),
                broken => {
                    self.unanswered = broken.and_then(Result::err);
                    updates = self.client.watch_pods(Some(self.bundle));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Whether the wait is over when the pods are as they should be.
    fn is_final(&self) -> bool {
        self.judge.goal != Goal::Confirmed || self.confirmed
    }

    /// The client, with no more time for a call than is left here.
    fn client(&self) -> Client {
        let left = self
            .end
            .saturating_duration_since(Instant::now())
            .max(SHORTEST_LOOK);
        self.client.with_deadline(left.min(self.client.deadline()))
    }

    /// Looks at the bundle.
    async fn look(&mut self) -> Result<(), WaitError> {
        let bundle = match self.client().get_bundle(self.bundle).await {
            Ok(bundle) => bundle,
            Err(error) if error.code() == Some(Code::NotFound) => {
                return Err(self.replaced(None).await);
            }
            Err(error) if may_pass(&error) => {
                self.unanswered = Some(error);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.unanswered = None;
        let Bundle {
            revision,
            pods,
            status,
            trial,
            ..
        } = bundle;
        if revision != self.revision {
            return Err(self.replaced(Some(revision)).await);
        }
        self.known = true;
        self.judge.wanted = pods;
        if self.judge.goal == Goal::Confirmed {
            match trial {
                None => {
                    return Err(WaitError::NotOnTrial {
                        bundle: self.bundle.to_owned(),
                        revision,
                    });
                }
                Some(trial) => self.confirmed = trial.state == TrialState::Confirmed,
            }
        } else if let Some(error) = status.and_then(|status| timed_out_wave(self.bundle, &status)) {
            return Err(error);
        }
        Ok(())
    }

    /// What has become of the revision, which is no longer the active one: perhaps the node itself went back.
    async fn replaced(&mut self, active: Option<u64>) -> WaitError {
        let bundle = self.bundle.to_owned();
        let revision = self.revision;
        // Where the history cannot be read, or no longer reaches back, less is known, but not less true.
        let history = self.client().list_revisions(self.bundle).await;
        let next = history
            .unwrap_or_default()
            .into_iter()
            .filter(|other| other.revision > revision)
            .min_by_key(|other| other.revision);
        match (next, active) {
            (Some(next), _) if next.origin == Origin::TrialFailed => WaitError::RolledBack {
                bundle,
                revision,
                active: next.revision,
                source_revision: next.source_revision,
                reason: next.reason,
            },
            (_, Some(active)) => WaitError::Superseded {
                bundle,
                revision,
                active,
            },
            (_, None) => WaitError::Gone { bundle },
        }
    }

    /// Without a configured runtime nothing will ever be known, so there is nothing to be patient for. Asked once.
    async fn check_runtime(&mut self, pods: &[Pod]) -> Result<(), WaitError> {
        let Some(pod) = pods.iter().find(|pod| pod.state == PodState::Unknown) else {
            return Ok(());
        };
        if std::mem::replace(&mut self.runtime_checked, true) || self.judge.goal == Goal::Confirmed
        {
            return Ok(());
        }
        match self.client().get_node().await {
            Ok(node) if node.container_runtime.state == RuntimeState::NotConfigured => {
                Err(WaitError::Unknown {
                    pod: Box::new(pod.clone()),
                })
            }
            // Anything else shows in the pods sooner or later.
            _ => Ok(()),
        }
    }

    fn time_is_up(&mut self) -> WaitError {
        let after = self.wait.deadline;
        let pods = std::mem::take(&mut self.unfinished);
        match self.unanswered.take() {
            Some(error) => WaitError::Client(error),
            None if self.judge.goal == Goal::Confirmed && pods.is_empty() => {
                WaitError::Unconfirmed {
                    after,
                    bundle: self.bundle.to_owned(),
                    revision: self.revision,
                }
            }
            None if pods.is_empty() && self.judge.is_settling() => WaitError::Unstable { after },
            None => WaitError::Deadline { after, pods },
        }
    }
}
