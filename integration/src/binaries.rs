//! The programs of a node: found, or built once from pinned Go modules.
//!
//! A program is looked for in this order: the environment variable named by [`Tool::variable`]; `PATH`,
//! when the version is the pinned one; the cache; and otherwise it is built into the cache.

mod build;
mod modules;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

pub(crate) use modules::Module;

/// A program that a rig uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "every variant is the program of that name")]
pub enum Tool {
    Kubelet,
    KubeApiserver,
    KubeControllerManager,
    KubeScheduler,
    Kubectl,
    Etcd,
    Etcdctl,
    Grpcurl,
    Containerd,
    ContainerdShimRuncV2,
    Ctr,
    Agnhost,
    E2e,
}

impl Tool {
    /// All tools.
    pub const ALL: [Self; 13] = [
        Self::Kubelet,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubectl,
        Self::Etcd,
        Self::Etcdctl,
        Self::Grpcurl,
        Self::Containerd,
        Self::ContainerdShimRuncV2,
        Self::Ctr,
        Self::Agnhost,
        Self::E2e,
    ];

    /// What a node without an API server needs.
    pub const NODE: [Self; 4] = [
        Self::Kubelet,
        Self::Containerd,
        Self::ContainerdShimRuncV2,
        Self::Ctr,
    ];

    /// The file name of the program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Etcd => "etcd",
            Self::Etcdctl => "etcdctl",
            Self::Grpcurl => "grpcurl",
            Self::Containerd => "containerd",
            Self::ContainerdShimRuncV2 => "containerd-shim-runc-v2",
            Self::Ctr => "ctr",
            Self::Agnhost => "agnhost",
            Self::E2e => "e2e",
        }
    }

    /// The tool with this file name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// The environment variable that names the program to use, of whatever version it is.
    #[must_use]
    pub fn variable(self) -> String {
        format!(
            "SEEDPOD_RIG_{}",
            self.name().to_uppercase().replace('-', "_")
        )
    }

    fn module(self) -> &'static str {
        match self {
            Self::Kubelet
            | Self::KubeApiserver
            | Self::KubeControllerManager
            | Self::KubeScheduler
            | Self::Kubectl
            | Self::Agnhost => "kubernetes",
            // It has requirements of its own, which would have the others built anew.
            Self::E2e => "e2e",
            Self::Etcd | Self::Etcdctl | Self::Grpcurl => "etcd",
            Self::Containerd | Self::ContainerdShimRuncV2 | Self::Ctr => "containerd",
        }
    }

    /// The Go module whose version is the tool's.
    fn requirement(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::Etcdctl => "go.etcd.io/etcd/etcdctl/v3",
            Self::Grpcurl => "github.com/fullstorydev/grpcurl",
            Self::Containerd | Self::ContainerdShimRuncV2 | Self::Ctr => {
                "github.com/containerd/containerd/v2"
            }
            Self::Kubelet
            | Self::KubeApiserver
            | Self::KubeControllerManager
            | Self::KubeScheduler
            | Self::Kubectl
            | Self::Agnhost
            | Self::E2e => "k8s.io/kubernetes",
        }
    }

    fn package(self) -> String {
        match self {
            Self::Etcd | Self::Etcdctl => self.requirement().to_owned(),
            Self::Agnhost => format!("{}/test/images/agnhost", self.requirement()),
            Self::E2e => format!("{}/test/e2e", self.requirement()),
            _ => format!("{}/cmd/{}", self.requirement(), self.name()),
        }
    }

    /// The linker's settings: `go build` alone leaves these programs without a version.
    fn linker_flags(self, version: &str) -> String {
        let bare = version.trim_start_matches('v');
        let stamp = match self {
            Self::Etcd | Self::Etcdctl => String::new(),
            Self::Grpcurl => format!(" -X main.version={version}"),
            Self::Agnhost => format!(" -X main.Version={bare}"),
            Self::Containerd | Self::ContainerdShimRuncV2 | Self::Ctr => {
                format!(" -X {}/version.Version={bare}", self.requirement())
            }
            _ => format!(" -X k8s.io/component-base/version.gitVersion={version}"),
        };
        format!("-s -w{stamp}")
    }

    /// How `go` makes it. The end-to-end tests are no program but a package's tests.
    fn build_command(self) -> &'static [&'static str] {
        match self {
            Self::E2e => &["test", "-c", "-vet=off"],
            _ => &["build", "-v"],
        }
    }

    fn version_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Kubectl => &["version", "--client"],
            Self::Etcdctl => &["version"],
            Self::Grpcurl => &["-version"],
            Self::ContainerdShimRuncV2 => &["-v"],
            _ => &["--version"],
        }
    }
}

/// The path of a program, which is built first when it is nowhere to be found.
///
/// # Errors
/// Fails when the environment variable names no program, when Go is missing, or when the build fails.
pub fn find(tool: Tool) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(tool.variable()) {
        // No symbolic link is followed: containerd knows its shim by the name of the file.
        let path = std::path::absolute(&path).context("find the current folder")?;
        if !path.is_file() {
            bail!(
                "{}={}: there is no such file",
                tool.variable(),
                path.display()
            );
        }
        return Ok(path);
    }
    let module = Module::open(tool.module())?;
    let version = module.version(tool.requirement())?;
    if let Some(path) = in_path(tool.name())
        && has_version(&path, tool, &version)
    {
        return Ok(path);
    }
    build::cached_or_built(tool, &module, &version)
}

/// The paths of several programs, in the order asked for.
///
/// # Errors
/// As [`find`].
pub fn find_all(tools: &[Tool]) -> Result<Vec<PathBuf>> {
    tools.iter().map(|tool| find(*tool)).collect()
}

/// The first executable file of this name in `PATH` or in the folders for administrators.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/go/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|folder| folder.join(name))
        .find(|file| {
            rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
        })
}

/// Whether the program says that it has this version. One that can't say it has not.
fn has_version(path: &Path, tool: Tool, version: &str) -> bool {
    let mut command = Command::new(path);
    command.args(tool.version_arguments()).stdin(Stdio::null());
    let Ok(output) = command.output() else {
        return false;
    };
    let text = [output.stdout, output.stderr].concat();
    says_version(&String::from_utf8_lossy(&text), version)
}

fn says_version(text: &str, version: &str) -> bool {
    let bare = version.trim_start_matches('v');
    text.split_whitespace()
        .map(|word| word.trim_start_matches('v'))
        .any(|word| {
            word == bare
                || word
                    .strip_prefix(bare)
                    .is_some_and(|rest| rest.starts_with('+'))
        })
}

/// The folder of the cache: `SEEDPOD_RIG_CACHE`, or `seedpod/rig` in the user's cache folder.
pub(crate) fn cache() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("SEEDPOD_RIG_CACHE") {
        return Ok(PathBuf::from(folder));
    }
    if let Some(folder) = std::env::var_os("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(folder).join("seedpod/rig"));
    }
    match std::env::home_dir() {
        Some(home) => Ok(home.join(".cache/seedpod/rig")),
        None => bail!("no folder for the cache: set SEEDPOD_RIG_CACHE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_must_match_whole() {
        assert!(says_version("Kubernetes v1.37.2\n", "v1.37.2"));
        assert!(says_version("containerd x/v2 2.4.2+unknown abc", "v2.4.2"));
        assert!(!says_version("Kubernetes v1.37.20", "v1.37.2"));
        assert!(!says_version("etcd Version: 3.4.23", "v3.7.3"));
    }

    #[test]
    fn every_tool_has_a_pinned_version_and_a_tool_line() {
        for tool in Tool::ALL {
            let module = Module::open(tool.module()).unwrap();
            assert!(module.version(tool.requirement()).unwrap().starts_with('v'));
            assert!(module.has_tool(&tool.package()), "{}", tool.package());
            assert_eq!(Tool::from_name(tool.name()), Some(tool));
        }
    }

    #[test]
    fn the_variable_of_a_tool_is_its_name_in_capitals() {
        assert_eq!(Tool::KubeApiserver.variable(), "SEEDPOD_RIG_KUBE_APISERVER");
    }
}
