//! What comes from Debian.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::binaries::in_path;
use crate::process::output;
use crate::progress::Step;

/// Where Debian puts the CNI plugins.
pub(crate) const CNI_PLUGINS: &str = "/usr/lib/cni";

/// A Debian package that a rig uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "every variant is the package of that name")]
pub enum Package {
    Runc,
    ContainernetworkingPlugins,
    BusyboxStatic,
    Iproute2,
    Nftables,
    Jq,
}

impl Package {
    /// What a node needs.
    pub const NODE: [Self; 5] = [
        Self::Runc,
        Self::ContainernetworkingPlugins,
        Self::BusyboxStatic,
        Self::Iproute2,
        Self::Nftables,
    ];

    /// Debian's name of the package.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::ContainernetworkingPlugins => "containernetworking-plugins",
            Self::BusyboxStatic => "busybox-static",
            Self::Iproute2 => "iproute2",
            Self::Nftables => "nftables",
            Self::Jq => "jq",
        }
    }

    /// Whether what the package brings is there, from wherever it came.
    fn is_there(self) -> bool {
        match self {
            Self::Runc => in_path("runc").is_some(),
            Self::ContainernetworkingPlugins => ["bridge", "host-local", "loopback"]
                .iter()
                .all(|plugin| Path::new(CNI_PLUGINS).join(plugin).is_file()),
            Self::BusyboxStatic => in_path("busybox").is_some_and(|path| is_static(&path)),
            Self::Iproute2 => in_path("ip").is_some(),
            Self::Nftables => in_path("nft").is_some(),
            Self::Jq => in_path("jq").is_some(),
        }
    }
}

/// Installs those of the packages that are missing.
///
/// # Errors
/// Fails when `apt-get` fails, or when something is missing and this is not root.
pub fn ensure(packages: &[Package]) -> Result<()> {
    let missing: Vec<Package> = packages
        .iter()
        .copied()
        .filter(|package| !package.is_there())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name()).collect();
    let remedy = format!(
        "apt-get install -y --no-install-recommends {}",
        names.join(" ")
    );
    if !rustix::process::geteuid().is_root() {
        bail!("missing: {}; as root: {remedy}", names.join(", "));
    }
    if in_path("apt-get").is_none() {
        bail!(
            "missing: {}; on Debian: {remedy}; there is no apt-get here",
            names.join(", ")
        );
    }
    let step = Step::new(&format!("installing {}", names.join(", ")));
    if !has_lists() {
        apt_get(&["update"])?;
    }
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(&names);
    if apt_get(&arguments).is_err() {
        // Lists that are too old name versions that the mirror no longer has.
        apt_get(&["update"])?;
        apt_get(&arguments)?;
    }
    step.done();
    match missing.iter().find(|package| !package.is_there()) {
        Some(package) => bail!(
            "{} was installed, but what it brings is not there",
            package.name()
        ),
        None => Ok(()),
    }
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command
        .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
        .args(arguments);
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    output(&mut command)
        .map(|_| ())
        .context("install Debian packages")
}

fn has_lists() -> bool {
    let Ok(entries) = fs::read_dir("/var/lib/apt/lists") else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
}

/// Whether a 64-bit ELF file asks for no dynamic loader, so that it runs in an image of its own.
fn is_static(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| asks_for_loader(&bytes) == Some(false))
}

/// Whether an ELF file has a program header PT_INTERP. `None` when it is no little-endian ELF64.
fn asks_for_loader(bytes: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    let half = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    if bytes.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?);
    let table = usize::try_from(table).ok()?;
    let (size, count) = (usize::from(half(54)?), usize::from(half(56)?));
    for index in 0..count {
        let at = table.checked_add(index * size)?;
        let kind = u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?);
        if kind == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_of_the_host_asks_for_a_loader() {
        let shell = fs::read("/bin/sh").unwrap();
        assert_eq!(asks_for_loader(&shell), Some(true));
    }

    #[test]
    fn what_is_no_elf_is_not_static() {
        assert_eq!(asks_for_loader(b"#!/bin/sh\n"), None);
    }
}
