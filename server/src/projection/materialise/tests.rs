#![allow(
    clippy::disallowed_methods,
    reason = "tests play the others who write into the folders"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use futures_util::StreamExt as _;
use seedpod_manifest::{
    Checked, FieldValidation, Materials, NodeName, Objects, Options, Stamp, check, render,
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    events::{self, EventLog, From},
    fs::Disk,
    kubelet,
    metrics::Metrics,
    node::State,
    projection::{self, Directory, Inlets, ProjectionView, Settings},
    runtime_cri::CriRuntime,
    store::{Store, StoreId},
    volumes::{
        Contents, ContentsError, Volumes,
        tests::{Given, bundle, pod, volume},
    },
};

/// A projection without a store and a runtime.
struct Node {
    folder: tempfile::TempDir,
    given: Given,
    id: Arc<StoreId>,
    state: watch::Sender<Arc<State>>,
    running: Option<Running>,
}

struct Running {
    view: ProjectionView,
    log: EventLog,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// Contents that are asked for before the pod's file is there.
#[derive(Debug)]
struct Before {
    given: Given,
    file: PathBuf,
    /// Whether it was so, each time that they were asked for.
    asked: Arc<Mutex<Vec<bool>>>,
}

impl Contents for Before {
    fn with_volumes(
        &self,
        bundle: &Bundle,
        pod: &BundlePod,
        using: &mut dyn FnMut(&[seedpod_manifest::VolumeContent<'_>]),
    ) -> Result<(), ContentsError> {
        let before = !self.file.exists();
        self.asked.lock().expect("not poisoned").push(before);
        self.given.with_volumes(bundle, pod, using)
    }
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        fs::create_dir(folder.path().join("manifests")).expect("folder");
        let given = Given::new(vec![volume("tls", None, &[("tls.key", 0o600, b"key")])]);
        let (state, _) = watch::channel(Arc::default());
        let disk = Arc::new(Disk::new(Metrics::default()));
        let id = match Store::open(disk, &folder.path().join("state"), None) {
            Ok(store) => Arc::new(store.id().clone()),
            Err(error) => panic!("{}", chain(&error)),
        };
        Self {
            folder,
            given,
            id,
            state,
            running: None,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder
            .path()
            .join("manifests/seedpod_default_web.json")
    }

    fn volumes(&self) -> PathBuf {
        self.folder.path().join("volumes")
    }

    fn key(&self, n: u64) -> PathBuf {
        self.volumes().join(self.uid(n)).join("tls/tls.key")
    }

    fn uid(&self, n: u64) -> String {
        let (_, checked) = checked();
        let pod = &checked.pods[0];
        let digest = pod.digest().to_string();
        self.id.pod_uid("bundle", n, pod.key(), &digest)
    }

    /// Demands the n-th revision.
    fn demand(&self, n: u64) {
        let (node, checked) = checked();
        let injected = &checked.pods[0];
        let mut pod = pod(&self.volumes(), &self.uid(n));
        pod.revision = n;
        let name = "bundle".parse().expect("a valid name");
        let stamp = Stamp {
            bundle: &name,
            revision: n,
            uid: &pod.uid,
            digest: injected.digest(),
            volumes: "",
        };
        let objects = Objects::default();
        let materials = Materials::of(injected, &objects, &node).expect("nothing");
        pod.rendered = render(injected, &stamp, &materials).into();
        let bundle = bundle(vec![pod]);
        self.state.send_replace(Arc::new(State {
            bundles: BTreeMap::from([(name, Arc::new(bundle))]),
            ..State::default()
        }));
    }

    fn start(&mut self, repair_drift: bool) {
        self.start_with(self.given.clone(), repair_drift);
    }

    fn start_with(&mut self, contents: impl Contents, repair_drift: bool) {
        let metrics = Metrics::default();
        let disk = Arc::new(Disk::new(metrics.clone()));
        let path = |name: &str| self.folder.path().join(name);
        let shutdown = CancellationToken::new();
        let state = self.state.subscribe();
        let (sink, log, writing) = events::start(
            disk.clone(),
            path("events"),
            1000,
            &State::default(),
            shutdown.clone(),
        );
        let (_, kubelet) = kubelet::played(kubelet::Sync::Synced);
        let (view, projecting) = projection::start(
            Settings {
                directory: path("manifests"),
                node: "node-1".parse().expect("a valid name"),
                nudge_for: Duration::from_secs(60),
                repair_drift,
                kubelet_restart: None,
            },
            Duration::from_secs(300),
            Inlets {
                state,
                statuses: watch::channel(Arc::default()).1,
                kubelet,
            },
            Arc::new(Directory::new(disk.clone(), path("manifests"))),
            Arc::new(Volumes::new(disk, contents, path("volumes"))),
            Arc::clone(&self.id),
            None::<CriRuntime>,
            sink,
            metrics,
            shutdown.clone(),
        );
        self.running = Some(Running {
            view,
            log,
            shutdown,
            tasks: vec![projecting, writing],
        });
    }

    async fn stop(&mut self) {
        let running = self.running.take().expect("started");
        running.shutdown.cancel();
        for task in running.tasks {
            task.await.expect("no panic");
        }
    }

    fn view(&self) -> &ProjectionView {
        &self.running.as_ref().expect("started").view
    }

    fn problem(&self, reason: &str) -> Option<String> {
        let problems = self.view().problems.borrow();
        let found = problems.iter().find(|problem| problem.reason == reason);
        found.map(|problem| problem.message.clone())
    }

    fn error(&self) -> Option<String> {
        self.view()
            .pods
            .borrow()
            .iter()
            .find_map(|pod| pod.error.clone())
    }

    fn has_file_of(&self, n: u64) -> bool {
        fs::read_to_string(self.file()).is_ok_and(|text| text.contains(&self.uid(n)))
    }

    /// The kinds and messages of the events, once there are so many.
    async fn events(&self, count: usize) -> Vec<(EventKind, String)> {
        let log = &self.running.as_ref().expect("started").log;
        let mut events = log.watch(From::Oldest, false).await.expect("watch");
        let mut found = Vec::new();
        while found.len() < count {
            let next = tokio::time::timeout(PATIENCE, events.next()).await;
            let more = next.expect("in time").expect("no end").expect("readable");
            found.extend(
                more.into_iter()
                    .map(|it| (it.what.kind, it.what.message.clone())),
            );
        }
        found
    }
}

fn checked() -> (NodeName, Checked) {
    let options = Options {
        node: "node-1".parse().expect("a valid name"),
        max_pods: 1,
        max_bytes: 1 << 20,
        field_validation: FieldValidation::Strict,
        allow_secret_env: false,
    };
    let manifest = "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: a, image: b}]}}";
    let checked = check(&[manifest], &options).expect("a good manifest");
    (options.node, checked)
}

const PATIENCE: Duration = Duration::from_secs(20);

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn holds(path: &Path, content: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|found| found == content)
}

#[tokio::test]
async fn the_volumes_are_there_before_the_file_of_the_pod() {
    let mut node = Node::new();
    let asked = Arc::<Mutex<Vec<bool>>>::default();
    let before = Before {
        given: node.given.clone(),
        file: node.file(),
        asked: Arc::clone(&asked),
    };
    node.demand(1);
    node.start_with(before, true);
    until("written", || node.file().exists()).await;
    assert!(holds(&node.key(1), "key"));
    assert_eq!(*asked.lock().expect("not poisoned"), [true], "once");
    assert_eq!(node.problem("VOLUMES_FAILED"), None);
    node.stop().await;
}

#[tokio::test]
async fn a_pod_that_cannot_have_its_volumes_is_not_written_and_tried_again() {
    let mut node = Node::new();
    node.demand(1);
    node.start(true);
    until("written", || node.has_file_of(1)).await;
    node.given.set(None);
    node.demand(2);
    until("reported", || node.problem("VOLUMES_FAILED").is_some()).await;
    let problem = node.problem("VOLUMES_FAILED").expect("reported");
    assert!(problem.contains("default/web"), "{problem}");
    assert!(problem.contains("inject the bundle anew"), "{problem}");
    let error = node.error().expect("the pod has it too");
    assert!(problem.contains(&error), "{problem}: {error}");
    assert_eq!(node.problem("STATIC_POD_DIRECTORY_FAILED"), None);
    assert!(node.has_file_of(1), "the old pod runs on");
    node.given.set(Some(vec![volume(
        "tls",
        None,
        &[("tls.key", 0o600, b"new")],
    )]));
    until("written", || node.has_file_of(2)).await;
    assert!(holds(&node.key(2), "new"));
    until("no longer reported", || {
        node.problem("VOLUMES_FAILED").is_none() && node.error().is_none()
    })
    .await;
    node.stop().await;
}

#[tokio::test]
async fn after_a_reboot_the_volumes_are_made_anew_and_the_kubelet_is_told_to_look() {
    let mut node = Node::new();
    node.demand(1);
    node.start(false);
    until("written", || node.file().exists()).await;
    node.stop().await;
    let nudged =
        || fs::read_to_string(node.file()).is_ok_and(|text| text.contains("seedpod.dev/nudge"));
    assert!(!nudged());
    fs::remove_dir_all(node.volumes()).expect("a tmpfs is empty after a reboot");
    node.start(false);
    until("made anew", || holds(&node.key(1), "key")).await;
    let file = node.file();
    until("nudged", || {
        fs::read_to_string(&file).is_ok_and(|text| text.contains("seedpod.dev/nudge"))
    })
    .await;
    assert_eq!(node.problem("DRIFT"), None);
    node.stop().await;
}

#[tokio::test]
async fn volumes_of_a_written_pod_that_fail_are_told_and_tried_again() {
    let mut node = Node::new();
    node.demand(1);
    node.start(true);
    until("written", || node.file().exists()).await;
    node.stop().await;
    fs::remove_dir_all(node.volumes()).expect("remove");
    fs::write(node.volumes(), "in the way").expect("write");
    node.start(true);
    until("reported", || node.error().is_some()).await;
    let problem = node.problem("VOLUMES_FAILED").expect("reported");
    assert!(problem.contains("volumesDirectory"), "{problem}");
    assert!(node.has_file_of(1), "the file stays");
    fs::remove_file(node.volumes()).expect("remove");
    until("made", || holds(&node.key(1), "key")).await;
    until("no longer reported", || {
        node.problem("VOLUMES_FAILED").is_none() && node.error().is_none()
    })
    .await;
    node.stop().await;
}

#[tokio::test]
async fn changed_volumes_are_told_and_put_right_unless_they_are_to_stay() {
    let mut node = Node::new();
    node.demand(1);
    node.start(false);
    until("written", || node.file().exists()).await;
    node.stop().await;
    fs::write(node.key(1), "sesame").expect("write");
    node.start(false);
    until("reported", || node.problem("DRIFT").is_some()).await;
    let problem = node.problem("DRIFT").expect("reported");
    assert!(
        problem.contains("tls/tls.key has another content"),
        "{problem}"
    );
    assert!(holds(&node.key(1), "sesame"), "left so");
    // The first run recorded that the pod was projected.
    let recorded = node.events(2).await;
    assert_eq!(recorded[1].0, EventKind::Drift);
    node.stop().await;

    node.start(true);
    until("put right", || holds(&node.key(1), "key")).await;
    let recorded = node.events(4).await;
    assert_eq!(recorded[2].0, EventKind::Drift);
    assert_eq!(recorded[3].0, EventKind::Repaired);
    let text = format!("{recorded:?}");
    assert!(text.contains("tls/tls.key"), "{text}");
    assert!(!text.contains("sesame"), "{text}");
    until("no longer reported", || node.problem("DRIFT").is_none()).await;
    node.stop().await;
}
