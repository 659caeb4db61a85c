//! From a `cluster.yaml` to a self-hosted control plane.
//!
//! [`ClusterConfiguration`] is the file; rendering writes everything that follows from it into a folder, without
//! touching a node; the phases of bringing it up read that folder.

mod configuration;

pub use configuration::{
    AdmittedKubelet, ApiServer, Certificates, ClusterConfiguration, Component, Etcd, ExternalEtcd,
    Images, KubeletSettings, Level, Networking, NodeConfiguration, SeedpodAccess,
};
