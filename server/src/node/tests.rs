//! The actor and the projection on a real folder, with a runtime that the test plays.

#![allow(
    clippy::disallowed_methods,
    reason = "tests play the others who write into the directory"
)]

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::stream::BoxStream;
use jiff::Timestamp;
use seedpod_manifest::{Digest, FieldValidation, Options, check};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    ChangeKind, Inject, InjectError, Injected, NodeHandle, ProjectionPhase, Removal, RemoveError,
    RequestId, Rules, Setup, clock::BootClock, disown_copies, start, start::StartError,
};
use crate::{
    config::KubeletRestart,
    fs::{Disk, FileSystem},
    kubelet,
    metrics::Metrics,
    projection::Settings,
    runtime_cri::{
        Container, ContainerDetails, ContainerState, Executed, Runtime, RuntimeError, Sandbox,
    },
    store::{LockError, OpenError},
};

/// A runtime that says what the test tells it to.
#[derive(Debug, Clone, Default)]
struct Played(Arc<Mutex<Vec<Sandbox>>>);

impl Played {
    fn sandbox(name: &str, uid: &str) -> Sandbox {
        Sandbox {
            id: format!("sandbox-of-{uid}"),
            namespace: "default".into(),
            name: format!("{name}-node-1"),
            uid: uid.to_owned(),
            kubelet_uid: uid.to_owned(),
            ready: true,
            created_at: Timestamp::UNIX_EPOCH,
            bundle: None,
            revision: None,
            digest: None,
            returned: 0,
            containers: vec![Container {
                id: "c".into(),
                name: "main".into(),
                attempt: 0,
                state: ContainerState::Running,
                image: "x".into(),
                details: None,
                last_termination: None,
            }],
            ips: Vec::new(),
        }
    }

    fn runs(&self, pods: &[(&str, &str)]) {
        let sandboxes = pods.iter().map(|(name, uid)| Self::sandbox(name, uid));
        *self.0.lock().expect("not poisoned") = sandboxes.collect();
    }
}

impl Runtime for Played {
    async fn sandboxes(&self) -> Result<Vec<Sandbox>, RuntimeError> {
        Ok(self.0.lock().expect("not poisoned").clone())
    }

    async fn container_status(&self, _: &str) -> Result<ContainerDetails, RuntimeError> {
        Err(not_played("ContainerStatus"))
    }

    async fn sandbox_ips(&self, _: &str) -> Result<Vec<String>, RuntimeError> {
        Err(not_played("PodSandboxStatus"))
    }

    async fn stop(&self, sandbox: &Sandbox, _: Duration) -> Result<(), RuntimeError> {
        let mut sandboxes = self.0.lock().expect("not poisoned");
        sandboxes.retain(|other| other.id != sandbox.id);
        Ok(())
    }

    async fn exec(&self, _: &str, _: &[String], _: Duration) -> Result<Executed, RuntimeError> {
        Err(not_played("ExecSync"))
    }

    async fn events(&self) -> Result<BoxStream<'static, ()>, RuntimeError> {
        Err(not_played("GetContainerEvents"))
    }
}

fn not_played(operation: &'static str) -> RuntimeError {
    RuntimeError {
        operation,
        source: "not played".into(),
    }
}

mod handoff;
mod objects;
mod trials;
mod volumes;

struct Harness {
    folder: tempfile::TempDir,
    runtime: Option<Played>,
    repair_drift: bool,
    clock: BootClock,
    kubelet: tokio::sync::watch::Sender<Arc<kubelet::KubeletView>>,
    kubelet_restart: Option<KubeletRestart>,
    node: Option<(NodeHandle, Vec<JoinHandle<()>>, CancellationToken)>,
}

impl Harness {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let runtime = Some(Played::default());
        let mut harness = Self {
            folder,
            runtime,
            repair_drift: true,
            clock: BootClock::played("boot-1", Duration::from_secs(1000)),
            kubelet: kubelet::played(kubelet::Sync::Synced).0,
            kubelet_restart: None,
            node: None,
        };
        harness.start().expect("a fresh node starts");
        harness
    }

    fn manifests(&self) -> PathBuf {
        self.folder.path().join("manifests")
    }

    fn start(&mut self) -> Result<(), StartError> {
        let shutdown = CancellationToken::new();
        let (handle, tasks) = self.start_another(&shutdown)?;
        self.node = Some((handle, tasks, shutdown));
        Ok(())
    }

    fn start_another(
        &self,
        shutdown: &CancellationToken,
    ) -> Result<(NodeHandle, Vec<JoinHandle<()>>), StartError> {
        let settings = Settings {
            directory: self.manifests(),
            node: "node-1".parse().expect("a valid name"),
            nudge_for: Duration::from_secs(60),
            repair_drift: self.repair_drift,
            kubelet_restart: self.kubelet_restart.clone(),
        };
        let metrics = Metrics::default();
        let disk: Arc<dyn FileSystem> = Arc::new(Disk::new(metrics.clone()));
        let setup = Setup {
            fs: disk,
            state_directory: self.folder.path().join("state"),
            encryption_keys: None,
            volumes_directory: self.folder.path().join("volumes"),
            projection: settings,
            runtime: self.runtime.clone(),
            kubelet: self.kubelet_watch(),
            rules: Rules::default(),
            clock: self.clock.clone(),
            metrics,
        };
        start(setup, shutdown.clone())
    }

    fn kubelet_watch(&self) -> kubelet::KubeletWatch {
        let mut watch = self.kubelet.subscribe();
        watch.mark_changed();
        watch
    }

    async fn stop(&mut self) {
        let Some((handle, tasks, shutdown)) = self.node.take() else {
            return;
        };
        drop(handle);
        shutdown.cancel();
        for task in tasks {
            task.await.expect("no panic");
        }
    }

    fn handle(&self) -> &NodeHandle {
        &self.node.as_ref().expect("started").0
    }

    fn runtime(&self) -> &Played {
        self.runtime.as_ref().expect("has one")
    }

    async fn inject(&self, bundle: &str, manifests: &[String]) -> Result<Injected, InjectError> {
        self.handle().inject(injection(bundle, manifests)).await
    }

    fn uid(&self, bundle: &str, pod: &str) -> String {
        let state = self.handle().state();
        let bundle = &state.bundles[&bundle.parse().expect("a valid name")];
        bundle
            .pods
            .iter()
            .find(|p| p.key.name == pod)
            .expect("the pod")
            .uid
            .clone()
    }

    fn phase(&self, pod: &str) -> Option<ProjectionPhase> {
        let pods = self.handle().projections();
        pods.iter().find(|p| p.key.name == pod).map(|p| p.phase)
    }

    fn file(&self, pod: &str) -> PathBuf {
        self.manifests().join(format!("seedpod_default_{pod}.json"))
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn pod(name: &str, command: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  containers:\n  - name: main\n    \
         image: rig.local/busybox:1\n    command: [sh, -c, {command:?}]\n"
    )
}

fn pod_with_port(name: &str, port: u16) -> String {
    format!(
        "{}    ports: [{{containerPort: 80, hostPort: {port}}}]\n",
        pod(name, "true")
    )
}

fn injection(bundle: &str, manifests: &[String]) -> Inject {
    let options = Options {
        allow_secret_env: false,
        node: "node-1".parse().expect("a valid name"),
        max_pods: 64,
        max_bytes: 4 << 20,
        field_validation: FieldValidation::Strict,
    };
    let checked = check(manifests, &options).expect("valid manifests");
    Inject {
        bundle: bundle.parse().expect("a valid name"),
        checked,
        expected_revision: None,
        request: None,
        trial: None,
    }
}

fn kinds(injected: &Injected) -> Vec<(&str, ChangeKind)> {
    injected
        .changes
        .iter()
        .map(|c| (c.pod.name.as_str(), c.kind))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_injection_becomes_files_and_the_next_one_touches_only_what_differs() {
    use ChangeKind::{Added, Removed, Replaced, Unchanged};
    let h = Harness::new();
    let first = h
        .inject("web", &[pod("a", "1"), pod("b", "1"), pod("c", "1")])
        .await
        .expect("first");
    assert_eq!(kinds(&first), [("a", Added), ("b", Added), ("c", Added)]);
    until("three files", || {
        h.file("a").exists() && h.file("b").exists() && h.file("c").exists()
    })
    .await;
    let (inode, mode) = fs::metadata(h.file("a"))
        .map(|m| (m.ino(), m.mode()))
        .expect("file");
    assert_eq!(mode & 0o777, 0o600);
    let old_uid = h.uid("web", "b");

    let second = h
        .inject("web", &[pod("a", "1"), pod("b", "2")])
        .await
        .expect("second");
    assert_eq!(
        kinds(&second),
        [("a", Unchanged), ("b", Replaced), ("c", Removed)]
    );
    assert_eq!(second.bundle.revision, 2);
    assert_ne!(h.uid("web", "b"), old_uid, "a new content has a new uid");
    until("c is gone", || !h.file("c").exists()).await;
    let new_uid = h.uid("web", "b");
    until("b is written", || {
        fs::read_to_string(h.file("b")).is_ok_and(|t| t.contains(&new_uid))
    })
    .await;
    assert_eq!(
        fs::metadata(h.file("a")).expect("file").ino(),
        inode,
        "a was rewritten"
    );

    let third = h
        .inject("web", &[pod("b", "2"), pod("a", "1")])
        .await
        .expect("third");
    assert_eq!(third.bundle.revision, 2, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_the_diff_and_changes_nothing() {
    let h = Harness::new();
    h.inject("web", &[pod("a", "echo old")])
        .await
        .expect("inject");
    let preview = h
        .handle()
        .validate(injection("web", &[pod("a", "echo new")]))
        .await
        .expect("valid");
    assert_eq!(preview.bundle.revision, 2);
    let diff = &preview.changes[0].diff;
    assert!(
        diff.contains("-") && diff.contains("echo old") && diff.contains("echo new"),
        "{diff}"
    );
    assert!(
        !diff.contains("seedpod.dev/"),
        "the stamp is no business of the diff: {diff}"
    );
    assert_eq!(
        h.handle()
            .state()
            .bundles
            .values()
            .next()
            .expect("a bundle")
            .revision,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_pod_is_listed_until_the_runtime_says_that_it_stopped() {
    let h = Harness::new();
    h.inject("web", &[pod("a", "1")]).await.expect("inject");
    h.runtime().runs(&[("a", &h.uid("web", "a"))]);
    until("confirmed", || {
        h.phase("a") == Some(ProjectionPhase::Confirmed)
    })
    .await;
    let stale = h
        .handle()
        .remove(Removal {
            expected_revision: Some(7),
            ..Removal::from("web")
        })
        .await
        .expect_err("stale");
    assert!(
        matches!(
            stale,
            RemoveError::StaleRevision {
                expected: 7,
                actual: 1
            }
        ),
        "{stale:?}"
    );
    h.handle()
        .remove(Removal {
            expected_revision: Some(1),
            ..Removal::from("web")
        })
        .await
        .expect("remove");
    until("the file is gone", || !h.file("a").exists()).await;
    until("listed as removing", || {
        h.phase("a") == Some(ProjectionPhase::Removing)
    })
    .await;
    h.runtime().runs(&[]);
    until("forgotten", || h.phase("a").is_none()).await;
    let again = h.handle().remove("web".into()).await.expect_err("gone");
    assert!(matches!(again, RemoveError::NotFound { .. }), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_files_and_pods_are_refused_and_never_touched() {
    let h = Harness::new();
    let theirs = h.manifests().join("kube-proxy.yaml");
    fs::write(&theirs, pod("proxy", "theirs")).expect("write");
    fs::write(h.file("taken"), "anything").expect("write");

    let error = h
        .inject("web", &[pod("proxy", "1")])
        .await
        .expect_err("a foreign pod");
    assert!(
        matches!(&error, InjectError::ForeignPod { file, .. } if file == "kube-proxy.yaml"),
        "{error:?}"
    );
    let error = h
        .inject("web", &[pod("ok", "1"), pod("taken", "1")])
        .await
        .expect_err("a foreign file");
    assert!(
        matches!(error, InjectError::ForeignFile { .. }),
        "{error:?}"
    );
    assert!(h.handle().state().bundles.is_empty());

    let foreign = h.handle().foreign_files().await.expect("readable");
    assert_eq!(foreign, ["kube-proxy.yaml", "seedpod_default_taken.json"]);
    h.inject("web", &[pod("a", "1")])
        .await
        .expect("others work");
    until("written", || h.file("a").exists()).await;
    assert_eq!(
        fs::read_to_string(&theirs).expect("read"),
        pod("proxy", "theirs")
    );
    assert_eq!(
        fs::read_to_string(h.file("taken")).expect("read"),
        "anything"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_and_host_ports_of_other_bundles_are_refused() {
    let h = Harness::new();
    h.inject("one", &[pod_with_port("a", 8080)])
        .await
        .expect("first");
    let error = h
        .inject("two", &[pod("a", "x")])
        .await
        .expect_err("the same pod");
    assert!(matches!(&error, InjectError::OtherBundle { owner, .. } if owner.as_str() == "one"));
    let error = h
        .inject("two", &[pod_with_port("b", 8080)])
        .await
        .expect_err("the same port");
    let InjectError::Violations(violations) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(
        violations[0].field,
        "manifests[0].spec.containers[0].ports[0].hostPort"
    );
    h.inject("two", &[pod_with_port("b", 8081)])
        .await
        .expect("another port");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_clients_with_the_same_expected_revision_one_wins() {
    let h = Harness::new();
    let attempts = (0..8).map(|n| {
        let inject = Inject {
            expected_revision: Some(0),
            ..injection("web", &[pod("a", &format!("{n}"))])
        };
        h.handle().inject(inject)
    });
    let results = futures_util::future::join_all(attempts).await;
    let won = results.iter().filter(|result| result.is_ok()).count();
    let stale = results
        .iter()
        .filter(|r| matches!(r, Err(InjectError::StaleRevision { .. })))
        .count();
    assert_eq!((won, stale), (1, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gets_the_same_answer_also_after_a_restart() {
    let mut h = Harness::new();
    let with_id = |manifests: &[String], content: &[u8]| Inject {
        request: Some(RequestId {
            id: "id-1".into(),
            fingerprint: Digest::of(content),
        }),
        expected_revision: Some(0),
        ..injection("web", manifests)
    };
    let first = h
        .handle()
        .inject(with_id(&[pod("a", "1")], b"1"))
        .await
        .expect("first");
    h.inject("web", &[pod("a", "2")])
        .await
        .expect("somebody else's change");
    for _ in 0..2 {
        let again = h
            .handle()
            .inject(with_id(&[pod("a", "1")], b"1"))
            .await
            .expect("again");
        assert!(again.replayed);
        assert_eq!(
            (&again.bundle, &again.changes),
            (&first.bundle, &first.changes)
        );
        let error = h
            .handle()
            .inject(with_id(&[pod("b", "1")], b"other"))
            .await
            .expect_err("reused");
        assert!(
            matches!(error, InjectError::RequestIdReused { .. }),
            "{error:?}"
        );
        assert_eq!(
            h.handle()
                .state()
                .bundles
                .values()
                .next()
                .expect("bundle")
                .revision,
            2
        );
        h.stop().await;
        h.start().expect("restart");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_puts_right_what_happened_meanwhile() {
    let mut h = Harness::new();
    h.inject("web", &[pod("a", "1"), pod("b", "1"), pod("c", "1")])
        .await
        .expect("inject");
    until("written", || {
        ["a", "b", "c"].iter().all(|p| h.file(p).exists())
    })
    .await;
    let leftover = fs::read(h.file("c")).expect("read");
    h.inject("web", &[pod("a", "1"), pod("b", "1")])
        .await
        .expect("inject");
    until("c is gone", || !h.file("c").exists()).await;
    h.stop().await;
    fs::remove_file(h.file("a")).expect("remove");
    fs::write(h.file("b"), "edited").expect("write");
    // As after a crash between the commit and the removal.
    fs::write(h.file("c"), &leftover).expect("write");
    let staged = h.manifests().join(".seedpod-staged-x");
    fs::write(&staged, "half").expect("write");
    // A copy under another name is somebody's doing, and none of our business.
    let copy = h.manifests().join("copy.json");
    fs::write(&copy, &leftover).expect("write");

    h.start().expect("restart");
    let whole = |p: &str| fs::read_to_string(h.file(p)).is_ok_and(|t| t.contains(&h.uid("web", p)));
    until("a and b are back, c is gone", || {
        whole("a") && whole("b") && !h.file("c").exists()
    })
    .await;
    assert!(!staged.exists());
    assert!(copy.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_put_right_unless_it_is_to_stay() {
    let mut h = Harness::new();
    h.inject("web", &[pod("a", "1"), pod("b", "1")])
        .await
        .expect("inject");
    until("written", || h.file("a").exists() && h.file("b").exists()).await;
    fs::write(h.file("a"), "edited").expect("write");
    fs::remove_file(h.file("b")).expect("remove");
    let whole = |h: &Harness, p: &str| {
        fs::read_to_string(h.file(p)).is_ok_and(|t| t.contains(&h.uid("web", p)))
    };
    until("put right", || whole(&h, "a") && whole(&h, "b")).await;

    h.stop().await;
    h.repair_drift = false;
    h.start().expect("restart");
    until("taken up", || {
        h.phase("a") == Some(ProjectionPhase::Written)
    })
    .await;
    fs::write(h.file("a"), "edited").expect("write");
    until("reported", || {
        h.handle().problems().iter().any(|p| p.reason == "DRIFT")
    })
    .await;
    assert_eq!(fs::read_to_string(h.file("a")).expect("read"), "edited");
    h.inject("web", &[pod("a", "2"), pod("b", "1")])
        .await
        .expect("a new content");
    until("put right by it", || {
        whole(&h, "a") && h.handle().problems().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_pod_is_nudged_until_the_runtime_has_it() {
    let h = Harness::new();
    h.inject("web", &[pod("a", "1")]).await.expect("inject");
    let old = h.uid("web", "a");
    h.runtime().runs(&[("a", &old)]);
    until("confirmed", || {
        h.phase("a") == Some(ProjectionPhase::Confirmed)
    })
    .await;

    h.inject("web", &[pod("a", "2")]).await.expect("inject");
    let new = h.uid("web", "a");
    until("replacing", || {
        h.phase("a") == Some(ProjectionPhase::Replacing)
    })
    .await;
    h.runtime().runs(&[]);
    let nudges = || {
        let text = fs::read_to_string(h.file("a")).expect("a file is always there");
        let value: serde_json::Value = serde_json::from_str(&text).expect("and always whole");
        assert_eq!(value["metadata"]["uid"], new.as_str());
        value["metadata"]["annotations"]["seedpod.dev/nudge"]
            .as_str()
            .and_then(|n| n.parse::<u64>().ok())
            .unwrap_or(0)
    };
    until("three nudges", || nudges() >= 3).await;
    h.runtime().runs(&[("a", &new)]);
    until("confirmed", || {
        h.phase("a") == Some(ProjectionPhase::Confirmed)
    })
    .await;
    assert!(h.handle().problems().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_waits_for_the_host_port_of_one_that_still_stops() {
    let h = Harness::new();
    h.inject("web", &[pod_with_port("old", 8080)])
        .await
        .expect("inject");
    h.runtime().runs(&[("old", &h.uid("web", "old"))]);
    until("confirmed", || {
        h.phase("old") == Some(ProjectionPhase::Confirmed)
    })
    .await;
    h.inject("web", &[pod_with_port("new", 8080), pod("other", "1")])
        .await
        .expect("inject");
    until("the others are done", || {
        h.file("other").exists() && !h.file("old").exists()
    })
    .await;
    until("listed as pending", || {
        h.phase("new") == Some(ProjectionPhase::Pending)
    })
    .await;
    assert!(!h.file("new").exists());
    h.runtime().runs(&[]);
    until("the port is free", || h.file("new").exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_vanishes_is_a_problem_and_is_taken_up_again() {
    let h = Harness::new();
    h.inject("web", &[pod("a", "1")]).await.expect("inject");
    until("written", || h.file("a").exists()).await;
    let mut serving = h.handle().serving();
    fs::remove_dir_all(h.manifests()).expect("remove");
    let problem = || {
        h.handle()
            .problems()
            .iter()
            .any(|p| p.reason == "STATIC_POD_DIRECTORY_FAILED")
    };
    until("reported", problem).await;
    let not_serving = serving.wait_for(|serving| !serving);
    tokio::time::timeout(Duration::from_secs(10), not_serving)
        .await
        .expect("in time")
        .expect("alive");
    let error = h
        .inject("web", &[pod("b", "1")])
        .await
        .expect_err("foreign files are not known");
    assert!(
        matches!(
            error,
            InjectError::Change(super::ChangeError::StaticPodDirectory(_))
        ),
        "{error:?}"
    );
    fs::create_dir(h.manifests()).expect("make");
    until("the file is back", || h.file("a").exists() && !problem()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_is_refused_the_state_directory() {
    let h = Harness::new();
    let error = h
        .start_another(&CancellationToken::new())
        .map(drop)
        .expect_err("locked");
    let StartError::Store(OpenError::Lock(LockError::Held { .. })) = &error else {
        panic!("{error:?}")
    };
    assert!(
        crate::error::chain(&error).contains(&std::process::id().to_string()),
        "names the pid"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_runtime_files_are_projected_and_removals_are_forgotten_at_once() {
    let mut h = Harness::new();
    h.stop().await;
    h.runtime = None;
    h.start().expect("start");
    h.inject("web", &[pod("a", "1")]).await.expect("inject");
    until("written", || h.phase("a") == Some(ProjectionPhase::Written)).await;
    h.handle().remove("web".into()).await.expect("remove");
    until("gone", || !h.file("a").exists() && h.phase("a").is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_of_a_copied_file_is_not_taken_as_ours() {
    let h = Harness::new();
    h.inject("web", &[pod("a", "1")]).await.expect("inject");
    let state = h.handle().state();
    let (bundle, ours) = state.pods().next().expect("the pod");
    let sandbox = |uid: &str| Sandbox {
        uid: uid.to_owned(),
        bundle: Some(bundle.name.to_string()),
        revision: Some(ours.revision),
        digest: Some(ours.digest.clone()),
        returned: 0,
        ..Played::sandbox("a", uid)
    };
    let mut sandboxes = [sandbox(&ours.uid), sandbox("made-up")];
    let node = "node-1".parse().expect("a valid name");
    disown_copies(&mut sandboxes, &h.handle().place.id, &node);
    let bundles: Vec<_> = sandboxes.iter().map(|s| s.bundle.as_deref()).collect();
    assert_eq!(bundles, [Some("web"), None]);
}

/// What containerd shows of a replaced pod that kept its uid.
fn kept(name: &str, of_kubelet: &str, uid: &str) -> Sandbox {
    Sandbox {
        kubelet_uid: of_kubelet.to_owned(),
        ..Played::sandbox(name, uid)
    }
}

impl Harness {
    fn kubelet_is(&self, sync: kubelet::Sync) {
        self.kubelet.send_replace(Arc::new(kubelet::KubeletView {
            sync,
            ..kubelet::KubeletView::default()
        }));
    }

    /// The `metadata.uid` of a pod's file.
    fn uid_in_file(&self, pod: &str) -> Option<String> {
        let text = fs::read(self.file(pod)).ok()?;
        let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
        Some(value["metadata"]["uid"].as_str()?.to_owned())
    }

    async fn runs_confirmed(&self, pods: &[(&str, &str)]) {
        self.runtime().runs(pods);
        for (pod, _) in pods {
            until("confirmed", || {
                self.phase(pod) == Some(ProjectionPhase::Confirmed)
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_on_an_unsynced_kubelet_is_stopped_over_cri_also_after_a_restart() {
    let mut h = Harness::new();
    h.kubelet_is(kubelet::Sync::Unsynced);
    h.inject("web", &[pod("a", "1"), pod("b", "1")])
        .await
        .expect("inject");
    let uids = [h.uid("web", "a"), h.uid("web", "b")];
    h.runs_confirmed(&[("a", &uids[0]), ("b", &uids[1])]).await;
    h.inject("web", &[pod("b", "1")]).await.expect("inject");
    let runs = |h: &Harness, uid: &String| {
        let sandboxes = h.runtime().0.lock().expect("not poisoned");
        sandboxes.iter().any(|it| it.uid == *uid)
    };
    until("a is stopped", || !runs(&h, &uids[0])).await;
    assert!(runs(&h, &uids[1]));
    until("a is forgotten", || h.phase("a").is_none()).await;

    h.stop().await;
    h.start().expect("restart");
    h.kubelet_is(kubelet::Sync::Unsynced);
    h.handle().remove("web".into()).await.expect("remove");
    until("b is stopped", || !runs(&h, &uids[1])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_replaced_on_an_unsynced_kubelet_keeps_its_uid_through_restarts_and_drift() {
    let mut h = Harness::new();
    h.kubelet_is(kubelet::Sync::Unsynced);
    h.inject("web", &[pod("a", "1")]).await.expect("inject");
    let first = h.uid("web", "a");
    h.runs_confirmed(&[("a", &first)]).await;
    h.inject("web", &[pod("a", "2")]).await.expect("inject");
    let second = h.uid("web", "a");
    let has_content = |h: &Harness| {
        fs::read_to_string(h.file("a")).is_ok_and(|text| text.contains(&h.uid("web", "a")))
    };
    until("written", || has_content(&h)).await;
    assert_eq!(h.uid_in_file("a"), Some(first.clone()), "the uid is kept");
    until("the old one is stopped", || {
        h.runtime().0.lock().expect("not poisoned").is_empty()
    })
    .await;
    *h.runtime().0.lock().expect("not poisoned") = vec![kept("a", &first, &second)];
    until("confirmed", || {
        h.phase("a") == Some(ProjectionPhase::Confirmed)
    })
    .await;

    h.stop().await;
    h.start().expect("restart");
    h.kubelet_is(kubelet::Sync::Unsynced);
    until("taken up as it is", || {
        h.phase("a") == Some(ProjectionPhase::Confirmed)
    })
    .await;
    let text = fs::read_to_string(h.file("a")).expect("a file");
    fs::write(h.file("a"), text.replace("busybox", "other")).expect("write");
    until("put right", || {
        fs::read_to_string(h.file("a")).is_ok_and(|text| text.contains("busybox"))
    })
    .await;
    assert_eq!(h.uid_in_file("a"), Some(first.clone()));
    assert_eq!(
        h.handle().foreign_files().await.expect("readable"),
        [""; 0],
        "it is known for ours"
    );

    // When the kubelet hears from its API server, replacements have uids of their own again.
    h.kubelet_is(kubelet::Sync::Synced);
    h.inject("web", &[pod("a", "3")]).await.expect("inject");
    let third = h.uid("web", "a");
    until("a new uid", || h.uid_in_file("a") == Some(third.clone())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kubelet_is_restarted_for_what_is_replaced_where_that_is_configured() {
    let mut h = Harness::new();
    let mark = h.folder.path().join("restarted");
    let command = format!("echo restarted >> {}", mark.display());
    h.stop().await;
    h.kubelet_restart = Some(KubeletRestart::Command(
        ["/bin/sh", "-c", &command].map(str::to_owned).to_vec(),
    ));
    h.start().expect("restart");
    h.kubelet_is(kubelet::Sync::Unsynced);
    h.inject("web", &[pod("a", "1"), pod("b", "1")])
        .await
        .expect("inject");
    let uids = [h.uid("web", "a"), h.uid("web", "b")];
    h.runs_confirmed(&[("a", &uids[0]), ("b", &uids[1])]).await;
    assert!(!mark.exists(), "nothing was in the way of a new pod");
    h.inject("web", &[pod("a", "2"), pod("b", "2")])
        .await
        .expect("inject");
    until("restarted", || mark.exists()).await;
    let now = [h.uid("web", "a"), h.uid("web", "b")];
    assert_eq!(h.uid_in_file("a"), Some(now[0].clone()));
    h.runs_confirmed(&[("a", &now[0]), ("b", &now[1])]).await;
    let restarts = fs::read_to_string(&mark).expect("a file");
    assert_eq!(restarts.lines().count(), 1, "one for both");
}
