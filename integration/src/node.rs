//! A node: containerd and a kubelet, and on demand etcd and kube-apiserver.

mod api_server;
mod containerd;
mod control_plane;
mod crash;
mod external_etcd;
mod kubelet;
mod logs;
mod namespace;
mod start;
mod teardown;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

pub use api_server::{ApiServer, ApiServerStart};
pub use control_plane::ControlPlane;
pub use external_etcd::ExternalEtcd;

use crate::cgroup::Cgroup;
use crate::ctr::{Container, Ctr};
use crate::guard::Guard;
use crate::http::HttpClient;
use crate::layout::Layout;
use crate::process::{Launch, ProcessRecord, tail};
use crate::state::{KubeletAccess, State};
use crate::wait::wait_for;

pub(crate) const NAMESPACE: &str = "namespace";
pub(crate) const CONTAINERD: &str = "containerd";
pub(crate) const KUBELET: &str = "kubelet";
pub(crate) const ETCD: &str = "etcd";
pub(crate) const KUBE_APISERVER: &str = "kube-apiserver";

/// How long any part of a node may take to start. It takes two seconds on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(90);

/// What a node is to be like. The default is a standalone kubelet in a new temporary folder.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// The node's folder; without one, a new one among the temporary files.
    pub dir: Option<PathBuf>,
    /// The node's name; without one, `node-` and the folder's id.
    pub name: Option<String>,
    /// Whether the kubelet is bound to an API server of the node's own.
    pub api_server: bool,
    /// Whether the kubelet is bound to an API server that is not there: it stays *unsynced* until
    /// [`Node::start_api_server`].
    pub unsynced: bool,
    /// Whether the kubelet starts alone, and joins a cluster when it is restarted with what it needs for that:
    /// [`Layout::kubeconfig`], [`Layout::bootstrap_kubeconfig`] and [`Layout::client_ca`] are used as far as they are
    /// there at a start.
    pub bare: bool,
    /// Whom a bare kubelet lets in once it has joined.
    pub kubelet_access: KubeletAccess,
    /// The network that the node's programs are in.
    pub network: NodeNetwork,
    /// Keys of the kubelet's configuration to set, such as `containerLogMaxSize`.
    pub kubelet_config: Map<String, Value>,
}

/// The network of a node's programs: containerd, the kubelet, the daemon and pods with `hostNetwork`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeNetwork {
    /// The host's. Several nodes keep apart by their ports.
    #[default]
    Host,
    /// A namespace of its own, with an address that the host and all such nodes reach. Each node has all ports for
    /// itself, on 127.0.0.1 too.
    Own {
        /// Whether there is IPv6; without it, not even `::1` is there.
        ipv6: bool,
    },
}

impl NodeOptions {
    /// A node with a bare kubelet in a network of its own, as a machine has it that is to become a cluster's.
    #[must_use]
    pub fn machine() -> Self {
        Self {
            bare: true,
            network: NodeNetwork::Own { ipv6: true },
            ..Self::default()
        }
    }

    /// A node whose kubelet is bound to an API server that is not there.
    #[must_use]
    pub fn unsynced() -> Self {
        Self {
            unsynced: true,
            ..Self::default()
        }
    }

    fn binds_kubelet(&self) -> bool {
        self.api_server || self.unsynced
    }

    fn check(&self) -> Result<()> {
        // The rig's own API server is for 127.0.0.1 of the host and for a kubelet that knows nothing else.
        if self.binds_kubelet() && (self.bare || self.network != NodeNetwork::Host) {
            bail!(
                "a node with the rig's own API server is neither bare nor in a network of its own"
            );
        }
        Ok(())
    }
}

/// A running node. One of [`Node::start`] ends with this value, or with this process.
///
/// # Guarantees
/// When the value is dropped, no process, mount, network interface and cgroup of the node is left, and
/// none of the files that the rig made. The same is so after [`Node::destroy`].
/// A node of [`Node::start_detached`] runs on until then.
#[derive(Debug)]
pub struct Node {
    layout: Layout,
    cgroup: Cgroup,
    state: Mutex<State>,
    /// A node without a guard is detached: it stays when this process ends.
    guard: Option<Guard>,
}

impl Node {
    /// Starts a node.
    ///
    /// # Errors
    /// Fails when a program or package can't be had, when this is not root, or when a part of the node
    /// does not start in time; the end of that part's log is in the error.
    pub fn start(options: &NodeOptions) -> Result<Self> {
        let dir = match &options.dir {
            Some(dir) => dir.clone(),
            None => tempfile::Builder::new()
                .prefix("seedpod-rig-")
                .tempdir()
                .context("make a folder for the node")?
                .keep(),
        };
        let layout = Layout::create(&dir)?;
        let guard = Guard::start(layout.dir())?;
        let mut node = Self::bring_up(layout, options)?;
        node.guard = Some(guard);
        Ok(node)
    }

    /// Starts a node that stays when this process ends, until [`Node::destroy`].
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_detached(options: &NodeOptions) -> Result<Self> {
        let dir = options
            .dir
            .as_deref()
            .context("a detached node needs a folder")?;
        Self::bring_up(Layout::create(dir)?, options)
    }

    /// Stops the node of a folder and removes what the rig made there. None is no error.
    ///
    /// # Errors
    /// Fails when something can't be stopped or removed; a second call goes on from there.
    pub fn destroy(dir: &Path) -> Result<()> {
        teardown::destroy(&Layout::of(dir)?)
    }

    /// Stops the node now, to see what went wrong with it; dropping it does the same.
    ///
    /// # Errors
    /// As [`Node::destroy`].
    pub fn stop(self) -> Result<()> {
        teardown::destroy(&self.layout)
    }

    /// The node's name, as the kubelet uses it.
    #[must_use]
    pub fn name(&self) -> String {
        self.state().node_name
    }

    /// Where the node's files are.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The node's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.layout.dir()
    }

    /// The kubelet's static pod directory.
    #[must_use]
    pub fn manifests(&self) -> PathBuf {
        self.layout.manifests()
    }

    /// containerd's socket, which serves CRI too.
    #[must_use]
    pub fn containerd_socket(&self) -> PathBuf {
        self.layout.containerd_socket()
    }

    /// The kubelet's `--root-dir`.
    #[must_use]
    pub fn kubelet_root(&self) -> PathBuf {
        self.layout.kubelet_root()
    }

    /// The kubelet's `podLogsDir`.
    #[must_use]
    pub fn pod_logs(&self) -> PathBuf {
        self.layout.pod_logs()
    }

    /// The kubelet's own log.
    #[must_use]
    pub fn kubelet_log(&self) -> PathBuf {
        self.layout.log(KUBELET)
    }

    /// The address at which the host reaches what listens on all addresses of the node.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.state().address()
    }

    /// Whether the kubelet is bare: see [`NodeOptions::bare`].
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.state().bare.is_some()
    }

    /// The kubelet's HTTPS port at [`Node::address`], where everybody may do everything.
    #[must_use]
    pub fn kubelet_port(&self) -> u16 {
        self.state().kubelet_port
    }

    /// Asks the kubelet's read-only port: `/pods`, `/metrics`, `/healthz`.
    #[must_use]
    pub fn kubelet(&self) -> HttpClient {
        let state = self.state();
        HttpClient::plain(state.kubelet_read_only_port).at(state.address())
    }

    /// The record of one of the node's processes, when it runs: `kubelet`, `containerd`, `etcd`, …
    #[must_use]
    pub fn process(&self, name: &str) -> Option<ProcessRecord> {
        self.state().alive(name)
    }

    /// The containers that containerd has a task for.
    ///
    /// # Errors
    /// Fails when containerd does not answer.
    pub fn containers(&self) -> Result<Vec<Container>> {
        self.ctr()?.containers()
    }

    /// Imports an image that [`crate::images::Image::write`] made.
    ///
    /// # Errors
    /// Fails when containerd refuses it.
    pub fn import_image(&self, file: &Path) -> Result<()> {
        self.ctr()?.import(file)
    }

    /// The recorded processes of a folder's node, whether they still run or not.
    ///
    /// # Errors
    /// Fails when the folder can't be looked at.
    pub fn recorded(dir: &Path) -> Result<Option<BTreeMap<String, ProcessRecord>>> {
        if !dir.exists() {
            return Ok(None);
        }
        let layout = Layout::of(dir)?;
        Ok(State::read(&layout.state_file()).map(|state| state.processes))
    }

    /// The node's name, addresses and paths, for people.
    #[must_use]
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let state = self.state();
        let mut facts = vec![
            ("node", state.node_name.clone()),
            ("address", state.address().to_string()),
            ("static pods", self.manifests().display().to_string()),
            (
                "CRI",
                format!("unix://{}", self.containerd_socket().display()),
            ),
            (
                "kubelet",
                format!("https://{}:{}", state.address(), state.kubelet_port),
            ),
            (
                "kubelet, read-only",
                format!(
                    "http://{}:{}",
                    state.address(),
                    state.kubelet_read_only_port
                ),
            ),
            ("kubelet root", self.kubelet_root().display().to_string()),
            ("pod logs", self.pod_logs().display().to_string()),
            (
                "pod network",
                format!("{} on {}", state.network.subnet(), state.network.bridge),
            ),
            ("cgroup", self.cgroup.path()),
        ];
        if let Some(api) = &state.api_server {
            let kubeconfig = self.layout.control_plane().join("admin.kubeconfig");
            facts.push(("API server", format!("https://127.0.0.1:{}", api.port)));
            facts.push(("kubeconfig", kubeconfig.display().to_string()));
        }
        facts
    }

    fn ctr(&self) -> Result<Ctr> {
        Ok(Ctr {
            program: self.tool("ctr")?,
            socket: self.containerd_socket(),
        })
    }

    /// A copy: a guard in the middle of an expression would lock out what the expression calls.
    fn state(&self) -> State {
        let mut known = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Another process may have started a part of the node anew: `seedpod-rig kubelet restart`.
        if let Some(state) = State::read(&self.layout.state_file()) {
            *known = state;
        }
        known.clone()
    }

    /// Changes what is recorded, here and on disk.
    fn record(&self, change: impl FnOnce(&mut State)) -> Result<()> {
        let mut known = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = State::lock(&self.layout.state_lock())?;
        let file = self.layout.state_file();
        let mut state = State::read(&file).unwrap_or_else(|| known.clone());
        change(&mut state);
        state.write(&file)?;
        *known = state;
        Ok(())
    }

    fn tool(&self, name: &str) -> Result<PathBuf> {
        let state = self.state();
        let tool = state.tools.get(name);
        tool.cloned()
            .with_context(|| format!("{name} is no tool of this node"))
    }

    /// Starts a process of the node, in its namespaces, and records it.
    ///
    /// # Errors
    /// Fails when the program can't be started, or the node has lost its power.
    pub fn launch(&self, name: &str, program: &Path, args: Vec<String>) -> Result<ProcessRecord> {
        self.launch_in(name, program, args, Some(&["mount", "net"]))
    }

    /// As [`Node::launch`], with the host's mounts, unless the node has a network of its own: then it is a machine, of
    /// whose files the host's stand for most.
    pub(crate) fn launch_on_host(
        &self,
        name: &str,
        program: &Path,
        args: Vec<String>,
    ) -> Result<ProcessRecord> {
        let own_network = self.state().own_network.is_some();
        let namespaces: Option<&[&str]> = if own_network {
            Some(&["mount", "net"])
        } else {
            None
        };
        self.launch_in(name, program, args, namespaces)
    }

    fn launch_in(
        &self,
        name: &str,
        program: &Path,
        args: Vec<String>,
        namespaces: Option<&[&str]>,
    ) -> Result<ProcessRecord> {
        let own_network = self.state().own_network.is_some();
        let kinds: Vec<&str> = namespaces
            .into_iter()
            .flatten()
            .copied()
            .filter(|kind| own_network || *kind != "net")
            .collect();
        let holder = self.process(NAMESPACE);
        if own_network && !kinds.is_empty() && holder.is_none() {
            bail!(
                "the network of {} is gone: turn its power on",
                self.dir().display()
            );
        }
        let launch = Launch {
            program,
            args,
            env: [(
                "PATH".to_owned(),
                start::search_path(&self.tool("containerd-shim-runc-v2")?),
            )]
            .into(),
            log: self.layout.log(name),
            cgroup_procs: self.cgroup.procs(),
            namespaces: holder
                .filter(|_| !kinds.is_empty())
                .map(|holder| (kinds.as_slice(), holder)),
        };
        let record = launch.start()?;
        self.record(|state| {
            state.processes.insert(name.to_owned(), record);
        })?;
        Ok(record)
    }

    /// Waits until a just started process serves, or says how its log ends.
    pub(crate) fn wait_serving(&self, name: &str, mut serves: impl FnMut() -> bool) -> Result<()> {
        let process = self.process(name);
        let mut ended = false;
        wait_for(START_LIMIT, &format!("{name} serves"), || {
            if serves() {
                return Some(true);
            }
            ended = !process.is_some_and(|process| process.is_alive());
            ended.then_some(false)
        })
        .and_then(|serves| {
            if serves {
                Ok(())
            } else {
                bail!("{name} has ended")
            }
        })
        .with_context(|| {
            let log = self.layout.log(name);
            format!(
                "start {name}; {} ends with:\n{}",
                log.display(),
                tail(&log, 15)
            )
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.guard.is_some()
            && let Err(error) = teardown::destroy(&self.layout)
        {
            // The guard tries again, and then speaks for itself.
            crate::progress::say(&format!(
                "stop the node {}: {error:#}",
                self.dir().display()
            ));
        }
    }
}
