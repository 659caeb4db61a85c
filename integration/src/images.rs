//! Images that need no registry: one static program each, in the layout of `docker save`.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::binaries::in_path;
use crate::process::output;

/// The image of the sandboxes.
pub const PAUSE: &str = "rig.local/pause:1";
/// A static busybox with a link for each applet, so that `/bin/sh` and the rest are there.
pub const BUSYBOX: &str = "rig.local/busybox:1";

/// Longer than any rig lives: busybox has no `sleep infinity`.
const FOREVER: &str = "2147483647";

/// What goes into an image: one layer that holds a program and links to it.
#[derive(Debug)]
pub struct Image<'a> {
    /// The reference under which the image is imported.
    pub reference: &'a str,
    /// A static program of the host.
    pub program: &'a Path,
    /// Where the program is in the image, without a leading slash.
    pub target: &'a str,
    /// Names beside the program that link to it.
    pub links: &'a [String],
    /// The command when the pod names none.
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
            .with_context(|| format!("pack {}", self.program.display()))?;
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": self.command, "Env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin"]},
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
        append(&mut tar, self.target, 0o755, &fs::read(self.program)?)?;
        append(
            &mut tar,
            "etc/passwd",
            0o644,
            b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:\n",
        )?;
        let folder = Path::new(self.target).parent().unwrap_or(Path::new(""));
        for link in self.links {
            let mut header = header(0o777, 0);
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, folder.join(link), format!("/{}", self.target))?;
        }
        Ok(tar.into_inner()?)
    }
}

/// Writes [`PAUSE`] and [`BUSYBOX`] into a folder and returns their files' names.
pub(crate) fn write_standard(folder: &Path) -> Result<Vec<&'static str>> {
    let busybox = in_path("busybox").context("find a static busybox")?;
    let applets = output(Command::new(&busybox).arg("--list"))?;
    let links: Vec<String> = applets
        .lines()
        .filter(|name| *name != "busybox")
        .map(str::to_owned)
        .collect();
    let program = busybox.as_path();
    let target = "bin/busybox";
    // containerd stops a sandbox with SIGKILL, so that its program needs no signal handler.
    let command = &["/bin/busybox", "sleep", FOREVER][..];
    Image {
        reference: PAUSE,
        program,
        target,
        links: &[],
        command,
    }
    .write(&folder.join("pause.tar"))?;
    Image {
        reference: BUSYBOX,
        program,
        target,
        links: &links,
        command: &["/bin/sh"],
    }
    .write(&folder.join("busybox.tar"))?;
    Ok(vec!["pause.tar", "busybox.tar"])
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
        let links = ["sh".to_owned()];
        let image = Image {
            reference: "rig.local/x:1",
            program: Path::new("/bin/sh"),
            target: "bin/busybox",
            links: &links,
            command: &["/bin/sh"],
        };
        let files = ["a", "b"].map(|name| folder.path().join(name));
        for file in &files {
            image.write(file).unwrap();
        }
        assert_eq!(fs::read(&files[0]).unwrap(), fs::read(&files[1]).unwrap());
    }
}
