//! What is removed, and above all what is not.

use std::{
    collections::{BTreeSet, HashSet},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    fs::{
        Disk,
        sim::{SimDisk, chooser, seeds},
    },
    metrics::Metrics,
    node::State,
    runtime_cri::{Observation, Sandbox},
    store::Store,
    volumes::collect::Collector,
};

const DIR: &str = "/run/volumes";

/// A collector whose surroundings a test plays.
pub(super) struct Played {
    volumes: Arc<Volumes>,
    state: watch::Sender<Arc<State>>,
    observation: watch::Sender<Arc<Observation>>,
    collector: Mutex<Collector>,
}

impl Played {
    /// Nothing is demanded, and nothing runs.
    pub(super) fn new(volumes: Arc<Volumes>) -> Self {
        Self::keeping(volumes, Arc::default())
    }

    /// As if the kept revisions had these uids.
    fn keeping(volumes: Arc<Volumes>, kept: Arc<Mutex<HashSet<String>>>) -> Self {
        let kept = move |_: &State| Ok(kept.lock().expect("not poisoned").clone());
        let (state, states) = watch::channel(Arc::default());
        let (observation, observations) = watch::channel(Arc::new(sandboxes(&[])));
        let collector = Collector::new(Arc::clone(&volumes), kept, states, observations);
        volumes.projected(Some(BTreeSet::new()));
        Self {
            volumes,
            state,
            observation,
            collector: Mutex::new(collector),
        }
    }

    pub(super) fn demands(&self, uids: &[&str]) {
        let pods = uids.iter().map(|uid| pod(Path::new(DIR), uid)).collect();
        self.state.send_replace(Arc::new(demanding(pods)));
    }

    fn observes(&self, observation: Observation) {
        self.observation.send_replace(Arc::new(observation));
    }

    fn projects(&self, uids: Option<&[&str]>) {
        let uids = uids.map(|uids| uids.iter().map(|&uid| uid.to_owned()).collect());
        self.volumes.projected(uids);
    }

    pub(super) fn pass(&self) {
        self.collector.lock().expect("not poisoned").pass();
    }

    /// As many passes, each with another observation of a runtime that runs nothing, as a removal takes.
    pub(super) fn passes(&self) {
        self.pass();
        for _ in 0..2 {
            self.observes(sandboxes(&[]));
            self.pass();
        }
    }

    fn put(&self, uid: &str) {
        let pod = pod(Path::new(DIR), uid);
        let put = self.volumes.put(&bundle(Vec::new()), &pod, true);
        put.expect("put");
    }

    fn waits(&self) -> bool {
        self.collector.lock().expect("not poisoned").waits()
    }
}

fn demanding(pods: Vec<BundlePod>) -> State {
    let bundle = bundle(pods);
    State {
        bundles: BTreeMap::from([(bundle.name.clone(), Arc::new(bundle))]),
        ..State::default()
    }
}

/// What the runtime says when it runs these.
fn sandboxes(uids: &[&str]) -> Observation {
    let sandbox = |uid: &&str| Sandbox {
        id: format!("sandbox-of-{uid}"),
        namespace: "default".into(),
        name: "web-node-1".into(),
        uid: (*uid).to_owned(),
        kubelet_uid: "another, kept one".into(),
        ready: true,
        created_at: Timestamp::UNIX_EPOCH,
        bundle: None,
        revision: None,
        digest: None,
        returned: 0,
        containers: Vec::new(),
        ips: Vec::new(),
    };
    Observation::Sandboxes(Arc::new(uids.iter().map(sandbox).collect()))
}

fn played() -> (SimDisk, Played) {
    let disk = SimDisk::new(Path::new("/run"));
    let given = Given::new(vec![volume(
        "v",
        None,
        &[("a", 0o600, b"a"), ("b/c", 0o600, b"c")],
    )]);
    let volumes = Volumes::new(Arc::new(disk.clone()), given, DIR.into());
    let played = Played::new(Arc::new(volumes));
    (disk, played)
}

fn left(disk: &SimDisk) -> Vec<String> {
    disk.list(Path::new(DIR)).expect("list")
}

#[test]
fn what_is_neither_demanded_nor_runs_goes_and_the_rest_stays() {
    let (disk, node) = played();
    let uids: Vec<String> = (1..=4).map(uid).collect();
    uids.iter().for_each(|uid| node.put(uid));
    node.demands(&[&uids[0]]);
    node.projects(Some(&[&uids[0], &uids[1]]));
    for _ in 0..5 {
        node.observes(sandboxes(&[&uids[2]]));
        node.pass();
    }
    assert_eq!(left(&disk), uids[..3], "demanded, projected, running");
    node.passes();
    assert_eq!(left(&disk), uids[..2], "it runs no more");
    node.projects(Some(&[]));
    node.passes();
    assert_eq!(left(&disk), uids[..1]);
    assert!(!node.waits());
    node.demands(&[]);
    node.passes();
    assert!(left(&disk).is_empty());
}

#[test]
fn what_is_not_known_keeps_everything() {
    let away = Observation::Away {
        cause: "it is away".into(),
        since: Timestamp::UNIX_EPOCH,
    };
    for unknown in [Observation::NotYet, away] {
        let (disk, node) = played();
        node.put(&uid(1));
        for _ in 0..5 {
            node.observes(unknown.clone());
            node.pass();
        }
        assert_eq!(left(&disk), [uid(1)], "{unknown:?}");
        assert!(node.waits());
        node.passes();
        assert!(left(&disk).is_empty(), "{unknown:?}");
    }
    let (disk, node) = played();
    node.put(&uid(1));
    node.projects(None);
    node.passes();
    assert_eq!(left(&disk), [uid(1)], "the projection has not looked yet");
    node.projects(Some(&[]));
    node.passes();
    assert!(left(&disk).is_empty());
}

#[test]
fn an_observation_that_may_be_older_than_the_demand_does_not_count() {
    let (disk, node) = played();
    node.put(&uid(1));
    node.pass();
    node.pass();
    assert_eq!(left(&disk), [uid(1)], "the same one again");
    node.observes(sandboxes(&[]));
    node.pass();
    assert_eq!(left(&disk), [uid(1)], "it may have been asked for before");
    node.observes(sandboxes(&[]));
    node.pass();
    assert!(left(&disk).is_empty());
}

#[test]
fn without_a_runtime_a_folder_stays_as_long_as_a_kept_revision_has_its_uid() {
    let (disk, node) = played();
    let kept = Arc::new(Mutex::new(HashSet::from([uid(1)])));
    let node = Played::keeping(Arc::clone(&node.volumes), Arc::clone(&kept));
    node.put(&uid(1));
    node.observes(Observation::NotConfigured);
    for _ in 0..3 {
        node.pass();
    }
    assert_eq!(left(&disk), [uid(1)]);
    kept.lock().expect("not poisoned").clear();
    node.pass();
    assert_eq!(
        left(&disk),
        [uid(1)],
        "what is kept changes only with a commit"
    );
    node.demands(&[&uid(2)]);
    node.pass();
    assert!(left(&disk).is_empty());
}

#[test]
fn strays_stay_and_leftovers_go_at_once() {
    let (disk, node) = played();
    node.put(&uid(1));
    node.demands(&[&uid(1)]);
    let dir = Path::new(DIR);
    for name in [
        "notes.txt",
        "backup/file",
        "A0000001-0000-8000-8000-000000000000/x",
    ] {
        disk.put(&dir.join(name), b"not ours");
    }
    for name in [".seedpod-staged-x/half", ".seedpod-removing-x/v/half"] {
        disk.put(&dir.join(name), b"half");
    }
    node.passes();
    let names = [
        "00000001-0000-8000-8000-000000000000",
        "A0000001-0000-8000-8000-000000000000",
        "backup",
        "notes.txt",
    ];
    assert_eq!(left(&disk), names);
}

#[test]
fn folders_outside_of_the_configured_directory_are_collected_as_far_as_they_were_seen() {
    let (disk, node) = played();
    let elsewhere = Path::new("/run/elsewhere");
    let old = pod(elsewhere, &uid(9));
    node.volumes
        .put(&bundle(Vec::new()), &old, true)
        .expect("put");
    node.state.send_replace(Arc::new(demanding(vec![old])));
    node.passes();
    assert_eq!(disk.list(elsewhere).expect("list"), [uid(9)]);
    node.demands(&[]);
    node.passes();
    assert!(disk.list(elsewhere).expect("list").is_empty());
}

#[tokio::test]
async fn the_task_collects_by_itself_and_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let disk_of_store = Arc::new(Disk::new(Metrics::default()));
    let kept = match Store::open(disk_of_store, folder.path(), None) {
        Ok(store) => store.reader(),
        Err(error) => panic!("{}", crate::error::chain(&error)),
    };
    let (disk, node) = played();
    node.put(&uid(1));
    node.demands(&[&uid(1)]);
    let shutdown = CancellationToken::new();
    let inlets = Inlets {
        state: node.state.subscribe(),
        observation: node.observation.subscribe(),
    };
    let volumes = Arc::clone(&node.volumes);
    let task = collect(volumes, kept, inlets, shutdown.clone());
    node.demands(&[]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !left(&disk).is_empty() {
        assert!(Instant::now() < deadline, "it is still there");
        // As the observer does it: each answer is another observation, and only a new one wakes anybody.
        node.observation.send_if_modified(|observation| {
            *observation = Arc::new(sandboxes(&[]));
            false
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shutdown.cancel();
    task.await.expect("no panic");
}

/// A node at random: commits, a projection that lags behind them, a runtime whose answers lag behind what it runs.
#[test]
fn what_is_demanded_and_was_put_or_what_runs_is_never_removed() {
    let mut removed = 0;
    for seed in seeds().chain(1000..1040) {
        let mut choose = chooser(seed);
        let (disk, node) = played();
        node.put(&uid(0));
        let mut next = 0;
        let mut demanded: Option<u32> = None;
        // What the projection has put of it and written, and what it waits for to stop.
        let mut projected: Option<u32> = None;
        let mut runs = BTreeSet::new();
        let mut asked: Option<BTreeSet<u32>> = None;
        for _ in 0..120 {
            match choose(8) {
                0 => {
                    next += 1;
                    demanded = (choose(3) > 0).then_some(next);
                    let uids: Vec<String> = demanded.into_iter().map(uid).collect();
                    node.demands(&uids.iter().map(String::as_str).collect::<Vec<_>>());
                }
                // The projection follows: it puts the volumes, then writes the file.
                1 | 2 => {
                    if let Some(n) = demanded.filter(|_| projected != demanded) {
                        node.put(&uid(n));
                    }
                    projected = demanded;
                    // A daemon that was restarted does not know what else runs.
                    let leaving = runs.iter().filter(|_| choose(2) == 0);
                    let known = projected.iter().chain(leaving).copied().map(uid);
                    let known: Vec<String> = known.collect();
                    node.projects(Some(&known.iter().map(String::as_str).collect::<Vec<_>>()));
                }
                // The kubelet starts what has a file, and stops what has none.
                3 => runs.extend(projected),
                4 => runs.retain(|n| Some(*n) == projected || choose(2) == 0),
                // The runtime is asked, and answers later.
                5 => asked = Some(asked.unwrap_or_else(|| runs.clone())),
                6 => {
                    if let Some(said) = asked.take() {
                        let said: Vec<String> = said.into_iter().map(uid).collect();
                        let said: Vec<&str> = said.iter().map(String::as_str).collect();
                        node.observes(sandboxes(&said));
                    }
                }
                _ => {
                    let before = left(&disk).len();
                    node.pass();
                    removed += before - left(&disk).len();
                }
            }
            let there = left(&disk);
            for n in runs
                .iter()
                .copied()
                .chain(projected.filter(|_| projected == demanded))
            {
                assert!(there.contains(&uid(n)), "seed {seed}: {n} is gone");
            }
        }
    }
    assert!(removed > 50, "only {removed} folders were ever removed");
}
