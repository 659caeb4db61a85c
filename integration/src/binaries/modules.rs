//! The Go modules in `hack/rig`, which pin the versions.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// Where the modules are when nothing else is said: in the checkout that this was compiled from.
const IN_CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hack/rig");

/// One Go module with its requirements.
#[derive(Debug)]
pub(crate) struct Module {
    folder: PathBuf,
    go_mod: String,
    go_sum: String,
}

impl Module {
    /// Reads the module of this name from `SEEDPOD_RIG_MODULES` or from the checkout.
    pub(crate) fn open(name: &str) -> Result<Self> {
        let root = std::env::var_os("SEEDPOD_RIG_MODULES").unwrap_or_else(|| IN_CHECKOUT.into());
        let folder = PathBuf::from(root).join(name);
        let read = |file: &str| {
            let path = folder.join(file);
            fs::read_to_string(&path).with_context(|| {
                format!(
                    "read {}; SEEDPOD_RIG_MODULES can name another hack/rig",
                    path.display()
                )
            })
        };
        Ok(Self {
            go_mod: read("go.mod")?,
            go_sum: read("go.sum")?,
            folder,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The version that `go.mod` requires of a module.
    pub(crate) fn version(&self, requirement: &str) -> Result<String> {
        for line in self.go_mod.lines() {
            let mut words = line
                .trim()
                .trim_start_matches("require ")
                .split_whitespace();
            if words.next() == Some(requirement)
                && let Some(version) = words.next()
                && version.starts_with('v')
            {
                return Ok(version.to_owned());
            }
        }
        bail!(
            "{}/go.mod does not require {requirement}",
            self.folder.display()
        )
    }

    #[cfg(test)]
    pub(crate) fn has_tool(&self, package: &str) -> bool {
        self.go_mod
            .lines()
            .any(|line| line.trim().trim_start_matches("tool ") == package)
    }

    /// Twelve hexadecimal digits that change with the dependencies and with the flags of a build.
    pub(crate) fn fingerprint(&self, flags: &[String]) -> String {
        let mut hash = Sha256::new();
        for part in [
            self.go_mod.as_str(),
            self.go_sum.as_str(),
            &flags.join("\n"),
        ] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.finalize()
            .iter()
            .take(6)
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }
}
