//! Files of ours that somebody changes, and a node whose runtime is not known.

use std::fs;
use std::time::Instant;

use seedpod_client::{KubeletState, PodState, RuntimeState};
use seedpod_integration::{ContainerKind, wait_until};
use serde_json::{Value, json};

use crate::rig::LIMIT;
use crate::scene::{Scene, run};

#[test]
fn an_edited_file_is_put_right_and_its_pod_runs_again() {
    let scene = Scene::new("edited");
    let (injected, _) = scene.inject_and_wait("bundle", &[scene.pod("web", "ours")]);
    let file = scene.file("web");
    let ours = fs::read(&file).unwrap();

    // As an editor saves: another pod in the place of ours, whole.
    let mut edited: Value = serde_json::from_slice(&ours).unwrap();
    edited["metadata"]["uid"] = json!("11111111-2222-4333-8444-555555555555");
    edited["spec"]["containers"][0]["command"] = json!(["sh", "-c", "echo theirs; sleep 3600"]);
    let staged = scene
        .node
        .manifests()
        .join(format!(".{}", scene.name("edit")));
    fs::write(&staged, edited.to_string()).unwrap();
    fs::rename(&staged, &file).unwrap();

    wait_until(LIMIT, "the file is put right", || {
        // A nudge may follow, which changes nothing but an annotation.
        let uid = |text: &[u8]| {
            serde_json::from_slice::<Value>(text).ok()?["metadata"]["uid"]
                .as_str()
                .map(str::to_owned)
        };
        fs::read(&file).is_ok_and(|now| uid(&now) == uid(&ours))
    })
    .unwrap();
    wait_until(LIMIT, "our pod runs again", || {
        scene
            .running("web", ContainerKind::Container)
            .is_some_and(|it| it.uid == injected.bundle.pods[0].uid)
    })
    .unwrap();
    scene.wait_running(&injected.bundle);
    let metrics = scene.daemon.metrics().get("/metrics").unwrap().body;
    assert!(
        metrics
            .lines()
            .any(|line| line.starts_with("seedpod_drift_repaired_total ") && !line.ends_with(" 0")),
        "{metrics}"
    );
    assert!(
        scene
            .log()
            .contains("somebody changed a static pod of ours")
    );
}

#[test]
fn a_deleted_file_comes_back_and_its_pod_runs_again() {
    let scene = Scene::new("deleted");
    let (injected, _) = scene.inject_and_wait("bundle", &[scene.pod("web", "ours")]);
    let file = scene.file("web");
    fs::remove_file(&file).unwrap();
    wait_until(LIMIT, "the file is back", || file.exists()).unwrap();
    // Deleted while nothing was wrong: the kubelet stops the pod, or sees the new file first and goes on.
    scene.wait_running(&injected.bundle);
    assert!(
        scene
            .log()
            .contains("somebody removed a static pod of ours")
    );
}

#[test]
fn a_changed_file_is_left_where_drift_is_not_to_be_repaired() {
    let scene = Scene::configured("left", json!({"projection": {"repairDrift": false}}));
    scene.inject_and_wait("bundle", &[scene.pod("web", "ours")]);
    fs::remove_file(scene.file("web")).unwrap();
    wait_until(LIMIT, "GetNode tells of it", || {
        let node = run(scene.client.get_node()).unwrap();
        node.problems
            .iter()
            .any(|problem| problem.reason == "DRIFT")
    })
    .unwrap();
    scene.wait_stopped("web");
    assert!(!scene.file("web").exists());

    scene.inject_and_wait("bundle", &[scene.pod("web", "again")]);
    scene.wait_for_line("web", "again");
    let node = run(scene.client.get_node()).unwrap();
    assert!(node.problems.is_empty(), "{:?}", node.problems);
}

#[test]
fn without_a_runtime_pods_are_injected_replaced_and_removed_by_files_alone() {
    let scene = Scene::configured("files", json!({"containerRuntimeEndpoint": null}));
    let first = scene.inject("bundle", &[scene.pod("web", "one")]).unwrap();
    scene.wait_for_line("web", "one");
    assert_eq!(scene.pods("bundle")[0].state, PodState::Unknown);
    let node = run(scene.client.get_node()).unwrap();
    assert_eq!(node.container_runtime.state, RuntimeState::NotConfigured);
    assert_eq!(node.kubelet.state, KubeletState::Seen);
    assert!(node.problems.is_empty(), "{:?}", node.problems);

    let begun = Instant::now();
    let second = scene.inject("bundle", &[scene.pod("web", "two")]).unwrap();
    scene.wait_for_line("web", "two");
    println!("replaced without a runtime after {:?}", begun.elapsed());
    assert_ne!(first.bundle.pods[0].uid, second.bundle.pods[0].uid);

    run(scene
        .client
        .remove_bundle(&seedpod_client::RemoveBundle::new(scene.name("bundle"))))
    .unwrap();
    scene.wait_stopped("web");
    assert!(scene.pods("bundle").is_empty());
}

#[test]
fn the_node_tells_what_it_is_and_that_nothing_is_wrong() {
    let scene = Scene::new("node");
    let (_, _) = scene.inject_and_wait("bundle", &[scene.pod("web", "hello")]);
    let node = run(scene.client.get_node()).unwrap();
    assert_eq!(node.name, scene.node.name());
    assert_eq!(node.seedpod_version, env!("CARGO_PKG_VERSION"));
    assert_eq!(
        node.static_pod_path,
        scene.node.manifests().to_str().unwrap()
    );
    assert_eq!(
        node.state_directory,
        scene.daemon.state_directory().to_str().unwrap()
    );
    assert_eq!(node.container_runtime.state, RuntimeState::Connected);
    assert_eq!(node.container_runtime.name, "containerd");
    assert!(!node.container_runtime.version.is_empty());
    assert_eq!(node.kubelet.state, KubeletState::Seen);
    assert_eq!((node.bundle_count, node.pod_count), (1, 1));
    assert!(node.problems.is_empty(), "{:?}", node.problems);
    assert_eq!(node.limits.max_pods_per_bundle, 64);
    assert_eq!(node.limits.max_bundle_bytes, 4 << 20);
}
