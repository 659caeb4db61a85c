//! From a `cluster.yaml` to a self-hosted control plane.
//!
//! [`ClusterConfiguration`] is the file, which [`ClusterConfiguration::load`] reads and checks; [`render`] writes
//! everything that follows from it into a folder, without touching a node; the phases of bringing it up read that
//! folder.
//!
//! Inside, `pki` has keys and certificates, `kubeconfig` what clients are given, `bundles` what is injected and
//! `objects` what is applied.

mod bundles;
mod configuration;
mod digest;
mod flags;
mod kubeconfig;
mod load;
mod names;
mod objects;
mod pki;
mod programs;
mod render;
mod subnet;
mod up;
mod version;
mod yaml;

pub use bundles::{CONTROL_PLANE_BUNDLE, ETCD_BUNDLE};
pub use configuration::{
    AdmittedKubelet, ApiServer, Certificates, ClusterConfiguration, Component, Etcd, ExternalEtcd,
    HostPathMount, Images, KubeletSettings, Level, Networking, NodeConfiguration, SeedpodAccess,
};
pub use kubeconfig::Kubeconfigs;
pub use load::{ApiEndpoint, ConfigurationError, Fault, Loaded, Place, Program};
pub use pki::{Authority, BootstrapToken, EtcdClient, EtcdMember, KeyPair, Pair, Pki};
pub use render::{
    Files, HandoffComponent, HandoffKind, NodeHandoff, RenderError, Rendered, RenderedBundle,
    UnfitFile, Written, render,
};
pub use subnet::Subnet;
pub use up::{
    ApiError, AppliedAddons, AppliedCount, CheckedNode, ConfiguredNode, ConfiguredNodes, Down,
    Finding, HandedOver, InjectedBundle, Installer, Lock, NoSuchPhase, Outcome, Phase, Preflight,
    Progress, ProgressKind, ReadyApi, RegisteredNode, ResetDoneNode, Severity, UpError, Verified,
    VerifiedLease, VerifiedNode,
};
pub use version::{SkewError, Version, check_skew};
