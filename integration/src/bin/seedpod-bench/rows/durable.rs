//! A durable injection against the bare system calls that durability needs.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use seedpod_client::{ChangeType, InjectPods};

use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::pods::{Kind, control_plane};
use crate::report::{Goal, Row, Unit};
use crate::stats::Samples;

const BUNDLE: &str = "control-plane";
/// As many revisions as the daemon keeps: folders of the same size.
const KEPT: usize = 10;

pub(super) fn measure(bench: &Bench) -> Result<Row> {
    let folder = bench.folder("durable")?;
    let floor = bench.folder("durable/floor")?;
    let mut daemon = Daemon::without_node(&bench.program, &folder)?;
    daemon.start()?;

    let (mut ours, mut alternative) = (Samples::default(), Samples::default());
    // The first ones make folders and warm caches on both sides; nobody counts them.
    let warm_up = 5;
    let mut bytes = inject(&daemon, 0)?.1;
    for round in 1..=bench.repetitions(300, 60) + warm_up {
        let (injection, floor_time);
        // Turn about, so that neither always meets the disk that the other has just left.
        if round % 2 == 0 {
            let (took, revision) = inject(&daemon, round)?;
            bytes = revision;
            injection = took;
            floor_time = write_bare(&floor, round, &bytes)?;
        } else {
            floor_time = write_bare(&floor, round, &bytes)?;
            let (took, revision) = inject(&daemon, round)?;
            bytes = revision;
            injection = took;
        }
        if round > warm_up {
            ours.push_ms(injection);
            alternative.push_ms(floor_time);
        }
    }
    daemon.stop()?;
    Ok(Row {
        name: "durable `InjectPods` of 7 pods",
        alternative_name: "bare write+fsync+rename+fsync(dir)",
        unit: Unit::Milliseconds,
        ours,
        alternative,
        goal: Goal::Times(1.5),
        how: format!(
            "the call over the Unix socket through the SDK on an open connection, each call changes all 7 pods ({} kB of \
             YAML); files only, no kubelet reads the directory, and the projection of one revision is on the disk \
             before the next measurement; against writing the revision file's own {} kB beside it in the same file \
             system.",
            control_plane(Kind::Sent, 0, 0).concat().len() / 1000,
            bytes.len() / 1000,
        ),
    })
}

/// Injects the seven pods with a change in each, and returns the time and the bytes that were made durable for it.
fn inject(daemon: &Daemon<'_>, generation: usize) -> Result<(Duration, Vec<u8>)> {
    let request = InjectPods::new(BUNDLE).manifests(control_plane(Kind::Sent, 0, generation));
    let injection = daemon.inject(&request)?;
    let injected = &injection.injected;
    let untouched = |kind| kind == ChangeType::Unchanged || kind == ChangeType::Removed;
    if injected.changes.len() != 7 || injected.changes.iter().any(|it| untouched(it.r#type)) {
        bail!("not all pods were changed: {:?}", injected.changes);
    }
    daemon.wait_projected(&injected.bundle)?;
    let file = daemon.revision_file(&injected.bundle);
    let bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    Ok((injection.took, bytes))
}

/// The least that makes a new file durable and whole under its name.
fn write_bare(folder: &Path, number: usize, bytes: &[u8]) -> Result<Duration> {
    let name = |number: usize| folder.join(format!("{number:020}.json"));
    let write = || -> io::Result<Duration> {
        let (staged, target) = (folder.join(".staged"), name(number));
        let start = Instant::now();
        let mut file = File::create(&staged)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&staged, &target)?;
        File::open(folder)?.sync_all()?;
        let took = start.elapsed();
        if let Some(old) = number
            .checked_sub(KEPT)
            .map(name)
            .filter(|old| old.exists())
        {
            fs::remove_file(old)?;
        }
        Ok(took)
    };
    write().with_context(|| format!("write into {}", folder.display()))
}
