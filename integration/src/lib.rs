//! A real node, made from nothing under one folder, for the tests, the quickstart and the benchmarks.
//!
//! * [`binaries`] finds the programs that a node needs, or builds them once from the Go modules in
//!   `hack/rig` into a cache outside the checkout; [`packages`] does the same for Debian packages.
//! * [`Node`] starts containerd and a kubelet (optionally etcd and kube-apiserver) and stops them again.
//! * [`Seedpodd`] starts the daemon against a node, with certificates from [`pki`].
//! * [`wait_until`] and [`wait_for`] are the only ways in which anything here waits.
//!
//! # How a node is kept apart and cleaned up
//!
//! A kubelet and a containerd have paths that no setting moves (`/var/lib/kubelet/device-plugins`,
//! `/run/containerd/s`, `/var/lib/cni`, `/var/log/containers`). Every node therefore has its own mount
//! namespace, where those are private, so that nodes run side by side and beside a real one. All mounts
//! of a node are in it and end with its last process. Every process of a node, whether started here, by
//! containerd or in a container, is in a cgroup named after the node's folder: that is how they
//! are found again, even when the process that started them was killed half way. A *guard* process that
//! outlives its parent tears a [`Node`] down when the parent ends in any way.
//!
//! This crate is test support, so its errors are [`anyhow`]'s, except that each says what was tried.
#![allow(
    clippy::disallowed_methods,
    reason = "the ban is for the daemon's state; a rig's files need not survive a power cut"
)]

pub mod binaries;
mod cargo;
mod cgroup;
pub mod cluster;
mod cri;
mod ctr;
mod guard;
mod http;
pub mod images;
mod layout;
mod network;
mod node;
pub mod packages;
pub mod pki;
mod ports;
pub mod prober;
mod process;
mod progress;
mod seedpodd;
mod state;
mod wait;

pub use cargo::workspace_binary;
pub use cri::{Cri, KubeletPods};
pub use ctr::{Container, ContainerKind};
pub use guard::run as run_guard;
pub use http::{HttpClient, Response};
pub use layout::Layout;
pub use node::{
    ApiServer, ApiServerStart, ControlPlane, ExternalEtcd, Node, NodeNetwork, NodeOptions,
};
pub use ports::free_ports;
pub use process::ProcessRecord;
pub use seedpodd::{Seedpodd, SeedpoddOptions};
pub use state::KubeletAccess;
pub use wait::{wait_for, wait_until};
