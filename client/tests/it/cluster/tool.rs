//! `seedpod up` and `seedpod down` as programs.

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use seedpod_proto::v1::HandoffState;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::Scene;

async fn run(scene: &Scene, args: &[&str]) -> Output {
    command(scene, args).output().await.expect("it runs")
}

fn command(scene: &Scene, args: &[&str]) -> tokio::process::Command {
    let file = scene.file();
    let args: Vec<&str> = args
        .iter()
        .map(|arg| match *arg {
            "FILE" => file.to_str().expect("UTF-8"),
            "API" => &scene.api,
            arg => arg,
        })
        .collect();
    let mut command = tokio::process::Command::from(crate::tool::command(&args));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn one_command_brings_a_cluster_up_and_says_how_to_use_it() {
    let scene = Scene::new(&["a", "w"]);
    let output = run(&scene, &["up", "-f", "FILE", "--api-address", "API"]).await;
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    assert!(stdout.contains("cluster demo is up"), "{stdout}");
    let kubeconfig = scene
        .folder
        .path()
        .join("demo/kubeconfigs/admin.kubeconfig");
    assert!(
        stdout.contains(kubeconfig.to_str().expect("UTF-8")),
        "{stdout}"
    );
    assert!(kubeconfig.is_file());
    for line in [
        "[etcd] a: bundle etcd is ready",
        "[handoff] a: handed over",
        "[nodes] w: the node is Ready",
    ] {
        assert!(stderr.lines().any(|it| it == line), "{stderr}");
    }
}

#[tokio::test]
async fn programs_get_an_event_a_line_and_the_result() {
    let scene = Scene::new(&["a"]);
    let output = run(
        &scene,
        &["up", "-f", "FILE", "--api-address", "API", "-o", "json"],
    )
    .await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let (last, events) = lines.split_last().expect("lines");
    assert!(events.iter().all(|event| event["type"] == "progress"));
    let waited = events.iter().find(|event| event["kind"] == "waiting");
    assert!(waited.expect("something is waited for")["since"].is_string());
    assert_eq!(last["type"], "result");
    assert_eq!(last["cluster"], "demo");
    let phases = last["phases"].as_array().expect("phases");
    assert_eq!(phases.len(), 10);
    assert_eq!(phases[8]["phase"], "handoff");
    assert_eq!(phases[8]["outcome"][0]["handoff"]["state"], "Committed");
    assert_eq!(phases[9]["outcome"]["nodes"][0]["node"], "a");
}

#[tokio::test]
async fn a_phase_is_carried_out_alone_and_phases_are_left_out() {
    let scene = Scene::new(&["a"]);
    let output = run(
        &scene,
        &["up", "phase", "etcd", "-f", "FILE", "--api-address", "API"],
    )
    .await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "cluster demo: done: etcd\n");
    assert_eq!(scene.world.state().nodes["a"].bundles.len(), 1);
    let skip = [
        "up",
        "-f",
        "FILE",
        "--api-address",
        "API",
        "--skip-phases",
        "handoff,verify",
    ];
    let output = run(&scene, &skip).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(scene.world.state().nodes["a"].handoff.is_none());
}

#[tokio::test]
async fn phases_are_listed_without_a_cluster() {
    let scene = Scene::new(&["a"]);
    let output = run(&scene, &["up", "phase", "list"]).await;
    let stdout = text(&output.stdout);
    assert_eq!(stdout.lines().count(), 10, "{stdout}");
    assert!(stdout.starts_with("preflight "), "{stdout}");
}

#[tokio::test]
async fn wrong_usage_exits_with_2() {
    let scene = Scene::new(&["a"]);
    for args in [
        &["up"] as &[&str],
        &["up", "phase", "etcd"],
        &[
            "up",
            "phase",
            "nothing",
            "-f",
            "FILE",
            "--api-address",
            "API",
        ],
        &[
            "up",
            "-f",
            "FILE",
            "--api-address",
            "API",
            "--skip-phases",
            "nothing",
        ],
        &[
            "up",
            "-f",
            "FILE",
            "--api-address",
            "API",
            "--skip-phases",
            "render",
        ],
        &["down"],
        &["down", "-f", "FILE"],
    ] {
        let output = run(&scene, args).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
    assert!(scene.calls("ResetNode").is_empty());
}

#[tokio::test]
async fn exit_codes_tell_what_kind_of_failure_it_was() {
    let scene = Scene::new(&["a"]);
    let change = |change: &dyn Fn(&mut super::world::Node)| {
        change(scene.world.state().nodes.get_mut("a").expect("a node"));
    };
    change(&|node| node.check.kubelet_configurable = false);
    let output = run(
        &scene,
        &["up", "-f", "FILE", "--api-address", "API", "-o", "json"],
    )
    .await;
    assert_eq!(output.status.code(), Some(1));
    let last = text(&output.stdout);
    let last: Value = serde_json::from_str(last.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["type"], "error");
    let finding = &last["preflight"]["findings"][0];
    assert_eq!(finding["check"], "KubeletConfiguration");
    assert_eq!(finding["severity"], "fault");

    change(&|node| {
        node.check.kubelet_configurable = true;
        node.pods_get_ready = false;
    });
    let etcd = [
        "up",
        "phase",
        "etcd",
        "-f",
        "FILE",
        "--api-address",
        "API",
        "--timeout",
        "1s",
    ];
    let output = run(&scene, &etcd).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(text(&output.stderr).contains("node a: bundle etcd did not get ready"));

    change(&|node| {
        node.pods_get_ready = true;
        node.fails_in = Some(HandoffState::HandingOver);
    });
    let output = run(&scene, &["up", "-f", "FILE", "--api-address", "API"]).await;
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(text(&output.stderr).contains("has handed back by itself: in HandingOver"));
}

#[tokio::test]
async fn a_run_that_is_interrupted_says_how_to_go_on() {
    let scene = Scene::new(&["a"]);
    let node = |change: &dyn Fn(&mut super::world::Node)| {
        change(scene.world.state().nodes.get_mut("a").expect("a node"));
    };
    node(&|node| node.stays_in = Some(HandoffState::Draining));
    let mut child = command(&scene, &["up", "-f", "FILE", "--api-address", "API"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let id = child.id().expect("it runs");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
    let mut seen = Vec::new();
    while let Some(line) = lines.next_line().await.expect("read") {
        if line.contains("Draining") && !seen.iter().any(|it: &String| it.contains("Draining")) {
            let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
            kill_process(pid.expect("a pid"), Signal::INT).expect("interrupted");
        }
        seen.push(line);
    }
    let status = tokio::time::timeout(Duration::from_secs(20), child.wait()).await;
    let status = status.expect("it ends").expect("it ends");
    assert_eq!(status.code(), Some(130), "{seen:?}");
    let last = seen.join("\n");
    assert!(last.contains("interrupted in phase handoff"), "{last}");
    assert!(last.contains("goes on"), "{last}");
    node(&|node| node.stays_in = None);
    let output = run(&scene, &["up", "-f", "FILE", "--api-address", "API"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[tokio::test]
async fn a_second_run_at_the_same_time_is_refused() {
    let scene = Scene::new(&["a"]);
    let installer = scene.installer();
    let _lock = installer.lock().expect("nobody works");
    let output = run(&scene, &["up", "-f", "FILE", "--api-address", "API"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("another `seedpod up`"),
        "{output:?}"
    );
}

#[tokio::test]
async fn down_tells_what_it_removed_and_what_it_leaves() {
    let scene = Scene::new(&["a", "w"]);
    scene.up().await.expect("up");
    let output = run(&scene, &["down", "-f", "FILE", "--yes"]).await;
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for part in [
        "cluster demo is down",
        "a: removed bundle control-plane, bundle etcd, /var/lib/etcd",
        "w: nothing was left to remove",
        "images",
        "with the cluster's keys",
    ] {
        assert!(stdout.contains(part), "{stdout}");
    }
    let output = run(&scene, &["down", "-f", "FILE", "--yes", "-o", "json"]).await;
    let last = text(&output.stdout);
    let last: Value = serde_json::from_str(last.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["nodes"][0]["node"], "w");
}
