//! From an empty folder, or a half-started node, to a running one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use super::{CONTAINERD, KUBELET, NAMESPACE, Node, NodeNetwork, NodeOptions, teardown};
use crate::binaries::{self, Tool};
use crate::cgroup::Cgroup;
use crate::layout::Layout;
use crate::network::{Network, Own};
use crate::packages::{self, Package};
use crate::ports::free_ports;
use crate::process::ProcessRecord;
use crate::state::{State, boot_id};

impl Node {
    /// Starts what is missing. A node that runs already is taken as it is; of one that runs in part,
    /// everything is stopped first, and only its manifests and the daemon's files are kept.
    pub(super) fn bring_up(layout: Layout, options: &NodeOptions) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("a node needs root: its containers need mounts, cgroups and network interfaces");
        }
        options.check()?;
        packages::ensure(&Package::NODE)?;
        let tools = tools(options.api_server)?;
        let _lock = lock(&layout)?;
        if let Some(node) = Self::attach(&layout)? {
            node.check_same(options)?;
            return Ok(node);
        }
        teardown::stop(&layout)?;
        let node = Self::prepare(layout, options, tools)?;
        let started = node.start_parts(options);
        if let Err(error) = started {
            // The reason counts; what can't be cleaned up now can be by `down`.
            let _ = teardown::stop(&node.layout);
            return Err(error);
        }
        Ok(node)
    }

    /// The node of a folder, if all of it runs.
    ///
    /// # Errors
    /// Fails when the cgroups of the host can't be read.
    pub fn attach(layout: &Layout) -> Result<Option<Self>> {
        let Some(state) = State::read(&layout.state_file()) else {
            return Ok(None);
        };
        let same_boot = state.boot_id == boot_id()?;
        let all_run = state.processes.values().all(ProcessRecord::is_alive);
        let parts = [NAMESPACE, CONTAINERD, KUBELET];
        if !same_boot || !all_run || parts.iter().any(|name| state.alive(name).is_none()) {
            return Ok(None);
        }
        let cgroup = Cgroup::new(layout.cgroup())?;
        let node = Self {
            layout: layout.clone(),
            cgroup,
            state: Mutex::new(state),
            guard: None,
        };
        let healthy = node
            .kubelet()
            .get("/healthz")
            .is_ok_and(|answer| answer.status == 200);
        Ok(healthy.then_some(node))
    }

    /// The node of a folder that was started since the last boot, whatever of it runs now.
    ///
    /// # Errors
    /// Fails when there is none.
    pub fn open(dir: &Path) -> Result<Self> {
        let layout = Layout::of(dir)?;
        let state = State::read(&layout.state_file())
            .with_context(|| format!("no node in {}", dir.display()))?;
        if state.boot_id != boot_id()? {
            bail!("the node in {} ended with the last boot", dir.display());
        }
        Ok(Self {
            cgroup: Cgroup::new(layout.cgroup())?,
            layout,
            state: Mutex::new(state),
            guard: None,
        })
    }

    fn check_same(&self, options: &NodeOptions) -> Result<()> {
        let state = self.state();
        let other_name = options
            .name
            .as_ref()
            .is_some_and(|name| *name != state.node_name);
        let ipv6 = match options.network {
            NodeNetwork::Host => None,
            NodeNetwork::Own { ipv6 } => Some(ipv6),
        };
        let bare = options.bare.then_some(options.kubelet_access);
        if bare != state.bare || ipv6 != state.own_network.as_ref().map(|own| own.ipv6) {
            bail!(
                "{} runs already, with another network or another kind of kubelet; stop it first",
                self.dir().display()
            );
        }
        if other_name || options.binds_kubelet() != state.kubelet_uses_api_server {
            bail!(
                "{} runs already, as node {} {} an API server; stop it first",
                self.dir().display(),
                state.node_name,
                if state.kubelet_uses_api_server {
                    "with"
                } else {
                    "without"
                },
            );
        }
        Ok(())
    }

    fn prepare(
        layout: Layout,
        options: &NodeOptions,
        tools: BTreeMap<String, PathBuf>,
    ) -> Result<Self> {
        let folders = [
            layout.manifests(),
            layout.pod_logs(),
            layout.containerd(),
            layout.logs(),
            layout.cni(),
            layout.images(),
            layout.scratch(),
            layout.joining(),
        ];
        for folder in folders {
            fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        }
        let cgroup = Cgroup::new(layout.cgroup())?;
        cgroup.create()?;
        let (bridge, seed) = (layout.bridge(), layout.seed());
        let (own_network, network) = match options.network {
            NodeNetwork::Host => (None, Network::create(&bridge, seed)?),
            NodeNetwork::Own { ipv6 } => {
                let (own, network) = Own::reserve(layout.id(), seed, &bridge, ipv6)?;
                (Some(own), network)
            }
        };
        network.write_cni(&layout.cni(), &layout.containerd().join("ipam"))?;
        let [kubelet_port, kubelet_read_only_port] = free_ports()?;
        let state = State {
            node_name: options
                .name
                .clone()
                .unwrap_or_else(|| format!("node-{}", layout.id())),
            boot_id: boot_id()?,
            network,
            own_network,
            kubelet_port,
            kubelet_read_only_port,
            tools,
            processes: BTreeMap::new(),
            kubelet_uses_api_server: options.binds_kubelet(),
            bare: options.bare.then_some(options.kubelet_access),
            kubelet_config: options.kubelet_config.clone(),
            api_server: None,
        };
        state.write(&layout.state_file())?;
        Ok(Self {
            layout,
            cgroup,
            state: Mutex::new(state),
            guard: None,
        })
    }

    fn start_parts(&self, options: &NodeOptions) -> Result<()> {
        self.start_namespace()?;
        self.start_containerd()?;
        self.import_images()?;
        if options.api_server {
            self.start_api_server()?;
        }
        if options.unsynced {
            self.plan_api_server()?;
        }
        self.start_kubelet()
    }
}

/// Keeps two calls for one folder apart. The lock ends with the returned file.
pub(super) fn lock(layout: &Layout) -> Result<File> {
    let dir = layout.dir();
    let file = File::open(dir).with_context(|| format!("open {}", dir.display()))?;
    file.lock()
        .with_context(|| format!("lock {}", dir.display()))?;
    Ok(file)
}

/// `PATH` with the shim's folder before it, and the folders for administrators behind it.
///
/// A restarted containerd looks for the shim of what runs in `PATH` alone, whatever is configured.
pub(super) fn search_path(shim: &Path) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let folder = shim.parent().unwrap_or(Path::new("/usr/bin")).display();
    format!("{folder}:{path}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")
}

fn tools(api_server: bool) -> Result<BTreeMap<String, PathBuf>> {
    let mut tools = Tool::NODE.to_vec();
    if api_server {
        tools.extend([Tool::Etcd, Tool::KubeApiserver]);
    }
    let find = |tool: Tool| Ok((tool.name().to_owned(), binaries::find(tool)?));
    tools.into_iter().map(find).collect()
}
