//! Replacing a running pod with nudges, against overwriting its manifest and waiting: how long until the new one runs,
//! and how long neither runs.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use seedpod_client::InjectPods;
use seedpod_integration::{Node, wait_until};
use serde_json::Value;

use super::by_hand::{Staged, rendered, stage};
use crate::bench::Bench;
use crate::daemon::{Daemon, Injection};
use crate::logs::{first_line, last_line, since};
use crate::nodes::{move_in, wait_forgotten, wait_static_workers};
use crate::pods::small;
use crate::report::{Goal, Row, Unit};
use crate::stats::Samples;

const BUNDLE: &str = "replace";
/// Several relists of the kubelet.
const SETTLED: Duration = Duration::from_secs(4);
/// Replacements of ours for each one by hand, which takes ten times as long and more.
const OURS_PER_OTHER: usize = 5;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let node = bench.nodes.standalone()?;
    let folder = bench.folder("replace")?;
    let mut daemon = Daemon::on_node(&bench.program, &folder, node)?;
    daemon.start()?;

    let mut running = inject(&daemon, node, 0)?.0;
    let pod = running.injected.bundle.pods.first();
    let file = &pod.context("the bundle has no pod")?.file;
    let mut other = Overwritten::start(node, &folder, rendered(&daemon, file)?)?;
    wait_static_workers(node, 2)?;
    let (mut ours, mut alternative) = (Samples::default(), Samples::default());
    let (mut our_gap, mut other_gap) = (Samples::default(), Samples::default());
    let mut generation = 0;
    for _ in 0..bench.repetitions(5, 2) {
        for _ in 0..OURS_PER_OTHER {
            generation += 1;
            has_run(&running)?;
            let (next, line) = inject(&daemon, node, generation)?;
            our_gap.push_ms(gap(node, running.uid()?, line)?);
            wait_forgotten(node, running.uid()?)?;
            wait_static_workers(node, 2)?;
            ours.push_ms(since(next.start, line)?);
            running = next;
        }
        generation += 1;
        let replaced = other.overwrite(generation)?;
        alternative.push_ms(replaced.took);
        other_gap.push_ms(replaced.gap);
        wait_static_workers(node, 2)?;
    }
    daemon.remove(BUNDLE)?;
    other.remove()?;
    wait_static_workers(node, 0)?;
    daemon.stop()?;
    let row = Row {
        name: "replace a running pod: RPC -> new container's first line",
        alternative_name: "overwriting the manifest by hand",
        unit: Unit::Milliseconds,
        ours,
        alternative,
        goal: Goal::AtMost(1300.0),
        how: "the container ends at once on SIGTERM; the new pod has a new uid and another environment; standalone \
              kubelet; the old pod has run for 4 s; from just before the call, or the rename over the old manifest, to \
              containerd's stamp of the new container's first line. By hand nothing is nudged."
            .to_owned(),
    };
    let outage = Row {
        name: "replace a running pod: old container's last line -> new container's first line",
        alternative_name: row.alternative_name,
        unit: Unit::Milliseconds,
        ours: our_gap,
        alternative: other_gap,
        goal: Goal::Less,
        how: "the same replacements; the old container prints its last line on SIGTERM; both lines as containerd stamped \
              them"
            .to_owned(),
    };
    Ok(vec![row, outage])
}

/// How long neither the old nor the new container ran.
fn gap(node: &Node, old: &str, first: SystemTime) -> Result<Duration> {
    since(last_line(&node.pod_logs(), old)?, first)
}

/// Waits until a pod has run for a while, as one that is replaced has. The kubelet notices each change of a pod with its
/// relist, once a second, and puts off stopping one that it has just started until the next: that would be measured.
fn has_run(injection: &Injection) -> Result<()> {
    wait_until(4 * SETTLED, "the pod has run for a while", || {
        injection.start.elapsed().is_ok_and(|age| age > SETTLED)
    })
}

/// Injects the pod's next generation, and waits until the daemon has seen it run and so nudges no more.
fn inject(daemon: &Daemon<'_>, node: &Node, generation: usize) -> Result<(Injection, SystemTime)> {
    let request = InjectPods::new(BUNDLE).manifest(small("replaced", generation).to_string());
    let injection = daemon.inject(&request)?;
    let line = first_line(&node.pod_logs(), injection.uid()?)?;
    daemon.wait_running(1)?;
    Ok((injection, line))
}

/// How long a replacement took, and how long neither container ran.
#[derive(Clone, Copy, Debug)]
struct Replaced {
    took: Duration,
    gap: Duration,
}

/// A static pod whose manifest is overwritten by hand.
struct Overwritten<'a> {
    node: &'a Node,
    folder: &'a Path,
    template: Value,
    uid: String,
}

impl<'a> Overwritten<'a> {
    const NAME: &'static str = "overwritten";

    fn start(node: &'a Node, folder: &'a Path, template: Value) -> Result<Self> {
        let mut pod = Self {
            node,
            folder,
            template,
            uid: String::new(),
        };
        let first = pod.stage(0)?;
        move_in(&first.file, &pod.manifest())?;
        first_line(&node.pod_logs(), &first.uid)?;
        pod.uid = first.uid;
        Ok(pod)
    }

    /// Renames a manifest with a new uid over the one that is there, and waits for the new container's first line.
    fn overwrite(&mut self, generation: usize) -> Result<Replaced> {
        let staged = self.stage(generation)?;
        let start = move_in(&staged.file, &self.manifest())?;
        let line = first_line(&self.node.pod_logs(), &staged.uid)?;
        let replaced = Replaced {
            took: since(start, line)?,
            gap: gap(self.node, &self.uid, line)?,
        };
        wait_forgotten(self.node, &self.uid)?;
        self.uid = staged.uid;
        Ok(replaced)
    }

    fn stage(&self, generation: usize) -> Result<Staged> {
        stage(self.folder, &self.template, Self::NAME, generation)
    }

    fn remove(self) -> Result<()> {
        let manifest = self.manifest();
        std::fs::remove_file(&manifest)
            .with_context(|| format!("remove {}", manifest.display()))?;
        wait_forgotten(self.node, &self.uid)
    }

    fn manifest(&self) -> std::path::PathBuf {
        self.node.manifests().join(format!("{}.json", Self::NAME))
    }
}
