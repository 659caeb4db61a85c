//! What the kubelet makes of a pod that is handed over: it goes from the static pod directory, and comes back.
//!
//! Which pods are withheld is told here by the record on the disk, of a handoff that is over, so that nothing else has a
//! part in it: the daemon reads it when it starts.

use std::fs;
use std::time::{Duration, Instant};

use seedpod_client::{BundleState, Pod, PodState};
use seedpod_integration::{ContainerKind, wait_for, wait_until};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::pods::script;
use crate::rig::LIMIT;
use crate::scene::Scene;

/// A pod that is back takes no longer than one that is replaced. Generous: the tests share two processors.
const SOON: Duration = Duration::from_secs(8);

const BUNDLE: &str = "cp";

/// A record of a handoff that was handed back, with these pods of the scene withheld all the same.
fn put_record(scene: &Scene<'_>, withheld: &[&str], returned: &[(&str, u64)]) {
    let seconds = |secs: u64| json!({"secs": secs, "nanos": 0});
    let withheld: Vec<Value> = withheld
        .iter()
        .map(|pod| json!({"namespace": "default", "name": scene.name(pod)}))
        .collect();
    let returns = returned.iter().map(|(_, count)| *count).max();
    let returned: Value = returned
        .iter()
        .map(|(uid, count)| ((*uid).to_owned(), json!(count)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let record = json!({
        "id": "0123",
        "spec": {
            "bundle": scene.name(BUNDLE),
            "components": [{
                "kind": {"apiServer": {"port": 6443}},
                "injected": {"namespace": "default", "name": scene.name("a")},
                "namespace": "kube-system",
                "selector": {"component": "a"},
            }],
            "nodeLabels": {},
            "deadlines": {
                "apply": seconds(1), "ready": seconds(1), "kubelet": seconds(1),
                "drain": seconds(1), "handOver": seconds(1), "verify": seconds(1),
            },
            "stableFor": seconds(1),
        },
        "generation": 1,
        "stage": "reverted",
        "startTime": "2026-11-25T00:00:00Z",
        "steps": [],
        "since": {"bootId": "another", "sinceBoot": seconds(0)},
        "deadline": null,
        "failure": null,
        "withheld": withheld,
        "created": [],
        "steering": null,
        "resumptions": 0,
    });
    let body = json!({
        "record": record,
        "request": null,
        "material": null,
        "returned": returned,
        "returns": returns.unwrap_or(0),
    })
    .to_string();
    let sum: String = Sha256::digest(body.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let head = json!({"kind": "seedpod-handoff", "format": 4, "sha256": format!("sha256:{sum}")});
    let folder = scene.daemon.state_directory().join("handoff");
    fs::create_dir_all(&folder).expect("make the folder");
    fs::write(folder.join("record.json"), format!("{head}\n{body}\n")).expect("write the record");
}

/// Starts the daemon anew with this record.
fn turn(scene: &Scene<'_>, withheld: &[&str], returned: &[(&str, u64)]) {
    scene.daemon.stop().expect("stop the daemon");
    put_record(scene, withheld, returned);
    scene.daemon.start_again().expect("start the daemon");
}

fn pod_of(scene: &Scene<'_>, name: &str) -> Pod {
    let name = scene.name(name);
    let pods = scene.pods(BUNDLE);
    let pod = pods.into_iter().find(|pod| pod.name == name);
    pod.expect("the pod is listed")
}

fn wait_state(scene: &Scene<'_>, name: &str, state: PodState) -> Pod {
    wait_for(LIMIT, &format!("{name} is {state}"), || {
        Some(pod_of(scene, name)).filter(|pod| pod.state == state)
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", pod_of(scene, name)))
}

#[test]
fn a_withheld_pod_stops_at_once_and_is_back_as_soon_as_a_replaced_one_again_and_again() {
    let scene = Scene::new("withheld");
    let waves = |name: &str, wave: &str| {
        let mut pod = scene.pod(name, "here");
        pod["metadata"]["annotations"] = json!({"seedpod.dev/wave": wave});
        pod
    };
    scene.inject_and_wait(BUNDLE, &[waves("a", "0"), waves("b", "1")]);
    // Of the revision, whatever it runs under later.
    let uid = pod_of(&scene, "a").uid;
    let other = scene
        .running("b", ContainerKind::Container)
        .expect("b runs")
        .pid;
    let mut times = Vec::new();
    for round in 1..=5 {
        let begun = Instant::now();
        turn(&scene, &["a"], &[(&uid, round - 1)]);
        wait_until(LIMIT, "its file is gone", || !scene.file("a").exists()).unwrap();
        scene.wait_stopped("a");
        let stopped = begun.elapsed();
        let pod = wait_state(&scene, "a", PodState::Standby);
        assert_ne!(pod.revision, 0, "it is demanded all the same");
        let status = scene_status(&scene);
        assert_eq!(status, BundleState::Standby);

        let begun = Instant::now();
        turn(&scene, &[], &[(&uid, round)]);
        let container = wait_for(LIMIT, "it is back", || {
            scene.running("a", ContainerKind::Container)
        })
        .unwrap();
        let back = begun.elapsed();
        assert_ne!(container.uid, uid);
        let pod = wait_state(&scene, "a", PodState::Ready);
        assert_eq!(pod.uid, container.uid);
        assert!(
            pod.containers.iter().all(|it| it.restart_count == 0),
            "{pod:?}"
        );
        times.push((stopped, back));
    }
    println!("stopped and back after: {times:?}");
    assert!(times.iter().all(|(_, back)| *back < SOON), "{times:?}");
    // Nobody else was touched.
    let still = scene
        .running("b", ContainerKind::Container)
        .expect("b runs")
        .pid;
    assert_eq!(still, other);
}

#[test]
fn a_pod_that_is_to_come_back_while_it_stops_comes_when_it_has_stopped() {
    let scene = Scene::new("withheld-stopping");
    // It takes two seconds to stop.
    let slow = script(
        &scene.name("a"),
        "trap 'sleep 2; exit 0' TERM; echo here; while :; do sleep 3600 & wait $!; done",
    );
    scene.inject_and_wait(BUNDLE, &[slow]);
    let uid = pod_of(&scene, "a").uid;
    for round in 1..=3 {
        let before = scene
            .running("a", ContainerKind::Container)
            .expect("it runs");
        turn(&scene, &["a"], &[(&uid, round - 1)]);
        wait_until(LIMIT, "its file is gone", || !scene.file("a").exists()).unwrap();
        assert!(
            scene.running("a", ContainerKind::Container).is_some(),
            "it is slow to stop"
        );
        turn(&scene, &[], &[(&uid, round)]);
        wait_until(LIMIT, "the old one has stopped", || {
            let now = scene.running("a", ContainerKind::Container);
            now.is_none_or(|now| now.pid != before.pid)
        })
        .unwrap();
        let begun = Instant::now();
        wait_until(LIMIT, "it is back", || {
            scene.running("a", ContainerKind::Container).is_some()
        })
        .unwrap();
        let took = begun.elapsed();
        println!("back {took:?} after it has stopped");
        assert!(took < SOON, "{took:?}");
        let pod = wait_state(&scene, "a", PodState::Ready);
        assert_ne!(pod.uid, before.uid);
    }
}

fn scene_status(scene: &Scene<'_>) -> BundleState {
    let bundle = crate::scene::run(scene.client.get_bundle(scene.name(BUNDLE)));
    let status = bundle.expect("get the bundle").status;
    status.expect("it has one").state
}
