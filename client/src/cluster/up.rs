//! Bringing a cluster up, in phases that can each be called alone.
//!
//! [`Installer`] has a method for each [`Phase`]. A phase looks at what is there and does what is missing, so that a run
//! that was killed at any instant is simply run again, and ends in the same place. The only thing that is kept on this
//! side is the folder that was rendered; everything else is on the nodes and in the cluster.
//!
//! Nodes are reached through their Seedpods, the API at its endpoint. Everything that is written into the cluster goes
//! through a node, but for the labels and taints of nodes.
//!
//! Inside, `api` asks the cluster's API, `apply` has a node apply objects, `wait` waits for conditions, `progress` tells,
//! and there is one module per phase.

mod addons;
mod api;
mod apply;
mod control_plane;
mod down;
mod endpoints;
mod error;
mod handoff;
mod inject;
mod kubelet;
mod lock;
mod nodes;
mod phase;
mod preflight;
mod progress;
mod ready;
mod request_id;
mod verify;
mod wait;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use zeroize::Zeroizing;

pub use addons::AppliedAddons;
pub use api::ApiError;
pub use apply::AppliedCount;
pub use down::{Down, ResetDoneNode};
pub use error::UpError;
pub use handoff::HandedOver;
pub use inject::InjectedBundle;
pub use kubelet::{ConfiguredNode, ConfiguredNodes};
pub use lock::Lock;
pub use nodes::RegisteredNode;
pub use phase::{NoSuchPhase, Phase};
pub use preflight::{CheckedNode, Finding, Preflight, Severity};
pub use progress::{Progress, ProgressKind};
pub use ready::ReadyApi;
pub use verify::{Verified, VerifiedLease, VerifiedNode};

use super::{Loaded, NodeConfiguration, Rendered, render};
use crate::{Client, Endpoint, Error, Options};
use api::ApiClient;
use progress::{Reporter, Scope};

/// The port that seedpodd serves on unless it is told otherwise.
const SEEDPOD_PORT: u16 = 10290;

/// Brings a cluster up, and takes it down again.
///
/// ```no_run
/// use seedpod_client::cluster::{ClusterConfiguration, Installer, Phase};
///
/// # async fn install() -> Result<(), Box<dyn std::error::Error>> {
/// let loaded = ClusterConfiguration::load("cluster.yaml")?;
/// let installer = Installer::new(loaded, "cluster")
///     .on_progress(|progress| eprintln!("{}: {}", progress.phase, progress.message));
/// let _lock = installer.lock()?;
/// installer.preflight().await?;
/// for phase in Phase::ALL {
///     installer.run(phase).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Installer {
    loaded: Loaded,
    directory: PathBuf,
    template: Option<Options>,
    timeout: Duration,
    api_address: Option<String>,
    ignored: BTreeSet<String>,
    reporter: Reporter,
    rendered: OnceLock<Rendered>,
}

/// What a phase has done.
#[derive(Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(untagged, rename_all = "camelCase")
)]
#[non_exhaustive]
pub enum Outcome {
    /// Of [`Installer::preflight`].
    Preflight(Preflight),
    /// Of [`Installer::render`]: the folder.
    Rendered(PathBuf),
    /// Of [`Installer::etcd`] and [`Installer::control_plane`].
    Injected(Vec<InjectedBundle>),
    /// Of [`Installer::api`].
    Api(ReadyApi),
    /// Of [`Installer::kubelet`].
    Kubelet(ConfiguredNodes),
    /// Of [`Installer::nodes`].
    Nodes(Vec<RegisteredNode>),
    /// Of [`Installer::addons`].
    Addons(AppliedAddons),
    /// Of [`Installer::handoff`].
    Handoff(Vec<HandedOver>),
    /// Of [`Installer::verify`].
    Verified(Verified),
}

impl Installer {
    /// An installer of this cluster, which renders into this folder. It does nothing yet.
    pub fn new(loaded: Loaded, directory: impl Into<PathBuf>) -> Self {
        Self {
            loaded,
            directory: directory.into(),
            template: None,
            timeout: Duration::from_secs(300),
            api_address: None,
            ignored: BTreeSet::new(),
            reporter: Reporter::default(),
            rendered: OnceLock::new(),
        }
    }

    /// How nodes' Seedpods are connected to, but for their endpoints: deadlines, and the certificates where the
    /// configuration has none.
    pub fn options(mut self, template: Options) -> Self {
        self.template = Some(template);
        self
    }

    /// How long one thing may be waited for. Default: 5 minutes. A handoff has its own deadlines.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// `HOST:PORT` at which the API is reached from here, when that is not its endpoint, as behind a tunnel. Its
    /// certificate must be for the endpoint all the same.
    pub fn api_address(mut self, address: impl Into<String>) -> Self {
        self.api_address = Some(address.into());
        self
    }

    /// Checks of the preflight whose faults are taken as warnings, in any case; `all` for all of them.
    pub fn ignore_preflight_errors<S: AsRef<str>>(
        mut self,
        checks: impl IntoIterator<Item = S>,
    ) -> Self {
        let checks = checks
            .into_iter()
            .map(|check| check.as_ref().to_lowercase());
        self.ignored.extend(checks);
        self
    }

    /// Whom to tell what is going on. It is called from within the phases and must not block.
    pub fn on_progress(mut self, told: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.reporter = Reporter::new(told);
        self
    }

    /// The cluster.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// The folder that is rendered into.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The administrator's kubeconfig, once it is rendered.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfigs/admin.kubeconfig")
    }

    /// Sees to it that no other run works with the same folder, until the value is dropped or the process has ended.
    ///
    /// # Errors
    /// [`UpError::Locked`]; [`UpError::File`].
    pub fn lock(&self) -> Result<Lock, UpError> {
        Lock::take(&self.directory)
    }

    /// Carries one phase out.
    ///
    /// # Errors
    /// Those of the phase. What was done until then stays; run again, it goes on from there.
    ///
    /// # Cancel safety
    /// Dropping the future leaves everything as it is; a handoff that is under way goes on, on its node.
    pub async fn run(&self, phase: Phase) -> Result<Outcome, UpError> {
        Ok(match phase {
            Phase::Preflight => Outcome::Preflight(self.preflight().await?),
            Phase::Render => Outcome::Rendered(self.render()?.directory.clone()),
            Phase::Etcd => Outcome::Injected(self.etcd().await?),
            Phase::ControlPlane => Outcome::Injected(self.control_plane().await?),
            Phase::Api => Outcome::Api(self.api().await?),
            Phase::Kubelet => Outcome::Kubelet(self.kubelet().await?),
            Phase::Nodes => Outcome::Nodes(self.nodes().await?),
            Phase::Addons => Outcome::Addons(self.addons().await?),
            Phase::Handoff => Outcome::Handoff(self.handoff().await?),
            Phase::Verify => Outcome::Verified(self.verify().await?),
            // Not a phase of bringing up, and not among `Phase::ALL`: it is asked for by `down` alone.
            Phase::Reset => {
                return Err(UpError::Unverified {
                    node: None,
                    message: "reset is no phase of bringing up: call Installer::down".to_owned(),
                });
            }
        })
    }

    /// Renders the cluster into the folder; what is there already is kept. The phases after it do so by themselves when it
    /// was not called.
    ///
    /// # Errors
    /// [`UpError::Render`].
    pub fn render(&self) -> Result<&Rendered, UpError> {
        if let Some(rendered) = self.rendered.get() {
            return Ok(rendered);
        }
        let scope = self.reporter.scope(Phase::Render, None);
        scope.started();
        let rendered = render(&self.loaded, &self.directory)
            .map_err(|source| UpError::Render(Box::new(source)))?;
        for warning in &rendered.warnings {
            scope.warning(warning);
        }
        scope.done(&format!("rendered into {}", self.directory.display()));
        Ok(self.rendered.get_or_init(|| rendered))
    }

    /// A phase begins, whose scope this is.
    fn begin(&self, phase: Phase) -> Scope {
        let scope = self.reporter.scope(phase, None);
        scope.started();
        scope
    }

    fn nodes_of_control_plane(&self) -> Vec<&NodeConfiguration> {
        self.loaded.control_plane().collect()
    }

    /// A client for a node's Seedpod, which connects with its first call.
    fn client(&self, node: &NodeConfiguration) -> Result<Client, UpError> {
        self.options_of(node)
            .and_then(Client::connect_lazy)
            .map_err(UpError::node(&node.name, "connect to its Seedpod"))
    }

    fn options_of(&self, node: &NodeConfiguration) -> Result<Options, Error> {
        let endpoint = match &node.endpoint {
            Some(endpoint) => Options::new(endpoint)?.endpoint,
            None => Endpoint::Tcp {
                host: node.address.to_string(),
                port: SEEDPOD_PORT,
            },
        };
        let mut options = match &self.template {
            Some(template) => Options {
                endpoint,
                ..template.clone()
            },
            None => Options::for_endpoint(endpoint),
        };
        let access = &self.loaded.configuration.seedpod;
        if let Some(path) = &access.ca_file {
            options = options.ca_file(path);
        }
        if let (Some(certificate), Some(key)) = (&access.cert_file, &access.key_file) {
            options = options.client_certificate_files(certificate, key);
        }
        Ok(options)
    }

    async fn api_client(&self) -> Result<ApiClient, UpError> {
        let kubeconfig = &self.render()?.kubeconfigs.admin;
        ApiClient::new(kubeconfig, self.api_address.as_deref())
            .await
            .map_err(|source| UpError::Api {
                doing: "use the rendered kubeconfig",
                source,
            })
    }
}

/// Files with manifests, in their order.
fn read_manifests(paths: &[PathBuf]) -> Result<Vec<Zeroizing<String>>, UpError> {
    let read = |path: &PathBuf| {
        fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|source| UpError::File {
                path: path.clone(),
                doing: "read",
                source,
            })
    };
    paths.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_can_be_spawned() {
        fn is_send<T: Send>(_: &T) {}
        fn check(installer: &Installer) {
            is_send(&installer.run(Phase::Etcd));
            is_send(&installer.down(Down::default()));
        }
        let _: fn(&Installer) = check;
    }
}
