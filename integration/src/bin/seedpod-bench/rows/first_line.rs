//! From the call to the container's first line, against moving a manifest in by hand.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use seedpod_client::InjectPods;
use seedpod_integration::Node;
use serde_json::Value;

use super::by_hand::{rendered, stage};
use crate::bench::Bench;
use crate::daemon::{Daemon, Injection};
use crate::logs::{first_line, since};
use crate::nodes::{move_in, wait_forgotten, wait_static_workers};
use crate::pods::small;
use crate::report::{Goal, Row, Unit};
use crate::stats::Samples;

const BUNDLE: &str = "first-line";

pub(super) fn measure(bench: &Bench) -> Result<Row> {
    let node = bench.nodes.standalone()?;
    let folder = bench.folder("first-line")?;
    let mut daemon = Daemon::on_node(&bench.program, &folder, node)?;
    daemon.start()?;

    let template = {
        let (injection, _) = run_injected(&daemon, node, "rpc-template")?;
        injection
    };
    let (mut ours, mut alternative, mut calls) =
        (Samples::default(), Samples::default(), Samples::default());
    for round in 0..bench.repetitions(30, 8) {
        let mut injected = || -> Result<()> {
            let name = format!("rpc-{round}");
            let (_, times) = run_injected(&daemon, node, &name)?;
            ours.push_ms(times.line);
            calls.push_ms(times.call);
            Ok(())
        };
        let mut moved = || -> Result<()> {
            let name = format!("mv-{round}");
            alternative.push_ms(run_moved(node, &folder, &template, &name)?);
            Ok(())
        };
        if round % 2 == 0 {
            injected()?;
            moved()?;
        } else {
            moved()?;
            injected()?;
        }
    }
    daemon.stop()?;
    Ok(Row {
        name: "RPC -> container's first line",
        alternative_name: "`mv` by hand",
        unit: Unit::Milliseconds,
        ours,
        alternative,
        goal: Goal::Above(10.0),
        how: format!(
            "from just before the call (over the Unix socket), or the rename of the same rendered manifest, to \
             containerd's stamp of the line in the container's log; standalone kubelet, a new pod each time, the one \
             before it gone from the runtime and from the kubelet. The call alone took {:.1} ms.",
            calls.median()
        ),
    })
}

/// The times of one injection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Until the call was answered.
    pub(super) call: Duration,
    /// Until the container's first line.
    pub(super) line: Duration,
}

/// Injects a pod, waits for its first line, and removes it. Returns what the daemon rendered, and the times.
pub(super) fn run_injected(daemon: &Daemon<'_>, node: &Node, name: &str) -> Result<(Value, Times)> {
    let request = InjectPods::new(BUNDLE).manifest(small(name, 1).to_string());
    let injection = daemon.inject(&request)?;
    let line = first_line(&node.pod_logs(), injection.uid()?)?;
    let manifest = rendered(daemon, file(&injection)?)?;
    daemon.remove(BUNDLE)?;
    wait_forgotten(node, injection.uid()?)?;
    wait_static_workers(node, 0)?;
    let times = Times {
        call: injection.took,
        line: since(injection.start, line)?,
    };
    Ok((manifest, times))
}

fn file(injection: &Injection) -> Result<&str> {
    let pod = injection.injected.bundle.pods.first();
    pod.map(|pod| pod.file.as_str())
        .context("the bundle has no pod")
}

/// Moves a manifest in, waits for the pod's first line, and removes it.
fn run_moved(node: &Node, folder: &Path, template: &Value, name: &str) -> Result<Duration> {
    let staged = stage(folder, template, name, 1)?;
    let manifest = node.manifests().join(format!("{name}.json"));
    let start = move_in(&staged.file, &manifest)?;
    let line = first_line(&node.pod_logs(), &staged.uid)?;
    std::fs::remove_file(&manifest).with_context(|| format!("remove {}", manifest.display()))?;
    wait_forgotten(node, &staged.uid)?;
    wait_static_workers(node, 0)?;
    since(start, line)
}
