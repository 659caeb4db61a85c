//! When a container printed its first line, as the container runtime stamped it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::pods::CONTAINER;

/// The longest that a pod may take. Overwriting a manifest was seen to take 49 s.
const LIMIT: Duration = Duration::from_secs(150);
/// Looking costs a little of the two cores, and the time that counts is in the log.
const POLL: Duration = Duration::from_millis(5);

/// Waits for the first line of the container of the pod with this uid.
pub(crate) fn first_line(pod_logs: &Path, uid: &str) -> Result<SystemTime> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(line) = read_first_line(pod_logs, uid) {
            return stamp(&line);
        }
        if Instant::now() >= deadline {
            bail!("pod {uid} has printed nothing within {LIMIT:?}");
        }
        thread::sleep(POLL);
    }
}

/// When a container that has ended printed its last line.
pub(crate) fn last_line(pod_logs: &Path, uid: &str) -> Result<SystemTime> {
    let log = read_log(pod_logs, uid).with_context(|| format!("pod {uid} has no log"))?;
    let last = log.lines().next_back();
    stamp(last.with_context(|| format!("pod {uid} has printed nothing"))?)
}

/// The time from `start` to a stamp of the same clock.
pub(crate) fn since(start: SystemTime, stamp: SystemTime) -> Result<Duration> {
    stamp
        .duration_since(start)
        .context("the line was printed before the start: was the clock set?")
}

/// The folder of a pod's logs is named NAMESPACE_NAME_UID.
fn read_log(pod_logs: &Path, uid: &str) -> Option<String> {
    let folder = fs::read_dir(pod_logs).ok()?.flatten().find(|folder| {
        let name = folder.file_name();
        name.to_string_lossy()
            .strip_suffix(uid)
            .is_some_and(|rest| rest.ends_with('_'))
    })?;
    fs::read_to_string(folder.path().join(CONTAINER).join("0.log")).ok()
}

fn read_first_line(pod_logs: &Path, uid: &str) -> Option<String> {
    let log = read_log(pod_logs, uid)?;
    log.split_once('\n').map(|(line, _)| line.to_owned())
}

fn stamp(line: &str) -> Result<SystemTime> {
    let text = line.split(' ').next().unwrap_or_default();
    OffsetDateTime::parse(text, &Rfc3339)
        .map(SystemTime::from)
        .with_context(|| format!("no time at the start of the log line {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_is_read_to_the_nanosecond_whatever_the_zone() {
        let utc = stamp("2026-01-01T00:00:00.000000001Z stdout F up").unwrap();
        let east = stamp("2026-01-01T02:00:00.5+02:00 stdout F up").unwrap();
        assert_eq!(since(utc, east).unwrap(), Duration::from_nanos(499_999_999));
        assert!(since(east, utc).is_err());
        assert!(stamp("up").is_err());
    }

    #[test]
    fn only_the_pod_with_that_very_uid_counts() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("default_a-node_x-1/main");
        fs::create_dir_all(&log).unwrap();
        fs::write(log.join("0.log"), "T stdout F up\nT stdout F").unwrap();
        let read = |uid: &str| read_first_line(folder.path(), uid);
        assert_eq!(read("x-1").as_deref(), Some("T stdout F up"));
        assert_eq!(read("1"), None);
        fs::write(log.join("0.log"), "T stdout F u").unwrap();
        assert_eq!(read("x-1"), None);
    }
}
