//! containerd: configuration, start, images.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use rustix::fs::statfs;

use super::{CONTAINERD, Node};
use crate::binaries::in_path;
use crate::images;
use crate::packages::CNI_PLUGINS;

/// `statfs`'s type of an overlay file system.
const OVERLAYFS: u64 = 0x794c_7630;

impl Node {
    /// Starts containerd and waits until it serves.
    pub(super) fn start_containerd(&self) -> Result<()> {
        let config = self.layout.containerd().join("config.toml");
        fs::write(&config, self.containerd_config()?)
            .with_context(|| format!("write {}", config.display()))?;
        let arguments = vec!["--config".to_owned(), config.display().to_string()];
        self.launch(CONTAINERD, &self.tool("containerd")?, arguments)?;
        let socket = self.containerd_socket();
        self.wait_serving(CONTAINERD, || UnixStream::connect(&socket).is_ok())
    }

    /// Kills containerd with SIGKILL, whatever it is at, and starts it again. Containers go on.
    ///
    /// # Errors
    /// Fails when it does not start again.
    pub fn restart_containerd(&self) -> Result<()> {
        if let Some(process) = self.process(CONTAINERD) {
            process.kill()?;
        }
        self.start_containerd()
    }

    /// Imports the images that every node has.
    pub(super) fn import_images(&self) -> Result<()> {
        let folder = self.layout.images();
        let ctr = self.ctr()?;
        for file in images::write_standard(&folder)? {
            ctr.import(&folder.join(file))?;
        }
        Ok(())
    }

    /// Packs and imports one of the images that only some nodes need, such as [`images::AGNHOST`], unless
    /// the node has it.
    ///
    /// # Errors
    /// Fails when the image is none of the rig's, or when its program can't be built.
    pub fn ensure_image(&self, reference: &str) -> Result<()> {
        // Two at once would write one file.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let ctr = self.ctr()?;
        if ctr.has_image(reference)? {
            return Ok(());
        }
        let file = self.layout.images().join("optional.tar");
        images::write_optional(reference, &file)?;
        ctr.import(&file)?;
        fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))
    }

    fn containerd_config(&self) -> Result<String> {
        let folder = self.layout.containerd();
        // An overlay file system can't be the upper layer of another.
        let snapshotter = if is_overlay(&folder)? {
            "native"
        } else {
            "overlayfs"
        };
        let runc = in_path("runc").context("find runc")?;
        // JSON strings are TOML strings, so that any path is quoted right.
        let quote = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
        Ok(format!(
            r#"version = 3
root = {root}
state = {state}
disabled_plugins = ["io.containerd.nri.v1.nri"]

[grpc]
  address = {socket}

[plugins."io.containerd.internal.v1.opt"]
  path = {opt}

[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE no sandbox could have the score that it should have.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = [{plugins}]
    conf_dir = {cni}
    use_internal_loopback = true
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = {runc}
      Root = {runc_root}
      SystemdCgroup = false

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "{snapshotter}"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"
"#,
            root = quote(&folder.join("root")),
            state = quote(&folder.join("state")),
            socket = quote(&self.containerd_socket()),
            opt = quote(&folder.join("opt")),
            plugins = quote(Path::new(CNI_PLUGINS)),
            cni = quote(&self.layout.cni()),
            runc = quote(&runc),
            runc_root = quote(&folder.join("runc")),
            pause = images::PAUSE,
        ))
    }
}

fn is_overlay(folder: &Path) -> Result<bool> {
    let found = statfs(folder).with_context(|| format!("statfs {}", folder.display()))?;
    Ok(u64::try_from(found.f_type).is_ok_and(|kind| kind == OVERLAYFS))
}
