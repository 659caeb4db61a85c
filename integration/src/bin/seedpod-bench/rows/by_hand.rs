//! Manifests as a careful operator would write them by hand: rendered, in place by one rename.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::pods::new_uid;

/// A manifest that waits beside the static pod directory to be renamed into it.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) file: PathBuf,
    pub(super) uid: String,
}

/// What the daemon made of a pod, for a pod by hand of the very same shape.
pub(super) fn rendered(daemon: &Daemon<'_>, file: &str) -> Result<Value> {
    let path = daemon.manifest(file);
    let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let mut pod: Value =
        serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))?;
    // With them the daemon would take what runs for a pod of its own that is to go.
    if let Some(annotations) = pod["metadata"]["annotations"].as_object_mut() {
        annotations.retain(|key, _| !key.starts_with("seedpod.dev/"));
    }
    Ok(pod)
}

/// Writes the pod under another name and a new uid into a folder of the same file system.
pub(super) fn stage(
    folder: &Path,
    rendered: &Value,
    name: &str,
    generation: usize,
) -> Result<Staged> {
    let uid = new_uid().context("make a uid")?;
    let mut pod = rendered.clone();
    pod["metadata"]["name"] = name.into();
    pod["metadata"]["uid"] = uid.clone().into();
    pod["spec"]["containers"][0]["env"][0]["value"] = generation.to_string().into();
    let path = folder.join(format!("{name}.json"));
    let write = || {
        let mut file = File::create(&path)?;
        file.write_all(pod.to_string().as_bytes())?;
        // The disk must not still be busy with it when the clock runs.
        file.sync_all()
    };
    write().with_context(|| format!("write {}", path.display()))?;
    Ok(Staged { file: path, uid })
}
