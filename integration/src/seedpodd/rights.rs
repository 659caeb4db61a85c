//! A daemon that may not do all that root may.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Seedpodd;

impl Seedpodd<'_> {
    /// Takes from the daemon the right to change the node's network (`CAP_NET_ADMIN`), from its next start on, as a
    /// container has it that was given no more than most are. Its children have it no more either.
    ///
    /// # Errors
    /// Fails when a file can't be written.
    pub fn lose_net_admin(&self) -> Result<()> {
        fs::write(self.lost_rights_file(), "").context("note what the daemon may not do")
    }

    pub(super) fn has_lost_rights(&self) -> bool {
        self.lost_rights_file().exists()
    }

    /// Runs a program without the right. It replaces `setpriv`, so that the pid is the program's.
    pub(super) fn rights_arguments(program: &Path, arguments: Vec<String>) -> Vec<String> {
        let mut all = ["--bounding-set=-net_admin", "--inh-caps=-net_admin", "--"]
            .map(str::to_owned)
            .to_vec();
        all.push(program.display().to_string());
        all.extend(arguments);
        all
    }

    fn lost_rights_file(&self) -> PathBuf {
        self.folder.join("without-net-admin")
    }
}
