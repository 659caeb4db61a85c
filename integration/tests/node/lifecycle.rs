//! A node comes whole or not at all, and nothing of it is left.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use seedpod_integration::{Layout, Node, NodeOptions, ProcessRecord, wait_for, wait_until};
use serde_json::json;

use crate::rig::{LIMIT, place, pod, unique};

fn seedpod_rig() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedpod-rig"));
    command.stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("run seedpod-rig")
}

/// Everything by which a node would still be noticed on its host.
fn traces(id: &str, dir: &Path) -> Vec<String> {
    let mut traces = Vec::new();
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read the mounts");
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    traces.extend(
        points
            .filter(|it| Path::new(it).starts_with(dir))
            .map(str::to_owned),
    );
    let bridge = format!("/sys/class/net/rig-{id}");
    if Path::new(&bridge).exists() {
        traces.push(bridge);
    }
    let cgroup = format!("seedpod-rig-{id}");
    let roots = fs::read_dir("/sys/fs/cgroup")
        .expect("list the cgroups")
        .flatten();
    let found = roots
        .map(|root| root.path())
        .filter(|root| root.ends_with(&cgroup) || root.join(&cgroup).exists());
    traces.extend(found.map(|path| path.display().to_string()));
    if dir.exists() {
        traces.push(dir.display().to_string());
    }
    traces
}

#[test]
fn another_process_finds_uses_and_removes_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("node");
    let up = run(seedpod_rig().arg("up").arg(&dir).args(["--name", "other"]));
    assert!(
        up.status.success(),
        "{}",
        String::from_utf8_lossy(&up.stderr)
    );

    let layout = Layout::of(&dir).unwrap();
    let node = Node::attach(&layout).unwrap().expect("the node runs");
    assert_eq!(node.name(), "other");
    let name = unique("left");
    place(&node, &pod(&name, "hello"));
    assert_eq!(node.first_line(&name, "main", LIMIT).unwrap(), "hello");
    // Left running: `down` has to cope with containers.
    drop(node);

    let status = run(seedpod_rig().arg("status").arg(&dir));
    assert_eq!(status.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&status.stdout).contains(&name));

    let down = run(seedpod_rig().arg("down").arg(&dir));
    assert!(
        down.status.success(),
        "{}",
        String::from_utf8_lossy(&down.stderr)
    );
    assert_eq!(traces(layout.id(), layout.dir()), Vec::<String>::new());
    assert_eq!(
        run(seedpod_rig().arg("status").arg(&dir)).status.code(),
        Some(3)
    );
    assert!(
        run(seedpod_rig().arg("down").arg(&dir)).status.success(),
        "down twice is no error"
    );
}

#[test]
fn a_node_ends_with_the_process_that_uses_it_even_when_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("node");
    let mut user: Child = seedpod_rig()
        .arg("up")
        .arg(&dir)
        .arg("--until-stdin-closes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It prints when the node runs.
    let mut first = [0; 1];
    user.stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    let layout = Layout::of(&dir).unwrap();
    let node = Node::attach(&layout).unwrap().expect("the node runs");
    let processes: Vec<ProcessRecord> = ["kubelet", "containerd"]
        .iter()
        .map(|name| node.process(name).unwrap())
        .collect();

    user.kill().unwrap();
    user.wait().unwrap();
    wait_until(LIMIT, "nothing of the node is left", || {
        traces(layout.id(), layout.dir()).is_empty()
    })
    .unwrap();
    assert!(processes.iter().all(|process| !process.is_alive()));
}

#[test]
fn a_node_that_can_not_start_says_why_and_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("node");
    let up = run(seedpod_rig()
        .arg("up")
        .arg(&dir)
        .env("SEEDPOD_RIG_KUBELET", "/bin/false"));
    assert_eq!(up.status.code(), Some(1));
    let error = String::from_utf8_lossy(&up.stderr).into_owned();
    assert!(error.contains("kubelet has ended"), "{error}");

    let layout = Layout::of(&dir).unwrap();
    let only_the_folder = vec![layout.dir().display().to_string()];
    assert_eq!(traces(layout.id(), layout.dir()), only_the_folder);

    // The next one starts from what is left.
    let node = Node::start(&NodeOptions {
        dir: Some(dir),
        ..NodeOptions::default()
    })
    .unwrap();
    assert!(node.process("kubelet").is_some());
}

#[test]
fn a_kubelet_bound_to_an_api_server_runs_a_pod_from_there() {
    let node = Node::start(&NodeOptions {
        api_server: true,
        ..NodeOptions::default()
    })
    .unwrap();
    let client = node.api_server().unwrap().client;
    let path = format!("/api/v1/nodes/{}", node.name());
    wait_until(LIMIT, "the node registers itself", || {
        client.get(&path).is_ok_and(|answer| answer.status == 200)
    })
    .unwrap();

    let mut pod = pod("from-api", "hello from the API");
    pod["spec"]["nodeName"] = json!(node.name());
    // The namespace is made by the API server itself, some time after it is ready.
    let created = wait_for(LIMIT, "the pod is created", || {
        let answer = client
            .post("/api/v1/namespaces/default/pods", &pod.to_string())
            .ok()?;
        (answer.status != 404 && answer.status != 403).then_some(answer)
    })
    .unwrap();
    assert_eq!(created.status, 201, "{}", created.body);
    let line = wait_for(LIMIT, "the pod prints a line", || {
        node.api_pod_log("default", "from-api", "main")
    });
    assert_eq!(line.unwrap(), "hello from the API\n");
}
