//! The sections for a kubelet that joins a cluster, and leaves it again.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{KubeletFiles, value::AbsolutePath};

/// What `ResetNode` may remove when nothing is said.
const DEFAULT_DIRECTORY: &str = "/var/lib/etcd";

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct KubeletSection {
    kubeconfig_file: Option<AbsolutePath>,
    bootstrap_kubeconfig_file: Option<AbsolutePath>,
    #[serde(rename = "clientCAFile")]
    client_ca_file: Option<AbsolutePath>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ResetSection {
    directories: Option<Vec<AbsolutePath>>,
}

impl KubeletSection {
    /// `own` are directories of Seedpod's own, with their keys.
    pub(super) fn check(self, own: &[(&str, &Path)]) -> Result<KubeletFiles, String> {
        let files = KubeletFiles {
            kubeconfig: self.kubeconfig_file.map(|path| path.0),
            bootstrap_kubeconfig: self.bootstrap_kubeconfig_file.map(|path| path.0),
            client_ca: self.client_ca_file.map(|path| path.0),
        };
        let named = [
            ("kubelet.kubeconfigFile", &files.kubeconfig),
            (
                "kubelet.bootstrapKubeconfigFile",
                &files.bootstrap_kubeconfig,
            ),
            ("kubelet.clientCAFile", &files.client_ca),
        ];
        let given: Vec<(&str, &PathBuf)> = named
            .into_iter()
            .filter_map(|(key, path)| Some((key, path.as_ref()?)))
            .collect();
        for (at, (key, path)) in given.iter().enumerate() {
            if path.parent().is_none_or(|folder| folder.parent().is_none()) {
                return Err(format!(
                    "{key}: must be a file in a directory that is not \"/\", such as /etc/kubernetes/kubelet.conf"
                ));
            }
            if let Some((directory, _)) = own.iter().find(|(_, it)| path.starts_with(it)) {
                return Err(format!(
                    "{key}: must not be within {directory}, where everything is a pod or Seedpod's own; write another \
                     path, such as /etc/kubernetes/kubelet.conf"
                ));
            }
            if let Some((other, _)) = given[..at].iter().find(|(_, it)| it == path) {
                return Err(format!(
                    "{key}: is the same file as {other}; each needs one of its own"
                ));
            }
        }
        Ok(files)
    }
}

impl ResetSection {
    /// `own` are directories of Seedpod's own, with their keys.
    pub(super) fn check(
        self,
        own: &[(&str, &Path)],
        kubelet_root: &Path,
    ) -> Result<Vec<PathBuf>, String> {
        let Some(given) = self.directories else {
            return Ok(vec![DEFAULT_DIRECTORY.into()]);
        };
        let directories: Vec<PathBuf> = given.into_iter().map(|path| path.0).collect();
        for (at, path) in directories.iter().enumerate() {
            let key = format!("reset.directories[{at}]");
            if path.parent().is_none_or(|folder| folder.parent().is_none()) {
                return Err(format!(
                    "{key}: {} is too much to be removed; name a directory two levels down or more, such as \
                     {DEFAULT_DIRECTORY}",
                    path.display()
                ));
            }
            let kept = own
                .iter()
                .copied()
                .chain([("kubeletRootDirectory", kubelet_root)])
                .find(|(_, it)| it.starts_with(path) || path.starts_with(it));
            if let Some((directory, _)) = kept {
                return Err(format!(
                    "{key}: {} must be apart from {directory}, which a reset keeps; name the directory that is meant, \
                     such as {DEFAULT_DIRECTORY}",
                    path.display()
                ));
            }
        }
        Ok(directories)
    }
}
