//! The logs of a pod: which containers there are, and waiting for more.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    chain::Extent,
    error::LogError,
    listing,
    merge::{ContainerLine, Sources},
    source::Source,
    watch::Watch,
};
use crate::runtime_cri::{Container, ContainerState, ObservationWatch, Runtime, Sandbox};

/// How often the runtime is asked whether the pod has new containers, when nothing tells of them.
const LOOK: Duration = Duration::from_secs(2);

/// How often at most.
const LOOK_AT_MOST: Duration = Duration::from_millis(200);

/// How often files are looked at when changes are noticed, and when they are not.
const POLL: Duration = Duration::from_secs(1);
const POLL_BLIND: Duration = Duration::from_millis(250);

/// The same while a file is about to be done.
const POLL_SOON: Duration = Duration::from_millis(50);

/// How long nothing of a pod that no bundle has may run until it counts as gone. A sandbox may be replaced.
const GONE: Duration = Duration::from_secs(1);

/// Which pod.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) namespace: String,
    /// What the kubelet may call it, the likeliest first.
    pub(crate) names: Vec<String>,
}

/// What a bundle has of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Demanded {
    pub(crate) uid: String,
    /// The names of its containers.
    pub(crate) containers: Vec<String>,
}

/// Which of its lines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Only of this container.
    pub(crate) container: Option<String>,
    pub(crate) follow: bool,
    /// The last so many of each container.
    pub(crate) tail: Option<u64>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) previous: bool,
}

/// Says what a bundle has of the pod that the kubelet calls so.
type Demand = Box<dyn Fn(&str) -> Option<Demanded> + Send + Sync>;

/// The lines of a pod, to be asked for one batch after the other. Dropping it ends all.
pub(crate) struct PodLogs<R> {
    runtime: R,
    target: Target,
    wanted: Wanted,
    demand: Demand,
    observation: Option<ObservationWatch>,
    sources: Sources,
    /// By the kubelet's uid of the pod and the container's name: its place in `sources`.
    known: BTreeMap<(String, String), usize>,
    /// Sandboxes that were made before this time are of earlier contents.
    begin: Timestamp,
    looked: Instant,
    look_now: bool,
    /// Since when nothing of the pod is left.
    gone: Option<Instant>,
    watch: Option<Watch>,
    is_over: bool,
}

impl<R: fmt::Debug> fmt::Debug for PodLogs<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodLogs")
            .field("target", &self.target)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

impl<R: Runtime> PodLogs<R> {
    /// Opens what is there.
    pub(crate) async fn open(
        runtime: R,
        target: Target,
        wanted: Wanted,
        demand: impl Fn(&str) -> Option<Demanded> + Send + Sync + 'static,
        observation: ObservationWatch,
    ) -> Result<Self, LogError> {
        let watch = wanted.follow.then(Watch::new);
        let mut logs = Self {
            runtime,
            target,
            wanted,
            demand: Box::new(demand),
            observation: Some(observation),
            sources: Sources::default(),
            known: BTreeMap::new(),
            begin: Timestamp::MIN,
            looked: Instant::now(),
            look_now: false,
            gone: None,
            watch,
            is_over: false,
        };
        logs.look_first().await?;
        Ok(logs)
    }

    /// The next lines, never none. `None` at the end, also after an error.
    pub(crate) async fn next(&mut self) -> Option<Result<Vec<ContainerLine>, LogError>> {
        if self.is_over {
            return None;
        }
        let next = self.find().await.transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }

    async fn find(&mut self) -> Result<Option<Vec<ContainerLine>>, LogError> {
        loop {
            if self.is_time_to_look() {
                self.look_again().await?;
            }
            // By what was known before the files were read.
            let is_gone = self.gone.is_some_and(|since| since.elapsed() >= GONE);
            let batch = self.blocking(Sources::batch).await?;
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
            let is_done = self.sources.are_done();
            if is_done && (is_gone || !self.wanted.follow) {
                return Ok(None);
            }
            self.wait().await;
        }
    }

    fn is_time_to_look(&self) -> bool {
        let since = self.looked.elapsed();
        let soon = self.look_now && since >= LOOK_AT_MOST;
        let going = self.gone.is_some() && since >= GONE;
        self.wanted.follow && (soon || going || since >= LOOK)
    }

    /// Waits until there may be more.
    async fn wait(&mut self) {
        let Some(watch) = &mut self.watch else {
            return sleep(POLL_SOON).await;
        };
        let poll = if self.sources.are_changing_over() {
            POLL_SOON
        } else if watch.is_up() {
            POLL
        } else {
            POLL_BLIND
        };
        let mut until = (self.looked + LOOK).min(Instant::now() + poll);
        if self.look_now {
            until = until.min(self.looked + LOOK_AT_MOST);
        }
        tokio::select! {
            made_folder = watch.changed() => self.look_now |= made_folder,
            is_there = observed(&mut self.observation) => {
                if is_there {
                    self.look_now = true;
                } else {
                    self.observation = None;
                }
            }
            () = sleep_until(until) => {}
        }
    }

    /// Works on the files where it may block.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Sources) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let mut sources = std::mem::take(&mut self.sources);
        let work = move || {
            let result = work(&mut sources);
            (sources, result)
        };
        let (sources, result) = tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| LogError::Failed)?;
        self.sources = sources;
        result
    }

    /// The pod's sandboxes, and what a bundle has of it.
    async fn ask(&mut self) -> Result<(Vec<Sandbox>, Option<Demanded>), LogError> {
        (self.looked, self.look_now) = (Instant::now(), false);
        let sandboxes = self.runtime.sandboxes().await.map_err(LogError::Runtime)?;
        let demanded = self.target.names.iter().find_map(|name| {
            let demanded = (self.demand)(name)?;
            Some((name.clone(), demanded))
        });
        let of = |name: &str| -> Vec<Sandbox> {
            let of_pod = |it: &&Sandbox| it.namespace == self.target.namespace && it.name == name;
            sandboxes.iter().filter(of_pod).cloned().collect()
        };
        if let Some((name, demanded)) = demanded {
            let own = of(&name);
            self.target.names = vec![name];
            return Ok((own, Some(demanded)));
        }
        for name in &self.target.names {
            let own = of(name);
            if !own.is_empty() {
                self.target.names = vec![name.clone()];
                return Ok((own, None));
            }
        }
        Ok((Vec::new(), None))
    }

    async fn look_first(&mut self) -> Result<(), LogError> {
        let (sandboxes, demanded) = self.ask().await?;
        if sandboxes.is_empty() && demanded.is_none() {
            return Err(LogError::NoPod);
        }
        // The newest content; the demanded one, if it has come already.
        let newest = sandboxes.iter().max_by_key(|it| {
            (
                demanded.as_ref().is_some_and(|d| d.uid == it.uid),
                it.created_at,
            )
        });
        let content = newest.map(|it| it.kubelet_uid.clone());
        let of_content = |it: &&Sandbox| content.as_ref().is_some_and(|uid| *uid == it.kubelet_uid);
        self.begin = sandboxes
            .iter()
            .filter(of_content)
            .map(|it| it.created_at)
            .min()
            .unwrap_or(Timestamp::MIN);
        let own: Vec<Sandbox> = sandboxes.into_iter().filter(|it| of_content(&it)).collect();
        self.check_container(&own, demanded.as_ref())?;
        self.take_up(&own, true).await?;
        if self.wanted.previous && self.sources.all.is_empty() {
            return Err(LogError::NoPrevious);
        }
        Ok(())
    }

    async fn look_again(&mut self) -> Result<(), LogError> {
        let (sandboxes, demanded) = match self.ask().await {
            Ok(found) => found,
            // Not known is not gone: the files are read on.
            Err(LogError::Runtime(error)) => {
                tracing::debug!(error = %error.root_cause(), "following logs without the runtime");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if demanded.is_none() && !sandboxes.iter().any(Sandbox::is_live) {
            self.gone.get_or_insert_with(Instant::now);
        } else {
            self.gone = None;
        }
        let own: Vec<Sandbox> = sandboxes
            .into_iter()
            .filter(|it| it.created_at >= self.begin)
            .collect();
        self.take_up(&own, false).await
    }

    fn check_container(
        &self,
        sandboxes: &[Sandbox],
        demanded: Option<&Demanded>,
    ) -> Result<(), LogError> {
        let Some(name) = &self.wanted.container else {
            return Ok(());
        };
        let demanded = demanded.into_iter().flat_map(|it| &it.containers);
        let run = sandboxes
            .iter()
            .flat_map(|it| &it.containers)
            .map(|it| &it.name);
        let names: BTreeSet<&String> = demanded.chain(run).collect();
        if names.contains(name) {
            return Ok(());
        }
        Err(LogError::NoContainer {
            name: name.clone(),
            names: names.into_iter().cloned().collect(),
        })
    }

    /// Opens what is new, and tells the others how their containers are.
    async fn take_up(&mut self, sandboxes: &[Sandbox], is_first: bool) -> Result<(), LogError> {
        let newest = newest(sandboxes);
        let mut opening = Vec::new();
        let mut learned: Vec<Option<(u32, bool)>> = vec![None; self.sources.all.len()];
        for ((uid, name), container) in newest {
            if self.wanted.container.as_ref().is_some_and(|it| *it != name) {
                continue;
            }
            let ended = container.state == ContainerState::Exited;
            if let Some(index) = self.known.get(&(uid.clone(), name.clone())) {
                learned[*index] = Some((container.attempt, ended));
                continue;
            }
            let Some(folder) = self.folder(container, is_first).await? else {
                continue;
            };
            opening.push((uid, name, folder, container.attempt, ended));
        }
        for (_, _, folder, ..) in &opening {
            if let Some(watch) = &mut self.watch {
                watch.add(folder);
                if let Some(pod) = folder.parent() {
                    watch.add(pod);
                }
            }
        }
        let wanted = self.wanted.clone();
        let opened = self
            .blocking(move |sources| {
                for (source, learned) in sources.all.iter_mut().zip(learned) {
                    // What is not listed any more does not run.
                    let (newest, ended) = learned.unwrap_or((source.attempt, true));
                    source.learn(newest, ended);
                }
                let mut opened = Vec::new();
                for (uid, name, folder, attempt, ended) in opening {
                    if let Some(source) = open(&name, &folder, attempt, ended, &wanted, is_first)? {
                        opened.push(((uid, name), sources.all.len()));
                        sources.all.push(source);
                    }
                }
                Ok(opened)
            })
            .await?;
        self.known.extend(opened);
        Ok(())
    }

    /// Where the runtime writes a container's log. `None`: nowhere, or it is gone by now.
    async fn folder(
        &self,
        container: &Container,
        is_first: bool,
    ) -> Result<Option<PathBuf>, LogError> {
        let path = match self.runtime.container_status(&container.id).await {
            Ok(details) => details.log_path,
            Err(error) if is_first && !error.is_not_found() => {
                return Err(LogError::Runtime(error));
            }
            // The next look shows it, if it is there.
            Err(_) => return Ok(None),
        };
        Ok(Path::new(&path)
            .parent()
            .filter(|folder| folder.is_absolute())
            .map(Path::to_owned))
    }
}

/// The newest attempt of each container, by the kubelet's uid of the pod and its name. A pod may have had several
/// sandboxes.
fn newest(sandboxes: &[Sandbox]) -> BTreeMap<(String, String), &Container> {
    let mut newest: BTreeMap<_, &Container> = BTreeMap::new();
    for sandbox in sandboxes {
        for container in &sandbox.containers {
            newest
                .entry((sandbox.kubelet_uid.clone(), container.name.clone()))
                .and_modify(|known| {
                    if container.attempt > known.attempt {
                        *known = container;
                    }
                })
                .or_insert(container);
        }
    }
    newest
}

/// Opens a container's log, if it is to be read.
fn open(
    name: &str,
    folder: &Path,
    newest: u32,
    ended: bool,
    wanted: &Wanted,
    is_first: bool,
) -> Result<Option<Source>, LogError> {
    let attempts = || {
        listing::attempts(folder).map_err(|source| LogError::Unreadable {
            path: folder.to_owned(),
            source,
        })
    };
    let attempt = if wanted.previous {
        let before = attempts()?.into_iter().rfind(|attempt| *attempt < newest);
        let Some(before) = before else {
            return Ok(None);
        };
        before
    } else if is_first {
        newest
    } else {
        // It was not there before: all that it has written is new.
        attempts()?.first().copied().unwrap_or(newest)
    };
    let extent = Extent {
        tail: wanted.tail.filter(|_| is_first),
        since: wanted.since,
        follow: wanted.follow,
        ended: ended || attempt < newest,
    };
    Source::open(Arc::from(name), folder.to_owned(), attempt, extent).map(Some)
}

/// Waits for the next observation. `false`: there will be none.
async fn observed(observation: &mut Option<ObservationWatch>) -> bool {
    match observation {
        Some(observation) => observation.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}
