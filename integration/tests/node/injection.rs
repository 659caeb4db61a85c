//! What an injection makes of the node.

use std::fs;
use std::os::unix::fs::MetadataExt;

use seedpod_client::{ChangeType, Code, ContainerState, PodState};
use seedpod_integration::{ContainerKind, wait_until};

use crate::rig::LIMIT;
use crate::scene::{Scene, connect_lazy, run, socket_options, spawn};

#[test]
fn an_injected_pod_runs_and_can_be_traced_to_its_revision() {
    let scene = Scene::new("add");
    let injected = scene
        .inject("bundle", &[scene.pod("web", "hello")])
        .unwrap();
    assert_eq!(injected.bundle.revision, 1);
    assert_eq!(injected.changes[0].r#type, ChangeType::Added);
    assert_eq!(scene.first_line("web"), "hello");

    let pods = scene.wait_running(&injected.bundle);
    let [pod] = pods.as_slice() else {
        panic!("{pods:?}")
    };
    assert_eq!(pod.state, PodState::Ready);
    assert_eq!(pod.uid, injected.bundle.pods[0].uid);
    assert_eq!((pod.revision, pod.running_revision), (1, 1));
    assert_eq!(
        pod.node_pod_name,
        format!("{}-{}", pod.name, scene.node.name())
    );

    let container = scene.running("web", ContainerKind::Container).unwrap();
    assert_eq!(pod.containers[0].id, container.id);
    assert_eq!(pod.containers[0].state, ContainerState::Running);
    let sandbox = scene.running("web", ContainerKind::Sandbox).unwrap();
    assert_eq!((&pod.sandbox_id, &pod.uid), (&sandbox.id, &sandbox.uid));
    let annotation = |name: &str| sandbox.annotations[&format!("seedpod.dev/{name}")].clone();
    assert_eq!(annotation("bundle"), scene.name("bundle"));
    assert_eq!(annotation("revision"), "1");
    assert_eq!(annotation("digest"), injected.bundle.pods[0].digest);
}

#[test]
fn a_second_injection_touches_only_the_pods_that_differ() {
    let scene = Scene::new("second");
    let [same, changed, removed] = ["same", "changed", "removed"];
    let first = [
        scene.pod(same, "one"),
        scene.pod(changed, "one"),
        scene.pod(removed, "one"),
    ];
    let (before, _) = scene.inject_and_wait("bundle", &first);
    let untouched = scene.running(same, ContainerKind::Container).unwrap();
    let inode = fs::metadata(scene.file(same)).unwrap().ino();

    let begun = std::time::Instant::now();
    let second = [scene.pod(same, "one"), scene.pod(changed, "two")];
    let after = scene.inject("bundle", &second).unwrap();
    let kinds: Vec<ChangeType> = after.changes.iter().map(|change| change.r#type).collect();
    // Ordered by name: changed, removed, same.
    use ChangeType::{Removed, Replaced, Unchanged};
    assert_eq!(kinds, [Replaced, Removed, Unchanged]);
    assert_eq!(after.bundle.revision, 2);

    scene.wait_for_line(changed, "two");
    // For people; an overwritten manifest alone takes the kubelet 11 to 49 s.
    println!("the new content ran after {:?}", begun.elapsed());
    let pods = scene.wait_running(&after.bundle);
    scene.wait_stopped(removed);
    assert!(!scene.file(removed).exists());

    let uid = |bundle: &seedpod_client::Bundle, name: &str| {
        let name = scene.name(name);
        bundle
            .pods
            .iter()
            .find(|pod| pod.name == name)
            .unwrap()
            .uid
            .clone()
    };
    assert_eq!(uid(&before.bundle, same), uid(&after.bundle, same));
    assert_ne!(uid(&before.bundle, changed), uid(&after.bundle, changed));
    let now = scene.running(same, ContainerKind::Container).unwrap();
    assert_eq!((now.id, now.pid), (untouched.id, untouched.pid));
    assert_eq!(fs::metadata(scene.file(same)).unwrap().ino(), inode);
    let revisions: Vec<(u64, u64)> = pods
        .iter()
        .map(|pod| (pod.revision, pod.running_revision))
        .collect();
    assert_eq!(revisions, [(2, 2), (1, 1)]);
}

#[test]
fn a_removed_bundle_is_listed_until_its_pods_have_stopped() {
    let scene = Scene::new("remove");
    scene.inject_and_wait("bundle", &[scene.pod("a", "a"), scene.pod("b", "b")]);

    scene.remove_and_wait("bundle");
    for pod in ["a", "b"] {
        assert!(!scene.file(pod).exists());
        assert!(scene.running(pod, ContainerKind::Container).is_none());
    }
    let gone = scene.bundle("bundle").unwrap_err();
    assert_eq!(gone.code(), Some(Code::NotFound));
    assert_eq!(gone.reason(), Some("BUNDLE_NOT_FOUND"));

    // The number goes on: what ran under revision 1 is never mistaken for what comes now.
    let (again, _) = scene.inject_and_wait("bundle", &[scene.pod("a", "again")]);
    assert_eq!(again.bundle.revision, 3);
    scene.wait_for_line("a", "again");
}

#[test]
fn the_same_injection_twice_changes_nothing() {
    let scene = Scene::new("twice");
    let pods = [scene.pod("web", "hello")];
    let (first, _) = scene.inject_and_wait("bundle", &pods);
    let before = fs::metadata(scene.file("web")).unwrap();
    let container = scene.running("web", ContainerKind::Container).unwrap();

    let second = scene.inject("bundle", &pods).unwrap();
    assert_eq!(second.bundle, first.bundle);
    assert_eq!(second.changes[0].r#type, ChangeType::Unchanged);

    // Whatever the second one might do to the directory comes before what a third one does.
    scene.inject_and_wait("other", &[scene.pod("other", "there")]);
    let after = fs::metadata(scene.file("web")).unwrap();
    assert_eq!(
        (after.ino(), after.mtime(), after.mtime_nsec()),
        (before.ino(), before.mtime(), before.mtime_nsec())
    );
    let same = scene.running("web", ContainerKind::Container).unwrap();
    assert_eq!((same.id, same.pid), (container.id, container.pid));
}

#[test]
fn two_clients_at_once_both_get_what_they_asked_for() {
    let scene = Scene::new("clients");
    let clients = [
        scene.client.clone(),
        connect_lazy(socket_options(&scene.daemon)),
    ];
    let rounds = 5;
    let tasks: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(index, client)| {
            // A bundle of its own, and one that both want.
            let requests: Vec<_> = (0..rounds)
                .flat_map(|round| {
                    let line = format!("client {index} round {round}");
                    let own = format!("own-{index}");
                    [
                        scene.request(&own, &[scene.pod(&own, &line)]),
                        scene.request("shared", &[scene.pod("shared", &line)]),
                    ]
                })
                .collect();
            spawn(async move {
                let mut revisions = Vec::new();
                for request in requests {
                    let bundle = client.inject(&request).await.expect("inject").bundle;
                    revisions.push((bundle.name, bundle.revision));
                }
                revisions
            })
        })
        .collect();
    let mut shared = Vec::new();
    for (index, task) in tasks.into_iter().enumerate() {
        let revisions = run(task).unwrap();
        let own = scene.name(&format!("own-{index}"));
        let of = |bundle: &str| -> Vec<u64> {
            let mine = revisions.iter().filter(|(name, _)| name == bundle);
            mine.map(|(_, revision)| *revision).collect()
        };
        assert_eq!(of(&own), (1..=rounds).collect::<Vec<u64>>());
        shared.extend(of(&scene.name("shared")));
    }
    // Each request led to a revision of its own: none was lost or carried out twice.
    shared.sort_unstable();
    assert_eq!(shared, (1..=2 * rounds).collect::<Vec<u64>>());

    for bundle in ["own-0", "own-1", "shared"] {
        scene.wait_running(&scene.bundle(bundle).unwrap());
    }
    for index in [0, 1] {
        scene.wait_for_line(
            &format!("own-{index}"),
            &format!("client {index} round {}", rounds - 1),
        );
    }
}

#[test]
fn a_stale_expected_revision_aborts() {
    let scene = Scene::new("stale");
    let inject = |line: &str, revision| {
        let request = scene.request("bundle", &[scene.pod("web", line)]);
        run(scene.client.inject(&request.expected_revision(revision)))
    };
    inject("one", 0).unwrap();
    for stale in [0, 2] {
        let error = inject("two", stale).unwrap_err();
        assert_eq!(error.code(), Some(Code::Aborted));
        assert_eq!(error.reason(), Some("STALE_REVISION"));
    }
    assert_eq!(inject("two", 1).unwrap().bundle.revision, 2);
    scene.wait_for_line("web", "two");
}

#[test]
fn validate_only_tells_the_changes_with_diffs_and_changes_nothing() {
    let scene = Scene::new("dry");
    let (first, _) = scene.inject_and_wait("bundle", &[scene.pod("web", "one")]);
    let content = fs::read(scene.file("web")).unwrap();

    let request = scene
        .request(
            "bundle",
            &[scene.pod("web", "two"), scene.pod("new", "new")],
        )
        .validate_only(true);
    let answer = run(scene.client.inject(&request)).unwrap();
    assert_eq!(answer.bundle.revision, 2);
    let [new, web] = answer.changes.as_slice() else {
        panic!("{:?}", answer.changes)
    };
    assert_eq!(
        (new.r#type, web.r#type),
        (ChangeType::Added, ChangeType::Replaced)
    );
    let removed = web
        .diff
        .lines()
        .any(|line| line.starts_with('-') && line.contains("echo 'one'"));
    let added = web
        .diff
        .lines()
        .any(|line| line.starts_with('+') && line.contains("echo 'two'"));
    assert!(removed && added, "{}", web.diff);
    assert!(
        new.diff
            .lines()
            .all(|line| !line.starts_with('-') || line.starts_with("---")),
        "{}",
        new.diff
    );

    assert_eq!(scene.bundle("bundle").unwrap(), first.bundle);
    assert_eq!(fs::read(scene.file("web")).unwrap(), content);
    assert!(!scene.file("new").exists());
}

#[test]
fn a_request_that_comes_again_after_a_restart_gets_the_same_answer() {
    let scene = Scene::new("replay");
    let id = scene.name("request");
    let request = scene
        .request("bundle", &[scene.pod("web", "one")])
        .request_id(&id);
    let first = run(scene.client.inject(&request)).unwrap();
    let later = scene.inject("bundle", &[scene.pod("web", "two")]).unwrap();
    assert_eq!(later.bundle.revision, 2);

    scene.daemon.restart().unwrap();
    let again = run(scene.client.inject(&request)).unwrap();
    assert_eq!(again, first);
    // It was not carried out again.
    assert_eq!(scene.bundle("bundle").unwrap(), later.bundle);
    scene.wait_for_line("web", "two");

    let other = scene
        .request("bundle", &[scene.pod("web", "three")])
        .request_id(&id);
    let error = run(scene.client.inject(&other)).unwrap_err();
    assert_eq!(error.code(), Some(Code::AlreadyExists));
    assert_eq!(error.reason(), Some("REQUEST_ID_REUSED"));
    assert_eq!(scene.bundle("bundle").unwrap(), later.bundle);
}

#[test]
fn pods_outlive_the_daemon_and_are_known_again_when_it_is_back() {
    let scene = Scene::new("outlive");
    let (injected, _) = scene.inject_and_wait("bundle", &[scene.pod("web", "hello")]);
    let before = scene.running("web", ContainerKind::Container).unwrap();
    let inode = fs::metadata(scene.file("web")).unwrap().ino();

    scene.daemon.stop().unwrap();
    assert!(scene.running("web", ContainerKind::Container).is_some());
    scene.daemon.start_again().unwrap();
    let pods = scene.wait_running(&injected.bundle);
    assert_eq!(pods[0].containers[0].id, before.id);
    assert_eq!(fs::metadata(scene.file("web")).unwrap().ino(), inode);

    // Removed while the daemon was away is removed when it is back.
    scene.daemon.kill9().unwrap();
    fs::remove_file(scene.file("web")).unwrap();
    scene.wait_stopped("web");
    scene.daemon.start_again().unwrap();
    wait_until(LIMIT, "the file is back", || scene.file("web").exists()).unwrap();
    scene.wait_running(&injected.bundle);
}
