//! The daemon under measurement.
//!
//! It is started directly, not through a shell as [`seedpod_integration::Seedpodd`] is: the start itself is measured.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use seedpod_client::{
    Bundle, Client, Endpoint, InjectPods, Injected, Options, Pod, PodState, RemoveBundle,
};
use seedpod_integration::pki::{Authority, Request};
use seedpod_integration::{Node, ProcessRecord, wait_for};
use serde_json::json;
use tokio::runtime::Runtime;

/// How long anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(180);
/// How often a starting daemon is looked for.
const START_POLL: Duration = Duration::from_micros(200);

/// A daemon with a folder of its own. It ends with this value.
#[derive(Debug)]
pub(crate) struct Daemon<'a> {
    program: &'a Path,
    folder: PathBuf,
    manifests: PathBuf,
    runtime: Runtime,
    running: Option<(Child, Client)>,
}

impl<'a> Daemon<'a> {
    /// A daemon that works with files only, on a directory that no kubelet reads. Nothing runs, so there is nothing to
    /// nudge: the disk belongs to what is measured.
    pub(crate) fn without_node(program: &'a Path, folder: &Path) -> Result<Self> {
        Self::without_node_but(program, folder, &json!({}))
    }

    /// The same with other keys in its configuration.
    pub(crate) fn without_node_but(
        program: &'a Path,
        folder: &Path,
        changes: &serde_json::Value,
    ) -> Result<Self> {
        let manifests = folder.join("manifests");
        let mut all = json!({"projection": {"nudgeFor": "0s"}});
        if let (Some(all), Some(changes)) = (all.as_object_mut(), changes.as_object()) {
            all.extend(changes.clone());
        }
        Self::prepare(program, folder, manifests, "bench", &all)
    }

    /// A daemon for a real node, with its container runtime.
    pub(crate) fn on_node(program: &'a Path, folder: &Path, node: &Node) -> Result<Self> {
        let changes = json!({
            "containerRuntimeEndpoint": format!("unix://{}", node.containerd_socket().display()),
            "kubeletRootDirectory": node.kubelet_root(),
        });
        Self::prepare(program, folder, node.manifests(), &node.name(), &changes)
    }

    /// Everything is on that is on by default: TLS with its files, metrics, the socket.
    fn prepare(
        program: &'a Path,
        folder: &Path,
        manifests: PathBuf,
        node: &str,
        changes: &serde_json::Value,
    ) -> Result<Self> {
        let pki = folder.join("pki");
        for folder in [&pki, &manifests] {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        let authority = Authority::new("bench")?;
        authority.write(&pki.join("ca.crt"))?;
        authority.issue(&pki, "server", &Request::server("bench", &["127.0.0.1"]))?;
        let mut config = json!({
            "apiVersion": "seedpod.dev/v1alpha1",
            "kind": "DaemonConfiguration",
            "nodeName": node,
            "staticPodPath": manifests,
            "stateDirectory": folder.join("state"),
            "volumesDirectory": folder.join("volumes"),
            "listenAddress": "127.0.0.1:0",
            "metricsAddress": "127.0.0.1:0",
            "socketPath": folder.join("s"),
            "tls": {
                "certFile": pki.join("server.crt"),
                "keyFile": pki.join("server.key"),
                "clientCAFile": pki.join("ca.crt"),
            },
        });
        if let (Some(config), Some(changes)) = (config.as_object_mut(), changes.as_object()) {
            config.extend(changes.clone());
        }
        let daemon = Self {
            program,
            folder: folder.to_owned(),
            manifests,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            running: None,
        };
        // JSON is YAML.
        let file = daemon.config_file();
        fs::write(&file, config.to_string())
            .with_context(|| format!("write {}", file.display()))?;
        Ok(daemon)
    }

    fn config_file(&self) -> PathBuf {
        self.folder.join("config.yaml")
    }

    /// Starts the program, and returns how long it took until it had answered `GetNode`.
    pub(crate) fn start(&mut self) -> Result<Duration> {
        let log = self.folder.join("log");
        let log_file = File::options().create(true).append(true).open(&log)?;
        let socket = self.folder.join("s");
        // What is left there after a kill would take no connection, but be there.
        let _ = fs::remove_file(&socket);

        let start = Instant::now();
        let child = Command::new(self.program)
            .arg("--config")
            .arg(self.config_file())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        // Before the first await: whatever happens, the child must be ended.
        let mut child = KillOnDrop(Some(child));
        while UnixStream::connect(&socket).is_err() {
            let ended = child.0.as_mut().map(Child::try_wait).transpose()?.flatten();
            if let Some(status) = ended {
                let log = fs::read_to_string(&log).unwrap_or_default();
                bail!("seedpodd has ended with {status}:\n{log}");
            }
            if start.elapsed() > LIMIT {
                bail!("seedpodd takes no connection within {LIMIT:?}");
            }
            thread::sleep(START_POLL);
        }
        let client = self.runtime.block_on(async {
            let options = Options::for_endpoint(Endpoint::Unix(socket)).deadline(LIMIT);
            let client = Client::connect(options).await?;
            client.get_node().await?;
            Ok::<_, seedpod_client::Error>(client)
        })?;
        let took = start.elapsed();
        if let Some(child) = child.0.take() {
            self.running = Some((child, client));
        }
        Ok(took)
    }

    /// Ends the daemon with SIGTERM, so that it ends as it does in production.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let Some((mut child, _)) = self.running.take() else {
            return Ok(());
        };
        if let Ok(process) = ProcessRecord::of(child.id()) {
            process.signal(rustix::process::Signal::TERM)?;
        }
        let status = child.wait().context("wait for seedpodd")?;
        if !status.success() {
            bail!("seedpodd has ended with {status}");
        }
        Ok(())
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.running
            .as_ref()
            .map(|(child, _)| child.id())
            .context("the daemon does not run")
    }

    fn client(&self) -> Result<&Client> {
        self.running
            .as_ref()
            .map(|(_, client)| client)
            .context("the daemon does not run")
    }

    /// Injects, and returns also when the call began and how long it took. The connection is there and awake before.
    pub(crate) fn inject(&self, request: &InjectPods) -> Result<Injection> {
        let client = self.client()?;
        self.runtime.block_on(async {
            client.get_node().await?;
            let (start, clock) = (SystemTime::now(), Instant::now());
            let injected = client.inject(request).await?;
            let took = clock.elapsed();
            Ok(Injection {
                injected,
                start,
                took,
            })
        })
    }

    /// Removes a bundle, and waits until nothing of it runs or is to be written any more.
    pub(crate) fn remove(&self, bundle: &str) -> Result<()> {
        let request = RemoveBundle::new(bundle).allow_missing(true);
        self.runtime
            .block_on(self.client()?.remove_bundle(&request))?;
        self.wait_pods("all pods are gone", Some(bundle), <[Pod]>::is_empty)
    }

    /// Waits until all files of the bundle's revision are written and durable.
    pub(crate) fn wait_projected(&self, bundle: &Bundle) -> Result<()> {
        self.wait_pods("the pods are projected", Some(&bundle.name), |pods| {
            pods.len() == bundle.pods.len()
                && bundle.pods.iter().all(|wanted| {
                    pods.iter()
                        .any(|pod| pod.uid == wanted.uid && pod.state != PodState::Committed)
                })
        })
    }

    /// Watches a bundle's pods, which all are steady, calls `act`, and returns when that was, and when the daemon said what
    /// was waited for.
    pub(crate) fn watch(
        &self,
        bundle: &str,
        act: impl FnOnce() -> Result<()>,
        mut holds: impl FnMut(&[Pod]) -> bool,
    ) -> Result<(Instant, Instant)> {
        let client = self.client()?;
        self.runtime.block_on(async {
            let mut updates = client.watch_pods(Some(bundle));
            let ended = || anyhow::anyhow!("the stream of WatchPods has ended");
            updates.next().await.ok_or_else(ended)??;
            let begun = Instant::now();
            act()?;
            let wait = async {
                loop {
                    let update = updates.next().await.ok_or_else(ended)??;
                    if holds(&update.pods) {
                        return Ok((begun, Instant::now()));
                    }
                }
            };
            let waited = tokio::time::timeout(LIMIT, wait).await;
            waited.context("WatchPods does not say what is waited for")?
        })
    }

    /// Waits until this many pods run, and none is in another state.
    pub(crate) fn wait_running(&self, count: usize) -> Result<()> {
        self.wait_pods("all pods run", None, |pods| {
            pods.len() == count
                && pods
                    .iter()
                    .all(|pod| pod.state == PodState::Ready && pod.running_revision == pod.revision)
        })
    }

    fn wait_pods(
        &self,
        what: &str,
        bundle: Option<&str>,
        mut holds: impl FnMut(&[Pod]) -> bool,
    ) -> Result<()> {
        let client = self.client()?;
        let mut last = Vec::new();
        wait_for(LIMIT, what, || {
            match self.runtime.block_on(client.list_pods(bundle)) {
                Ok(pods) if holds(&pods) => return Some(()),
                Ok(pods) => last = pods,
                Err(_) => {}
            }
            None
        })
        .with_context(|| {
            let mut states = last
                .iter()
                .map(|pod| format!("{}: {}", pod.name, pod.state));
            format!(
                "last seen: {}",
                states.by_ref().collect::<Vec<_>>().join(", ")
            )
        })
    }

    /// The file in the static pod directory.
    pub(crate) fn manifest(&self, file: &str) -> PathBuf {
        self.manifests.join(file)
    }

    /// Where the contents of Secrets and ConfigMaps are.
    pub(crate) fn objects(&self) -> PathBuf {
        self.folder.join("state/objects")
    }

    /// The file that a commit of this revision made durable.
    pub(crate) fn revision_file(&self, bundle: &Bundle) -> PathBuf {
        let name = format!("{:020}.json", bundle.revision);
        self.folder
            .join("state/bundles")
            .join(&bundle.name)
            .join(name)
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if let Some((child, _)) = self.running.take() {
            drop(KillOnDrop(Some(child)));
        }
    }
}

/// What an injection did and when.
#[derive(Debug)]
pub(crate) struct Injection {
    pub(crate) injected: Injected,
    pub(crate) start: SystemTime,
    pub(crate) took: Duration,
}

impl Injection {
    /// The uid of the only pod.
    pub(crate) fn uid(&self) -> Result<&str> {
        match &self.injected.bundle.pods[..] {
            [pod] => Ok(&pod.uid),
            pods => bail!("the bundle has {} pods and not one", pods.len()),
        }
    }
}

struct KillOnDrop(Option<Child>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
