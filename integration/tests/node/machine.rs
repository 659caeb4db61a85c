//! The rig itself: what can befall a node, and pods that do on command what a test needs.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use seedpod_integration::{
    ContainerKind, KubeletPods, Node, NodeOptions, ProcessRecord, Seedpodd, SeedpoddOptions,
    wait_for, wait_until,
};
use serde_json::{Value, json};

use crate::pods::{self, Asks, Probed};
use crate::rig::{LIMIT, kubelets_word, node, place, pod, unique, wait_kubelet};
use crate::scene::{running, wait_running};

#[test]
fn each_kind_of_probe_fails_and_passes_on_command() {
    let node = node();
    let all = [Asks::Exec, Asks::Http, Asks::Https, Asks::Tcp, Asks::Grpc];
    let probed = all.map(|asks| {
        let name = unique("probed");
        let probed = Probed::new(node, &name, asks);
        let manifest = place(node, &probed.readiness());
        (name, probed, manifest)
    });
    for (name, _, _) in &probed {
        wait_kubelet(node, name, "running", |it| {
            it["state"]["running"].is_object()
        });
    }
    let all_are = |ready: bool| {
        for (name, probed, _) in &probed {
            let what = format!("ready: {ready} ({probed:?})");
            wait_kubelet(node, name, &what, |it| it["ready"] == json!(ready));
        }
    };
    all_are(false);
    for _ in 0..2 {
        probed.iter().for_each(|(_, it, _)| it.pass());
        all_are(true);
        probed.iter().for_each(|(_, it, _)| it.fail());
        all_are(false);
    }
    for (name, _, manifest) in &probed {
        fs::remove_file(manifest).unwrap();
        let word = kubelets_word(node, name);
        if let Some(word) = word {
            assert_eq!(word["restartCount"], 0, "{word}");
        }
    }
}

#[test]
fn a_pod_crashes_and_another_is_killed_for_its_memory() {
    let node = node();
    let (crashing, hungry) = (unique("crashing"), unique("hungry"));
    let manifests = [
        place(node, &pods::crashing(&crashing, "about to fail", 3)),
        place(node, &pods::out_of_memory(&hungry)),
    ];
    let ended = |it: &Value| {
        let last = [&it["lastState"], &it["state"]].map(|it| it["terminated"].clone());
        last.into_iter().find(Value::is_object)
    };
    wait_kubelet(node, &crashing, "crashing", |it| {
        ended(it).is_some_and(|it| it["exitCode"] == 3) && it["restartCount"] != 0
    });
    wait_kubelet(node, &hungry, "out of memory", |it| {
        ended(it).is_some_and(|it| it["reason"] == "OOMKilled" && it["exitCode"] == 137)
    });
    for manifest in manifests {
        fs::remove_file(manifest).unwrap();
    }
}

#[test]
fn a_container_log_is_rotated_while_it_is_written() {
    let rotation = json!({
        "containerLogMaxSize": "100Ki",
        "containerLogMaxFiles": 5,
        "containerLogMonitorInterval": "3s",
    });
    let node = Node::start(&NodeOptions {
        kubelet_config: rotation.as_object().unwrap().clone(),
        ..NodeOptions::default()
    })
    .unwrap();
    let name = unique("writer");
    let pod = pods::slow_log_writer(&name, 10_000, 200, Duration::from_millis(200));
    place(&node, &pod);
    let container = wait_running(&node, &name, ContainerKind::Container);
    let folder = node.pod_logs().join(format!(
        "default_{name}-{}_{}/main",
        node.name(),
        container.uid
    ));
    let files = || {
        let files = fs::read_dir(&folder).into_iter().flatten().flatten();
        files.count()
    };
    wait_until(LIMIT, "the log is rotated twice", || files() >= 3).unwrap();
}

#[test]
fn an_unsynced_kubelet_stops_nothing_until_its_api_server_is_there() {
    let node = Node::start(&NodeOptions::unsynced()).unwrap();
    let (removed, later) = (unique("removed"), unique("later"));
    let manifest = place(&node, &pod(&removed, "one"));
    wait_running(&node, &removed, ContainerKind::Container);
    fs::remove_file(manifest).unwrap();
    place(&node, &pod(&later, "two"));
    wait_running(&node, &later, ContainerKind::Container);
    let log = || fs::read_to_string(node.kubelet_log()).unwrap_or_default();
    wait_until(LIMIT, "the kubelet refuses to delete", || {
        log().contains("skipping delete because sources aren't ready yet")
    })
    .unwrap();
    assert!(running(&node, &removed, ContainerKind::Container).is_some());

    node.start_api_server().unwrap();
    wait_until(Duration::from_secs(120), "the removed pod stops", || {
        running(&node, &removed, ContainerKind::Container).is_none()
    })
    .unwrap();
    assert!(running(&node, &later, ContainerKind::Container).is_some());
}

#[test]
fn a_control_plane_of_static_pods_syncs_its_own_kubelet() {
    let node = Node::start(&NodeOptions::unsynced()).unwrap();
    let plane = node.control_plane().unwrap();
    for pod in plane.pods() {
        place(&node, &pod);
    }
    wait_until(LIMIT, "the API server is ready", || plane.is_ready()).unwrap();
    wait_until(LIMIT, "both leases are held", || plane.leases_are_held()).unwrap();
    let pods = KubeletPods::new(&node.kubelet_root()).unwrap();
    wait_until(LIMIT, "the kubelet is synced", || pods.count() == Ok(4)).unwrap();
}

#[test]
fn another_process_restarts_the_kubelet() {
    let node = Node::start(&NodeOptions::default()).unwrap();
    let before = node.process("kubelet").unwrap();
    let command = node.kubelet_restart_command().unwrap();
    // As bare as a daemon's own environment may be.
    let output = Command::new(&command[0])
        .args(&command[1..])
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let after = node.process("kubelet").unwrap();
    assert!(!before.is_alive() && after.is_alive() && before != after);
    let name = unique("after");
    place(&node, &pod(&name, "hello"));
    assert_eq!(node.first_line(&name, "main", LIMIT).unwrap(), "hello");
    drop(node);
    assert!(!after.is_alive(), "it ends with its node");
}

#[test]
fn a_pod_outlives_the_kill_of_all_daemons_but_not_a_power_cut() {
    let node = Node::start(&NodeOptions::default()).unwrap();
    let name = unique("pod");
    place(&node, &pod(&name, "hello"));
    let first = wait_running(&node, &name, ContainerKind::Container);
    node.kill_all().unwrap();
    assert!(node.process("containerd").is_none() && node.process("kubelet").is_none());
    node.start_killed().unwrap();
    let same = wait_running(&node, &name, ContainerKind::Container);
    assert_eq!((&same.id, same.pid), (&first.id, first.pid));

    let process = ProcessRecord::of(first.pid).unwrap();
    node.cut_power().unwrap();
    assert!(!process.is_alive());
    node.power_on().unwrap();
    let other = wait_running(&node, &name, ContainerKind::Container);
    assert_ne!(other.id, first.id);
}

#[test]
fn a_daemon_is_shown_another_boot() {
    let node = node();
    let options = SeedpoddOptions {
        name: unique("boot"),
        ..SeedpoddOptions::default()
    };
    let daemon = Seedpodd::prepare(node, &options).unwrap();
    // What the daemon's process sees, and the shift of its boot clock.
    let seen = || {
        daemon.launch().unwrap();
        let boot = || {
            let process = daemon.process()?;
            let pid = process.pid;
            let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
            if program != daemon.program() {
                return None;
            }
            let id = format!("/proc/{pid}/root/proc/sys/kernel/random/boot_id");
            let id = fs::read_to_string(id).ok()?.trim().to_owned();
            let offsets = fs::read_to_string(format!("/proc/{pid}/timens_offsets")).ok()?;
            let clocks: BTreeMap<&str, i64> = offsets
                .lines()
                .map(|line| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    (words[0], words[1].parse().unwrap())
                })
                .collect();
            Some((id, clocks["boottime"]))
        };
        let seen = wait_for(LIMIT, "the daemon runs", boot).unwrap();
        daemon.kill9().unwrap();
        seen
    };
    let real = seen();
    assert_eq!(real, (daemon.boot_id().unwrap(), 0));
    daemon.play_reboot(Duration::from_secs(5)).unwrap();
    let first = seen();
    assert_eq!(first.0, daemon.boot_id().unwrap());
    assert!(first.0 != real.0 && first.1 < 0, "{first:?}");
    assert_eq!(seen(), first, "it stays the same boot");
    daemon.play_reboot(Duration::from_secs(5)).unwrap();
    assert_ne!(seen().0, first.0);
    daemon.play_no_reboot().unwrap();
    assert_eq!(seen(), real);
}
