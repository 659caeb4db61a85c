//! Going back: by hand, and by the node itself when a trial fails.

use std::thread::sleep;
use std::time::{Duration, Instant};

use seedpod_client::{
    Bundle, Code, Error, Origin, RetryPolicy, RollbackBundle, Trial, TrialState, Wait, WaitError,
};
use seedpod_integration::{ContainerKind, Node, NodeOptions, wait_until};
use serde_json::{Value, json};

use crate::kills::{Random, fresh_seed, number};
use crate::pods::{self, Asks, STAY};
use crate::rig::LIMIT;
use crate::scene::{Scene, connect_lazy, run, socket_options, spawn};

/// More than any test takes.
const LONG: Duration = Duration::from_secs(3600);

/// A pod that prints a line and stays, with a probe that vouches for it: without one it must run for some time.
fn staying(scene: &Scene<'_>, name: &str, line: &str) -> Value {
    let mut pod = pods::script(&scene.name(name), &format!("echo '{line}'; {STAY}"));
    pod["spec"]["containers"][0]["readinessProbe"] =
        json!({"exec": {"command": ["true"]}, "periodSeconds": 1});
    pod
}

/// The bundle with all that is told of it.
fn bundle_of(scene: &Scene<'_>) -> Result<Bundle, Error> {
    run(scene.client.get_bundle(scene.name("bundle")))
}

/// Injects a bundle and waits until the node has marked it as good.
fn inject_good(scene: &Scene<'_>, pods: &[Value]) -> Bundle {
    let injected = scene.inject("bundle", pods).expect("inject");
    wait_good(scene, injected.bundle.revision);
    injected.bundle
}

fn wait_good(scene: &Scene<'_>, revision: u64) {
    wait_until(LIMIT, &format!("revision {revision} is good"), || {
        bundle_of(scene).is_ok_and(|it| it.last_good_revision == revision)
    })
    .unwrap();
}

/// Waits until the node has gone back by itself, with the content of a good revision, and tells why.
fn wait_back(scene: &Scene<'_>, good: &Bundle) -> String {
    wait_until(LIMIT * 2, "the node goes back by itself", || {
        scene
            .bundle("bundle")
            .is_ok_and(|it| it.digest == good.digest)
    })
    .unwrap();
    let revisions = run(scene.client.list_revisions(scene.name("bundle"))).unwrap();
    let newest = &revisions[0];
    assert!(newest.active, "{newest:?}");
    assert_eq!(newest.origin, Origin::TrialFailed);
    assert_eq!(newest.source_revision, good.revision);
    let trial = revisions[1].trial.as_ref().expect("it was a trial");
    assert_eq!(trial.state, TrialState::Over);
    newest.reason.clone()
}

#[test]
fn a_rollback_brings_an_earlier_content_back_and_touches_nothing_else() {
    let scene = Scene::new("rollback");
    let pods = |line: &str| {
        [
            staying(&scene, "same", "same"),
            staying(&scene, "web", line),
        ]
    };
    let first = inject_good(&scene, &pods("one"));
    let untouched = scene.running("same", ContainerKind::Container).unwrap();
    inject_good(&scene, &pods("two"));

    let back = RollbackBundle::new(scene.name("bundle"));
    let back = run(scene.client.rollback_bundle(&back)).unwrap();
    assert_eq!((back.bundle.revision, back.source_revision), (3, 1));
    assert_eq!(back.bundle.digest, first.digest);
    scene.wait_for_line("web", "one");
    wait_good(&scene, 3);
    let same = scene.running("same", ContainerKind::Container).unwrap();
    assert_eq!((same.id, same.pid), (untouched.id, untouched.pid));
    scene.remove_and_wait("bundle");
}

#[test]
fn a_trial_is_confirmed_when_its_pods_are_ready() {
    let scene = Scene::new("ready");
    let probed = scene.probed("web", Asks::Exec);
    let injected = run(scene.client.inject(
        &scene
            .request("bundle", &[probed.readiness()])
            .trial(Trial::new(LONG)),
    ))
    .unwrap();
    let trial = injected.bundle.trial.expect("on trial");
    assert_eq!(
        (trial.state, trial.fallback_revision),
        (TrialState::Pending, 0)
    );
    // It runs, and that is not enough.
    wait_until(LIMIT, "the container runs", || {
        scene.running("web", ContainerKind::Container).is_some()
    })
    .unwrap();
    let pending = bundle_of(&scene).unwrap();
    assert_eq!(pending.last_good_revision, 0);
    assert_eq!(pending.trial.map(|it| it.state), Some(TrialState::Pending));
    probed.pass();
    let name = scene.name("bundle");
    run(scene.client.wait_confirmed(&name, 1, Wait::new(LIMIT))).unwrap();
    let bundle = bundle_of(&scene).unwrap();
    assert_eq!(bundle.last_good_revision, 1);
    assert_eq!(bundle.trial.map(|it| it.state), Some(TrialState::Confirmed));
    // What is confirmed once stays, ready or not.
    scene.daemon.restart().unwrap();
    let bundle = bundle_of(&scene).unwrap();
    assert_eq!((bundle.revision, bundle.last_good_revision), (1, 1));
}

#[test]
fn a_trial_that_needs_a_word_stays_with_it_and_goes_back_without() {
    let scene = Scene::new("word");
    let first = inject_good(&scene, &[staying(&scene, "web", "one")]);
    let name = scene.name("bundle");
    let on_trial = |line: &str, timeout| {
        let pods = [staying(&scene, "web", line)];
        let trial = Trial::new(timeout).confirmed_explicitly();
        let injected = run(scene
            .client
            .inject(&scene.request("bundle", &pods).trial(trial)));
        injected.unwrap().bundle
    };
    let second = on_trial("two", Duration::from_secs(8));
    assert_eq!(second.trial.unwrap().fallback_revision, 1);
    scene.wait_for_line("web", "two");
    let failed = run(scene.client.wait_confirmed(&name, 2, Wait::new(LIMIT)));
    assert!(
        matches!(failed, Err(WaitError::RolledBack { .. })),
        "{failed:?}"
    );
    let why = wait_back(&scene, &first);
    assert_eq!(why, "it was not confirmed within 8 s");
    scene.wait_for_line("web", "one");
    let late = run(scene.client.confirm_revision(&name, 2)).unwrap_err();
    assert_eq!(
        (late.code(), late.reason()),
        (Some(Code::Aborted), Some("STALE_REVISION"))
    );

    let fourth = on_trial("four", LONG);
    assert_eq!(fourth.revision, 4);
    let confirmed = run(scene.client.confirm_revision(&name, 4)).unwrap();
    assert!(confirmed.good);
    scene.wait_for_line("web", "four");
}

#[test]
fn a_revision_that_crashes_goes_back_by_itself_with_the_client_gone() {
    let scene = Scene::configured("crash", json!({"trial": {"maxCrashes": 2}}));
    let first = inject_good(&scene, &[staying(&scene, "web", "one")]);
    let crashing = pods::crashing(&scene.name("web"), "two", 3);
    {
        // A client of its own, which is gone after this.
        let client = connect_lazy(socket_options(&scene.daemon));
        let request = scene.request("bundle", &[crashing]).trial(Trial::new(LONG));
        run(client.inject(&request)).unwrap();
    }
    let begun = Instant::now();
    let why = wait_back(&scene, &first);
    println!("the node went back after {:?}: {why}", begun.elapsed());
    assert!(why.contains("has ended 2 times"), "{why}");
    scene.wait_for_line("web", "one");
    wait_good(&scene, 3);
}

#[test]
fn an_image_that_is_missing_fails_a_trial_at_once_and_the_old_pod_never_stops() {
    let scene = Scene::new("image");
    inject_good(&scene, &[staying(&scene, "web", "one")]);
    let before = scene.running("web", ContainerKind::Container).unwrap();
    let pod = pods::without_image(&scene.name("web"));
    let request = scene.request("bundle", &[pod]).trial(Trial::new(LONG));
    let error = run(scene.client.inject(&request)).unwrap_err();
    let told = (error.code(), error.reason());
    assert_eq!(
        told,
        (Some(Code::FailedPrecondition), Some("IMAGE_MISSING"))
    );
    let field = &error.field_violations()[0].field;
    assert_eq!(field, "manifests[0].spec.containers[0].image");

    // One that may be pulled, from a registry that is not there.
    let mut pod = pods::without_image(&scene.name("web"));
    pod["spec"]["containers"][0]["image"] = json!("127.0.0.1:1/missing:1");
    pod["spec"]["containers"][0]["imagePullPolicy"] = json!("IfNotPresent");
    let request = scene.request("bundle", &[pod]).trial(Trial::new(LONG));
    let error = run(scene.client.inject(&request)).unwrap_err();
    let told = (error.code(), error.reason());
    assert_eq!(
        told,
        (Some(Code::FailedPrecondition), Some("IMAGE_PULL_FAILED"))
    );
    println!("{error}");

    assert_eq!(bundle_of(&scene).unwrap().revision, 1);
    let after = scene.running("web", ContainerKind::Container).unwrap();
    assert_eq!((after.id, after.pid), (before.id, before.pid));
}

#[test]
fn a_reboot_ends_a_trial() {
    let scene = Scene::new("reboot");
    let first = inject_good(&scene, &[staying(&scene, "web", "one")]);
    let trial = Trial::new(LONG).confirmed_explicitly();
    let pods = [staying(&scene, "web", "two")];
    run(scene
        .client
        .inject(&scene.request("bundle", &pods).trial(trial)))
    .unwrap();
    scene.wait_for_line("web", "two");
    // In the same boot it goes on.
    scene.daemon.kill9().unwrap();
    scene.daemon.start_again().unwrap();
    let bundle = bundle_of(&scene).unwrap();
    assert_eq!(bundle.trial.map(|it| it.state), Some(TrialState::Pending));
    scene.daemon.kill9().unwrap();
    // The new boot's clock may well read more than the old one's: the id tells.
    scene.daemon.play_reboot(Duration::from_secs(5)).unwrap();
    scene.daemon.start_again().unwrap();
    let why = wait_back(&scene, &first);
    assert_eq!(why, "the node was restarted during its trial");
    scene.wait_for_line("web", "one");
}

#[test]
fn a_trial_ends_in_time_though_everything_is_killed_and_started_again() {
    let node = Node::start(&NodeOptions::default()).unwrap();
    let scene = Scene::on(&node, "all");
    let first = inject_good(&scene, &[staying(&scene, "web", "one")]);
    let trial = Trial::new(Duration::from_secs(20)).confirmed_explicitly();
    let pods = [staying(&scene, "web", "two")];
    run(scene
        .client
        .inject(&scene.request("bundle", &pods).trial(trial)))
    .unwrap();
    scene.wait_for_line("web", "two");
    node.kill_all().unwrap();
    node.start_killed().unwrap();
    scene.daemon.start_again().unwrap();
    assert_eq!(
        wait_back(&scene, &first),
        "it was not confirmed within 20 s"
    );
    scene.wait_for_line("web", "one");
    wait_good(&scene, 3);
}

/// Kills the daemon at random instants of trials that fail: from before the commit of the trial to after that of the
/// way back.
#[test]
fn a_daemon_killed_at_any_instant_of_a_failing_trial_ends_with_what_was_good() {
    let kills = number("SEEDPOD_TORTURE_TRIAL_KILLS").unwrap_or(3);
    let seed = number("SEEDPOD_TORTURE_KILL_SEED").unwrap_or_else(fresh_seed);
    println!("{kills} kills, SEEDPOD_TORTURE_KILL_SEED={seed}");
    let node = Node::start(&NodeOptions::default()).unwrap();
    let scene = Scene::on_configured(&node, "trialkill", json!({"trial": {"maxCrashes": 1}}));
    let mut random = Random::new(seed);
    let good = [
        staying(&scene, "web", "good"),
        staying(&scene, "other", "other"),
    ];
    let first = inject_good(&scene, &good);
    let once = connect_lazy(socket_options(&scene.daemon).retry(RetryPolicy::none()));
    // Before the commit, during the trial, and after the node went back.
    let mut met = [0_u64; 3];
    for round in 0..kills {
        let before = bundle_of(&scene).unwrap().revision;
        let bad = [
            pods::crashing(&scene.name("web"), &format!("bad {round}"), 1),
            staying(&scene, "other", "other"),
        ];
        let request = scene.request("bundle", &bad).trial(Trial::new(LONG));
        let client = once.clone();
        let sent = spawn(async move { client.inject(&request).await });
        // No wait for a condition: the instant is what is tried out. Most of the time goes into stopping the old pod.
        let longest = [50, 2500, 6000][usize::try_from(random.below(3)).unwrap()];
        sleep(random.up_to(Duration::from_millis(longest)));
        scene.daemon.kill9().unwrap();
        scene.daemon.start_again().unwrap();
        let answered = run(sent).unwrap();

        let revisions = run(scene.client.list_revisions(scene.name("bundle"))).unwrap();
        let tried = revisions.iter().find(|it| it.revision == before + 1);
        let found = bundle_of(&scene).unwrap();
        match (&tried, found.revision - before) {
            (None, 0) => {
                assert!(answered.is_err(), "what was answered is lost");
                met[0] += 1;
            }
            (Some(tried), 1) => {
                assert_eq!(tried.digest, found.digest, "the new one, whole");
                met[1] += 1;
            }
            (Some(_), 2) => met[2] += 1,
            other => panic!("{other:?}"),
        }
        assert!(
            found.revision == before + 1 || found.digest == first.digest,
            "neither the old nor the new one: {found:?}"
        );
        if tried.is_some() {
            wait_until(LIMIT, "the node goes back by itself", || {
                let bundle = bundle_of(&scene);
                bundle.is_ok_and(|it| it.revision == before + 2 && it.digest == first.digest)
            })
            .unwrap();
            let newest = run(scene.client.get_revision(scene.name("bundle"), 0)).unwrap();
            assert_eq!(newest.origin, Origin::TrialFailed);
            assert!(newest.reason.contains("has ended"), "{}", newest.reason);
        }
        let active = bundle_of(&scene).unwrap();
        scene.wait_for_line("web", "good");
        wait_good(&scene, active.revision);
    }
    println!("killed before the commit, during the trial, and after it: {met:?}");
    let other = scene.running("other", ContainerKind::Container).unwrap();
    assert_eq!(scene.first_line("other"), "other");
    assert_eq!(
        other.uid,
        first
            .pods
            .iter()
            .find(|it| it.name == scene.name("other"))
            .unwrap()
            .uid
    );
}
