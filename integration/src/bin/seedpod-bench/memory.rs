//! The resident memory of processes.

use std::fs;
use std::ops::Add;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// For how long the memory must not change to count as idle.
const QUIET: Duration = Duration::from_secs(2);
/// Processes that never come to rest (Go's heap grows and shrinks) are taken as they are after this.
const PATIENCE: Duration = Duration::from_secs(20);
/// What counts as no change.
const TOLERANCE: f64 = 0.01;

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Resident {
    /// All of it: code, files and heap.
    pub(crate) total: f64,
    /// Without what is backed by files, and so can be dropped and read again.
    pub(crate) anonymous: f64,
}

impl Add for Resident {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            anonymous: self.anonymous + other.anonymous,
        }
    }
}

/// The memory of these processes together once it has come to rest.
pub(crate) fn at_rest(pids: &[u32]) -> Result<Resident> {
    let give_up = Instant::now() + PATIENCE;
    let mut reference = now(pids)?;
    let mut quiet_since = Instant::now();
    while quiet_since.elapsed() < QUIET && Instant::now() < give_up {
        thread::sleep(Duration::from_millis(100));
        let current = now(pids)?;
        if (current.total - reference.total).abs() > reference.total * TOLERANCE {
            reference = current;
            quiet_since = Instant::now();
        }
    }
    now(pids)
}

/// The processes in a network namespace, given as `/proc/PID/ns/net`.
pub(crate) fn processes_in(namespace: &Path) -> Result<Vec<u32>> {
    let what = || format!("read {}", namespace.display());
    let wanted = fs::read_link(namespace).with_context(what)?;
    let mut pids = Vec::new();
    for process in fs::read_dir("/proc").context("read /proc")?.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // One that has ended meanwhile is in none.
        if fs::read_link(process.path().join("ns/net")).is_ok_and(|it| it == wanted) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

fn now(pids: &[u32]) -> Result<Resident> {
    let mut sum = Resident::default();
    for pid in pids {
        let file = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
        sum = sum + parse(&status).with_context(|| format!("read {file}"))?;
    }
    Ok(sum)
}

fn parse(status: &str) -> Result<Resident> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let Some(kibibytes) = line.and_then(|rest| rest.trim().strip_suffix(" kB")) else {
            bail!("no {name}")
        };
        Ok(kibibytes.parse::<f64>()? * 1024.0)
    };
    Ok(Resident {
        total: field("VmRSS:")?,
        anonymous: field("RssAnon:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_kibibytes_become_bytes() {
        let status = "Name:\tx\nVmRSS:\t   12000 kB\nRssAnon:\t    4000 kB\n";
        let resident = parse(status).unwrap();
        assert_eq!(resident.total, 12_288_000.0);
        assert_eq!(resident.anonymous, 4_096_000.0);
    }

    #[test]
    fn this_process_is_in_its_own_network() {
        let namespace = Path::new("/proc/self/ns/net");
        let processes = processes_in(namespace).unwrap();
        assert!(processes.contains(&std::process::id()));
    }

    #[test]
    fn a_process_that_has_ended_has_no_memory() {
        assert!(parse("Name:\tx\nState:\tZ (zombie)\n").is_err());
    }
}
