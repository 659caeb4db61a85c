#![allow(
    clippy::disallowed_methods,
    reason = "tests write their own scratch files"
)]

mod chains;
mod keys;
mod own;
mod unfit;

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::cluster::{ClusterConfiguration, Loaded, RenderError, Rendered, Written, render};

/// A node of the control plane and a worker.
const CLUSTER: &str = "\
apiVersion: seedpod.dev/v1alpha1
kind: ClusterConfiguration
name: demo
kubernetesVersion: v1.37.2
controlPlaneEndpoint: https://api.example:6443
apiServer: {certSANs: ['*.more.example', 'fd00::9']}
nodes:
- {name: one, address: 192.0.2.1, controlPlane: true}
- {name: two.example, address: 192.0.2.2}
";

/// A folder for one cluster.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a scratch folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("out").join(name)
    }

    fn load(&self, more: &str) -> Loaded {
        let file = self.0.path().join("cluster.yaml");
        fs::write(&file, format!("{CLUSTER}{more}")).expect("written");
        ClusterConfiguration::load(&file).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_render(&self, more: &str) -> Result<Rendered, RenderError> {
        render(&self.load(more), &self.path(""))
    }

    fn render(&self, more: &str) -> Rendered {
        self.try_render(more)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// What does not fit: the files within the folder with the messages.
    fn unfit(&self, more: &str) -> Vec<(String, String)> {
        let before = snapshot(&self.path(""));
        let files = match self.try_render(more) {
            Err(RenderError::Unfit { files }) => files,
            other => panic!("{other:?}"),
        };
        assert_eq!(snapshot(&self.path("")), before, "nothing is written");
        let relative = |path: &Path| {
            let path = path.strip_prefix(self.path("pki")).unwrap_or(path);
            path.display().to_string()
        };
        let files = files.into_iter();
        files
            .map(|file| (relative(&file.path), file.message))
            .collect()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn remove(&self, names: &[&str]) {
        for name in names {
            fs::remove_file(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

/// All files with their contents, but for the lock.
fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with(".seedpod-lock") {
                let content = fs::read(&path).expect("read");
                files.push((path, content));
            }
        }
    }
    files.sort();
    files
}

fn made(rendered: &Rendered) -> Vec<&str> {
    let written = rendered.written.iter();
    written
        .filter(|(_, written)| **written != Written::Kept)
        .map(|(path, _)| path.as_str())
        .collect()
}
