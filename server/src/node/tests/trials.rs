//! Trials, rollbacks and what is kept, on a real folder, with a clock and statuses that the test plays.

use seedpod_manifest::BundleName;

use super::*;
use crate::node::{
    ConfirmError, Confirmation, HistoryError, OnTrial, Revision, Rollback, RollbackError, Terms,
    actor::Command,
};
use crate::store::Origin;

const TIMEOUT: Duration = Duration::from_secs(60);

fn name(name: &str) -> BundleName {
    name.parse().expect("a valid name")
}

fn on_trial(bundle: &str, manifests: &[String], confirmation: Confirmation) -> Inject {
    Inject {
        trial: Some(Terms {
            timeout: TIMEOUT,
            confirmation,
        }),
        ..injection(bundle, manifests)
    }
}

fn rollback(to_revision: u64) -> Rollback {
    Rollback {
        bundle: name("web"),
        to_revision,
        expected_revision: None,
        request: None,
    }
}

impl Harness {
    async fn try_out(&self, pods: &[String], confirmation: Confirmation) -> Injected {
        let inject = on_trial("web", pods, confirmation);
        self.handle().inject(inject).await.expect("inject")
    }

    /// As `watch` tells it.
    async fn ready(&self, revision: u64) {
        let told = Command::MarkReady {
            bundle: name("web"),
            revision,
        };
        self.handle().commands.send(told).await.expect("alive");
        self.handle().alive().await;
    }

    async fn crash(&self, revision: u64) {
        let told = Command::FailTrial {
            bundle: name("web"),
            revision,
            why: "container main of pod default/a has ended 3 times".to_owned(),
        };
        self.handle().commands.send(told).await.expect("alive");
        self.handle().alive().await;
    }

    fn revision(&self) -> Option<u64> {
        let state = self.handle().state();
        state
            .bundles
            .get(&name("web"))
            .map(|bundle| bundle.revision)
    }

    fn good(&self) -> Option<u64> {
        self.handle().state().good.get(&name("web")).copied()
    }

    fn is_pending(&self) -> bool {
        let state = self.handle().state();
        state
            .trials
            .get(&name("web"))
            .is_some_and(OnTrial::is_pending)
    }

    async fn revisions(&self) -> Vec<Revision> {
        let revisions = self.handle().revisions(&name("web")).await;
        revisions.expect("readable")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_that_is_not_confirmed_in_time_goes_back_to_the_last_good_revision() {
    let h = Harness::new();
    h.inject("web", &[pod("a", "1"), pod("b", "1")])
        .await
        .expect("inject");
    h.ready(1).await;
    h.inject("web", &[pod("a", "2"), pod("b", "1")])
        .await
        .expect("never ready");
    let good = h.handle().revision(&name("web"), 1).await.expect("kept");
    h.try_out(
        &[pod("a", "3"), pod("b", "1"), pod("c", "1")],
        Confirmation::Readiness,
    )
    .await;
    assert_eq!(
        (h.revision(), h.good(), h.is_pending()),
        (Some(3), Some(1), true)
    );

    h.clock.pass(TIMEOUT - Duration::from_millis(1));
    h.handle().alive().await;
    assert_eq!(h.revision(), Some(3), "there is still time");
    h.clock.pass(Duration::from_millis(1));
    until("the node goes back", || h.revision() == Some(4)).await;
    assert!(!h.is_pending());
    let revisions = h.revisions().await;
    let newest = &revisions[0];
    assert_eq!(
        (
            newest.came.origin,
            newest.came.source_revision,
            newest.came.reason.as_str()
        ),
        (Origin::TrialFailed, 1, "it was not confirmed within 60 s")
    );
    assert_eq!(
        newest.bundle.digest, good.bundle.digest,
        "the content of the good one"
    );
    // Only what differs was made anew.
    let pods = &newest.bundle.pods;
    assert_eq!(
        pods.iter().map(|pod| pod.revision).collect::<Vec<_>>(),
        [4, 1]
    );
    assert_eq!(pods[1].uid, good.bundle.pods[1].uid);
    until("projected", || {
        !h.file("c").exists() && h.file("a").exists()
    })
    .await;
    let error = h
        .handle()
        .confirm(name("web"), 3)
        .await
        .expect_err("too late");
    assert!(
        matches!(error, ConfirmError::NotActive { active: 4 }),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_late_to_a_trial_finds_it_ended() {
    let h = Harness::new();
    h.inject("web", &[pod("a", "1")]).await.expect("inject");
    h.try_out(&[pod("a", "2")], Confirmation::Explicit).await;
    h.clock.pass(TIMEOUT);
    let error = h
        .handle()
        .confirm(name("web"), 2)
        .await
        .expect_err("too late");
    assert!(
        matches!(error, ConfirmError::NotActive { active: 3 }),
        "{error:?}"
    );
    h.try_out(&[pod("a", "2")], Confirmation::Readiness).await;
    h.clock.pass(TIMEOUT);
    h.ready(4).await;
    assert_eq!((h.revision(), h.good()), (Some(5), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_confirms_unless_somebodys_word_is_needed() {
    let mut h = Harness::new();
    h.try_out(&[pod("a", "1")], Confirmation::Readiness).await;
    h.ready(1).await;
    assert_eq!((h.good(), h.is_pending()), (Some(1), false));
    h.clock.pass(TIMEOUT * 2);
    h.try_out(&[pod("a", "2")], Confirmation::Explicit).await;
    h.ready(2).await;
    assert_eq!((h.good(), h.is_pending()), (Some(1), true));
    for is_new in [true, false] {
        let confirmed = h.handle().confirm(name("web"), 2).await;
        assert_eq!(confirmed.expect("confirmed"), is_new);
    }
    h.stop().await;
    h.clock.pass(TIMEOUT * 2);
    h.start().expect("restart");
    assert_eq!(
        (h.revision(), h.good(), h.is_pending()),
        (Some(2), Some(2), false)
    );
    // What was no trial needs no word.
    h.inject("web", &[pod("a", "3")]).await.expect("inject");
    let error = h
        .handle()
        .confirm(name("web"), 3)
        .await
        .expect_err("no trial");
    assert!(matches!(error, ConfirmError::NoTrial), "{error:?}");
    let error = h
        .handle()
        .confirm(name("none"), 1)
        .await
        .expect_err("no bundle");
    assert!(matches!(error, ConfirmError::NotFound { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_ends_a_trial_at_once_and_without_an_earlier_revision_the_bundle_is_removed() {
    let h = Harness::new();
    h.try_out(&[pod("a", "1")], Confirmation::Readiness).await;
    h.crash(7).await;
    assert_eq!(h.revision(), Some(1), "of another revision");
    h.crash(1).await;
    assert_eq!(h.revision(), None);
    let revisions = h.revisions().await;
    let [removal, tried] = &revisions[..] else {
        panic!("{revisions:?}")
    };
    assert!(removal.bundle.pods.is_empty() && removal.active && !tried.good);
    assert_eq!(removal.came.origin, Origin::TrialFailed);
    until("projected", || !h.file("a").exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_goes_on_over_a_restart_of_the_daemon_and_ends_with_its_time_or_the_boot() {
    let mut h = Harness::new();
    h.inject("web", &[pod("a", "1")]).await.expect("inject");
    for (revision, pass, reboot, goes_back) in [
        (2, TIMEOUT / 2, false, None),
        (3, TIMEOUT, false, Some("it was not confirmed within 60 s")),
        (
            5,
            Duration::ZERO,
            true,
            Some("the node was restarted during its trial"),
        ),
    ] {
        let injected = h
            .try_out(&[pod("a", &revision.to_string())], Confirmation::Readiness)
            .await;
        assert_eq!(injected.bundle.revision, revision);
        h.stop().await;
        h.clock.pass(pass);
        if reboot {
            h.clock = BootClock::played("boot-2", Duration::from_secs(5));
        }
        h.start().expect("restart");
        match goes_back {
            None => {
                h.handle().alive().await;
                assert!(h.is_pending());
            }
            Some(why) => {
                until("the node goes back", || h.revision() == Some(revision + 1)).await;
                assert_eq!(h.revisions().await[0].came.reason, why);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_during_a_trial_supersedes_it_and_one_that_changes_nothing_does_not() {
    let h = Harness::new();
    h.try_out(&[pod("a", "1")], Confirmation::Readiness).await;
    let same = h.inject("web", &[pod("a", "1")]).await.expect("the same");
    assert_eq!(same.bundle.revision, 1);
    assert!(h.is_pending());
    h.inject("web", &[pod("a", "2")]).await.expect("another");
    assert!(!h.is_pending());
    h.clock.pass(TIMEOUT * 2);
    h.handle().alive().await;
    assert_eq!(h.revision(), Some(2));
    // What is there already is not tried out.
    let same = h.try_out(&[pod("a", "2")], Confirmation::Readiness).await;
    assert_eq!((same.bundle.revision, h.is_pending()), (2, false));
    h.try_out(&[pod("a", "3")], Confirmation::Readiness).await;
    h.handle().remove("web".into()).await.expect("remove");
    h.clock.pass(TIMEOUT * 2);
    h.handle().alive().await;
    assert_eq!(h.revision(), None);
    assert_eq!(h.revisions().await[0].came.origin, Origin::Removed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_of_what_a_trial_goes_back_to_is_kept() {
    let h = Harness::new();
    h.inject("web", &[pod_with_port("a", 8080)])
        .await
        .expect("inject");
    h.try_out(&[pod("b", "1")], Confirmation::Readiness).await;
    let error = h.inject("other", &[pod("a", "x")]).await.expect_err("kept");
    assert!(
        matches!(&error, InjectError::Reserved { owner, .. } if owner.as_str() == "web"),
        "{error:?}"
    );
    let error = h
        .inject("other", &[pod_with_port("c", 8080)])
        .await
        .expect_err("kept");
    let InjectError::Violations(found) = &error else {
        panic!("{error:?}")
    };
    assert!(found[0].description.contains("goes back"), "{found:?}");
    // It is its own, though.
    h.handle()
        .validate(injection("web", &[pod_with_port("a", 8080)]))
        .await
        .expect("fits");
    h.ready(2).await;
    h.inject("other", &[pod_with_port("a", 8080)])
        .await
        .expect("free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_brings_a_kept_content_back_as_a_new_revision() {
    use ChangeKind::{Added, Removed, Replaced, Unchanged};
    let mut h = Harness::new();
    let error = h
        .handle()
        .roll_back(rollback(0))
        .await
        .expect_err("nothing");
    assert!(
        matches!(error, RollbackError::History(HistoryError::NoBundle { .. })),
        "{error:?}"
    );
    h.inject("web", &[pod("a", "1"), pod("b", "1")])
        .await
        .expect("inject");
    let error = h
        .handle()
        .roll_back(rollback(0))
        .await
        .expect_err("nothing before");
    assert!(matches!(error, RollbackError::NothingBefore), "{error:?}");
    h.ready(1).await;
    h.inject("web", &[pod("a", "2"), pod("b", "1")])
        .await
        .expect("inject");
    h.inject("web", &[pod("a", "3"), pod("b", "1"), pod("c", "1")])
        .await
        .expect("inject");

    let preview = h
        .handle()
        .validate_rollback(rollback(0))
        .await
        .expect("valid");
    assert_eq!(
        preview.source_revision, 1,
        "the last good one and not the one before"
    );
    assert_eq!(
        kinds(&preview),
        [("a", Replaced), ("b", Unchanged), ("c", Removed)]
    );
    assert!(
        preview.changes[0].diff.contains("+    - '1'") || preview.changes[0].diff.contains('1')
    );
    let error = h
        .handle()
        .roll_back(rollback(9))
        .await
        .expect_err("unknown");
    assert!(
        matches!(
            error,
            RollbackError::History(HistoryError::NotKept { revision: 9 })
        ),
        "{error:?}"
    );
    let stale = Rollback {
        expected_revision: Some(1),
        ..rollback(2)
    };
    let error = h.handle().roll_back(stale).await.expect_err("stale");
    assert!(
        matches!(
            error,
            RollbackError::Inject(InjectError::StaleRevision { .. })
        ),
        "{error:?}"
    );

    let with_id = |id: &str, to| Rollback {
        request: Some(RequestId {
            id: id.into(),
            fingerprint: Digest::of(&[to]),
        }),
        ..rollback(to.into())
    };
    let back = h.handle().roll_back(with_id("one", 2)).await.expect("back");
    assert_eq!((back.bundle.revision, back.source_revision), (4, 2));
    assert_eq!(
        kinds(&back),
        [("a", Replaced), ("b", Unchanged), ("c", Removed)]
    );
    let uids: Vec<_> = back.bundle.pods.iter().map(|pod| pod.revision).collect();
    assert_eq!(uids, [4, 1]);
    // To what is active already.
    let same = h
        .handle()
        .roll_back(with_id("two", 4))
        .await
        .expect("nothing to do");
    assert_eq!((same.bundle.revision, same.source_revision), (4, 4));
    h.stop().await;
    h.start().expect("restart");
    for (id, to, changes) in [("one", 2, &back.changes), ("two", 4, &same.changes)] {
        let again = h.handle().roll_back(with_id(id, to)).await.expect("again");
        assert!(again.replayed);
        assert_eq!(
            (&again.changes, again.source_revision),
            (changes, u64::from(to))
        );
    }
    let error = h
        .handle()
        .roll_back(with_id("one", 3))
        .await
        .expect_err("another");
    assert!(
        matches!(
            error,
            RollbackError::Inject(InjectError::RequestIdReused { .. })
        ),
        "{error:?}"
    );

    // A removal can be undone, and is nothing to go back to.
    h.handle().remove("web".into()).await.expect("remove");
    let error = h
        .handle()
        .roll_back(rollback(5))
        .await
        .expect_err("a removal");
    assert!(
        matches!(error, RollbackError::Removal { revision: 5 }),
        "{error:?}"
    );
    let undone = h.handle().roll_back(rollback(0)).await.expect("undone");
    assert_eq!((undone.bundle.revision, undone.source_revision), (6, 1));
    assert_eq!(kinds(&undone), [("a", Added), ("b", Added)]);
    let origins: Vec<_> = h
        .revisions()
        .await
        .iter()
        .map(|r| (r.bundle.revision, r.came.origin))
        .collect();
    assert_eq!(
        origins[..3],
        [
            (6, Origin::RolledBack),
            (5, Origin::Removed),
            (4, Origin::RolledBack)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_does_not_take_what_others_have_by_now() {
    let h = Harness::new();
    h.inject("web", &[pod_with_port("a", 8080), pod("b", "1")])
        .await
        .expect("inject");
    h.inject("web", &[pod("c", "1")]).await.expect("inject");
    h.inject("other", &[pod_with_port("d", 8080)])
        .await
        .expect("free by now");
    let error = h.handle().roll_back(rollback(1)).await.expect_err("taken");
    let RollbackError::Inject(InjectError::Violations(found)) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(found[0].field, "to_revision");
    h.inject("other", &[pod("b", "x")])
        .await
        .expect("free by now");
    let error = h.handle().roll_back(rollback(1)).await.expect_err("taken");
    let RollbackError::Inject(InjectError::OtherBundle { field, .. }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(field, "to_revision");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_runtime_there_are_neither_trials_nor_waves() {
    let mut h = Harness::new();
    h.stop().await;
    h.runtime = None;
    h.start().expect("start");
    let refused = |error: &InjectError| matches!(error, InjectError::NoRuntime { .. });
    let trial = on_trial("web", &[pod("a", "1")], Confirmation::Readiness);
    let error = h.handle().inject(trial).await.expect_err("a trial");
    assert!(refused(&error), "{error:?}");
    let in_wave = |name: &str, wave: u32| {
        let metadata = format!("{{name: {name}, annotations: {{seedpod.dev/wave: \"{wave}\"}}}}");
        pod(name, "1").replace(&format!("{{name: {name}}}"), &metadata)
    };
    let error = h
        .inject("web", &[in_wave("a", 0), in_wave("b", 1)])
        .await
        .expect_err("waves");
    assert!(refused(&error), "{error:?}");
    h.inject("web", &[in_wave("a", 1), in_wave("b", 1)])
        .await
        .expect("one wave");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_puts_the_way_back_off_and_no_further() {
    let h = Harness::new();
    h.inject("web", &[pod("a", "1")]).await.expect("inject");
    h.try_out(&[pod("a", "2")], Confirmation::Readiness).await;
    // The state directory takes no new names.
    let dir = h.folder.path().join("state/bundles/web");
    let aside = h.folder.path().join("aside");
    fs::rename(&dir, &aside).expect("rename");
    fs::write(&dir, "in the way").expect("write");
    h.crash(2).await;
    until("the failure is told", || !h.handle().problems().is_empty()).await;
    assert_eq!(h.revision(), Some(2));
    h.clock.pass(TIMEOUT);
    fs::remove_file(&dir).expect("remove");
    fs::rename(&aside, &dir).expect("rename");
    until("the node goes back", || h.revision() == Some(3)).await;
    until("all is well", || h.handle().problems().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_confirms_a_trial() {
    let h = Harness::new();
    // By a clock that stands. What has no probe must run for half of it.
    let briefly = |pods: &[String]| {
        let mut inject = on_trial("web", pods, Confirmation::Readiness);
        inject.trial = inject.trial.map(|terms| Terms {
            timeout: Duration::from_secs(1),
            ..terms
        });
        h.handle().inject(inject)
    };
    briefly(&[pod("a", "1")]).await.expect("inject");
    h.runtime().runs(&[("a", &h.uid("web", "a"))]);
    until("confirmed", || !h.is_pending()).await;
    assert_eq!((h.revision(), h.good()), (Some(1), Some(1)));
    // What still runs of an earlier revision is not taken for the new one.
    briefly(&[pod("a", "2")]).await.expect("inject");
    until("replacing", || {
        h.phase("a") == Some(ProjectionPhase::Replacing)
    })
    .await;
    assert!(h.is_pending());
    h.runtime().runs(&[("a", &h.uid("web", "a"))]);
    until("confirmed", || !h.is_pending()).await;
    assert_eq!(h.good(), Some(2));
}
