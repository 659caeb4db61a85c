//! A cluster's configuration, read and checked.
//!
//! `load/parse.rs` makes the file's types of its text, `load/check.rs` and what is below it say what is wrong with the
//! values, all at once, and `load/resolve.rs` fills in what follows from the rest.

mod arguments;
mod check;
mod error;
mod network;
mod nodes;
mod parse;
mod resolve;
#[cfg(test)]
mod tests;
mod volumes;

use std::{
    fmt, fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

pub use error::{ConfigurationError, Fault, Place};

use seedpod_manifest::Places;

use super::{ClusterConfiguration, Component, NodeConfiguration, subnet::Subnet, version::Version};

/// What the programs take by themselves.
const CONTROLLER_MANAGER_PORT: u16 = 10257;
const SCHEDULER_PORT: u16 = 10259;

/// A `cluster.yaml` that has passed all checks.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says, with every default filled in that follows from it, and every path absolute.
    pub configuration: ClusterConfiguration,
    /// The folder of the file.
    pub folder: PathBuf,
    /// The version of the control plane.
    pub version: Version,
    /// Where clients outside of the control plane's nodes reach the API.
    pub endpoint: ApiEndpoint,
    /// The subnets of services, one per IP family.
    pub service_subnets: Vec<Subnet>,
    /// The subnets of pods, one per IP family; none when the controller manager is to allocate none.
    pub pod_subnets: Vec<Subnet>,
    /// `sha256:` and the digest of what the file says, by which one sees whether it has changed.
    pub digest: String,
    /// What is allowed, but seldom meant.
    pub warnings: Vec<Fault>,
}

/// `https://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiEndpoint {
    /// A name or an address; one of IPv6 is without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for ApiEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "https://[{host}]:{port}")
        } else {
            write!(f, "https://{host}:{port}")
        }
    }
}

impl ClusterConfiguration {
    /// A file with comments to start from, which loads as it is.
    pub const EXAMPLE: &str = include_str!("example.yaml");

    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigurationError`], with every fault that was found.
    pub fn load(path: impl AsRef<Path>) -> Result<Loaded, ConfigurationError> {
        let path = path.as_ref();
        let read = |source| ConfigurationError::Read {
            path: path.to_owned(),
            source,
        };
        let text = fs::read_to_string(path).map_err(read)?;
        let absolute = std::path::absolute(path).map_err(read)?;
        let folder = absolute.parent().unwrap_or(Path::new("/"));
        Self::parse(path, &text)?.check(path, folder, Places::of(&text).as_ref())
    }

    /// Checks what was made by a program, as [`load`](Self::load) does with a file in the folder.
    ///
    /// # Errors
    /// [`ConfigurationError::Invalid`], with every fault that was found.
    pub fn into_loaded(self, folder: impl AsRef<Path>) -> Result<Loaded, ConfigurationError> {
        self.check(Path::new("the configuration"), folder.as_ref(), None)
    }

    fn check(
        self,
        path: &Path,
        folder: &Path,
        places: Option<&Places>,
    ) -> Result<Loaded, ConfigurationError> {
        let mut findings = Findings::default();
        let checked = check::check(&self, folder, &mut findings);
        if let Some(places) = places {
            findings.locate(places);
        }
        match checked {
            Some(checked) if findings.faults.is_empty() => {
                Ok(resolve::resolve(self, folder, checked, findings.warnings))
            }
            _ => Err(ConfigurationError::Invalid {
                path: path.to_owned(),
                faults: findings.faults,
            }),
        }
    }
}

/// What the checks have found.
#[derive(Debug, Default)]
struct Findings {
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
}

impl Findings {
    /// In the order of the file, too.
    fn locate(&mut self, places: &Places) {
        for found in [&mut self.faults, &mut self.warnings] {
            for fault in found.iter_mut() {
                let at = places.find(&fault.field);
                fault.place = Some(Place {
                    line: at.line,
                    column: at.column,
                });
            }
            found.sort_by_key(|fault| fault.place);
        }
    }

    fn fault(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault {
            field: field.into(),
            message: message.into(),
            place: None,
        });
    }

    fn warning(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Fault {
            field: field.into(),
            message: message.into(),
            place: None,
        });
    }
}

impl Loaded {
    /// The nodes of the control plane, in the order of the file.
    pub fn control_plane(&self) -> impl Iterator<Item = &NodeConfiguration> {
        let nodes = self.configuration.nodes.iter();
        nodes.filter(|node| node.control_plane)
    }

    /// The nodes with a member of etcd; none when etcd is external.
    pub fn etcd_members(&self) -> impl Iterator<Item = &NodeConfiguration> {
        let nodes = self.configuration.nodes.iter();
        nodes.filter(|node| node.etcd == Some(true))
    }

    /// The image of `etcd`, `kube-apiserver`, `kube-controller-manager` or `kube-scheduler`.
    pub fn image(&self, program: Program) -> &str {
        let images = &self.configuration.images;
        let image = match program {
            Program::Etcd => &images.etcd,
            Program::ApiServer => &images.kube_apiserver,
            Program::ControllerManager => &images.kube_controller_manager,
            Program::Scheduler => &images.kube_scheduler,
        };
        image.as_deref().unwrap_or_default()
    }

    /// The port that a program of the control plane serves on.
    pub fn port(&self, program: Program) -> u16 {
        let Self { configuration, .. } = self;
        match program {
            Program::Etcd => configuration.etcd.client_port,
            Program::ApiServer => configuration.api_server.port,
            Program::ControllerManager => {
                (configuration.controller_manager.port).unwrap_or(CONTROLLER_MANAGER_PORT)
            }
            Program::Scheduler => configuration.scheduler.port.unwrap_or(SCHEDULER_PORT),
        }
    }

    /// How many pods of the controller manager or the scheduler the cluster runs.
    pub fn replicas(&self, component: &Component) -> u32 {
        let nodes = u32::try_from(self.control_plane().count()).unwrap_or(u32::MAX);
        component.replicas.unwrap_or(nodes)
    }

    /// The address of the service `default/kubernetes` in each IP family, the primary one first.
    pub fn service_addresses(&self) -> Vec<IpAddr> {
        let subnets = self.service_subnets.iter();
        subnets.filter_map(|subnet| subnet.nth(1)).collect()
    }

    /// The API server on this very node of the control plane, `https://127.0.0.1:PORT`.
    pub fn local_server(&self) -> String {
        format!("https://127.0.0.1:{}", self.port(Program::ApiServer))
    }
}

/// A program of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// `etcd`.
    Etcd,
    /// `kube-apiserver`.
    ApiServer,
    /// `kube-controller-manager`.
    ControllerManager,
    /// `kube-scheduler`.
    Scheduler,
}
