//! Clients that never cease to ask an API server, and keep account of each request.
//!
//! Each request is a new TLS connection. A request is *lost* when there is an error, when the answer is none of 2xx, or
//! when it takes longer than [`LIMIT`]. Beside the requests there is a watch, which is resumed where it was cut, and
//! which has to tell of each write that was answered.
//!
//! All of it has threads of its own, in the network namespace of the node, so that a test that is busy makes no losses.
//! A user has a few requests under way at one address and no more; those that are left out for that are counted.
//! How late a request began is noted apart from how long it took: a machine that had no time is no loss of the server's.

mod plan;
mod report;
mod request;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::Runtime;
use tokio::sync::watch as signal;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

pub use self::report::{Line, Record, Report, Watched};
use self::request::Client;
use crate::pki::Identity;

/// A request that takes longer is lost.
pub const LIMIT: Duration = Duration::from_secs(2);

/// How long is waited for an answer at last, to know how long it takes. An API server that does not reach its etcd says so by
/// then; one that answers well after all has only had no time.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many requests a user has under way at one address. One more is left out, and counted: on a machine that has not the
/// time for all of them, they would pile up until none is in time.
const UNDER_WAY: usize = 2;

/// How often a thread of the prober should have its turn, to see whether the machine has time for it.
const HEARTBEAT: Duration = Duration::from_millis(10);

/// Who asks, for what and where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// A network namespace, as `/proc/PID/ns/net`. `None`: the caller's.
    pub network: Option<PathBuf>,
    /// Each user asks at each of them.
    pub addresses: Vec<IpAddr>,
    /// The API server's port.
    pub port: u16,
    /// The certificate that the API server's is signed by, PEM.
    pub ca: PathBuf,
    /// A name that the API server's certificate has, whatever the address.
    pub server_name: String,
    /// Who asks.
    pub users: Vec<User>,
    /// Who watches what the writers write, at the first address.
    pub watcher: Option<Identity>,
}

/// Someone who asks, over and over.
#[derive(Clone, Debug)]
pub struct User {
    /// For the report.
    pub name: String,
    /// What the user shows.
    pub identity: Identity,
    /// What the user asks for.
    pub asks: Asks,
    /// From one request to the next.
    pub every: Duration,
}

/// What a user asks for.
#[derive(Clone, Debug)]
pub enum Asks {
    /// A GET of this path. Not `/readyz`, which is 500 by design while a server starts or stops.
    Read(String),
    /// An update of one of a few ConfigMaps in the namespace `default`, each time to another content.
    Write,
}

impl User {
    /// One who reads a path each 10 ms.
    #[must_use]
    pub fn reader(name: &str, identity: &Identity, path: &str) -> Self {
        Self {
            name: name.to_owned(),
            identity: identity.clone(),
            asks: Asks::Read(path.to_owned()),
            every: Duration::from_millis(10),
        }
    }

    /// One who writes each 50 ms.
    #[must_use]
    pub fn writer(name: &str, identity: &Identity) -> Self {
        Self {
            name: name.to_owned(),
            identity: identity.clone(),
            asks: Asks::Write,
            every: Duration::from_millis(50),
        }
    }
}

/// Probes that are under way. Dropped, they end.
#[derive(Debug)]
pub struct Prober {
    shared: Arc<Shared>,
    stop: Option<signal::Sender<bool>>,
    thread: Option<thread::JoinHandle<Result<Option<Watched>>>>,
}

/// What all tasks write to.
#[derive(Debug)]
struct Shared {
    begin: Instant,
    wall: SystemTime,
    lines: Vec<Line>,
    records: Mutex<Vec<Record>>,
    stall: AtomicU64,
    left_out: AtomicUsize,
    /// The writes that were answered: the number that each has put into a ConfigMap.
    written: Mutex<BTreeMap<u64, Instant>>,
}

impl Prober {
    /// Starts asking, and blocks the thread as [`Self::finish`] does. Returns when each user has had one answer of 2xx at each address.
    ///
    /// # Errors
    /// When a file cannot be read, the namespace cannot be entered, or somebody gets no answer within 30 s.
    pub fn start(plan: Plan) -> Result<Self> {
        let lines = plan.users.iter().enumerate().flat_map(|(user, it)| {
            let name = it.name.clone();
            plan.addresses.iter().map(move |address| Line {
                user,
                name: name.clone(),
                address: *address,
            })
        });
        let shared = Arc::new(Shared {
            begin: Instant::now(),
            wall: SystemTime::now(),
            lines: lines.collect(),
            records: Mutex::default(),
            stall: AtomicU64::default(),
            left_out: AtomicUsize::default(),
            written: Mutex::default(),
        });
        let (stop, stopped) = signal::channel(false);
        let (started, ready) = mpsc::channel();
        let thread = thread::Builder::new().name("prober".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || run(&plan, &shared, stopped, &started)
        })?;
        let mut prober = Self {
            shared,
            stop: Some(stop),
            thread: Some(thread),
        };
        match ready.recv() {
            Ok(()) => Ok(prober),
            // It has ended, and says why.
            Err(_) => match prober.join() {
                Ok(_) => Err(anyhow!("the prober has ended before it began")),
                Err(error) => Err(error),
            },
        }
    }

    /// How many requests were answered or lost until now.
    #[must_use]
    pub fn requests(&self) -> usize {
        lock(&self.shared.records).len()
    }

    /// Ends asking, waits for what is under way, and reports.
    ///
    /// # Errors
    /// When the prober itself has failed.
    pub fn finish(mut self) -> Result<Report> {
        let watched = self.join()?;
        let shared = &self.shared;
        Ok(Report {
            begin: shared.wall,
            lasted: shared.begin.elapsed(),
            lines: shared.lines.clone(),
            records: std::mem::take(&mut *lock(&shared.records)),
            stall: Duration::from_micros(shared.stall.load(Ordering::Relaxed)),
            left_out: shared.left_out.load(Ordering::Relaxed),
            watched,
        })
    }

    fn join(&mut self) -> Result<Option<Watched>> {
        // Whoever waits for the signal also sees that its sender has gone.
        self.stop.take();
        let thread = self.thread.take().context("the prober has ended before")?;
        match thread.join() {
            Ok(result) => result,
            Err(_) => Err(anyhow!("the prober has panicked")),
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ = self.join();
        }
    }
}

/// The prober's thread. All others are its children, and so in the namespace that it enters.
fn run(
    plan: &Plan,
    shared: &Arc<Shared>,
    mut stopped: signal::Receiver<bool>,
    started: &mpsc::Sender<()>,
) -> Result<Option<Watched>> {
    if let Some(path) = &plan.network {
        let what = || format!("enter the network namespace {}", path.display());
        let namespace = File::open(path).with_context(what)?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(what)?;
    }
    let mut clients = Vec::new();
    for user in &plan.users {
        for address in &plan.addresses {
            let address = SocketAddr::new(*address, plan.port);
            let client = Client::new(address, &plan.server_name, &plan.ca, &user.identity)?;
            clients.push((client, user.clone()));
        }
    }
    let watcher = match (&plan.watcher, plan.addresses.first()) {
        (Some(identity), Some(address)) => {
            let address = SocketAddr::new(*address, plan.port);
            Some(Client::new(address, &plan.server_name, &plan.ca, identity)?)
        }
        _ => None,
    };
    let runtime = runtime()?;
    runtime.block_on(async {
        for (client, user) in &clients {
            first_answer(client, user).await?;
        }
        let watcher = match watcher {
            Some(client) => Some(watch::start(client, Arc::clone(shared)).await?),
            None => None,
        };
        let mut series = JoinSet::new();
        for (line, (client, user)) in clients.into_iter().enumerate() {
            let (shared, stopped) = (Arc::clone(shared), stopped.clone());
            series.spawn(ask_on(line, client, user, shared, stopped));
        }
        let heartbeat = tokio::spawn(feel(Arc::clone(shared)));
        let _ = started.send(());
        // It ends with the sender.
        let _ = stopped.wait_for(|stopped| *stopped).await;
        while series.join_next().await.is_some() {}
        heartbeat.abort();
        Ok(match watcher {
            Some(watcher) => Some(watcher.finish().await),
            None => None,
        })
    })
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("prober")
        .enable_all()
        .build()?)
}

/// From a server that is there; an error now is one of the test, and no loss.
async fn first_answer(client: &Client, user: &User) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let outcome = match tokio::time::timeout(LIMIT, client.ask(&user.asks, 0, 0)).await {
            Ok(Ok(status)) if (200..300).contains(&status) => return Ok(()),
            Ok(Ok(status)) => anyhow!("status {status}"),
            Ok(Err(error)) => error,
            Err(_) => anyhow!("no answer within {} s", LIMIT.as_secs()),
        };
        if Instant::now() > deadline {
            let what = format!("{} got no answer at {}", user.name, client.address());
            return Err(outcome.context(what));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One user at one address, until it is stopped. Requests do not wait for each other.
async fn ask_on(
    line: usize,
    client: Client,
    user: User,
    shared: Arc<Shared>,
    mut stopped: signal::Receiver<bool>,
) {
    let mut ticks = interval(user.every);
    // Those that were missed are not made up for, which would be a burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut requests = JoinSet::new();
    let mut number = 0;
    loop {
        let due = tokio::select! {
            due = ticks.tick() => due,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        while requests.try_join_next().is_some() {}
        if requests.len() >= UNDER_WAY {
            shared.left_out.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        number += 1;
        let (client, asks, shared) = (client.clone(), user.asks.clone(), Arc::clone(&shared));
        let content = content(number, line);
        requests.spawn(async move {
            let start = Instant::now();
            let answer = tokio::time::timeout(PATIENCE, client.ask(&asks, line, content)).await;
            let latency = start.elapsed();
            let outcome = match answer {
                Ok(Ok(status)) => Ok(status),
                Ok(Err(error)) => Err(format!("{error:#}")),
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            };
            if matches!((&asks, &outcome), (Asks::Write, Ok(200..=299))) {
                lock(&shared.written).insert(content, Instant::now());
            }
            lock(&shared.records).push(Record {
                line,
                start: start - shared.begin,
                lag: start.saturating_duration_since(due.into_std()),
                latency,
                outcome,
            });
        });
    }
    while requests.join_next().await.is_some() {}
}

/// What a write writes: a number that no other write of this run has.
fn content(number: u64, line: usize) -> u64 {
    number * 1_000 + line as u64
}

/// To which of its line's objects it is written.
fn slot(content: u64) -> u64 {
    content / 1_000 % UNDER_WAY as u64
}

/// Notes the longest time for which the prober did not have its turn.
async fn feel(shared: Arc<Shared>) {
    loop {
        let before = Instant::now();
        tokio::time::sleep(HEARTBEAT).await;
        let late = before.elapsed().saturating_sub(HEARTBEAT).as_micros();
        let late = u64::try_from(late).unwrap_or(u64::MAX);
        shared.stall.fetch_max(late, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
