//! The daemon's configuration file.
//!
//! `config/file.rs` is the file as it is written, `config/value.rs` the checks of single values; here they become
//! [`Configuration`], where whatever can be decided from the file alone has been decided.

mod file;
mod joining;
mod value;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use seedpod_manifest::NodeName;

/// Where `seedpodd` looks when it is not told.
pub const DEFAULT_PATH: &str = "/etc/seedpod/config.yaml";

/// `kind: DaemonConfiguration` of `seedpod.dev/v1alpha1`, checked and with all defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The name that the kubelet appends to the names of its static pods.
    pub node_name: NodeName,
    /// The directory that the kubelet reads static pods from.
    pub static_pod_path: PathBuf,
    /// Where the daemon keeps what must survive.
    pub state_directory: PathBuf,
    /// Where pods' volumes of Secrets and ConfigMaps are put.
    pub volumes_directory: PathBuf,
    /// The keys that contents of Secrets and ConfigMaps are encrypted with in the state directory; `None`: they are not.
    pub encryption_key_file: Option<PathBuf>,
    /// The Unix socket of the container runtime; `None` for files only.
    pub container_runtime_endpoint: Option<PathBuf>,
    /// The kubelet's `--root-dir`, where its own sockets are.
    pub kubelet_root_directory: PathBuf,
    /// The TCP endpoint for installers; `None` when it is turned off.
    pub listen: Option<Listen>,
    /// The Unix socket for the node's operator; `None` when it is turned off.
    pub socket_path: Option<PathBuf>,
    /// Where metrics and health are served over HTTP; `None` when they are not.
    pub metrics_address: Option<SocketAddr>,
    /// How the daemon logs.
    pub log: Log,
    /// What requests and connections are held to.
    pub limits: Limits,
    /// How pods become files.
    pub projection: Projection,
    /// What is waited for, and how long.
    pub readiness: Readiness,
    /// The kubelet's files that a client may write.
    pub kubelet_files: KubeletFiles,
    /// What `ResetNode` may remove, each with all that is in it.
    pub reset_directories: Vec<PathBuf>,
    /// How the kubelet can be restarted, when it has to; `None`: it must not.
    pub kubelet_restart: Option<KubeletRestart>,
    /// The address at which probes reach pods in the host's network; `None`: that of the default route.
    pub node_ip: Option<IpAddr>,
    /// How many revisions of a bundle are kept, the active one included.
    pub revision_history_limit: usize,
    /// How often a container of a revision on trial may end before the trial has failed.
    pub trial_max_crashes: u32,
    /// How many events are kept at least.
    pub max_events: usize,
    /// When the standby control plane stands in.
    pub handoff: Handoff,
}

/// The TCP endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The address to listen on.
    pub address: SocketAddr,
    /// There is no TCP without TLS.
    pub tls: TlsFiles,
}

/// The files of the TLS endpoint, all PEM. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, followed by its intermediates.
    pub cert_file: PathBuf,
    /// The key of that certificate.
    pub key_file: PathBuf,
    /// The authorities whose client certificates are accepted.
    pub client_ca_file: PathBuf,
}

/// How the daemon logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// The least severe level that is logged. `RUST_LOG` overrides it.
    pub level: LogLevel,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The least severe level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // The names say it.
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// What requests and connections are held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The most pods that one bundle may have.
    pub max_pods_per_bundle: usize,
    /// The most bytes that the manifests of one request may have together.
    pub max_bundle_bytes: usize,
    /// How long a request may take, whatever deadline its client sets.
    pub request_timeout: Duration,
    /// The most requests in flight. Each may hold several times `max_bundle_bytes` in memory.
    pub max_requests: usize,
    /// The most requests in flight of one client certificate's name or one local user.
    pub max_requests_per_client: usize,
    /// The most streams that are open.
    pub max_streams: usize,
    /// The most open streams of one client certificate's name or one local user.
    pub max_streams_per_client: usize,
    /// The most connections, counted for TCP and for the Unix socket each.
    pub max_connections: usize,
    /// The most connections of one client certificate's name or one local user.
    pub max_connections_per_client: usize,
    /// After this a connection is wound up, so that rights and certificates are looked at again.
    pub max_connection_age: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// The most TLS handshakes under way. With more, the oldest of the busiest address gives way.
    pub max_pending_handshakes: usize,
    /// How long requests in flight may go on when the daemon stops.
    pub drain_timeout: Duration,
}

impl Limits {
    /// The most bytes that one gRPC message may have: the manifests, and room for what else is in a request.
    pub fn max_message_bytes(&self) -> usize {
        const MARGIN: usize = 64 * 1024;
        self.max_bundle_bytes + MARGIN
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pods_per_bundle: 64,
            max_bundle_bytes: 4 * 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            max_requests: 32,
            max_requests_per_client: 8,
            max_streams: 128,
            max_streams_per_client: 32,
            max_connections: 128,
            max_connections_per_client: 32,
            max_connection_age: Duration::from_secs(60 * 60),
            handshake_timeout: Duration::from_secs(5),
            max_pending_handshakes: 64,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// How pods become files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projection {
    /// How long a replaced pod is nudged when no runtime can tell that it runs. Zero: not at all.
    pub nudge_for: Duration,
    /// Whether an owned file that someone else changed or removed is put back.
    pub repair_drift: bool,
}

impl Default for Projection {
    fn default() -> Self {
        Self {
            nudge_for: Duration::from_secs(60),
            repair_drift: true,
        }
    }
}

/// What is waited for, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// How long a wave may take to get ready before that is reported as a failure.
    pub wave_timeout: Duration,
    /// After this a pod for which the kubelet has made no sandbox counts as refused.
    pub refused_after: Duration,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            wave_timeout: Duration::from_secs(300),
            refused_after: Duration::from_secs(30),
        }
    }
}

/// When the injected control plane of a node that is handed over stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handoff {
    /// When no API server has answered for so long after the daemon has started in a new boot.
    pub standby_after_start: Duration,
    /// When none has answered for so long at any other time.
    pub standby_after: Duration,
}

impl Default for Handoff {
    fn default() -> Self {
        Self {
            standby_after_start: Duration::from_secs(10),
            standby_after: Duration::from_secs(60),
        }
    }
}

/// What a kubelet needs to join a cluster. Each of `None`: no client may write it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KubeletFiles {
    /// The kubelet's `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// The kubelet's `--bootstrap-kubeconfig`.
    pub bootstrap_kubeconfig: Option<PathBuf>,
    /// The kubelet's `authentication.x509.clientCAFile`.
    pub client_ca: Option<PathBuf>,
}

/// How the kubelet is restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KubeletRestart {
    /// By `systemctl restart UNIT`.
    SystemdUnit(String),
    /// By a program with its arguments, without a shell.
    Command(Vec<String>),
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file cannot be read.
    #[error(
        "cannot read the configuration file {}; name one with --config, or start from hack/examples/config.yaml",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file's content is wrong. The message has the key, the place and the remedy.
    #[error("{}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

impl Configuration {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, or a key or value is not allowed.
    pub fn load(path: &Path) -> Result<Self, ConfigurationError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigurationError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|message| ConfigurationError::Invalid {
            path: path.to_owned(),
            message,
        })
    }

    /// Checks a configuration that is in memory.
    ///
    /// # Errors
    /// What is wrong, with the key, the place and the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        file::parse(text)
    }
}

#[cfg(test)]
mod tests;
