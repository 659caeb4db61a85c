//! `GetPodLogs` on what a real runtime writes and a real kubelet rotates.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use seedpod_client::{Error, LogLine, LogOptions, LogStream};
use seedpod_integration::{ContainerKind, Node, NodeOptions, wait_until};
use serde_json::{Value, json};

use crate::pods::{LOG_LINE, STAY, log_writer, script, slow_log_writer};
use crate::rig::LIMIT;
use crate::scene::{Scene, run};

/// Reads lines until there are so many, or the end.
fn read(scene: &Scene<'_>, options: LogOptions, at_most: usize) -> Result<Vec<LogLine>, Error> {
    run(async {
        let mut lines = scene.client.get_pod_logs(options);
        let mut read = Vec::new();
        let all = async {
            while read.len() < at_most
                && let Some(line) = lines.next().await
            {
                read.push(line?);
            }
            Ok(())
        };
        tokio::time::timeout(4 * LIMIT, all)
            .await
            .expect("the lines come in time")?;
        Ok(read)
    })
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

/// How many lines there are by the numbers at their beginnings, all of them once and in order.
fn counted(lines: &[LogLine]) -> u64 {
    for (index, line) in lines.iter().enumerate() {
        let number: usize = line.text[..10].parse().expect("a numbered line");
        assert_eq!(number, index + 1, "{line:?}");
    }
    lines.len() as u64
}

fn reason(error: &Error) -> String {
    format!("{error:?}")
}

#[test]
fn a_restart_is_followed_and_the_attempt_before_is_told() {
    let scene = Scene::new("logs");
    // The runtime reads the two streams each by itself: what comes at the same time comes in any order.
    let program = "echo one; sleep 0.3; echo two >&2; sleep 1; exit 1";
    scene
        .inject("app", &[script(&scene.name("crash"), program)])
        .expect("inject");
    let name = scene.name("crash");

    let followed = read(&scene, LogOptions::new(&name).follow(true), 4).unwrap();
    assert_eq!(texts(&followed), ["one", "two", "one", "two"]);
    let attempts: Vec<u32> = followed.iter().map(|line| line.restart_count).collect();
    assert_eq!(attempts, [0, 0, 1, 1]);
    assert_eq!(followed[1].stream, LogStream::Stderr);

    let previous = read(&scene, LogOptions::new(&name).previous(true), 9).unwrap();
    assert_eq!(texts(&previous), ["one", "two"]);
    let tail = read(&scene, LogOptions::new(&name).tail_lines(1), 9).unwrap();
    assert_eq!(texts(&tail), ["two"]);
    let time = followed[3].time.expect("a time");
    let since = read(&scene, LogOptions::new(&name).since_time(time), 9).unwrap();
    assert_eq!(texts(&since), ["two"]);

    let error = read(&scene, LogOptions::new(&name).container("x"), 1).unwrap_err();
    assert!(reason(&error).contains("CONTAINER_NOT_FOUND"), "{error:?}");
    let error = read(&scene, LogOptions::new("nobody"), 1).unwrap_err();
    assert!(reason(&error).contains("POD_NOT_FOUND"), "{error:?}");
}

#[test]
fn the_lines_of_two_containers_are_merged_and_following_ends_with_the_pod() {
    let scene = Scene::new("logs");
    let says = |first: &str, second: &str| format!("{first}; sleep 1; {second}; sleep 1; {STAY}");
    let name = scene.name("two");
    let mut pod = script(&name, &says("echo a1", "echo a2"));
    let mut other = pod["spec"]["containers"][0].clone();
    other["name"] = json!("other");
    other["command"][2] = json!(format!("sleep 0.5; {}", says("echo b1", "echo b2")));
    let containers = pod["spec"]["containers"].as_array_mut().expect("a list");
    containers.push(other);
    scene.inject_and_wait("app", &[pod]);

    let lines = read(&scene, LogOptions::new(&name).follow(true), 4).unwrap();
    let mut by_time = lines.clone();
    by_time.sort_by_key(|line| line.time);
    assert_eq!(texts(&lines), texts(&by_time));
    let others = read(&scene, LogOptions::new(&name).container("other"), 9).unwrap();
    assert_eq!(texts(&others), ["b1", "b2"]);

    let follow = LogOptions::new(&name).follow(true);
    let client = scene.client.clone();
    let following = crate::scene::spawn(async move {
        let lines = client.get_pod_logs(follow);
        lines.collect::<Vec<_>>().await
    });
    scene.remove_and_wait("app");
    let lines = run(async { tokio::time::timeout(LIMIT, following).await })
        .expect("it ends in time")
        .expect("no panic");
    let lines: Result<Vec<LogLine>, Error> = lines.into_iter().collect();
    assert_eq!(lines.expect("it ends well").len(), 4);
}

/// A node whose kubelet has these limits of container logs.
fn node_with(kubelet_config: &Value) -> Node {
    Node::start(&NodeOptions {
        kubelet_config: kubelet_config.as_object().expect("an object").clone(),
        ..NodeOptions::default()
    })
    .expect("start a node")
}

#[test]
fn no_line_is_lost_or_doubled_over_the_kubelets_rotations() {
    let node = node_with(&json!({
        "containerLogMaxSize": "100Ki",
        "containerLogMaxFiles": 5,
        "containerLogMonitorInterval": "3s",
    }));
    let scene = Scene::on(&node, "rotated");
    const LINES: u64 = 20_000;
    let name = scene.name("writer");
    let pod = slow_log_writer(&name, LINES, 200, Duration::from_millis(200));
    scene.inject("app", &[pod]).expect("inject");
    let options = LogOptions::new(&name).follow(true);
    let lines = read(&scene, options, usize::try_from(LINES).unwrap()).unwrap();
    assert_eq!(counted(&lines), LINES);
    let rotated = log_files(&node, &name);
    let compressed = rotated
        .iter()
        .filter(|file| file.extension().is_some_and(|it| it == "gz"));
    assert!(compressed.count() >= 2, "{rotated:?}");

    // What is left, oldest first, through the compressed ones.
    let left = read(&scene, LogOptions::new(&name), usize::MAX).unwrap();
    assert_eq!(left.last(), lines.last());
    assert_eq!(left, lines[lines.len() - left.len()..]);
    let tail = read(&scene, LogOptions::new(&name).tail_lines(1500), usize::MAX).unwrap();
    assert_eq!(tail, lines[lines.len() - 1500..]);
}

/// The log files of the first container of a pod.
fn log_files(node: &Node, pod: &str) -> Vec<PathBuf> {
    let prefix = format!("default_{pod}-");
    let folders = fs::read_dir(node.pod_logs()).expect("list the logs");
    folders
        .flatten()
        .filter(|folder| folder.file_name().to_string_lossy().starts_with(&prefix))
        .flat_map(|folder| fs::read_dir(folder.path().join("main")))
        .flatten()
        .flatten()
        .map(|file| file.path())
        .collect()
}

#[test]
fn a_slow_reader_of_a_large_log_costs_little_memory_and_leaves_nothing_open() {
    let megabytes: u64 = std::env::var("SEEDPOD_TORTURE_LOG_MB")
        .map_or(20, |text| text.parse().expect("SEEDPOD_TORTURE_LOG_MB"));
    let lines = megabytes * 1_000_000 / LOG_LINE as u64;
    let node = node_with(&json!({"containerLogMaxSize": "10Gi"}));
    let scene = Scene::on(&node, "large");
    let name = scene.name("writer");
    scene.inject_and_wait("app", &[log_writer(&name, lines)]);
    let size = || -> u64 {
        let files = log_files(&node, &name);
        files
            .iter()
            .map(|it| fs::metadata(it).map_or(0, |it| it.len()))
            .sum()
    };
    wait_until(4 * LIMIT, "all is written", || {
        size() > lines * LOG_LINE as u64
    })
    .expect("the container writes");
    assert!(scene.running("writer", ContainerKind::Container).is_some());
    let pid = scene.daemon.process().expect("the daemon runs").pid;
    let before = resident_kib(pid);

    let (mut number, mut most) = (0, before);
    let started = Instant::now();
    run(async {
        let mut stream = scene
            .client
            .get_pod_logs(LogOptions::new(&name).follow(true));
        while number < lines {
            let line = stream.next().await.expect("more lines").expect("a line");
            number += 1;
            assert_eq!(line.text[..10].parse(), Ok(number));
            // So slow that the daemon has to wait: a pause after each quarter of a megabyte.
            if number % 2_500 == 0 {
                most = most.max(resident_kib(pid));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        assert!(open_logs(&node, pid) > 0, "it follows");
    });
    println!(
        "{megabytes} MB in {:?}, {before} KiB resident before, {most} KiB at most",
        started.elapsed()
    );
    assert!(most < before + 8 * 1024, "{before} KiB, then {most} KiB");
    wait_until(LIMIT, "the logs are closed", || open_logs(&node, pid) == 0)
        .expect("a reader that went away leaves nothing open");

    // And in the middle.
    let some = read(&scene, LogOptions::new(&name), 10).unwrap();
    assert_eq!(counted(&some), 10);
    wait_until(LIMIT, "the logs are closed", || open_logs(&node, pid) == 0)
        .expect("a reader that went away leaves nothing open");
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the daemon runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.expect("VmRSS").split_whitespace().next();
    words.and_then(|word| word.parse().ok()).expect("a number")
}

/// How many log files a process has open.
fn open_logs(node: &Node, pid: u32) -> usize {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("the daemon runs");
    files
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .filter(|file| file.starts_with(node.pod_logs()))
        .count()
}
