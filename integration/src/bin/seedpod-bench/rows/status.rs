//! From the death of a container until somebody who watches knows.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;
use seedpod_client::{ContainerState, InjectPods};
use seedpod_integration::{Container, Cri, Node, ProcessRecord, wait_for};
use serde_json::Value;

use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::logs::first_line;
use crate::nodes::{wait_forgotten, wait_static_workers};
use crate::pods::small;
use crate::report::{Goal, Row, Unit};
use crate::stats::Samples;

const BUNDLE: &str = "status";
const LIMIT: Duration = Duration::from_secs(60);
/// How often one asks who asks by hand: as `watch crictl ps` with a second between.
const BY_HAND: Duration = Duration::from_secs(1);
/// Multiples of the golden ratio are spread evenly over the unit interval, however many there are.
const GOLDEN: f64 = 0.618_033_988_749_895;
/// How often the kubelet is asked, to see when it knows itself.
const KUBELET: Duration = Duration::from_millis(20);

pub(super) fn measure(bench: &Bench) -> Result<Row> {
    let node = bench.nodes.standalone()?;
    let folder = bench.folder("status")?;
    let mut daemon = Daemon::on_node(&bench.program, &folder, node)?;
    daemon.start()?;
    let (mut ours, mut alternative, mut kubelet) =
        (Samples::default(), Samples::default(), Samples::default());
    for round in 0..bench.repetitions(30, 8) {
        let times = kill_one(&daemon, node, round)?;
        ours.push_ms(times.watched);
        alternative.push_ms(times.polled);
        kubelet.push_ms(times.kubelet);
    }
    daemon.stop()?;
    Ok(Row {
        name: "a container dies -> one knows (WatchPods)",
        alternative_name: "ListContainers over CRI each second",
        unit: Unit::Milliseconds,
        ours,
        alternative,
        goal: Goal::AtMost(100.0),
        how: format!(
            "the container's process is killed with SIGKILL; both watch the same death, a new pod each time. The kubelet's \
             own /pods, asked each {} ms, says so after {:.0} ms (median): kubectl can't know it earlier.",
            KUBELET.as_millis(),
            kubelet.median(),
        ),
    })
}

/// From the kill until each way knew.
struct Times {
    watched: Duration,
    polled: Duration,
    kubelet: Duration,
}

fn kill_one(daemon: &Daemon<'_>, node: &Node, round: usize) -> Result<Times> {
    // A new one each time: the kubelet lets one wait that dies again.
    let name = format!("dies-{round}");
    let request = InjectPods::new(BUNDLE).manifest(small(&name, 1).to_string());
    let injection = daemon.inject(&request)?;
    let uid = injection.uid()?;
    first_line(&node.pod_logs(), uid)?;
    daemon.wait_running(1)?;
    let container = container(node, uid)?;
    let process = ProcessRecord::of(container.pid)?;

    let (polled, asked) = (watch_by_hand(node, uid)?, watch_kubelet(node, &name)?);
    // The death comes at any time between two questions, evenly over the rounds.
    thread::sleep(BY_HAND.mul_f64((round as f64 * GOLDEN).fract()));
    let kill = || process.signal(Signal::KILL);
    let (begun, watched) = daemon.watch(BUNDLE, kill, |pods| {
        let mut containers = pods.iter().flat_map(|pod| &pod.containers);
        !containers.any(|it| it.id == container.id && it.state == ContainerState::Running)
    })?;
    let since = |known: &Receiver<Instant>| -> Result<Duration> {
        let known = known.recv_timeout(LIMIT).context("nobody noticed")?;
        Ok(known.duration_since(begun))
    };
    let times = Times {
        watched: watched.duration_since(begun),
        polled: since(&polled)?,
        kubelet: since(&asked)?,
    };
    daemon.remove(BUNDLE)?;
    wait_forgotten(node, uid)?;
    wait_static_workers(node, 0)?;
    Ok(times)
}

fn container(node: &Node, uid: &str) -> Result<Container> {
    wait_for(LIMIT, "the container runs", || {
        let containers = node.containers().ok()?;
        containers
            .into_iter()
            .find(|it| it.uid == uid && !it.name.is_empty() && it.is_running())
    })
}

/// Asks the runtime each second, beginning at any time of a second, and sends when it says something else.
fn watch_by_hand(node: &Node, uid: &str) -> Result<Receiver<Instant>> {
    let cri = Cri::new(&node.containerd_socket())?;
    let uid = uid.to_owned();
    let before = cri.running_containers(&uid)?;
    Ok(watch(BY_HAND, move || {
        cri.running_containers(&uid).is_ok_and(|now| now != before)
    }))
}

/// Asks the kubelet's read-only port and sends when it does not say any more that the container has run from the start.
fn watch_kubelet(node: &Node, name: &str) -> Result<Receiver<Instant>> {
    let client = node.kubelet();
    let full = format!("{name}-{}", node.name());
    let state = move || -> Option<(Value, Value)> {
        let pods: Value = serde_json::from_str(&client.get("/pods").ok()?.body).ok()?;
        let items = pods["items"].as_array()?;
        let pod = items.iter().find(|it| it["metadata"]["name"] == full)?;
        let status = &pod["status"]["containerStatuses"][0];
        Some((status["restartCount"].clone(), status["state"].clone()))
    };
    let before = wait_for(LIMIT, "the kubelet says that the container runs", || {
        state().filter(|(_, state)| state["running"].is_object())
    })?;
    Ok(watch(KUBELET, move || {
        state().is_some_and(|now| now != before)
    }))
}

/// Asks again and again on a thread of its own, until something has changed, and sends when.
fn watch(pause: Duration, mut changed: impl FnMut() -> bool + Send + 'static) -> Receiver<Instant> {
    let (sender, receiver): (Sender<Instant>, _) = channel();
    thread::spawn(move || {
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            if changed() {
                // Nobody listens any more when the measurement has failed.
                let _ = sender.send(Instant::now());
                return;
            }
            thread::sleep(pause);
        }
    });
    receiver
}
