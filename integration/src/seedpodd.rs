//! The daemon, run against a node.

mod boot;
mod resume;
mod rights;

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::cargo::workspace_binary;
use crate::http::HttpClient;
use crate::node::Node;
use crate::pki::{Authority, Identity, Request};
use crate::ports::free_ports;
use crate::process::{ProcessRecord, tail};
use crate::wait::wait_for;

/// The name of the daemon's process in a node's record and of its log.
pub(crate) const PROCESS: &str = "seedpodd";

/// The name of the folder of volumes below a daemon's own.
pub(crate) const VOLUMES: &str = "volumes";

/// What a daemon is to be like.
#[derive(Clone, Debug)]
pub struct SeedpoddOptions {
    /// The daemon's name among several on one node: that of its folder, process and log.
    pub name: String,
    /// Keys of the configuration file to set, or to leave out where the value is null.
    pub config: Map<String, Value>,
}

impl Default for SeedpoddOptions {
    fn default() -> Self {
        Self {
            name: PROCESS.to_owned(),
            config: Map::new(),
        }
    }
}

/// A daemon `seedpodd` of a node, with certificates for its callers.
#[derive(Debug)]
pub struct Seedpodd<'node> {
    node: &'node Node,
    name: String,
    program: PathBuf,
    folder: PathBuf,
    /// None in a process that has not made the daemon's certificates.
    authority: Option<Authority>,
    tls_port: u16,
    metrics_port: u16,
    kept: bool,
}

impl<'node> Seedpodd<'node> {
    /// Writes a configuration and certificates, starts the daemon and waits until it is ready.
    ///
    /// # Errors
    /// Fails when the daemon can't be built or is not ready in time; its log's end is in the error.
    pub fn start(node: &'node Node, options: &SeedpoddOptions) -> Result<Self> {
        let daemon = Self::prepare(node, options)?;
        daemon.start_again()?;
        Ok(daemon)
    }

    /// Writes a configuration and certificates, and starts nothing.
    ///
    /// # Errors
    /// Fails when the daemon can't be built or a file can't be written.
    pub fn prepare(node: &'node Node, options: &SeedpoddOptions) -> Result<Self> {
        let program = workspace_binary("seedpod-server", PROCESS)?;
        let folder = node.layout().seedpodd().join(&options.name);
        let pki = folder.join("pki");
        fs::create_dir_all(&pki).with_context(|| format!("make {}", pki.display()))?;
        let authority = Authority::new("seedpod-rig")?;
        authority.write(&pki.join("ca.crt"))?;
        authority.issue(
            &pki,
            "server",
            &Request::server(
                "seedpodd",
                &["localhost", "127.0.0.1", &node.address().to_string()],
            ),
        )?;
        for role in ["admin", "injector", "reader"] {
            authority.issue(
                &pki,
                role,
                &Request::client(role, &format!("seedpod:{role}")),
            )?;
        }
        let [tls_port, metrics_port] = free_ports()?;
        let name = options.name.clone();
        let daemon = Self {
            node,
            name,
            program,
            folder,
            authority: Some(authority),
            tls_port,
            metrics_port,
            kept: false,
        };
        daemon.write_config(&options.config)?;
        Ok(daemon)
    }

    fn write_config(&self, changes: &Map<String, Value>) -> Result<()> {
        let pki = self.folder.join("pki");
        let mut config = json!({
            "apiVersion": "seedpod.dev/v1alpha1",
            "kind": "DaemonConfiguration",
            "nodeName": self.node.name(),
            "staticPodPath": self.node.manifests(),
            "stateDirectory": self.state_directory(),
            "volumesDirectory": self.volumes_directory(),
            "containerRuntimeEndpoint": format!("unix://{}", self.node.containerd_socket().display()),
            "kubeletRootDirectory": self.node.kubelet_root(),
            "listenAddress": self.tls_address(),
            "socketPath": self.socket(),
            "metricsAddress": self.metrics_address(),
            "tls": {
                "certFile": pki.join("server.crt"),
                "keyFile": pki.join("server.key"),
                "clientCAFile": pki.join("ca.crt"),
            },
            "log": {"format": "text"},
        });
        if self.node.is_bare() {
            let layout = self.node.layout();
            config["kubelet"] = json!({
                "kubeconfigFile": layout.kubeconfig(),
                "bootstrapKubeconfigFile": layout.bootstrap_kubeconfig(),
                "clientCAFile": layout.client_ca(),
            });
            config["kubeletRestart"] = json!({"command": self.node.kubelet_restart_command()?});
        }
        let Some(keys) = config.as_object_mut() else {
            bail!("the configuration is no object")
        };
        for (key, value) in changes {
            if value.is_null() {
                keys.remove(key);
            } else {
                keys.insert(key.clone(), value.clone());
            }
        }
        // JSON is YAML.
        let file = self.config_file();
        fs::write(&file, serde_json::to_vec_pretty(&config)?)
            .with_context(|| format!("write {}", file.display()))
    }

    /// Starts the daemon after it was stopped, and waits until it is ready.
    ///
    /// # Errors
    /// Fails when it is not ready in time; its log's end is in the error.
    pub fn start_again(&self) -> Result<()> {
        let process = self.launch()?;
        let mut ended = false;
        let ready = wait_for(Duration::from_secs(30), "the daemon is ready", || {
            if self.is_ready() {
                return Some(true);
            }
            ended = !process.is_alive();
            ended.then_some(false)
        });
        ready
            .and_then(|ready| {
                if ready {
                    Ok(())
                } else {
                    bail!("the daemon has ended")
                }
            })
            .with_context(|| {
                format!(
                    "{} ends with:\n{}",
                    self.log().display(),
                    tail(&self.log(), 15)
                )
            })
    }

    /// Starts the daemon and waits for nothing.
    ///
    /// # Errors
    /// Fails when it ends at once.
    pub fn launch(&self) -> Result<ProcessRecord> {
        let mut arguments = vec![
            "--config".to_owned(),
            self.config_file().display().to_string(),
        ];
        let mut program = self.program.clone();
        if self.has_lost_rights() {
            arguments = Self::rights_arguments(&program, arguments);
            program = "setpriv".into();
        }
        if self.boot_id_file().exists() {
            arguments.insert(0, program.display().to_string());
            arguments = [self.boot_arguments()?, arguments].concat();
            program = "unshare".into();
        }
        self.node.launch_on_host(&self.name, &program, arguments)
    }

    /// Lets the daemon run on when this value is dropped. It ends with its node at the latest.
    pub fn keep(mut self) {
        self.kept = true;
    }

    /// Whether the socket takes connections and `/readyz` says yes.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        UnixStream::connect(self.socket()).is_ok()
            && self
                .metrics()
                .get("/readyz")
                .is_ok_and(|answer| answer.status == 200)
    }

    /// Kills the daemon with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// Fails when it stays.
    pub fn kill9(&self) -> Result<()> {
        self.process().map_or(Ok(()), |process| process.kill())
    }

    /// Ends the daemon with SIGTERM. It has ten seconds.
    ///
    /// # Errors
    /// Fails when it does not end by itself.
    pub fn stop(&self) -> Result<()> {
        let Some(process) = self.process() else {
            return Ok(());
        };
        process.signal(rustix::process::Signal::TERM)?;
        process.wait_gone(Duration::from_secs(10))
    }

    /// Ends the daemon with SIGTERM and starts it again.
    ///
    /// # Errors
    /// As [`Seedpodd::stop`] and [`Seedpodd::start_again`].
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.start_again()
    }

    /// The daemon's process, if it runs.
    #[must_use]
    pub fn process(&self) -> Option<ProcessRecord> {
        self.node.process(&self.name)
    }

    /// The daemon's program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("config.yaml")
    }

    /// The `stateDirectory`.
    #[must_use]
    pub fn state_directory(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The `volumesDirectory`, unless the options say another. [`Node::cut_power`] empties it, as if it were in memory.
    #[must_use]
    pub fn volumes_directory(&self) -> PathBuf {
        self.folder.join(VOLUMES)
    }

    /// The operator's Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("seedpod.sock")
    }

    /// The address for mutual TLS.
    #[must_use]
    pub fn tls_address(&self) -> String {
        format!("{}:{}", self.node.address(), self.tls_port)
    }

    /// The address of `/metrics`, `/healthz` and `/readyz`.
    #[must_use]
    pub fn metrics_address(&self) -> String {
        format!("{}:{}", self.node.address(), self.metrics_port)
    }

    /// A client of that address.
    #[must_use]
    pub fn metrics(&self) -> HttpClient {
        HttpClient::plain(self.metrics_port).at(self.node.address())
    }

    /// The daemon's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.node.layout().log(&self.name)
    }

    /// The CA that the daemon trusts, and that issued its own certificate.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("pki/ca.crt")
    }

    /// The certificate of a client with a role: `admin`, `injector` or `reader`.
    #[must_use]
    pub fn identity(&self, role: &str) -> Identity {
        let pki = self.folder.join("pki");
        Identity {
            certificate: pki.join(format!("{role}.crt")),
            key: pki.join(format!("{role}.key")),
        }
    }

    /// Issues another certificate from the daemon's CA.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn issue(&self, name: &str, request: &Request) -> Result<Identity> {
        let authority = self.authority.as_ref();
        authority
            .context("another process has made the daemon's certificates, and keeps the CA's key")?
            .issue(&self.folder.join("pki"), name, request)
    }
}

impl Drop for Seedpodd<'_> {
    fn drop(&mut self) {
        if !self.kept
            && let Some(process) = self.process()
        {
            let _ = process.terminate(Duration::from_secs(10));
        }
    }
}
