//! Images that need no registry: static programs in one layer, in the layout of `docker save`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::binaries::{self, Tool, in_path};
use crate::process::output;

/// The image of the sandboxes.
pub const PAUSE: &str = "rig.local/pause:1";
/// A static busybox with a link for each applet, so that `/bin/sh` and the rest are there.
pub const BUSYBOX: &str = "rig.local/busybox:1";

/// Kubernetes' own program for tests, `/agnhost`, beside all that [`BUSYBOX`] has. As in the published image, what a pod
/// gives as arguments is the program's.
pub const AGNHOST: &str = "rig.local/agnhost:1";
/// The control plane, each with its program alone, at `/bin/NAME`.
pub const ETCD: &str = "rig.local/etcd:1";
/// See [`ETCD`].
pub const KUBE_APISERVER: &str = "rig.local/kube-apiserver:1";
/// See [`ETCD`].
pub const KUBE_CONTROLLER_MANAGER: &str = "rig.local/kube-controller-manager:1";
/// See [`ETCD`].
pub const KUBE_SCHEDULER: &str = "rig.local/kube-scheduler:1";

/// All that a control plane consists of.
pub const CONTROL_PLANE: [&str; 4] = [
    ETCD,
    KUBE_APISERVER,
    KUBE_CONTROLLER_MANAGER,
    KUBE_SCHEDULER,
];

/// Longer than any rig lives: busybox has no `sleep infinity`.
const FOREVER: &str = "2147483647";

/// What goes into an image: one layer that holds programs and links to them.
#[derive(Debug)]
pub struct Image<'a> {
    /// The reference under which the image is imported.
    pub reference: &'a str,
    /// Static programs of the host, and where each is in the image, without a leading slash.
    pub programs: &'a [(&'a Path, &'a str)],
    /// Symbolic links, each with where it leads.
    pub links: &'a [(String, &'a str)],
    /// What stands before the command when the pod names none. Mostly empty.
    pub entrypoint: &'a [&'a str],
    /// The command, or the entry point's arguments, when the pod names none.
    pub command: &'a [&'a str],
}

impl Image<'_> {
    /// Writes the image as a tar file that `ctr images import` takes.
    ///
    /// # Errors
    /// Fails when the program can't be read or the file can't be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let layer = self
            .layer()
            .with_context(|| format!("pack the image {}", self.reference))?;
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let mut config =
            json!({"Cmd": self.command, "Env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin"]});
        if !self.entrypoint.is_empty() {
            config["Entrypoint"] = json!(self.entrypoint);
        }
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", hex_digest(&layer))]},
        })
        .to_string();
        let config_name = format!("{}.json", hex_digest(config.as_bytes()));
        let manifest = json!([{
            "Config": config_name,
            "RepoTags": [self.reference],
            "Layers": ["layer.tar"],
        }])
        .to_string();
        let out = File::create(file).with_context(|| format!("write {}", file.display()))?;
        let mut tar = tar::Builder::new(out);
        append(&mut tar, &config_name, 0o644, config.as_bytes())?;
        append(&mut tar, "layer.tar", 0o644, &layer)?;
        append(&mut tar, "manifest.json", 0o644, manifest.as_bytes())?;
        tar.into_inner()?
            .flush()
            .with_context(|| format!("write {}", file.display()))
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        for (folder, mode) in [("bin/", 0o755), ("etc/", 0o755), ("tmp/", 0o1777)] {
            let mut header = header(mode, 0);
            header.set_entry_type(tar::EntryType::Directory);
            tar.append_data(&mut header, folder, &[][..])?;
        }
        for (program, target) in self.programs {
            let content =
                fs::read(program).with_context(|| format!("read {}", program.display()))?;
            append(&mut tar, target, 0o755, &content)?;
        }
        append(
            &mut tar,
            "etc/passwd",
            0o644,
            b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:\n",
        )?;
        for (link, target) in self.links {
            let mut header = header(0o777, 0);
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, link, target)?;
        }
        Ok(tar.into_inner()?)
    }
}

/// Writes [`PAUSE`] and [`BUSYBOX`] into a folder and returns their files' names.
pub(crate) fn write_standard(folder: &Path) -> Result<Vec<&'static str>> {
    let busybox = Busybox::find()?;
    Image {
        reference: PAUSE,
        programs: &[(&busybox.program, BUSYBOX_TARGET)],
        links: &[],
        entrypoint: &[],
        // containerd stops a sandbox with SIGKILL, so that its program needs no signal handler.
        command: &["/bin/busybox", "sleep", FOREVER],
    }
    .write(&folder.join("pause.tar"))?;
    Image {
        reference: BUSYBOX,
        programs: &[(&busybox.program, BUSYBOX_TARGET)],
        links: &busybox.applets(),
        entrypoint: &[],
        command: &["/bin/sh"],
    }
    .write(&folder.join("busybox.tar"))?;
    Ok(vec!["pause.tar", "busybox.tar"])
}

/// Writes one of the images that only some nodes need, after building its program if need be.
pub(crate) fn write_optional(reference: &str, file: &Path) -> Result<()> {
    let tool = match reference {
        AGNHOST => Tool::Agnhost,
        ETCD => Tool::Etcd,
        KUBE_APISERVER => Tool::KubeApiserver,
        KUBE_CONTROLLER_MANAGER => Tool::KubeControllerManager,
        KUBE_SCHEDULER => Tool::KubeScheduler,
        _ => bail!("the rig has no image {reference}"),
    };
    let program = binaries::find(tool)?;
    let target = format!("bin/{}", tool.name());
    let command = format!("/{target}");
    if tool == Tool::Agnhost {
        // With a shell, for netexec's /shell and for exec probes.
        let busybox = Busybox::find()?;
        let mut links = busybox.applets();
        // The published image has it under two names.
        links.extend([target, "agnhost-2".to_owned()].map(|link| (link, AGNHOST_ENTRYPOINT)));
        return Image {
            reference,
            programs: &[
                (&busybox.program, BUSYBOX_TARGET),
                (&program, AGNHOST_ENTRYPOINT.trim_start_matches('/')),
            ],
            links: &links,
            entrypoint: &[AGNHOST_ENTRYPOINT],
            command: &["pause"],
        }
        .write(file);
    }
    Image {
        reference,
        programs: &[(&program, &target)],
        links: &[],
        entrypoint: &[],
        command: &[&command],
    }
    .write(file)
}

const BUSYBOX_TARGET: &str = "bin/busybox";
const AGNHOST_ENTRYPOINT: &str = "/agnhost";

/// A static busybox of the host and the names of its applets.
struct Busybox {
    program: PathBuf,
    applets: Vec<String>,
}

impl Busybox {
    /// A link for each applet.
    fn applets(&self) -> Vec<(String, &'static str)> {
        let names = self.applets.iter();
        names
            .map(|name| (format!("bin/{name}"), "/bin/busybox"))
            .collect()
    }

    fn find() -> Result<Self> {
        let program = in_path("busybox").context("find a static busybox")?;
        let applets = output(Command::new(&program).arg("--list"))?
            .lines()
            .filter(|name| *name != "busybox")
            .map(str::to_owned)
            .collect();
        Ok(Self { program, applets })
    }
}

fn append(tar: &mut tar::Builder<impl Write>, path: &str, mode: u32, data: &[u8]) -> Result<()> {
    let mut header = header(mode, data.len());
    tar.append_data(&mut header, path, data)
        .with_context(|| format!("pack {path}"))
}

/// A header without a time and an owner of its own, so that the same content has the same digest.
fn header(mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_program_gives_the_same_image() {
        let folder = tempfile::tempdir().unwrap();
        let links = [("bin/sh".to_owned(), "/bin/busybox")];
        let image = Image {
            reference: "rig.local/x:1",
            programs: &[(Path::new("/bin/sh"), "bin/busybox")],
            links: &links,
            entrypoint: &[],
            command: &["/bin/sh"],
        };
        let files = ["a", "b"].map(|name| folder.path().join(name));
        for file in &files {
            image.write(file).unwrap();
        }
        assert_eq!(fs::read(&files[0]).unwrap(), fs::read(&files[1]).unwrap());
    }
}
