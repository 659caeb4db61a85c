//! `seedpod up` is killed at random instants, again and again, and comes to the same end.
//!
//! `SEEDPOD_TORTURE_UP_KILLS` says how often (5), `SEEDPOD_TORTURE_KILL_SEED` from which seed; it is printed. The same seed
//! gives the same instants; what they meet is up to the scheduler.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use seedpod_integration::{Node, NodeOptions, workspace_binary};
use serde_json::Value;

use super::{Site, last_line, outcome};
use crate::kills::{Random, fresh_seed, number};
use crate::scene::run;

/// The latest instants of a kill, one of which is chosen first: so the beginning, which is soon over, has its share.
const LATEST: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(8),
    Duration::from_secs(15),
];

/// After so many a run is left to come to its end.
const KILLS_PER_CLUSTER: u64 = 8;

/// Between two looks at whether a run has ended by itself.
const LOOK: Duration = Duration::from_millis(20);

#[test]
fn bringing_up_that_is_killed_again_and_again_comes_to_the_same_end() {
    let kills = number("SEEDPOD_TORTURE_UP_KILLS").unwrap_or(5);
    let seed = number("SEEDPOD_TORTURE_KILL_SEED").unwrap_or_else(fresh_seed);
    println!("{kills} kills, SEEDPOD_TORTURE_KILL_SEED={seed}");
    let node = Node::start(&NodeOptions::machine()).unwrap();
    let site = Site::new(&[&node]);
    let mut torture = Torture {
        site: &site,
        program: workspace_binary("seedpod-client", "seedpod").unwrap(),
        random: Random::new(seed),
        left: kills,
        met: BTreeMap::new(),
        clusters: 0,
    };
    let begun = Instant::now();
    while torture.left > 0 {
        torture.cluster();
    }
    let Torture { clusters, met, .. } = torture;
    let took = begun.elapsed();
    println!("{kills} kills, {clusters} clusters, {took:?}; killed in phase: {met:?}");
}

struct Torture<'a> {
    site: &'a Site<'a>,
    program: PathBuf,
    random: Random,
    left: u64,
    /// How often a kill has met which phase.
    met: BTreeMap<String, u64>,
    clusters: u64,
}

/// What must not become another one once it is there.
#[derive(Debug, Default)]
struct Seen {
    keys: BTreeMap<PathBuf, Vec<u8>>,
    /// The uid of the namespace kube-system: that of the cluster, as its etcd has it.
    cluster: Option<String>,
    /// Revisions by the bundles' names.
    revisions: BTreeMap<String, u64>,
}

impl Torture<'_> {
    /// One cluster from nothing and back.
    fn cluster(&mut self) {
        self.clusters += 1;
        let mut seen = Seen::default();
        let up = self.bring_up(&mut seen);
        self.look(&mut seen);
        assert_eq!(up["type"], "result", "{up}");
        let handed = outcome(&up, "handoff");
        assert_eq!(handed[0]["handoff"]["state"], "Committed", "{handed}");
        assert_eq!(self.site.files(0), ["seedpod_kube-system_etcd.json"]);
        self.site.assert_ready();
        assert!(
            seen.cluster.is_some() && seen.revisions.len() == 2,
            "{seen:?}"
        );
        let staged = files_below(&self.site.rendered());
        let staged = staged.iter().filter(|path| is_staged(path));
        assert_eq!(staged.count(), 0);
        self.site.assert_nothing_to_do(handed);
        self.look(&mut seen);

        // Taking it down is killed once, too.
        let instant = self.instant();
        let mut down = self.start(&["down", "--yes"]);
        if ended_before(&mut down, instant).is_none() {
            down.kill().unwrap();
            down.wait().unwrap();
        }
        self.site.seedpod(&["down", "--yes"]);
        self.site.assert_down(false);
        fs::remove_dir_all(self.site.rendered()).unwrap();
    }

    /// Runs it until it ends by itself, and returns the last line.
    fn bring_up(&mut self, seen: &mut Seen) -> Value {
        let most = KILLS_PER_CLUSTER.min(self.left);
        for _ in 0..most {
            let instant = self.instant();
            let mut child = self.start(&["up"]);
            let ended = ended_before(&mut child, instant);
            if ended.is_none() {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            let text = fs::read_to_string(self.stdout()).unwrap();
            if let Some(success) = ended {
                assert!(success, "{}", self.failure(&text));
                return last_line(&text);
            }
            self.left -= 1;
            let phase = phase(&text);
            println!("killed after {instant:?}, in phase {phase}");
            *self.met.entry(phase).or_default() += 1;
            self.look(seen);
        }
        self.site.seedpod(&["up"])
    }

    fn instant(&mut self) -> Duration {
        let choices = u64::try_from(LATEST.len()).unwrap();
        let choice = usize::try_from(self.random.below(choices)).unwrap();
        self.random.up_to(LATEST[choice])
    }

    fn stdout(&self) -> PathBuf {
        self.site.folder.join("stdout")
    }

    fn start(&self, verb: &[&str]) -> Child {
        let stderr = self.site.folder.join("stderr");
        let mut command = self.site.command(&self.program, verb);
        command.stdout(File::create(self.stdout()).unwrap());
        command.stderr(File::create(stderr).unwrap());
        command.spawn().unwrap()
    }

    fn failure(&self, stdout: &str) -> String {
        let stderr = fs::read_to_string(self.site.folder.join("stderr"));
        format!(
            "{stdout}{}\n{}",
            stderr.unwrap_or_default(),
            self.site.logs()
        )
    }

    /// Sees that what is there is what was there.
    fn look(&self, seen: &mut Seen) {
        for path in files_below(&self.site.rendered().join("pki")) {
            if is_staged(&path) {
                continue;
            }
            let text = fs::read(&path).unwrap();
            assert!(!text.is_empty(), "{} is torn", path.display());
            let before = seen
                .keys
                .entry(path.clone())
                .or_insert_with(|| text.clone());
            assert_eq!(before, &text, "{} is another one", path.display());
        }
        let client = self.site.client(0);
        for bundle in ["etcd", "control-plane"] {
            if let Ok(found) = run(client.get_bundle(bundle)) {
                let name = bundle.to_owned();
                let before = *seen.revisions.entry(name).or_insert(found.revision);
                assert_eq!(before, found.revision, "{bundle} was injected anew");
            }
        }
        // While nothing serves, there is nothing to compare.
        if !self.site.rendered().join("pki/admin.crt").exists() {
            return;
        }
        let api = self.site.api(self.site.nodes[0]);
        let Ok(answer) = api.get("/api/v1/namespaces/kube-system") else {
            return;
        };
        if answer.status == 200 {
            let namespace: Value = serde_json::from_str(&answer.body).unwrap();
            let uid = namespace["metadata"]["uid"].as_str().unwrap().to_owned();
            let before = seen.cluster.get_or_insert_with(|| uid.clone());
            assert_eq!(*before, uid, "what the cluster knew is lost");
        }
    }
}

/// Whether it has ended well, if it has ended by itself within this time.
fn ended_before(child: &mut Child, instant: Duration) -> Option<bool> {
    let end = Instant::now() + instant;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.success());
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        // No wait for a condition: the instant is what is tried out.
        sleep(left.min(LOOK));
    }
}

/// The phase that a killed run was in, as its last whole line says.
fn phase(stdout: &str) -> String {
    let mut lines = stdout.lines().rev();
    let last = lines.find_map(|line| serde_json::from_str::<Value>(line).ok());
    let phase = last.and_then(|last| last["phase"].as_str().map(str::to_owned));
    phase.unwrap_or_else(|| "none yet".to_owned())
}

fn is_staged(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with(".seedpod-new-")
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}
