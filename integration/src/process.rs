//! Processes identified by pid and start time, so that a recycled pid is never signalled.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid,
};
use serde::{Deserialize, Serialize};

use crate::wait::wait_until;

/// A process that was started by a rig.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// The process id.
    pub pid: u32,
    /// Clock ticks from the boot to the start of the process: field 22 of `/proc/PID/stat`.
    pub start_time: u64,
}

impl ProcessRecord {
    /// The record of the process that has this pid now.
    ///
    /// # Errors
    /// Fails when there is no such process, or only its zombie.
    pub fn of(pid: u32) -> Result<Self> {
        match start_time(pid) {
            Some(start_time) => Ok(Self { pid, start_time }),
            None => bail!("process {pid} has ended"),
        }
    }

    /// Whether this very process still runs. A zombie does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        // Our own children stay zombies until they are waited for.
        if let Some(pid) = self.raw() {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        start_time(self.pid) == Some(self.start_time)
    }

    /// Sends a signal, unless the process has ended.
    ///
    /// # Errors
    /// Fails when the kernel refuses the signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.raw() else { return Ok(()) };
        // The descriptor is opened before the look at the start time: after that it can mean no other.
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("open process {pid:?}")),
        };
        if !self.is_alive() {
            return Ok(());
        }
        match pidfd_send_signal(&process, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("signal process {}", self.pid)),
        }
    }

    /// Kills the process with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// Fails when it is still there after some seconds.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.wait_gone(Duration::from_secs(10))
    }

    /// Asks the process to end with SIGTERM, and kills it when it has not ended after `grace`.
    ///
    /// # Errors
    /// Fails when even a killed process stays.
    pub fn terminate(&self, grace: Duration) -> Result<()> {
        self.signal(Signal::TERM)?;
        if self.wait_gone(grace).is_ok() {
            return Ok(());
        }
        self.kill()
    }

    /// Waits until the process has ended.
    ///
    /// # Errors
    /// Fails when it still runs after `limit`.
    pub fn wait_gone(&self, limit: Duration) -> Result<()> {
        let what = format!("process {} ends", self.pid);
        wait_until(limit, &what, || !self.is_alive())
    }

    fn raw(&self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }
}

/// The start time of a process that is neither gone nor a zombie.
///
/// The first thread of a killed process may be a zombie while others still hold its files, sockets and locks.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command, field 2, is in parentheses and may hold anything, also spaces and parentheses.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?;
    let threads: u32 = fields.nth(16)?.parse().ok()?;
    if matches!(state, "Z" | "X") && threads <= 1 {
        return None;
    }
    fields.nth(1)?.parse().ok()
}

/// What is needed to start a process of a node.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) program: &'a Path,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    /// Where stdout and stderr are appended to.
    pub(crate) log: PathBuf,
    /// The `cgroup.procs` that the process joins before it is executed.
    pub(crate) cgroup_procs: PathBuf,
    /// Namespaces to start in, as `nsenter` names them, and the process that has them.
    pub(crate) namespaces: Option<(&'a [&'a str], ProcessRecord)>,
}

impl Launch<'_> {
    /// Starts the process in a session of its own, so that no Ctrl-C of a terminal reaches it.
    ///
    /// Every step replaces the one before by exec: the pid is that of the program itself.
    pub(crate) fn start(&self) -> Result<ProcessRecord> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("open the log {}", self.log.display()))?;
        let mut command = Command::new("setsid");
        command
            .args(["sh", "-c", r#"echo $$ > "$0" && exec "$@""#])
            .arg(&self.cgroup_procs);
        if let Some((kinds, process)) = self.namespaces {
            command.arg("nsenter");
            for kind in kinds {
                // The kernel's name of a mount namespace is shorter than nsenter's.
                let file = if *kind == "mount" { "mnt" } else { *kind };
                command.arg(format!("--{kind}=/proc/{}/ns/{file}", process.pid));
            }
            command.arg("--");
        }
        command.arg(self.program).args(&self.args).envs(&self.env);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        ProcessRecord::of(child.id()).with_context(|| {
            format!(
                "start {}; its log ends with:\n{}",
                self.program.display(),
                tail(&self.log, 20)
            )
        })
    }
}

/// The last lines of a file, for error messages.
pub(crate) fn tail(file: &Path, lines: usize) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Runs a command to its end and returns its stdout; its stderr becomes part of the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = command_line(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {line}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{line}: {}: {}", output.status, stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as a person would type it, for messages.
pub(crate) fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::zombie_processes, reason = "the record waits for it")]
    fn sleeper() -> ProcessRecord {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        ProcessRecord::of(child.id()).unwrap()
    }

    #[test]
    fn a_process_is_alive_until_it_is_killed() {
        let record = sleeper();
        assert!(record.is_alive());
        record.kill().unwrap();
        assert!(!record.is_alive());
    }

    #[test]
    fn a_recycled_pid_is_not_signalled() {
        let record = sleeper();
        let other = ProcessRecord {
            start_time: record.start_time + 1,
            ..record
        };
        other.kill().unwrap();
        assert!(record.is_alive());
        record.kill().unwrap();
    }

    #[test]
    fn the_stderr_of_a_failed_command_is_in_the_error() {
        let error = output(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("broken"), "{error}");
    }
}
