//! `render.yaml`: what the folder was rendered from, and which of its files came of it.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Component, Path},
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Files, RenderError, UnfitFile, Writer, Written};
use crate::cluster::Loaded;

pub(super) const FILE: &str = "render.yaml";
const API_VERSION: &str = "seedpod.dev/v1alpha1";
const KIND: &str = "RenderedCluster";

/// Without a time, so that a second time makes no change.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    api_version: String,
    kind: String,
    cluster: String,
    seedpod_version: String,
    kubernetes_version: String,
    configuration_digest: String,
    files: Vec<String>,
}

/// What an earlier rendering has left.
pub(super) struct Inventory(Option<Record>);

impl Inventory {
    /// # Errors
    /// [`RenderError::Unfit`] when the folder is another cluster's: its keys must not become this one's.
    pub(super) fn read(directory: &Path, cluster: &str) -> Result<Self, RenderError> {
        let path = directory.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self(None)),
            Err(source) => return Err(RenderError::Read { path, source }),
        };
        let unfit = |message| {
            let path = path.clone();
            Err(RenderError::Unfit {
                files: vec![UnfitFile { path, message }],
            })
        };
        let Ok(record) = serde_saphyr::from_str::<Record>(&text) else {
            return unfit("it is not what seedpod has written; remove it".to_owned());
        };
        if record.api_version != API_VERSION || record.kind != KIND {
            return unfit(format!(
                "it is not of apiVersion {API_VERSION} and kind {KIND}; use the seedpod that wrote it, or another folder"
            ));
        }
        if record.cluster != cluster {
            return unfit(format!(
                "the folder is of the cluster {}, not of {cluster}; give another folder",
                record.cluster
            ));
        }
        Ok(Self(Some(record)))
    }

    /// Notes which files are about to be written, so that what an interrupted rendering leaves is known to the next one.
    pub(super) fn announce(
        &self,
        writer: &Writer,
        loaded: &Loaded,
        files: &Files,
    ) -> Result<Option<Written>, RenderError> {
        let Self(Some(record)) = self else {
            return writer.write(FILE, &self::record(loaded, files)).map(Some);
        };
        let known: BTreeSet<&String> = record.files.iter().collect();
        let new: Vec<&String> = files.keys().filter(|path| !known.contains(path)).collect();
        if new.is_empty() {
            return Ok(None);
        }
        let mut record = record.clone();
        record.files.extend(new.into_iter().cloned());
        writer.write(FILE, &text(&record)).map(Some)
    }

    /// Files of an earlier rendering that are not among these.
    pub(super) fn stale<'a>(&'a self, files: &'a Files) -> impl Iterator<Item = &'a String> {
        let listed = self.0.iter().flat_map(|record| &record.files);
        listed.filter(|path| !files.contains_key(*path) && is_rendered(path))
    }
}

/// Whether a path can be one that was rendered, whatever somebody has written into the list: `pki` is never cleaned up.
fn is_rendered(path: &str) -> bool {
    const FOLDERS: [&str; 5] = [
        "addons",
        "bootstrap",
        "bundles",
        "kubeconfigs",
        "self-hosted",
    ];
    let mut components = Path::new(path).components();
    let known = matches!(components.next(), Some(Component::Normal(first)) if FOLDERS.iter().any(|folder| first == *folder));
    let rest: Vec<Component<'_>> = components.collect();
    known
        && !rest.is_empty()
        && rest
            .iter()
            .all(|component| matches!(component, Component::Normal(_)))
}

pub(super) fn record(loaded: &Loaded, files: &Files) -> Zeroizing<String> {
    text(&Record {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        cluster: loaded.configuration.name.clone(),
        seedpod_version: env!("CARGO_PKG_VERSION").to_owned(),
        kubernetes_version: loaded.version.to_string(),
        configuration_digest: loaded.digest.clone(),
        files: files.keys().cloned().collect(),
    })
}

fn text(record: &Record) -> Zeroizing<String> {
    // Nothing in it can fail to be written as YAML: it is all strings.
    let yaml = serde_saphyr::to_string(record).unwrap_or_default();
    Zeroizing::new(format!(
        "# What seedpod has rendered into this folder. The files in pki are kept by a second rendering, these are replaced.\n\
         {yaml}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_have_been_rendered_is_cleaned_up() {
        for path in ["bundles/a/etcd/10-etcd.yaml", "self-hosted/10-rbac.yaml"] {
            assert!(is_rendered(path), "{path}");
        }
        for path in [
            "pki/ca.key",
            "bundles",
            "bundles/../pki/ca.key",
            "/etc/passwd",
            "render.yaml",
            "",
            "../bundles/x",
        ] {
            assert!(!is_rendered(path), "{path}");
        }
    }
}
