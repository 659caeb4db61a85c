//! The files of one attempt of a container, as they lie in its folder.
//!
//! The runtime writes `<attempt>.log`. When that has become large, the kubelet renames it to `<attempt>.log.<time>` and
//! asks the runtime to begin a new one; at the next time it compresses it to `<attempt>.log.<time>.gz`, by way of a
//! `.tmp`, and removes the oldest ones.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use super::file::{Identity, identity};

/// A file as it was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) identity: Identity,
    pub(super) is_compressed: bool,
}

/// The files of an attempt, oldest first. None when the folder is gone.
pub(super) fn list(folder: &Path, base: &str) -> io::Result<Vec<Listed>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    // By the time in the name. A file and its compressed copy may both be there; the file is as good.
    let mut rotated: BTreeMap<String, Listed> = BTreeMap::new();
    let mut current = None;
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let Some(rest) = name.strip_prefix(base) else {
            continue;
        };
        if !rest.is_empty() && (!rest.starts_with('.') || rest.ends_with(".tmp")) {
            continue;
        }
        // Not of the link, when it is one.
        let metadata = match fs::metadata(entry.path()) {
            // Renamed or removed in the meantime.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        let compressed = rest.strip_suffix(".gz");
        let time = compressed.unwrap_or(rest).to_owned();
        let is_current = rest.is_empty();
        let listed = Listed {
            identity: identity(&metadata),
            is_compressed: compressed.is_some(),
            name,
        };
        if is_current {
            current = Some(listed);
        } else if !(listed.is_compressed && rotated.contains_key(&time)) {
            rotated.insert(time, listed);
        }
    }
    Ok(rotated.into_values().chain(current).collect())
}

/// The attempts that have files in a folder, in order.
pub(super) fn attempts(folder: &Path) -> io::Result<Vec<u32>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut attempts = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let attempt = name
            .to_str()
            .and_then(|name| name.split_once(".log"))
            .filter(|(_, rest)| rest.is_empty() || rest.starts_with('.'))
            .and_then(|(attempt, _)| attempt.parse::<u32>().ok());
        attempts.extend(attempt);
    }
    attempts.sort_unstable();
    attempts.dedup();
    Ok(attempts)
}
