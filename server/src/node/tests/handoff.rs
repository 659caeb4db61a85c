//! A bundle that is handed over: what is withheld, what comes back, and what is refused meanwhile.

use std::{collections::BTreeSet, time::Duration};

use seedpod_manifest::PodKey;
use zeroize::Zeroizing;

use super::*;
use crate::{
    handoff::{Component, Deadlines, Kind, Material, Record, Spec, Stage},
    node::{
        AbortHandoffError, AdvanceError, StartHandoffError, Terms, actor::Command, status::PodState,
    },
};

const BUNDLE: &str = "control-plane";

fn key(name: &str) -> PodKey {
    PodKey {
        namespace: "default".into(),
        name: name.into(),
    }
}

fn spec() -> Spec {
    let component = |name: &str, kind| Component {
        kind,
        injected: key(name),
        namespace: "kube-system".to_owned(),
        selector: [("component".to_owned(), name.to_owned())].into(),
    };
    let lease = "kube-scheduler".to_owned();
    Spec {
        bundle: BUNDLE.parse().expect("a valid name"),
        components: vec![
            component("apiserver", Kind::ApiServer { port: 6443 }),
            component("scheduler", Kind::LeaderElected { lease }),
        ],
        node_labels: [].into(),
        deadlines: Deadlines::default(),
        stable_for: Duration::from_secs(10),
    }
}

fn material() -> Material {
    Material {
        manifests: vec![Zeroizing::new("a Secret".to_owned())],
        kubeconfig: Zeroizing::new("a kubeconfig".to_owned()),
    }
}

fn in_wave(name: &str, wave: u32) -> String {
    let named = format!("{{name: {name}}}");
    let with_wave = format!("{{name: {name}, annotations: {{seedpod.dev/wave: \"{wave}\"}}}}");
    pod(name, "true").replace(&named, &with_wave)
}

impl Harness {
    /// A bundle of three waves, of which all pods run and are ready.
    async fn control_plane(&self) {
        let pods = [
            in_wave("etcd", 0),
            in_wave("apiserver", 1),
            in_wave("scheduler", 2),
        ];
        self.inject(BUNDLE, &pods).await.expect("inject");
        self.all_run().await;
        let command = Command::MarkReady {
            bundle: BUNDLE.parse().expect("a valid name"),
            revision: 1,
        };
        self.handle().commands.send(command).await.expect("sent");
        until("it is ready", || {
            self.handle()
                .state()
                .ready
                .contains(&BUNDLE.parse().expect("a valid name"))
        })
        .await;
    }

    /// Has the runtime run whatever is in the directory, until all of the bundle's pods do.
    async fn all_run(&self) {
        for pod in ["etcd", "apiserver", "scheduler"] {
            until("it is written", || {
                self.run_what_is_there();
                self.uid_in_file(pod).is_some()
            })
            .await;
        }
        self.run_what_is_there();
    }

    fn run_what_is_there(&self) {
        let pods = ["etcd", "apiserver", "scheduler"];
        let there: Vec<_> = pods
            .iter()
            .filter_map(|pod| Some((*pod, self.uid_in_file(pod)?)))
            .collect();
        let there: Vec<_> = there
            .iter()
            .map(|(pod, uid)| (*pod, uid.as_str()))
            .collect();
        self.runtime().runs(&there);
    }

    async fn begin(&self) -> Arc<Record> {
        let started = self.handle().start_handoff(spec(), material(), None).await;
        started.expect("started")
    }

    /// To a stage with these pods withheld.
    async fn to(&self, stage: Stage, withheld: &[&str]) -> Arc<Record> {
        let state = self.handle().state();
        let mut next = Record::clone(state.handoff.as_ref().expect("a handoff"));
        next.generation += 1;
        next.stage = stage;
        next.withheld = withheld.iter().map(|name| key(name)).collect();
        self.handle().advance_handoff(next).await.expect("advanced")
    }

    async fn state_of(&self, pod: &str) -> Option<PodState> {
        let pods = self.handle().judge(None).await;
        pods.iter().find(|it| it.key.name == pod).map(|it| it.state)
    }
}

async fn reaches(h: &Harness, pod: &str, state: PodState) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while h.state_of(pod).await != Some(state) {
        let now = h.state_of(pod).await;
        assert!(
            Instant::now() < deadline,
            "{pod} is {now:?} and not {state:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withheld_pod_goes_at_once_and_comes_back_as_another_one() {
    let mut h = Harness::new();
    h.control_plane().await;
    let first = h.uid(BUNDLE, "apiserver");
    h.begin().await;
    // The pods of the higher wave stay.
    h.to(Stage::HandingOver, &["apiserver"]).await;
    until("its file is gone", || !h.file("apiserver").exists()).await;
    assert!(h.file("scheduler").exists());
    assert_eq!(h.state_of("apiserver").await, Some(PodState::Removing));
    h.run_what_is_there();
    reaches(&h, "apiserver", PodState::Standby).await;
    assert_eq!(h.uid(BUNDLE, "apiserver"), first);

    // Also after a restart of the daemon.
    h.stop().await;
    h.start().expect("start");
    reaches(&h, "apiserver", PodState::Standby).await;
    reaches(&h, "scheduler", PodState::Ready).await;
    assert!(!h.file("apiserver").exists());

    h.to(Stage::Reverting, &[]).await;
    until("its file is back", || h.file("apiserver").exists()).await;
    let second = h.uid(BUNDLE, "apiserver");
    assert_ne!(second, first);
    assert_eq!(h.uid_in_file("apiserver"), Some(second.clone()));
    h.run_what_is_there();
    reaches(&h, "apiserver", PodState::Ready).await;

    // Nor does another restart change anything about it: the uid proves that the file is ours.
    let before = fs::metadata(h.file("apiserver")).expect("file").ino();
    h.stop().await;
    h.start().expect("start");
    reaches(&h, "apiserver", PodState::Ready).await;
    assert_eq!(h.uid(BUNDLE, "apiserver"), second);
    assert_eq!(
        fs::metadata(h.file("apiserver")).expect("file").ino(),
        before
    );
    assert!(
        h.handle()
            .foreign_files()
            .await
            .expect("readable")
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_comes_back_while_it_stops_is_replaced() {
    let h = Harness::new();
    h.control_plane().await;
    let first = h.uid(BUNDLE, "apiserver");
    h.begin().await;
    h.to(Stage::HandingOver, &["apiserver"]).await;
    until("its file is gone", || !h.file("apiserver").exists()).await;
    // It still runs.
    h.to(Stage::Reverting, &[]).await;
    until("its file is back", || h.file("apiserver").exists()).await;
    let second = h.uid(BUNDLE, "apiserver");
    assert_eq!(h.uid_in_file("apiserver"), Some(second.clone()));
    assert_ne!(second, first);
    reaches(&h, "apiserver", PodState::Replacing).await;
    // Whether what runs is the one that came back, a handoff has to know.
    let is_current = || {
        let (handle, pod) = (h.handle(), key("apiserver"));
        let bundle = BUNDLE.parse().expect("a valid name");
        let running = h.runtime().0.lock().expect("not poisoned");
        let mut running = running.iter().filter(|it| it.name.starts_with("apiserver"));
        let sandbox = running.next().expect("it runs");
        handle.is_current(sandbox, &bundle, &pod)
    };
    assert!(!is_current());
    until("it is nudged", || {
        fs::read_to_string(h.file("apiserver")).is_ok_and(|text| text.contains("seedpod.dev/nudge"))
    })
    .await;
    h.run_what_is_there();
    reaches(&h, "apiserver", PodState::Ready).await;
    assert!(is_current());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wave_does_not_wait_for_a_pod_that_is_withheld() {
    let h = Harness::new();
    h.control_plane().await;
    h.begin().await;
    h.to(Stage::Committed, &["apiserver", "scheduler"]).await;
    until("both are gone", || {
        !h.file("apiserver").exists() && !h.file("scheduler").exists()
    })
    .await;
    h.run_what_is_there();
    reaches(&h, "scheduler", PodState::Standby).await;
    // The API server stays withheld: the scheduler waits for etcd only.
    h.to(Stage::StandingIn, &["apiserver"]).await;
    until("the scheduler is back", || h.file("scheduler").exists()).await;
    // Now the API server too, and nothing of a higher wave goes before it.
    h.to(Stage::StandingDown, &["apiserver", "scheduler"]).await;
    until("it is gone", || !h.file("scheduler").exists()).await;
    h.run_what_is_there();
    reaches(&h, "scheduler", PodState::Standby).await;
    h.to(Stage::StandingIn, &[]).await;
    until("the API server is back", || h.file("apiserver").exists()).await;
    assert!(!h.file("scheduler").exists(), "it waits for the API server");
    h.all_run().await;
    reaches(&h, "scheduler", PodState::Ready).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_begins_with_a_bundle_that_is_ready_and_only_once() {
    let h = Harness::new();
    let start = |spec: Spec| h.handle().start_handoff(spec, material(), None);
    let error = start(spec()).await.expect_err("no bundle");
    assert!(
        matches!(error, StartHandoffError::NotFound { .. }),
        "{error:?}"
    );
    h.inject(BUNDLE, &[pod("apiserver", "1")])
        .await
        .expect("inject");
    let error = start(spec()).await.expect_err("a pod is missing");
    assert!(
        matches!(&error, StartHandoffError::NoPod { component: 1, pod, .. } if pod.name == "scheduler"),
        "{error:?}"
    );
    h.inject(BUNDLE, &[pod("apiserver", "1"), pod("scheduler", "1")])
        .await
        .expect("inject");
    let error = start(spec()).await.expect_err("not ready");
    assert!(
        matches!(error, StartHandoffError::NotReady { .. }),
        "{error:?}"
    );
    h.handle().remove(BUNDLE.into()).await.expect("remove");

    let h = Harness::new();
    h.control_plane().await;
    reaches(&h, "scheduler", PodState::Ready).await;
    h.handle()
        .check_handoff(&spec())
        .await
        .expect("it could begin");
    let record = h.begin().await;
    assert_eq!((record.generation, record.stage), (1, Stage::Applying));
    assert_eq!(
        record.deadline,
        Some(h.clock.now().after(Duration::from_secs(120)))
    );
    let again = h.handle().start_handoff(spec(), material(), None).await;
    let error = again.expect_err("one is under way");
    assert!(matches!(error, StartHandoffError::UnderWay(_)), "{error:?}");
    h.to(Stage::Committed, &["apiserver"]).await;
    let again = h.handle().start_handoff(spec(), material(), None).await;
    let error = again.expect_err("handed over");
    assert!(
        matches!(error, StartHandoffError::HandedOver(_)),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_as_before_also_after_a_restart() {
    let mut h = Harness::new();
    h.control_plane().await;
    let request = |of: &str| {
        Some(RequestId {
            id: "r".to_owned(),
            fingerprint: Digest::of(of.as_bytes()),
        })
    };
    let started = h
        .handle()
        .start_handoff(spec(), material(), request("a"))
        .await;
    let first = started.expect("started");
    h.stop().await;
    h.start().expect("start");
    let again = h
        .handle()
        .start_handoff(spec(), material(), request("a"))
        .await;
    assert_eq!(again.expect("the same").id, first.id);
    let other = h
        .handle()
        .start_handoff(spec(), material(), request("b"))
        .await;
    let error = other.expect_err("another request");
    assert!(
        matches!(error, StartHandoffError::RequestIdReused { .. }),
        "{error:?}"
    );
    let inject = Inject {
        request: request("a"),
        ..injection("other", &[pod("x", "1")])
    };
    let error = h
        .handle()
        .inject(inject)
        .await
        .expect_err("used for a handoff");
    assert!(
        matches!(error, InjectError::RequestIdReused { .. }),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_next_generation_is_committed() {
    let h = Harness::new();
    h.control_plane().await;
    let record = h.begin().await;
    let next = |generation| Record {
        generation,
        ..Record::clone(&record)
    };
    for generation in [0, 1, 3] {
        let error = h.handle().advance_handoff(next(generation)).await;
        let error = error.expect_err("not the next one");
        assert!(
            matches!(&error, AdvanceError::Stale(now) if now.generation == 1),
            "{error:?}"
        );
    }
    h.handle()
        .advance_handoff(next(2))
        .await
        .expect("the next one");
    let other = Record {
        id: "another".to_owned(),
        ..next(3)
    };
    let error = h
        .handle()
        .advance_handoff(other)
        .await
        .expect_err("another handoff");
    assert!(matches!(error, AdvanceError::Gone), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_takes_the_way_back_until_it_is_committed() {
    let h = Harness::new();
    let error = h
        .handle()
        .abort_handoff(None)
        .await
        .expect_err("there is none");
    assert!(
        matches!(error, AbortHandoffError::NotFound { id: None }),
        "{error:?}"
    );
    h.control_plane().await;
    let record = h.begin().await;
    let error = h
        .handle()
        .abort_handoff(Some("x"))
        .await
        .expect_err("not this one");
    assert!(
        matches!(error, AbortHandoffError::NotFound { id: Some(_) }),
        "{error:?}"
    );
    h.to(Stage::HandingOver, &["apiserver"]).await;
    let aborted = h
        .handle()
        .abort_handoff(Some(&record.id))
        .await
        .expect("aborted");
    assert_eq!((aborted.generation, aborted.stage), (3, Stage::Reverting));
    assert_eq!(
        aborted.failure.as_ref().map(|it| it.stage),
        Some(Stage::HandingOver)
    );
    assert_eq!(aborted.withheld, BTreeSet::new(), "they come back");
    let again = h.handle().abort_handoff(None).await.expect("no error");
    assert_eq!(again.generation, 3);
    h.to(Stage::Reverted, &[]).await;
    h.handle().abort_handoff(None).await.expect("no error");

    h.begin().await;
    h.to(Stage::Committed, &["apiserver"]).await;
    let error = h.handle().abort_handoff(None).await.expect_err("committed");
    assert!(
        matches!(error, AbortHandoffError::HandedOver(_)),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_stays_as_it_is_while_it_is_handed_over_and_may_change_as_standby() {
    let h = Harness::new();
    h.control_plane().await;
    h.begin().await;
    let pods = [pod("apiserver", "2"), pod("scheduler", "1")];
    for (stage, withheld) in [
        (Stage::WaitingForReady, &[][..]),
        (Stage::Reverting, &["apiserver"]),
        (Stage::StandingDown, &["apiserver"]),
    ] {
        h.to(stage, withheld).await;
        let error = h.inject(BUNDLE, &pods).await.expect_err("under way");
        assert!(matches!(error, InjectError::HandingOver(_)), "{error:?}");
        let error = h
            .handle()
            .remove(BUNDLE.into())
            .await
            .expect_err("under way");
        assert!(matches!(error, RemoveError::HandingOver(_)), "{error:?}");
        // Others are none of its business.
        h.inject("other", &[pod("x", &format!("{stage:?}"))])
            .await
            .expect("another bundle");
    }
    h.to(Stage::Committed, &["apiserver", "scheduler"]).await;
    let trial = Inject {
        trial: Some(Terms {
            timeout: Duration::from_secs(60),
            confirmation: crate::node::Confirmation::Readiness,
        }),
        ..injection(BUNDLE, &pods)
    };
    let error = h
        .handle()
        .inject(trial)
        .await
        .expect_err("it would never get ready");
    assert!(
        matches!(error, InjectError::TrialOfStandby { .. }),
        "{error:?}"
    );
    h.inject(BUNDLE, &pods).await.expect("a new standby");
    h.run_what_is_there();
    reaches(&h, "apiserver", PodState::Standby).await;
    assert!(!h.file("apiserver").exists());
    let uid = h.uid(BUNDLE, "apiserver");
    h.to(Stage::StandingIn, &[]).await;
    until("the new one is written", || {
        h.uid_in_file("apiserver")
            .is_some_and(|it| it != uid && it == h.uid(BUNDLE, "apiserver"))
    })
    .await;
    let text = fs::read_to_string(h.file("apiserver")).expect("readable");
    assert!(text.contains("\"2\""), "{text}");

    h.handle()
        .remove(BUNDLE.into())
        .await
        .expect("it ends with its bundle");
    assert_eq!(h.handle().state().handoff, None);
    assert!(h.handle().handoff_material().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_secret_is_read_from_the_disk_and_goes_with_the_handoff() {
    let h = Harness::new();
    h.control_plane().await;
    h.begin().await;
    let read = h.handle().handoff_material().expect("readable");
    assert_eq!(*read.kubeconfig, *material().kubeconfig);
    assert_eq!(read.manifests.len(), 1);
    assert!(!format!("{read:?}").contains("kubeconfig\""));
    h.to(Stage::Committed, &["apiserver"]).await;
    let read = h.handle().handoff_material().expect("readable");
    assert_eq!(*read.kubeconfig, *material().kubeconfig);
    assert!(read.manifests.is_empty());
    h.handle().forget_handoff().await.expect("forgotten");
    assert!(h.handle().handoff_material().is_err());
    let folder = h.folder.path().join("state/handoff");
    let left: Vec<_> = fs::read_dir(folder).expect("readable").collect();
    assert_eq!(left.len(), 1, "{left:?}");
    // It is projected again.
    until("it is back", || h.file("apiserver").exists()).await;
}
