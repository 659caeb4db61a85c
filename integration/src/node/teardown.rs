//! Stops a node and removes its traces, whatever state it is in.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::start::lock;
use crate::cgroup::Cgroup;
use crate::layout::Layout;
use crate::network;
use crate::state::State;
use crate::wait::wait_until;

/// What is kept when a half-started node is started again: only these hold what a user put there.
fn is_kept(layout: &Layout, path: &Path) -> bool {
    [
        layout.manifests(),
        layout.seedpodd(),
        layout.scratch(),
        layout.logs(),
        layout.joining(),
        layout.etcd(),
    ]
    .iter()
    .any(|kept| kept == path)
}

/// Stops all processes and removes everything, at last the folder if it is then empty.
pub(super) fn destroy(layout: &Layout) -> Result<()> {
    if !layout.dir().exists() {
        return Ok(());
    }
    let _lock = lock(layout)?;
    stop(layout)?;
    remove(layout, |_| true)?;
    // A folder with files of others in it stays, as does one that is a mount point.
    let _ = fs::remove_dir(layout.dir());
    Ok(())
}

/// Stops all processes and removes everything but what a next start goes on from.
pub(super) fn stop(layout: &Layout) -> Result<()> {
    if let Some(state) = State::read(&layout.state_file())
        && let Some(daemon) = state.alive(crate::seedpodd::PROCESS)
    {
        // The daemon is the one process with something to finish.
        daemon.terminate(Duration::from_secs(10))?;
    }
    let cgroup = Cgroup::new(layout.cgroup())?;
    if cgroup.exists() {
        cgroup.destroy()?;
    }
    network::delete_bridge(&layout.bridge())?;
    network::release(layout.id())?;
    remove(layout, |path| !is_kept(layout, path))
}

fn remove(layout: &Layout, chosen: impl Fn(&Path) -> bool) -> Result<()> {
    for path in layout.owned().into_iter().filter(|path| chosen(path)) {
        // The node's own mounts went with its namespace. What is left was mounted by somebody else,
        // and deleting through it would delete their files.
        if let Some(mount) = mount_below(&path)? {
            bail!("{mount} is mounted: unmount it, then repeat");
        }
        let what = format!("{} can be removed", path.display());
        let mut last = None;
        // The kernel takes a moment to let go of the mounts of a namespace that has just ended.
        wait_until(Duration::from_secs(10), &what, || {
            last = delete(&path).err();
            last.is_none()
        })
        .with_context(|| format!("remove {}: {last:?}", path.display()))?;
    }
    Ok(())
}

fn delete(path: &Path) -> std::io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    }
}

/// A mount point at or below a path, as the host sees it.
fn mount_below(path: &Path) -> Result<Option<String>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    // mountinfo writes a space as \040, and so on; a rig's own paths have none below its folder.
    let escaped = path.to_string_lossy().replace(' ', "\\040");
    Ok(points
        .map(str::to_owned)
        .find(|point| Path::new(point).starts_with(&escaped)))
}
