//! Pods start in waves, each when the one before is ready, and stop the other way round.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use seedpod_client::{BundleState, InjectPods, PodState, RemoveBundle, Wait};
use seedpod_integration::{
    ContainerKind, ControlPlane, Node, NodeOptions, images, wait_for, wait_until,
};
use serde_json::{Value, json};

use crate::pods::{self, Asks, Probed, in_wave};
use crate::rig::{LIMIT, kubelets_word, pod, wait_kubelet};
use crate::scene::{Scene, run};

/// An API server that waits for its etcd gives up after 20 s, and its kubelet waits 10 s then.
const PATIENCE: Duration = Duration::from_secs(120);

/// A new node whose kubelet is bound to the API server that is to be injected, as an installer finds it.
fn bare_node() -> Node {
    Node::start(&NodeOptions::unsynced()).unwrap()
}

fn inject(scene: &Scene<'_>, pods: &[Value]) {
    let request = InjectPods::new("control-plane").manifests(pods.iter().map(Value::to_string));
    run(scene.client.inject(&request)).unwrap();
}

/// How often the kubelet has restarted each pod's container.
fn restarts(node: &Node, pods: &[Value]) -> BTreeMap<String, u64> {
    let names = pods.iter().filter_map(|it| it["metadata"]["name"].as_str());
    names
        .map(|name| {
            let word = kubelets_word(node, name).unwrap_or_else(|| panic!("no pod {name}"));
            (name.to_owned(), word["restartCount"].as_u64().unwrap())
        })
        .collect()
}

fn wait_ready(plane: &ControlPlane) {
    wait_until(PATIENCE, "the API server is ready", || plane.is_ready()).unwrap();
}

#[test]
fn a_control_plane_in_waves_comes_up_without_one_restart() {
    let node = bare_node();
    let plane = node.control_plane().unwrap();
    let scene = Scene::on(&node, "waves");
    let pods = plane.pods_in_waves();
    inject(&scene, &pods);
    wait_ready(&plane);
    wait_until(PATIENCE, "both leases are held", || plane.leases_are_held()).unwrap();
    let restarts = restarts(&node, &pods);
    assert!(restarts.values().all(|count| *count == 0), "{restarts:?}");
    // The pods of a wave have started after those of the wave before.
    let started = |pod: &Value| {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let word = wait_kubelet(&node, name, "running", |it| {
            it["state"]["running"].is_object()
        });
        let started = word["state"]["running"]["startedAt"].as_str();
        started.unwrap().to_owned()
    };
    let [etcd, api_server] = [&plane.etcd, &plane.kube_apiserver].map(started);
    let clients = [&plane.clients[0], &plane.clients[1]].map(started);
    assert!(etcd <= api_server, "{etcd} {api_server}");
    assert!(
        clients.iter().all(|it| api_server <= *it),
        "{api_server} {clients:?}"
    );
}

/// An etcd that takes longer to start than an API server waits for it.
fn slow(mut etcd: Value) -> Value {
    etcd["spec"]["initContainers"] = json!([{
        "name": "slow",
        "image": images::BUSYBOX,
        "imagePullPolicy": "Never",
        "command": ["sleep", "25"],
    }]);
    etcd
}

/// How often an API server is restarted until it is ready.
fn api_server_restarts(in_waves: bool) -> u64 {
    let node = bare_node();
    let plane = node.control_plane().unwrap();
    let scene = Scene::on(&node, "slow");
    let mut pods = [slow(plane.etcd.clone()), plane.kube_apiserver.clone()];
    if in_waves {
        pods[0] = in_wave(pods[0].clone(), 0);
        pods[1] = in_wave(pods[1].clone(), 1);
    }
    inject(&scene, &pods);
    wait_ready(&plane);
    restarts(&node, &pods)["kube-apiserver"]
}

#[test]
fn an_api_server_whose_etcd_is_slow_crashes_without_waves_and_not_with_them() {
    let at_once = thread::spawn(|| api_server_restarts(false));
    assert_eq!(api_server_restarts(true), 0);
    assert!(at_once.join().unwrap() >= 1);
}

/// A bundle of a first wave whose readiness the test decides and a second one that stops slowly.
struct TwoWaves<'a> {
    scene: &'a Scene<'a>,
    first: Probed,
}

impl<'a> TwoWaves<'a> {
    fn inject(scene: &'a Scene<'a>) -> Self {
        let first = scene.probed("first", Asks::Exec);
        let script = format!(
            "echo second; {}",
            pods::STAY.replace("exit 0", "sleep 2; exit 0")
        );
        let second = pods::script(&scene.name("second"), &script);
        let bundle = [in_wave(first.readiness(), 0), in_wave(second, 1)];
        scene.inject("bundle", &bundle).unwrap();
        Self { scene, first }
    }

    fn wait_first_is_not_ready(&self) {
        let name = self.scene.name("first");
        wait_kubelet(self.scene.node, &name, "running", |it| {
            it["state"]["running"].is_object() && it["ready"] == json!(false)
        });
    }

    fn assert_second_waits(&self) {
        assert!(!self.scene.file("second").exists());
        let pods = self.scene.pods("bundle");
        let second = pods.iter().find(|it| it.name == self.scene.name("second"));
        assert_eq!(second.unwrap().state, PodState::Committed, "{pods:?}");
    }

    fn wait_second_runs(&self) {
        self.scene.wait_for_line("second", "second");
    }
}

#[test]
fn a_wave_waits_for_the_one_before_and_is_removed_before_it() {
    let scene = Scene::new("order");
    let waves = TwoWaves::inject(&scene);
    waves.wait_first_is_not_ready();
    waves.assert_second_waits();
    waves.first.pass();
    waves.wait_second_runs();

    let bundle = scene.name("bundle");
    run(scene.client.remove_bundle(&RemoveBundle::new(&bundle))).unwrap();
    wait_until(LIMIT, "the second wave stops", || {
        let first = scene.file("first").exists();
        let runs = scene.running("second", ContainerKind::Container).is_some();
        assert!(
            first || !runs,
            "the first wave was removed while the second one ran"
        );
        !runs
    })
    .unwrap();
    run(scene.client.wait_removed(&bundle, Wait::new(LIMIT))).unwrap();
    assert!(!scene.file("first").exists());
}

#[test]
fn a_wave_goes_on_waiting_after_the_daemon_was_killed() {
    let scene = Scene::new("killed");
    let waves = TwoWaves::inject(&scene);
    waves.wait_first_is_not_ready();
    scene.daemon.kill9().unwrap();
    scene.daemon.start_again().unwrap();
    waves.assert_second_waits();
    // A daemon that has started has looked at everything once it has seen an injection through.
    scene.inject_and_wait("other", &[pod(&scene.name("other"), "other")]);
    waves.assert_second_waits();
    scene.daemon.kill9().unwrap();
    waves.first.pass();
    scene.daemon.start_again().unwrap();
    waves.wait_second_runs();
}

#[test]
fn a_wave_that_is_late_names_its_pod_and_the_next_one_still_waits_for_it() {
    let config = json!({"readiness": {"waveTimeout": "2s"}});
    let scene = Scene::configured("late", config);
    let waves = TwoWaves::inject(&scene);
    let culprit = scene.name("first");
    let status = wait_for(LIMIT, "the wave is late", || {
        let bundle = run(scene.client.get_bundle(scene.name("bundle"))).ok()?;
        let status = bundle.status?;
        (status.state == BundleState::Failed).then_some(status)
    })
    .unwrap();
    assert!(status.message.contains(&culprit), "{status:?}");
    assert_eq!(status.wave, Some(0), "{status:?}");
    waves.assert_second_waits();
    let waiting = scene.pods("bundle");
    let second = waiting.iter().find(|it| it.name == scene.name("second"));
    let why = &second.unwrap().message;
    assert!(why.contains(&culprit), "{why}");

    waves.first.pass();
    waves.wait_second_runs();
}
