//! What containers print, as the kubelet keeps it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::Node;
use crate::process::tail;
use crate::wait::wait_for;

impl Node {
    /// The log of a static pod's container since its last restart, or nothing before its first line.
    ///
    /// `pod` is the name in the manifest, without the node's.
    #[must_use]
    pub fn container_log(&self, namespace: &str, pod: &str, container: &str) -> Option<String> {
        self.api_pod_log(namespace, &format!("{pod}-{}", self.name()), container)
    }

    /// As [`Node::container_log`], for a pod of the API server, which has no node's name behind its own.
    #[must_use]
    pub fn api_pod_log(&self, namespace: &str, pod: &str, container: &str) -> Option<String> {
        let prefix = format!("{namespace}_{pod}_");
        let folders = fs::read_dir(self.pod_logs()).ok()?;
        let mut logs: Vec<PathBuf> = folders
            .flatten()
            .filter(|folder| folder.file_name().to_string_lossy().starts_with(&prefix))
            .filter_map(|folder| newest_log(&folder.path().join(container)))
            .collect();
        logs.sort_by_key(|log| log.metadata().and_then(|data| data.modified()).ok());
        let text = fs::read_to_string(logs.last()?).ok()?;
        Some(without_prefixes(&text)).filter(|text| !text.is_empty())
    }

    /// Waits for the first line that a pod's container prints, and returns it.
    ///
    /// # Errors
    /// Fails when there is none in time.
    pub fn first_line(&self, pod: &str, container: &str, limit: Duration) -> Result<String> {
        let what = format!("container {container} of pod {pod} prints a line");
        wait_for(limit, &what, || {
            let log = self.container_log("default", pod, container)?;
            log.split_once('\n').map(|(line, _)| line.to_owned())
        })
        .with_context(|| {
            format!(
                "the kubelet's log ends with:\n{}",
                tail(&self.kubelet_log(), 15)
            )
        })
    }
}

/// The log of the highest restart count in a container's folder.
fn newest_log(folder: &Path) -> Option<PathBuf> {
    let number = |path: &Path| path.file_stem()?.to_str()?.parse::<u32>().ok();
    let logs = fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    logs.filter(|path| number(path).is_some())
        .max_by_key(|path| number(path))
}

/// The lines of a CRI log without time, stream and tag.
fn without_prefixes(log: &str) -> String {
    let complete = log.rsplit_once('\n').map_or("", |(lines, _)| lines);
    complete
        .lines()
        .filter_map(|line| line.splitn(4, ' ').nth(3))
        .fold(String::new(), |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_that_is_still_written_is_left_out() {
        let log = "2026-01-01T00:00:00Z stdout F hello world\n2026-01-01T00:00:01Z stdout F ha";
        assert_eq!(without_prefixes(log), "hello world\n");
        assert_eq!(without_prefixes(""), "");
    }

    #[test]
    fn the_log_after_most_restarts_is_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["2.log", "10.log", "10.log.gz", "x.log"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(
            newest_log(folder.path()),
            Some(folder.path().join("10.log"))
        );
    }
}
