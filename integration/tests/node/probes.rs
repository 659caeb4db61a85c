//! Readiness by the daemon, beside what the kubelet makes of the same probes.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use seedpod_client::{Container, Pod, PodState};
use seedpod_integration::{wait_for, wait_until};
use serde_json::{Value, json};

use crate::pods::{self, Asks, Probed};
use crate::rig::{LIMIT, kubelets_word, wait_kubelet};
use crate::scene::{Scene, run, spawn};

impl Scene<'_> {
    /// Waits until a pod of the bundle is as it should be, and returns it.
    fn wait_pod(&self, bundle: &str, pod: &str, what: &str, holds: impl Fn(&Pod) -> bool) -> Pod {
        let name = self.name(pod);
        let mut last = None;
        wait_for(LIMIT, &format!("{name} {what}"), || {
            let pods = self.pods(bundle);
            last = pods.into_iter().find(|it| it.name == name);
            last.clone().filter(&holds)
        })
        .unwrap_or_else(|error| panic!("{error}: {last:#?}"))
    }

    fn wait_state(&self, bundle: &str, pod: &str, state: PodState) -> Pod {
        self.wait_pod(bundle, pod, &format!("is {state:?}"), |it| {
            it.state == state
        })
    }

    /// Waits until a pod is not ready and a container's probe says why.
    fn wait_failing(
        &self,
        bundle: &str,
        pod: &str,
        container: &str,
        holds: impl Fn(&str) -> bool,
    ) -> Pod {
        self.wait_pod(bundle, pod, "is not ready, and says why", |it| {
            let container = it.containers.iter().find(|it| it.name == container);
            it.state == PodState::NotReady && container.is_some_and(|it| holds(&it.probe_message))
        })
    }

    fn wait_word(&self, pod: &str, ready: bool) -> Value {
        let what = format!("ready: {ready} for the kubelet");
        wait_kubelet(self.node, &self.name(pod), &what, |it| {
            it["ready"] == json!(ready)
        })
    }
}

fn main_of(pod: &Pod) -> &Container {
    pod.containers
        .iter()
        .find(|it| it.name == "main")
        .expect("the pod has its container")
}

#[test]
fn each_kind_of_probe_fails_passes_and_fails_as_for_the_kubelet() {
    let scene = Scene::new("probes");
    let all = [
        ("exec", Asks::Exec),
        ("http", Asks::Http),
        ("https", Asks::Https),
        ("tcp", Asks::Tcp),
        ("grpc", Asks::Grpc),
    ]
    .map(|(name, asks)| (name, Probed::new(scene.node, &scene.name(name), asks)));
    let pods: Vec<Value> = all.iter().map(|(_, it)| it.readiness()).collect();
    scene.inject("bundle", &pods).expect("inject");

    let all_fail = |again: bool| {
        for (name, probed) in &all {
            let port = probed.port;
            // While a program is exchanged for another one, nobody listens.
            let (asked, said) = match (*name, again) {
                ("exec", _) => ("exec test ".to_owned(), "ended with exit code 1"),
                ("http", _) => (format!(":{port}/on "), "answered 404"),
                ("https", _) => (format!(":{port}/hostname "), "answered 503"),
                // agnhost's gRPC server begins with SERVING, so the pod has none before.
                ("tcp", _) | ("grpc", false) => (format!(":{port} "), "failed: connection refused"),
                _ => (
                    format!(":{port} "),
                    "answered NOT_SERVING for service \"switch\"",
                ),
            };
            let pod = scene.wait_failing("bundle", name, "main", |message| {
                message.starts_with("readiness probe ")
                    && message.contains(&asked)
                    && message.ends_with(said)
            });
            let main = main_of(&pod);
            assert!(!main.ready && main.restart_count == 0, "{main:?}");
            println!("{name}: {}", main.probe_message);
            scene.wait_word(name, false);
        }
    };
    let all_pass = || {
        for (name, _) in &all {
            let pod = scene.wait_state("bundle", name, PodState::Ready);
            let main = main_of(&pod);
            assert!(main.ready && main.probe_message.is_empty(), "{main:?}");
            scene.wait_word(name, true);
        }
    };
    all_fail(false);
    for _ in 0..2 {
        all.iter().for_each(|(_, it)| it.pass());
        all_pass();
        all.iter().for_each(|(_, it)| it.fail());
        all_fail(true);
    }
}

#[test]
fn readiness_waits_for_startup_and_for_its_thresholds() {
    let scene = Scene::new("startup");
    let switch = Probed::new(scene.node, &scene.name("web"), Asks::Http);
    let mut pod = switch.pod("startupProbe", &json!({"failureThreshold": 600}));
    pod["spec"]["containers"][0]["readinessProbe"] = json!({
        "exec": {"command": ["test", "!", "-e", "/switch/off"]},
        "periodSeconds": 1,
        "successThreshold": 2,
    });
    scene.inject("bundle", &[pod]).expect("inject");
    scene.wait_failing("bundle", "web", "main", |message| {
        message.starts_with("startup probe GET http://") && message.ends_with("/on answered 404")
    });
    let word = kubelets_word(scene.node, &scene.name("web")).expect("the kubelet knows the pod");
    assert_eq!(
        (&word["started"], &word["ready"]),
        (&json!(false), &json!(false))
    );

    switch.pass();
    let passed = Instant::now();
    scene.wait_state("bundle", "web", PodState::Ready);
    // The startup probe comes within a second, and then readiness passes at once and a second later.
    assert!(passed.elapsed() > Duration::from_millis(900));
    let word = scene.wait_word("web", true);
    assert_eq!(word["started"], json!(true));

    // The startup probe would fail now, but has done its work. Once the readiness probe fails, which it does after
    // three times, there has been time for it.
    switch.fail();
    let folder = scene.node.layout().scratch().join(scene.name("web"));
    std::fs::write(folder.join("off"), "").expect("turn readiness off");
    let failing = scene.wait_failing("bundle", "web", "main", |message| {
        message == "readiness probe exec test ended with exit code 1"
    });
    assert_eq!(main_of(&failing).restart_count, 0);
    scene.wait_word("web", false);
    std::fs::remove_file(folder.join("off")).expect("turn readiness on");
    scene.wait_state("bundle", "web", PodState::Ready);
}

#[test]
fn a_pod_in_the_pods_network_is_reached_at_its_own_address() {
    let scene = Scene::new("podnet");
    let mut pod = pods::script(
        &scene.name("web"),
        "echo fine > /ok; exec httpd -f -p 8080 -h /",
    );
    let container = &mut pod["spec"]["containers"][0];
    container["ports"] = json!([{"name": "web", "containerPort": 8080}]);
    container["readinessProbe"] = json!({
        "httpGet": {"port": "web", "path": "/ok?token=hidden", "httpHeaders": [{"name": "X-A", "value": "1"}]},
        "periodSeconds": 1,
    });
    let mut lost = pods::script(&scene.name("lost"), pods::STAY);
    lost["spec"]["containers"][0]["readinessProbe"] =
        json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1});
    scene.inject("bundle", &[pod, lost]).expect("inject");
    let ready = scene.wait_state("bundle", "web", PodState::Ready);
    assert_eq!(ready.pod_ips.len(), 1);
    scene.wait_word("web", true);
    let lost = scene.wait_failing("bundle", "lost", "main", |it| {
        it.ends_with(":8080 failed: connection refused")
    });
    let ip = &lost.pod_ips[0];
    assert!(
        main_of(&lost)
            .probe_message
            .contains(&format!("tcp {ip}:8080 "))
    );
    scene.wait_word("lost", false);

    // Nothing of it is kept: a daemon that starts again asks again.
    scene.daemon.stop().expect("stop the daemon");
    scene.daemon.start_again().expect("start the daemon");
    scene.wait_state("bundle", "web", PodState::Ready);
    scene.wait_failing("bundle", "lost", "main", |it| {
        it.ends_with(":8080 failed: connection refused")
    });
}

#[test]
fn programs_that_hang_or_do_not_exist_do_not_make_ready() {
    let scene = Scene::new("programs");
    let with = |name: &str, command: &[&str]| {
        let mut pod = pods::script(&scene.name(name), pods::STAY);
        pod["spec"]["containers"][0]["readinessProbe"] =
            json!({"exec": {"command": command}, "periodSeconds": 1, "failureThreshold": 1});
        pod
    };
    let mut sidecar = pods::script(&scene.name("sidecar"), pods::STAY);
    let mut side = sidecar["spec"]["containers"][0].clone();
    side["name"] = json!("side");
    side["restartPolicy"] = json!("Always");
    side["readinessProbe"] = json!({"exec": {"command": ["false"]}, "periodSeconds": 1});
    sidecar["spec"]["initContainers"] = json!([side]);
    let all = [
        with("hangs", &["sleep", "60"]),
        with("missing", &["/no/such/program"]),
        with("good", &["sh", "-c", "test $(NAME) = known"]),
        sidecar,
    ];
    let mut all = all.to_vec();
    all[2]["spec"]["containers"][0]["env"] = json!([{"name": "NAME", "value": "known"}]);
    scene.inject("bundle", &all).expect("inject");

    scene.wait_state("bundle", "good", PodState::Ready);
    scene.wait_word("good", true);
    let hangs = "readiness probe exec sleep did not end within 1 s";
    let missing = "readiness probe exec /no/such/program could not be run: exec failed: ";
    let sidecar = "readiness probe exec false ended with exit code 1";
    for (name, container, message) in [
        ("hangs", "main", hangs),
        ("missing", "main", missing),
        ("sidecar", "side", sidecar),
    ] {
        scene.wait_failing("bundle", name, container, |it| it.starts_with(message));
    }
    for name in ["hangs", "missing"] {
        scene.wait_word(name, false);
    }
}

#[test]
fn watch_pods_tells_the_same_path_as_the_kubelet() {
    let scene = Scene::new("path");
    let switch = Probed::new(scene.node, &scene.name("web"), Asks::Http);
    let changes = json!({"failureThreshold": 2, "successThreshold": 2});
    let pod = switch.pod("readinessProbe", &changes);
    let updates = scene.client.watch_pods(Some(&scene.name("bundle")));
    let watched = spawn(async move {
        let mut ready = Vec::new();
        let mut updates = updates;
        while let Some(update) = updates.next().await {
            let update = update.expect("the stream goes on");
            for pod in update.changed {
                let is_ready = pod.state == PodState::Ready;
                if ready.last().is_none_or(|(last, _)| *last != is_ready) {
                    ready.push((is_ready, Instant::now()));
                }
            }
            if ready.len() == 5 {
                break;
            }
        }
        ready
    });
    scene.inject("bundle", &[pod]).expect("inject");
    let mut kubelets = Vec::new();
    let mut follow = |ready: bool| {
        wait_until(LIMIT, &format!("the kubelet says ready: {ready}"), || {
            let word = kubelets_word(scene.node, &scene.name("web"));
            word.is_some_and(|it| it["ready"] == json!(ready))
        })
        .expect("the kubelet follows");
        kubelets.push((ready, Instant::now()));
    };
    follow(false);
    for _ in 0..2 {
        switch.pass();
        follow(true);
        scene.wait_state("bundle", "web", PodState::Ready);
        switch.fail();
        follow(false);
        scene.wait_state("bundle", "web", PodState::NotReady);
    }
    let ours = run(async { tokio::time::timeout(LIMIT, watched).await })
        .expect("all changes are told")
        .expect("the watcher");
    for ((ready, at), (kubelets_ready, kubelets_at)) in ours.iter().zip(&kubelets) {
        assert_eq!(ready, kubelets_ready);
        let (late, early) = (
            at.saturating_duration_since(*kubelets_at),
            kubelets_at.saturating_duration_since(*at),
        );
        println!("ready: {ready}: {late:?} after the kubelet or {early:?} before it");
    }
}
