//! A node to hold the board against: a directory, a kubelet with its memory of uids, and a runtime.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use seedpod_manifest::{FieldValidation, HostPort, Materials, Options, Stamp, check, render};
use serde_json::Value;

use super::*;
use crate::{
    node::{Bundle, BundlePod, status::PodState},
    runtime_cri::{Container, ContainerState},
};

const TICK: Duration = Duration::from_millis(50);
/// The grace period of all pods.
const GRACE: Duration = Duration::from_secs(2);
const BUNDLE: &str = "app";

/// A pod to be demanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    wave: u32,
    content: u32,
    port: Option<u16>,
}

pub(super) fn pod(name: &str, wave: u32) -> Wanted {
    Wanted {
        name: name.to_owned(),
        wave,
        content: 1,
        port: None,
    }
}

impl Wanted {
    pub(super) fn content(self, content: u32) -> Self {
        Self { content, ..self }
    }

    pub(super) fn port(self, port: u16) -> Self {
        Self {
            port: Some(port),
            ..self
        }
    }

    fn uid(&self) -> String {
        format!("default/{}-{}", self.name, self.content)
    }
}

/// What the kubelet reads from a file.
#[derive(Debug, Clone)]
struct Read {
    kubelet_uid: String,
    uid: String,
    name: String,
    wave: u32,
    ports: Vec<HostPort>,
}

fn read(text: &str) -> Option<Read> {
    let value: Value = serde_json::from_str(text).ok()?;
    let metadata = &value["metadata"];
    let kubelet_uid = metadata["uid"].as_str()?.to_owned();
    let annotations = &metadata["annotations"];
    let pod = seedpod_manifest::unrender(&seedpod_manifest::as_rendered(text.as_bytes())?)?;
    Some(Read {
        uid: annotations["seedpod.dev/uid"]
            .as_str()
            .unwrap_or(&kubelet_uid)
            .to_owned(),
        kubelet_uid,
        name: metadata["name"].as_str()?.to_owned(),
        wave: pod.wave(),
        ports: pod.host_ports().to_vec(),
    })
}

/// A file and what the kubelet reads from it.
#[derive(Debug, Clone)]
struct File {
    text: String,
    read: Option<Read>,
}

impl File {
    fn new(text: String) -> Self {
        let read = read(&text);
        Self { text, read }
    }
}

/// A sandbox that stands or stood.
#[derive(Debug, Clone)]
struct Stands {
    read: Read,
    number: i64,
    begun: Instant,
    ends: Option<Instant>,
    live: bool,
    by_kubelet: bool,
}

/// What the kubelet has under a name.
#[derive(Debug, Clone)]
struct Worker {
    uid: String,
    ends: bool,
}

pub(super) struct World {
    pub(super) board: Board,
    pub(super) now: Instant,
    pub(super) happened: Vec<Happened>,
    pub(super) has_socket: bool,
    pub(super) restart_works: bool,
    pub(super) cri_works: bool,
    can_restart: bool,
    /// What the kubelet is, and what the daemon takes it for.
    sync: Sync,
    seen: Sync,
    /// By file name.
    files: BTreeMap<String, File>,
    /// What somebody has changed or deleted, and was not put right yet.
    tampered: BTreeSet<String>,
    workers: BTreeMap<String, Worker>,
    rejected: BTreeSet<String>,
    sandboxes: Vec<Stands>,
    /// How many sandboxes were made.
    made: i64,
    orders: Vec<(StopOrder, Instant)>,
    restart_ends: Option<Instant>,
    wanted: Vec<Wanted>,
    revision: u64,
    statuses: BTreeMap<String, (String, bool, String)>,
    auto_ready: bool,
    /// All contents that were in the directory, by uid.
    were_written: BTreeSet<String>,
    stopped: Vec<String>,
    counts: [u32; 4],
}

fn node() -> NodeName {
    "node-1".parse().expect("a valid name")
}

fn file_of(name: &str) -> String {
    format!("seedpod_default_{name}.json")
}

impl World {
    pub(super) fn new(sync: Sync, can_restart: bool) -> Self {
        let mut world = Self {
            board: Self::board(can_restart),
            now: Instant::now(),
            happened: Vec::new(),
            has_socket: true,
            restart_works: true,
            cri_works: true,
            can_restart,
            sync,
            seen: Sync::Unknown,
            files: BTreeMap::new(),
            tampered: BTreeSet::new(),
            workers: BTreeMap::new(),
            rejected: BTreeSet::new(),
            sandboxes: Vec::new(),
            made: 0,
            orders: Vec::new(),
            restart_ends: None,
            wanted: Vec::new(),
            revision: 0,
            statuses: BTreeMap::new(),
            auto_ready: false,
            were_written: BTreeSet::new(),
            stopped: Vec::new(),
            counts: [0; 4],
        };
        world.pass(Duration::from_secs(30));
        world
    }

    fn board(can_restart: bool) -> Board {
        Board::new(Terms {
            node: node(),
            nudge_for: MINUTE,
            wave_timeout: 5 * MINUTE,
            has_runtime: true,
            can_restart,
        })
    }

    // What is done to the node.

    pub(super) fn demand(&mut self, wanted: &[Wanted]) {
        self.wanted = wanted.to_vec();
        self.revision += 1;
        let state = self.state();
        self.board.demand(&state, self.now);
    }

    fn state(&self) -> State {
        let name: BundleName = BUNDLE.parse().expect("a valid name");
        if self.wanted.is_empty() {
            return State::default();
        }
        let pods = self.wanted.iter().map(|it| self.rendered(&name, it));
        let bundle = Bundle {
            objects: Vec::new(),
            name: name.clone(),
            revision: self.revision,
            digest: String::new(),
            create_time: Timestamp::UNIX_EPOCH,
            update_time: Timestamp::UNIX_EPOCH,
            pods: pods.collect(),
        };
        State {
            bundles: [(name, Arc::new(bundle))].into(),
            ..State::default()
        }
    }

    fn rendered(&self, bundle: &BundleName, wanted: &Wanted) -> BundlePod {
        let ports = wanted.port.map_or_else(String::new, |port| {
            format!(", ports: [{{containerPort: 80, hostPort: {port}}}]")
        });
        let manifest = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {}, annotations: {{seedpod.dev/wave: \"{}\"}}}}, \
             spec: {{terminationGracePeriodSeconds: {}, containers: [{{name: main, image: x, args: [\"{}\"]{ports}}}]}}}}",
            wanted.name,
            wanted.wave,
            GRACE.as_secs(),
            wanted.content,
        );
        let options = Options {
            allow_secret_env: false,
            node: node(),
            max_pods: 9,
            max_bytes: 1 << 20,
            field_validation: FieldValidation::Strict,
        };
        let checked = check(&[manifest], &options).expect("a valid manifest");
        let pod = &checked.pods[0];
        let uid = wanted.uid();
        let stamp = Stamp {
            bundle,
            revision: self.revision,
            uid: &uid,
            digest: pod.digest(),
            volumes: "",
        };
        BundlePod {
            volumes: None,
            source: None,
            key: pod.key().clone(),
            digest: pod.digest().to_string(),
            // As in life, what brought a content does not change with it.
            revision: u64::from(wanted.content),
            file: pod.key().file_name(),
            rendered: render(
                pod,
                &Stamp {
                    revision: u64::from(wanted.content),
                    ..stamp
                },
                &Materials::default(),
            )
            .into(),
            host_ports: pod.host_ports().to_vec(),
            wave: pod.wave(),
            uid,
        }
    }

    pub(super) fn ready(&mut self, name: &str) {
        self.status(name, true, "");
    }

    pub(super) fn unready(&mut self, name: &str) {
        self.status(name, false, "the probe fails");
    }

    pub(super) fn status(&mut self, name: &str, ready: bool, message: &str) {
        let wanted = self.wanted.iter().find(|it| it.name == name);
        let uid = wanted.expect("it is demanded").uid();
        self.statuses
            .insert(name.to_owned(), (uid, ready, message.to_owned()));
    }

    pub(super) fn vandalise(&mut self, name: &str) {
        self.tampered.insert(file_of(name));
        if let Some(file) = self.files.get_mut(&file_of(name)) {
            *file = File::new(
                file.text
                    .replace("\"image\": \"x\"", "\"image\": \"theirs\""),
            );
        }
        self.notice(name);
    }

    pub(super) fn delete(&mut self, name: &str) {
        self.tampered.insert(file_of(name));
        self.files.remove(&file_of(name));
        self.notice(name);
    }

    /// The daemon looks at a file.
    fn notice(&mut self, name: &str) {
        let file = file_of(name);
        let text = self.files.get(&file).map(|it| it.text.clone());
        if text
            .as_ref()
            .is_some_and(|it| self.board.is_as_known(&file, it.as_bytes()))
        {
            return;
        }
        let owned = text.as_ref().and_then(|text| owned(text));
        self.board
            .found(&file, text.as_ref().map(String::as_bytes), owned, self.now);
    }

    pub(super) fn restart_daemon(&mut self) {
        self.board = Self::board(self.can_restart);
        self.orders.clear();
        self.restart_ends = None;
        let state = self.state();
        self.board.demand(&state, self.now);
        let mut names: BTreeSet<String> = self.wanted.iter().map(|it| it.name.clone()).collect();
        names.extend(self.files.values().filter_map(|it| name_in(&it.text)));
        for name in names {
            self.notice(&name);
        }
    }

    /// Whether the kubelet has taken up a pod of which there is neither a file nor a sandbox.
    pub(super) fn only_the_kubelet_knows_a_uid(&self) -> bool {
        let unknown = |(file, worker): (&String, &Worker)| {
            let mut sandboxes = self.sandboxes.iter();
            !self.files.contains_key(file) && !sandboxes.any(|it| it.read.kubelet_uid == worker.uid)
        };
        self.sync != Sync::Synced && self.workers.iter().any(unknown)
    }

    pub(super) fn kill_kubelet(&mut self) {
        self.sync = Sync::Down;
        self.workers.clear();
    }

    pub(super) fn start_kubelet(&mut self, sync: Sync) {
        self.restart_kubelet_unseen(sync);
        self.show_sync();
    }

    /// The kubelet starts anew and reads the directory, and the daemon has not heard of it.
    pub(super) fn restart_kubelet_unseen(&mut self, sync: Sync) {
        self.kill_kubelet();
        self.sync = sync;
        self.rejected.clear();
        for file in self.files.keys().cloned().collect::<Vec<_>>() {
            self.kubelet_reads(&file);
        }
        self.clean_up();
    }

    /// A synced kubelet ends what it does not know.
    fn clean_up(&mut self) {
        for sandbox in &mut self.sandboxes {
            let mut workers = self.workers.values();
            let known = workers.any(|it| it.uid == sandbox.read.kubelet_uid);
            if self.sync == Sync::Synced && sandbox.live && !known && sandbox.ends.is_none() {
                sandbox.ends = Some(self.now + Duration::from_secs(1));
            }
        }
    }

    /// The API server answers.
    pub(super) fn sync(&mut self) {
        if self.sync == Sync::Unsynced {
            self.sync = Sync::Synced;
            self.clean_up();
        }
    }

    // What happens by itself.

    pub(super) fn tick(&mut self) {
        self.show_sync();
        self.tick_unseen();
    }

    fn show_sync(&mut self) {
        self.seen = if self.has_socket {
            self.sync
        } else {
            Sync::Unknown
        };
        self.board.kubelet(self.seen, self.now);
    }

    pub(super) fn tick_unseen(&mut self) {
        self.now += TICK;
        self.kubelet_works();
        self.time_passes();
        self.statuses_are_told();
        self.board.advance(self.now);
        self.happened.extend(self.board.take_happened());
        let work = self.board.work(self.now);
        self.check(&work);
        for file in work.remove {
            self.files.remove(&file);
            self.kubelet_reads(&file);
            self.board.removed(&file, None, self.now);
        }
        for write in work.write {
            self.write(&write);
        }
        let sandboxes = self.listed();
        let known = self.board.known_uids();
        for sandbox in sandboxes
            .iter()
            .filter(|it| it.is_live() && !known.contains(&it.uid))
        {
            let stands = self
                .sandboxes
                .iter()
                .find(|it| it.number.to_string() == sandbox.id);
            let read = &stands.expect("listed").read;
            self.board.adopt(
                Orphan {
                    bundle: BUNDLE.parse().expect("a valid name"),
                    key: key(&read.name),
                    uid: read.uid.clone(),
                    kubelet_uid: read.kubelet_uid.clone(),
                    revision: 1,
                    wave: read.wave,
                    grace: GRACE,
                    host_ports: read.ports.clone(),
                },
                self.now,
            );
        }
        self.board.observe(&sandboxes, self.now);
        for order in self.board.stops(&sandboxes, self.now, self.now) {
            self.stop(order);
        }
        for (file, remains) in self.board.remains(&sandboxes, self.now) {
            self.sandboxes.retain(|stands| {
                let goes = remains.iter().any(|it| it.id == stands.number.to_string());
                assert!(!goes || !stands.live, "{stands:?} still runs");
                !goes
            });
            self.board.nudge_now(&file, self.now);
        }
        if self.board.restart(self.now) {
            self.counts[0] += 1;
            self.restart_ends = Some(self.now + Duration::from_millis(300));
        }
        for write in self.board.nudges(self.now).write {
            self.write(&write);
        }
    }

    fn write(&mut self, write: &Write) {
        let file = File::new(write.content.clone());
        let uid = file.read.as_ref().map(|read| read.uid.clone());
        self.were_written.extend(uid);
        self.tampered.remove(&write.file);
        self.files.insert(write.file.clone(), file);
        self.kubelet_reads(&write.file);
        self.board.wrote(write, None, self.now);
    }

    fn read(&self, file: &str) -> Option<&Read> {
        self.files.get(file)?.read.as_ref()
    }

    /// The kubelet notices a file.
    fn kubelet_reads(&mut self, file: &str) {
        let Some(read) = self.read(file).filter(|_| self.sync != Sync::Down).cloned() else {
            return;
        };
        let before = self.workers.get(file).map(|it| &it.uid);
        if before == Some(&read.kubelet_uid) || self.rejected.contains(&read.kubelet_uid) {
            return;
        }
        let takes = |ports: &[HostPort]| {
            let mut pairs = ports
                .iter()
                .flat_map(|a| read.ports.iter().map(move |b| (a, b)));
            pairs.any(|(a, b)| a.conflicts_with(b))
        };
        let runs = self
            .sandboxes
            .iter()
            .filter(|it| it.live && it.read.name != read.name);
        let admitted = self.files.iter().filter(|(name, _)| *name != file);
        let mut admitted = admitted.filter_map(|(_, it)| it.read.as_ref());
        if runs.map(|it| &it.read.ports).any(|it| takes(it)) || admitted.any(|it| takes(&it.ports))
        {
            self.counts[1] += 1;
            self.rejected.insert(read.kubelet_uid);
            return;
        }
        if before.is_none() {
            let uid = read.kubelet_uid;
            self.workers
                .insert(file.to_owned(), Worker { uid, ends: false });
        }
    }

    fn kubelet_works(&mut self) {
        if self.sync == Sync::Down {
            return;
        }
        let mut gone = Vec::new();
        for (file, worker) in &mut self.workers {
            let read = self.files.get(file).and_then(|it| it.read.as_ref());
            let mut own = self.sandboxes.iter_mut();
            let live = own.find(|it| it.live && it.read.kubelet_uid == worker.uid);
            let is_wanted = read.is_some_and(|it| it.kubelet_uid == worker.uid);
            if worker.ends || (!is_wanted && self.sync == Sync::Synced) {
                worker.ends = true;
                match live {
                    None => gone.push(file.clone()),
                    Some(live) if live.by_kubelet => {}
                    Some(live) => {
                        self.counts[2] += u32::from(live.ends.is_some());
                        live.by_kubelet = true;
                        live.ends.get_or_insert(self.now + GRACE);
                    }
                }
            } else if let Some(read) = read.filter(|_| is_wanted && live.is_none()) {
                self.made += 1;
                let number = self.made;
                self.sandboxes.push(Stands {
                    read: read.clone(),
                    number,
                    begun: self.now,
                    ends: None,
                    live: true,
                    by_kubelet: false,
                });
            }
        }
        for file in gone {
            self.workers.remove(&file);
            self.kubelet_reads(&file);
        }
    }

    fn time_passes(&mut self) {
        for sandbox in &mut self.sandboxes {
            if sandbox.live && sandbox.ends.is_some_and(|at| at <= self.now) {
                sandbox.live = false;
                self.stopped.push(sandbox.read.name.clone());
            }
        }
        let (ended, on): (Vec<_>, Vec<_>) = std::mem::take(&mut self.orders)
            .into_iter()
            .partition(|(_, at)| *at <= self.now);
        self.orders = on;
        for (order, _) in ended {
            self.board.stopped(&order, self.cri_works, self.now);
        }
        if self.restart_ends.is_some_and(|at| at <= self.now) {
            self.restart_ends = None;
            if self.restart_works {
                let sync = self.sync;
                self.restart_kubelet_unseen(sync);
                self.board.restarted(Ok(()), self.now);
            } else {
                self.board
                    .restarted(Err("no such unit".to_owned()), self.now);
            }
        }
    }

    fn stop(&mut self, order: StopOrder) {
        for sandbox in &mut self.sandboxes {
            let ordered = order
                .sandboxes
                .iter()
                .any(|it| it.id == sandbox.number.to_string());
            if ordered && sandbox.live && self.cri_works {
                self.counts[2] += u32::from(sandbox.ends.is_some());
                sandbox.ends.get_or_insert(self.now + GRACE);
            }
        }
        self.counts[3] += 1;
        self.orders.push((order, self.now + GRACE));
    }

    fn statuses_are_told(&mut self) {
        if self.auto_ready {
            for wanted in self.wanted.clone() {
                let uid = wanted.uid();
                let runs = |it: &Stands| it.live && it.ends.is_none() && it.read.uid == uid;
                let ready = self.sandboxes.iter().any(runs);
                self.statuses
                    .insert(wanted.name, (uid, ready, "starting".to_owned()));
            }
        }
        let status =
            |(name, (uid, ready, message)): (&String, &(String, bool, String))| PodStatus {
                bundle: BUNDLE.parse().expect("a valid name"),
                key: key(name),
                node_pod_name: String::new(),
                uid: uid.clone(),
                revision: 0,
                state: if *ready {
                    PodState::Ready
                } else {
                    PodState::Starting
                },
                message: message.clone(),
                running_revision: 0,
                sandbox_id: String::new(),
                containers: Vec::new(),
                wave: 0,
                state_time: Timestamp::UNIX_EPOCH,
                pod_ips: Vec::new(),
                waiting_since: None,
                waits_for: None,
            };
        let statuses = self.statuses.iter().map(status).collect();
        self.board.statuses(Arc::new(statuses));
    }

    fn listed(&self) -> Vec<Sandbox> {
        let sandbox = |it: &Stands| Sandbox {
            id: it.number.to_string(),
            namespace: "default".to_owned(),
            name: format!("{}-node-1", it.read.name),
            uid: it.read.uid.clone(),
            kubelet_uid: it.read.kubelet_uid.clone(),
            ready: it.live,
            created_at: Timestamp::from_second(it.number).expect("early"),
            bundle: Some(BUNDLE.to_owned()),
            revision: Some(1),
            digest: None,
            returned: 0,
            containers: vec![Container {
                id: String::new(),
                name: "main".to_owned(),
                attempt: 0,
                state: if it.live {
                    ContainerState::Running
                } else {
                    ContainerState::Exited
                },
                image: String::new(),
                details: None,
                last_termination: None,
            }],
            ips: Vec::new(),
        };
        self.sandboxes.iter().map(sandbox).collect()
    }

    /// What must never be done.
    fn check(&self, work: &Work) {
        for write in &work.write {
            let written = read(&write.content).expect("a pod");
            let worker = self.workers.get(&write.file).map(|it| &it.uid);
            if self.seen == Sync::Unsynced && !self.can_restart {
                let is_new = worker.is_some_and(|worker| *worker != written.kubelet_uid);
                let holds = self.read(&write.file);
                // One that it holds on to although the file was another's already is not made worse.
                let was_wedged = holds.is_some_and(|it| Some(&it.kubelet_uid) != worker);
                assert!(!is_new || was_wedged, "a new uid for {}", write.file);
            }
            if self.were_written.contains(&written.uid) {
                continue;
            }
            for lower in self.wanted.iter().filter(|it| it.wave < written.wave) {
                let there = self.read(&file_of(&lower.name));
                let status = self.statuses.get(&lower.name);
                assert!(
                    there.is_some_and(|it| it.uid == lower.uid())
                        && status.is_some_and(|(uid, ready, _)| *uid == lower.uid() && *ready),
                    "{} before {}",
                    written.name,
                    lower.name
                );
            }
        }
        for file in &work.remove {
            let name = file
                .trim_start_matches("seedpod_default_")
                .trim_end_matches(".json");
            if self.wanted.iter().any(|it| it.name == name) {
                continue;
            }
            let Some(removed) = self.read(file) else {
                continue;
            };
            let above = self.sandboxes.iter().find(|it| {
                let file = file_of(&it.read.name);
                let there = self.read(&file);
                // One that somebody has changed or deleted is still that pod's.
                let is_changed = there.is_none() && self.tampered.contains(&file);
                // What only begins when it is removed already is found later, and stopped then.
                let is_old = self.now > it.begun + Duration::from_secs(1);
                it.live
                    && is_old
                    && !is_changed
                    && it.read.name != removed.name
                    && it.read.wave > removed.wave
                    && there.is_none_or(|there| there.uid != it.read.uid)
            });
            assert!(above.is_none(), "{name} goes before {above:?}");
        }
    }

    /// Until all has come to rest, with the readiness that was told.
    pub(super) fn settle(&mut self) {
        self.pass(Duration::from_secs(15));
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.tick();
        }
    }

    fn run_until_quiet(&mut self, limit: Duration) {
        self.auto_ready = true;
        let end = self.now + limit;
        let mut quiet = 0;
        while self.now < end && quiet < 100 {
            self.tick();
            quiet = if self.board.queue() == 0 {
                quiet + 1
            } else {
                0
            };
        }
        self.auto_ready = false;
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        self.auto_ready = true;
        self.pass(time);
        self.auto_ready = false;
    }

    /// Until all has come to rest, with pods that are ready when they run.
    pub(super) fn run_all(&mut self) {
        self.run_until_quiet(Duration::from_secs(180));
    }

    // What has become of it.

    pub(super) fn files(&self) -> Vec<String> {
        self.files
            .values()
            .filter_map(|it| name_in(&it.text))
            .collect()
    }

    /// The content in a file.
    pub(super) fn content(&self, name: &str) -> Option<u32> {
        let read = self.read(&file_of(name))?;
        read.uid.rsplit('-').next()?.parse().ok()
    }

    pub(super) fn projection(&self, name: &str) -> PodProjection {
        let pods = self.board.pods();
        let found = pods.into_iter().find(|it| it.key.name == name);
        found.expect("it is projected")
    }

    pub(super) fn runs(&self, name: &str) -> bool {
        self.sandboxes
            .iter()
            .any(|it| it.live && it.read.name == name)
    }

    pub(super) fn kubelet_uid(&self, name: &str) -> Option<&str> {
        let mut live = self.sandboxes.iter().filter(|it| it.live);
        let found = live.find(|it| it.read.name == name)?;
        Some(&found.read.kubelet_uid)
    }

    pub(super) fn assert_as_demanded(&self) {
        let live = self.sandboxes.iter().filter(|it| it.live);
        let mut runs: Vec<String> = live.map(|it| it.read.uid.clone()).collect();
        runs.sort();
        let mut wanted: Vec<String> = self.wanted.iter().map(Wanted::uid).collect();
        wanted.sort();
        assert_eq!(runs, wanted, "{:#?}\n{:#?}", self.board, self.workers);
        assert_eq!(self.board.queue(), 0);
    }

    pub(super) fn stopped_in_order(&self) -> &[String] {
        &self.stopped
    }

    /// Whether the runtime still has stopped sandboxes of a pod.
    pub(super) fn has_remains(&self, name: &str) -> bool {
        self.sandboxes
            .iter()
            .any(|it| !it.live && it.read.name == name)
    }

    pub(super) fn restarts(&self) -> u32 {
        self.counts[0]
    }

    pub(super) fn rejections(&self) -> u32 {
        self.counts[1]
    }

    pub(super) fn double_signals(&self) -> u32 {
        self.counts[2]
    }

    pub(super) fn stops_over_cri(&self) -> u32 {
        self.counts[3]
    }
}

fn key(name: &str) -> PodKey {
    PodKey {
        namespace: "default".to_owned(),
        name: name.to_owned(),
    }
}

fn name_in(text: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    Some(value["metadata"]["name"].as_str()?.to_owned())
}

/// As the store would tell.
fn owned(text: &str) -> Option<Owned> {
    let value: Value = serde_json::from_str(text).ok()?;
    let metadata = &value["metadata"];
    let annotations = &metadata["annotations"];
    let kubelet_uid = metadata["uid"].as_str()?.to_owned();
    Some(Owned {
        bundle: BUNDLE.parse().ok()?,
        key: key(metadata["name"].as_str()?),
        uid: annotations["seedpod.dev/uid"]
            .as_str()
            .unwrap_or(&kubelet_uid)
            .to_owned(),
        kubelet_uid,
        revision: annotations["seedpod.dev/revision"].as_str()?.parse().ok()?,
    })
}
