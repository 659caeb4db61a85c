//! One run of the benchmark: its folder, its programs and its nodes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use seedpod_integration::workspace_binary;
use tempfile::TempDir;

use crate::nodes::Nodes;

/// What the rows share.
#[derive(Debug)]
pub(crate) struct Bench {
    quick: bool,
    rounds: Option<usize>,
    pub(crate) program: PathBuf,
    // The nodes are in the folder: they must be gone first, and fields are dropped in order.
    pub(crate) nodes: Nodes,
    folder: TempDir,
}

impl Bench {
    pub(crate) fn new(parent: &Path, quick: bool, rounds: Option<usize>) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("seedpod-bench-")
            .tempdir_in(parent)
            .with_context(|| format!("make a folder in {}", parent.display()))?;
        Ok(Self {
            quick,
            rounds,
            program: workspace_binary("seedpod-server", "seedpodd")?,
            nodes: Nodes::new(folder.path()),
            folder,
        })
    }

    /// The first number, or with `--quick` the second.
    pub(crate) fn repetitions(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// The same for what takes a minute or more each time, where `--rounds` says how often.
    pub(crate) fn rounds(&self, full: usize, quick: usize) -> usize {
        self.rounds.unwrap_or_else(|| self.repetitions(full, quick))
    }

    /// A folder of that name; all are on the same file system.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(folder)
    }
}
