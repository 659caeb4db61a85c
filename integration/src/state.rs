//! What is recorded about a node, so that another process can use it and stop it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::network::{Network, Own};
use crate::process::ProcessRecord;

/// The content of `rig.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct State {
    pub(crate) node_name: String,
    /// The kernel's id of this boot: after another one no recorded process can live.
    pub(crate) boot_id: String,
    pub(crate) network: Network,
    /// The node's place in a network of its own; without one, the host's is the node's.
    #[serde(default)]
    pub(crate) own_network: Option<Own>,
    pub(crate) kubelet_port: u16,
    pub(crate) kubelet_read_only_port: u16,
    pub(crate) tools: BTreeMap<String, PathBuf>,
    pub(crate) processes: BTreeMap<String, ProcessRecord>,
    #[serde(default)]
    pub(crate) kubelet_uses_api_server: bool,
    /// How a bare kubelet lets callers in; without it, the kubelet is not bare.
    #[serde(default)]
    pub(crate) bare: Option<KubeletAccess>,
    /// Keys of the kubelet's configuration that are set to something else than usual.
    #[serde(default)]
    pub(crate) kubelet_config: Map<String, Value>,
    #[serde(default)]
    pub(crate) api_server: Option<ApiServerState>,
}

/// Whom a bare kubelet lets in once it has a kubeconfig. Before that it lets in everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KubeletAccess {
    /// Everybody, to everything.
    #[default]
    Anonymous,
    /// Whom the API server, or the authority of the client CA file, knows; the API server says what they may.
    Cluster,
}

/// Where a node's own API server is, or is to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ApiServerState {
    pub(crate) port: u16,
    pub(crate) etcd_ports: [u16; 2],
}

impl State {
    /// Reads the record. `None` when there is none, or when it was torn by a crash.
    pub(crate) fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let staged = file.with_extension("json.new");
        fs::write(&staged, serde_json::to_vec_pretty(self)?)
            .and_then(|()| fs::rename(&staged, file))
            .with_context(|| format!("write {}", file.display()))
    }

    /// Keeps apart those who read the record to change it. The lock ends with the returned file.
    pub(crate) fn lock(file: &Path) -> Result<File> {
        let lock = File::create(file).with_context(|| format!("open {}", file.display()))?;
        lock.lock()
            .with_context(|| format!("lock {}", file.display()))?;
        Ok(lock)
    }

    /// The address at which the host reaches the node.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.own_network
            .as_ref()
            .map_or(Ipv4Addr::LOCALHOST, |own| own.address)
    }

    /// The record of a process that still runs.
    pub(crate) fn alive(&self, process: &str) -> Option<ProcessRecord> {
        self.processes
            .get(process)
            .copied()
            .filter(ProcessRecord::is_alive)
    }
}

pub(crate) fn boot_id() -> Result<String> {
    let file = "/proc/sys/kernel/random/boot_id";
    Ok(fs::read_to_string(file)
        .with_context(|| format!("read {file}"))?
        .trim()
        .to_owned())
}
