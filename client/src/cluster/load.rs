//! A cluster's configuration, read and checked.

mod error;

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

pub use error::{ConfigurationError, Fault};

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
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigurationError`], with every fault that was found.
    pub fn load(path: impl AsRef<Path>) -> Result<Loaded, ConfigurationError> {
        let path = path.as_ref();
        let _ = path;
        unimplemented!()
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
