//! Tears a node down when the process that uses it has ended, in whatever way.

use std::io::{Read, stdin};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::cargo::workspace_binary;
use crate::node::Node;

/// A child that waits for the end of its stdin, a pipe whose other end only this process has.
///
/// The kernel closes that end also when this process is killed, and after the last thread of a test
/// process, whose statics are never dropped. The child is in a session of its own, out of reach of Ctrl-C.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let program = workspace_binary("seedpod-integration", "seedpod-rig")?;
        let mut command = Command::new("setsid");
        command.arg(&program).arg("guard").arg(dir);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let child = command
            .spawn()
            .with_context(|| format!("start {} guard", program.display()))?;
        Ok(Self(child))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // The wait takes the teardown's time, or none when there is nothing left to do.
        let _ = self.0.wait();
    }
}

/// The guard's own side: waits for the end of stdin, then removes the node if it is still there.
///
/// # Errors
/// As [`Node::destroy`].
pub fn run(dir: &Path) -> Result<()> {
    let mut buffer = [0; 64];
    while stdin()
        .read(&mut buffer)
        .context("wait for the end of stdin")?
        > 0
    {}
    if dir.exists() {
        Node::destroy(dir)
    } else {
        Ok(())
    }
}
