//! The daemon is killed at random instants, and nothing is lost, torn or left over.
//!
//! `SEEDPOD_TORTURE_KILLS` says in how many requests (200), `SEEDPOD_TORTURE_KILL_SEED` from which seed; it is printed. The
//! same seed gives the same choices; what the kills meet in the daemon is up to the scheduler.

mod random;
mod watcher;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use seedpod_client::{Bundle, Client, Code, Error, InjectPods, RemoveBundle, RetryPolicy, Wait};
use seedpod_integration::{ContainerKind, Node, NodeOptions, wait_until};
use serde_json::{Value, json};

pub(crate) use self::random::{Random, fresh_seed};
use self::watcher::Watcher;
use crate::rig::LIMIT;
use crate::scene::{Scene, connect_lazy, files_of, run, socket_options, spawn};

/// The latest instant of a kill, at first and at most. It is moved to where kills meet all stages of a request.
const LATEST_KILL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// The time in which a daemon is not yet done with its start.
const LATEST_KILL_AT_START: Duration = Duration::from_millis(60);
/// Several pages, so that a torn file would be seen as one.
const PADDING: usize = 12_000;
/// The kubelet has much to catch up with.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number")),
    )
}

#[test]
fn a_daemon_killed_at_random_instants_loses_and_tears_nothing() {
    let kills = number("SEEDPOD_TORTURE_KILLS").unwrap_or(200);
    let seed = number("SEEDPOD_TORTURE_KILL_SEED").unwrap_or_else(fresh_seed);
    println!("{kills} kills, SEEDPOD_TORTURE_KILL_SEED={seed}");
    // A node of its own: the kubelet has so much to do that others would wait for it.
    let node = Node::start(&NodeOptions::default()).unwrap();
    let scene = Scene::on(&node, "kill");
    let watcher = Watcher::start(&node.manifests(), &scene.name(""));
    let mut torture = Torture::new(&scene, Random::new(seed));
    let begun = Instant::now();
    while torture.round < kills {
        torture.round(&watcher);
    }
    println!("that took {:?}: {torture:?}", begun.elapsed());
    // Otherwise the kills do not try out what they are to try out.
    let met = [torture.answered, torture.silent, torture.undone];
    assert!(met.iter().all(|count| *count >= kills / 40), "{torture:?}");

    let bundle = torture.settle();
    let seen = watcher.stop();
    println!("seen meanwhile: {seen:?}");
    assert!(seen.events > kills / 2, "{seen:?}");
    store_directory_and_runtime_agree(&scene, &bundle);
}

struct Torture<'a> {
    scene: &'a Scene<'a>,
    random: Random,
    /// Sends everything once, so that each outcome is that of one attempt.
    once: Client,
    /// What each pod of the bundle says; without an entry it is not in it.
    lines: [Option<u64>; 3],
    /// The revision that the bundle has, a removal included.
    revision: u64,
    /// How many requests were sent, each with a kill.
    round: u64,
    kills_at_start: u64,
    latest_kill: Duration,
    /// Requests that were answered before the kill, and those that were carried out without an answer.
    answered: u64,
    silent: u64,
    undone: u64,
}

impl std::fmt::Debug for Torture<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} requests answered before the kill, {} carried out without an answer, {} not carried out; \
             {} kills more at the start",
            self.answered, self.silent, self.undone, self.kills_at_start
        )
    }
}

impl<'a> Torture<'a> {
    fn new(scene: &'a Scene<'a>, random: Random) -> Self {
        // Over the socket, where a request is not mostly a TLS handshake.
        let options = socket_options(&scene.daemon).retry(RetryPolicy::none());
        Self {
            scene,
            random,
            once: connect_lazy(options),
            lines: [None; 3],
            revision: 0,
            round: 0,
            kills_at_start: 0,
            latest_kill: LATEST_KILL.0,
            answered: 0,
            silent: 0,
            undone: 0,
        }
    }

    fn round(&mut self, watcher: &Watcher) {
        self.round += 1;
        let exists = self.lines.iter().any(Option::is_some);
        if exists && self.random.below(10) == 0 {
            self.remove();
        } else {
            self.inject();
        }
        // Durable before visible: the directory is never ahead of the store.
        let seen = watcher.highest_revision();
        assert!(
            seen <= self.revision,
            "revision {seen} is in the directory and {} in the store",
            self.revision
        );
    }

    fn inject(&mut self) {
        let before = self.lines;
        while self.lines == before || self.lines.iter().all(Option::is_none) {
            for line in &mut self.lines {
                *line = match self.random.below(4) {
                    0 => None,
                    1 => *line,
                    _ => Some(self.round),
                };
            }
        }
        let request = self.request();
        let client = self.once.clone();
        let sent = request.clone();
        let outcome = self.kill_while(async move { client.inject(&sent).await });

        let old = before.iter().any(Option::is_some).then_some(self.revision);
        let new = self.revision + 1;
        let found = self.found();
        let answered = match outcome {
            Ok(answer) => {
                assert_eq!(answer.bundle.revision, new);
                assert_eq!(
                    found.as_ref(),
                    Some(&answer.bundle),
                    "what was answered is lost"
                );
                true
            }
            Err(error) => {
                assert!(is_broken(&error), "{error}");
                false
            }
        };
        let actual = found.as_ref().map(|bundle| bundle.revision);
        assert!(
            actual == old || actual == Some(new),
            "{actual:?} is neither {old:?} nor {new}"
        );
        self.count(answered, actual == Some(new));

        // Whoever got no answer asks again, and what was asked for is carried out once.
        let again = run(self.scene.client.inject(&request)).expect("inject again");
        assert_eq!(again.bundle.revision, new);
        if actual == Some(new) {
            assert_eq!(Some(&again.bundle), found.as_ref());
        }
        self.revision = new;
    }

    fn remove(&mut self) {
        let request = RemoveBundle::new(self.scene.name("bundle"));
        let client = self.once.clone();
        let sent = request.clone();
        let outcome = self.kill_while(async move { client.remove_bundle(&sent).await });

        let found = self.found();
        let answered = match outcome {
            Ok(removed) => {
                assert_eq!(removed.map(|bundle| bundle.revision), Some(self.revision));
                assert_eq!(found, None, "what was removed is back");
                true
            }
            Err(error) => {
                assert!(is_broken(&error), "{error}");
                false
            }
        };
        let actual = found.map(|bundle| bundle.revision);
        assert!(actual.is_none_or(|actual| actual == self.revision));
        self.count(answered, actual.is_none());
        run(self
            .scene
            .client
            .remove_bundle(&request.allow_missing(true)))
        .expect("remove again");
        self.lines = [None; 3];
        self.revision += 1;
    }

    /// Sends a request, kills the daemon at some instant, and starts it again, perhaps not at the first attempt.
    fn kill_while<T: Send + 'static>(
        &mut self,
        request: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let daemon = &self.scene.daemon;
        let pause = self.random.up_to(self.latest_kill);
        let request = spawn(request);
        // No wait for a condition: the instant is what is tried out.
        sleep(pause);
        daemon.kill9().expect("kill the daemon");
        while self.random.below(5) == 0 {
            let process = daemon.launch().expect("start the daemon");
            sleep(self.random.up_to(LATEST_KILL_AT_START));
            process.kill().expect("kill the starting daemon");
            self.kills_at_start += 1;
        }
        daemon.start_again().expect("start the daemon again");
        run(request).expect("the request's task")
    }

    fn found(&self) -> Option<Bundle> {
        match self.scene.bundle("bundle") {
            Ok(bundle) => Some(bundle),
            Err(error) if error.code() == Some(Code::NotFound) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn count(&mut self, answered: bool, carried_out: bool) {
        let counter = match (answered, carried_out) {
            (true, _) => &mut self.answered,
            (false, true) => &mut self.silent,
            (false, false) => &mut self.undone,
        };
        *counter += 1;
        let factor = match (answered, carried_out) {
            (true, _) => 0.9,
            (false, true) => 1.0,
            (false, false) => 1.1,
        };
        self.latest_kill = self.latest_kill.mul_f64(factor).min(LATEST_KILL.1);
    }

    fn request(&self) -> InjectPods {
        let pods = self.lines.iter().enumerate().filter_map(|(index, line)| {
            let mut pod = self.scene.pod(&pod_name(index), &(*line)?.to_string());
            let padding = "x".repeat(PADDING);
            pod["metadata"]["annotations"] = json!({"example.com/padding": padding});
            Some(pod)
        });
        self.scene.request("bundle", &pods.collect::<Vec<Value>>())
    }

    /// Makes the bundle whole once more and waits until it runs.
    fn settle(&mut self) -> Bundle {
        self.lines = [Some(self.round + 1); 3];
        let injected = run(self.scene.client.inject(&self.request())).expect("inject");
        let wait = Wait::new(PATIENCE).patience(PATIENCE);
        let client = &self.scene.client;
        let begun = Instant::now();
        run(client.wait_running(&injected.bundle.name, injected.bundle.revision, wait))
            .expect("the last revision runs");
        println!("the last revision ran after {:?}", begun.elapsed());
        injected.bundle
    }
}

fn pod_name(index: usize) -> String {
    format!("pod-{index}")
}

/// Whether the daemon's end is why there is no answer.
fn is_broken(error: &Error) -> bool {
    matches!(
        error,
        Error::Broken { .. } | Error::Connect { .. } | Error::Tls { .. }
    )
}

/// What GetBundle says, what is in the directory, and what containerd runs is one and the same.
fn store_directory_and_runtime_agree(scene: &Scene<'_>, bundle: &Bundle) {
    assert_eq!(&scene.bundle("bundle").unwrap(), bundle);
    let files: BTreeSet<String> = files_of(&scene.node.manifests(), &scene.name(""))
        .iter()
        .map(|file| file.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let demanded: BTreeSet<String> = bundle.pods.iter().map(|pod| pod.file.clone()).collect();
    assert_eq!(files, demanded);
    for pod in &bundle.pods {
        let manifest = read(&scene.node.manifests().join(&pod.file));
        let metadata = &manifest["metadata"];
        let annotations = &metadata["annotations"];
        assert_eq!(metadata["uid"], pod.uid.as_str());
        assert_eq!(annotations["seedpod.dev/digest"], pod.digest.as_str());
        assert_eq!(annotations["seedpod.dev/bundle"], bundle.name.as_str());
        assert_eq!(
            annotations["seedpod.dev/revision"],
            pod.revision.to_string()
        );
    }
    let uids = |pods: &mut dyn Iterator<Item = String>| pods.collect::<BTreeSet<String>>();
    let wanted = uids(&mut bundle.pods.iter().map(|pod| pod.uid.clone()));
    wait_until(LIMIT, "the runtime runs these pods and no others", || {
        let Ok(containers) = scene.node.containers() else {
            return false;
        };
        [ContainerKind::Sandbox, ContainerKind::Container]
            .into_iter()
            .all(|kind| {
                let live = containers
                    .iter()
                    .filter(|it| it.kind == kind && it.is_running());
                let count = live.clone().count();
                count == wanted.len() && uids(&mut live.map(|it| it.uid.clone())) == wanted
            })
    })
    .unwrap();
    // Nothing that was staged is left behind.
    let hidden = fs::read_dir(scene.node.manifests()).unwrap().flatten();
    let staged: Vec<_> = hidden
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().starts_with('.'))
        .collect();
    assert!(staged.is_empty(), "{staged:?}");
}

fn read(file: &Path) -> Value {
    let text = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
