//! Waiting until pods run, or are gone.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use tonic::Code;

use crate::{Bundle, Client, Error, Pod, PodState, RuntimeState, error::Seconds};

/// The first pause between two looks; each further one is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The least time that a look is given, also the last one: what it shows is what the wait ends with.
const SHORTEST_LOOK: Duration = Duration::from_secs(1);

/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

type Progress<'a> = Box<dyn FnMut(&[Pod]) + Send + 'a>;

/// How long to wait, and whom to tell about progress.
pub struct Wait<'a> {
    deadline: Duration,
    patience: Duration,
    progress: Option<Progress<'a>>,
}

impl<'a> Wait<'a> {
    /// Wait at most this long.
    pub fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            patience: Duration::from_secs(30),
            progress: None,
        }
    }

    /// Give up on a pod that has been [`Failed`](PodState::Failed), or [`Unknown`](PodState::Unknown), for so long
    /// without a break. Default: 30 s, which lets a pod crash twice while what it needs is still starting (the kubelet
    /// starts it again after 10, 20, 40 ... s).
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Called with the bundle's pods first and whenever they have changed.
    pub fn on_progress(mut self, progress: impl FnMut(&[Pod]) + Send + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("deadline", &self.deadline)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// Why waiting ended otherwise than hoped for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// A pod has failed for longer than [`Wait::patience`].
    #[error("pod {} has failed{}", FullName(.pod), Because(.pod))]
    #[non_exhaustive]
    Failed {
        /// The pod.
        pod: Box<Pod>,
    },
    /// The node cannot tell what runs: for longer than [`Wait::patience`], or because it has no container runtime
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

impl Client {
    /// Waits until each pod of the bundle's revision runs with the content that the revision demands, all at once.
    /// Returns the pods as they were then. While the node does not answer (the daemon may be restarting) it is asked
    /// again until the deadline.
    ///
    /// # Errors
    /// Those of [`WaitError`]; each names the pod and what is wrong with it.
    ///
    /// # Cancel safety
    /// Dropping the future only ends the waiting.
    pub async fn wait_running(
        &self,
        bundle: &str,
        revision: u64,
        wait: Wait<'_>,
    ) -> Result<Vec<Pod>, WaitError> {
        let mut watch = Watch::new(self, wait);
        let wanted = watch.bundle(bundle, revision).await?;
        loop {
            let Some(pods) = watch.look(bundle).await? else {
                continue;
            };
            let found = |want: &crate::BundlePod| {
                pods.iter()
                    .find(|pod| {
                        pod.namespace == want.namespace
                            && pod.name == want.name
                            && pod.uid == want.uid
                    })
                    .filter(|pod| pod.state != PodState::Removing)
            };
            let current: Vec<&Pod> = wanted.pods.iter().filter_map(found).collect();
            if current.len() < wanted.pods.len() {
                // Somebody has changed the bundle; this tells how. If nobody has, the two reads were not of one moment.
                watch.bundle(bundle, revision).await?;
            } else if current.iter().all(|pod| pod.state == PodState::Running) {
                return Ok(current.into_iter().cloned().collect());
            }
            if let Some(pod) = current.iter().find(|pod| pod.state == PodState::Unknown) {
                watch.check_runtime(pod).await?;
            }
            watch.check_patience(&current)?;
            let unfinished = current
                .into_iter()
                .filter(|pod| pod.state != PodState::Running);
            watch.unfinished = unfinished.cloned().collect();
            watch.pause().await?;
        }
    }

    /// Waits until none of the bundle's pods is left on the node.
    ///
    /// # Errors
    /// [`WaitError::Deadline`], [`WaitError::InjectedAgain`] or [`WaitError::Client`].
    ///
    /// # Cancel safety
    /// Dropping the future only ends the waiting.
    pub async fn wait_removed(&self, bundle: &str, wait: Wait<'_>) -> Result<(), WaitError> {
        let mut watch = Watch::new(self, wait);
        loop {
            let Some(pods) = watch.look(bundle).await? else {
                continue;
            };
            if pods.is_empty() {
                return Ok(());
            }
            // While the runtime cannot be asked, a pod that is being removed is listed as Unknown too.
            if pods
                .iter()
                .any(|pod| !matches!(pod.state, PodState::Removing | PodState::Unknown))
            {
                return Err(WaitError::InjectedAgain {
                    bundle: bundle.to_owned(),
                });
            }
            watch.unfinished = pods;
            watch.pause().await?;
        }
    }
}

/// The state of one wait.
struct Watch<'a> {
    client: &'a Client,
    wait: Wait<'a>,
    end: Instant,
    pause: Duration,
    /// What was told last.
    told: Option<Vec<Pod>>,
    unfinished: Vec<Pod>,
    /// Why the node could not be asked the last time.
    unanswered: Option<Error>,
    /// Since when a pod has been in a state that patience is for.
    since: HashMap<(String, String), (PodState, Instant)>,
    runtime_checked: bool,
}

impl<'a> Watch<'a> {
    fn new(client: &'a Client, wait: Wait<'a>) -> Self {
        Self {
            client,
            end: Instant::now() + wait.deadline,
            wait,
            pause: FIRST_PAUSE,
            told: None,
            unfinished: Vec::new(),
            unanswered: None,
            since: HashMap::new(),
            runtime_checked: false,
        }
    }

    /// The client, with no more time for a call than is left here.
    fn client(&self) -> Client {
        let left = self
            .end
            .saturating_duration_since(Instant::now())
            .max(SHORTEST_LOOK);
        self.client.with_deadline(left.min(self.client.deadline()))
    }

    /// The bundle, if the revision is still the active one.
    async fn bundle(&mut self, name: &str, revision: u64) -> Result<Bundle, WaitError> {
        loop {
            match self.client().get_bundle(name).await {
                Ok(bundle) if bundle.revision == revision => return Ok(bundle),
                Ok(Bundle {
                    name: bundle,
                    revision: active,
                    ..
                }) => {
                    return Err(WaitError::Superseded {
                        bundle,
                        revision,
                        active,
                    });
                }
                Err(error) if error.code() == Some(Code::NotFound) => {
                    return Err(WaitError::Gone {
                        bundle: name.to_owned(),
                    });
                }
                Err(error) => self.bear(error).await?,
            }
        }
    }

    /// The bundle's pods; `None` when the node did not answer, after a pause.
    async fn look(&mut self, bundle: &str) -> Result<Option<Vec<Pod>>, WaitError> {
        let pods = match self.client().list_pods(Some(bundle)).await {
            Ok(pods) => pods,
            Err(error) => {
                self.bear(error).await?;
                return Ok(None);
            }
        };
        self.unanswered = None;
        if let Some(progress) = &mut self.wait.progress
            && self.told.as_ref() != Some(&pods)
        {
            progress(&pods);
            self.told = Some(pods.clone());
        }
        Ok(Some(pods))
    }

    /// Pauses after an error that may pass, and returns all others.
    async fn bear(&mut self, error: Error) -> Result<(), WaitError> {
        if !error.is_transient() && !matches!(error, Error::Deadline { .. }) {
            return Err(error.into());
        }
        self.unanswered = Some(error);
        self.pause().await
    }

    /// Without a configured runtime nothing will ever be known, so there is nothing to be patient for. Asked once.
    async fn check_runtime(&mut self, pod: &Pod) -> Result<(), WaitError> {
        if std::mem::replace(&mut self.runtime_checked, true) {
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

    fn check_patience(&mut self, pods: &[&Pod]) -> Result<(), WaitError> {
        let now = Instant::now();
        for pod in pods {
            let key = (pod.namespace.clone(), pod.name.clone());
            if !matches!(pod.state, PodState::Failed | PodState::Unknown) {
                self.since.remove(&key);
                continue;
            }
            let since = self.since.entry(key).or_insert((pod.state, now));
            if since.0 != pod.state {
                *since = (pod.state, now);
            }
            if now.duration_since(since.1) >= self.wait.patience {
                let pod = Box::new((*pod).clone());
                return Err(match pod.state {
                    PodState::Failed => WaitError::Failed { pod },
                    _ => WaitError::Unknown { pod },
                });
            }
        }
        Ok(())
    }

    async fn pause(&mut self) -> Result<(), WaitError> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(match self.unanswered.take() {
                Some(error) => WaitError::Client(error),
                None => WaitError::Deadline {
                    after: self.wait.deadline,
                    pods: std::mem::take(&mut self.unfinished),
                },
            });
        }
        tokio::time::sleep(self.pause.min(left)).await;
        self.pause = (self.pause + self.pause / 2).min(LONGEST_PAUSE);
        Ok(())
    }
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
