//! A daemon of a test's own on a node, with clients for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use seedpod_client::{
    Bundle, Client, Endpoint, Error, InjectPods, Injected, Options, Pod, RemoveBundle, Wait,
};
use seedpod_integration::pki::Identity;
use seedpod_integration::{
    Container, ContainerKind, Node, Seedpodd, SeedpoddOptions, wait_for, wait_until,
};
use serde_json::{Map, Value};

use crate::pods::{Asks, Probed};
use crate::rig::{LIMIT, node, pod, unique};

/// Drives the SDK. Tests are plain functions, since all else that they call blocks.
static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("start the runtime")
});

/// Waits for a future.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// Starts a future that goes on while the test does other things.
pub(crate) fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    RUNTIME.spawn(future)
}

/// A running daemon on a node. Several share the node's directory: each test's pods have names of their own.
///
/// Its end is the end of its pods: a full node is a slow one.
pub(crate) struct Scene<'node> {
    pub(crate) node: &'node Node,
    pub(crate) daemon: Seedpodd<'node>,
    /// An installer, over mutual TLS.
    pub(crate) client: Client,
    name: String,
}

impl Scene<'static> {
    /// A daemon on the shared node.
    pub(crate) fn new(theme: &str) -> Self {
        Scene::on(node(), theme)
    }

    /// A daemon on the shared node that has these keys in its configuration, or, where the value is null, has not.
    pub(crate) fn configured(theme: &str, config: Value) -> Self {
        Scene::on_configured(node(), theme, config)
    }
}

impl<'node> Scene<'node> {
    pub(crate) fn on(node: &'node Node, theme: &str) -> Self {
        Self::on_configured(node, theme, Value::Object(Map::new()))
    }

    pub(crate) fn on_configured(node: &'node Node, theme: &str, config: Value) -> Self {
        let scene = Self::prepared(node, theme, config);
        scene.daemon.start_again().expect("start the daemon");
        scene
    }

    /// All is written, and nothing runs.
    pub(crate) fn prepared(node: &'node Node, theme: &str, config: Value) -> Self {
        let name = unique(theme);
        let Value::Object(config) = config else {
            panic!("a configuration is an object")
        };
        let options = SeedpoddOptions {
            name: name.clone(),
            config,
        };
        let daemon = Seedpodd::prepare(node, &options).expect("prepare a daemon");
        let client = connect_lazy(tls_options(&daemon, &daemon.identity("injector")));
        Self {
            node,
            daemon,
            client,
            name,
        }
    }

    /// The name of a bundle or pod that no other test has.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// A pod of this scene that prints a line.
    pub(crate) fn pod(&self, name: &str, line: &str) -> Value {
        pod(&self.name(name), line)
    }

    /// A pod of this scene whose probe fails and passes on command.
    pub(crate) fn probed(&self, name: &str, asks: Asks) -> Probed {
        Probed::new(self.node, &self.name(name), asks)
    }

    /// The file of a pod of this scene.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.node
            .manifests()
            .join(format!("seedpod_default_{}.json", self.name(name)))
    }

    pub(crate) fn inject(&self, bundle: &str, pods: &[Value]) -> Result<Injected, Error> {
        let mut injected = run(self.client.inject(&self.request(bundle, pods)))?;
        injected.bundle = committed(injected.bundle);
        Ok(injected)
    }

    pub(crate) fn request(&self, bundle: &str, pods: &[Value]) -> InjectPods {
        InjectPods::new(self.name(bundle)).manifests(pods.iter().map(Value::to_string))
    }

    /// Injects and waits until all runs.
    pub(crate) fn inject_and_wait(&self, bundle: &str, pods: &[Value]) -> (Injected, Vec<Pod>) {
        let injected = self.inject(bundle, pods).expect("inject");
        let running = self.wait_running(&injected.bundle);
        (injected, running)
    }

    pub(crate) fn wait_running(&self, bundle: &Bundle) -> Vec<Pod> {
        let wait = Wait::new(LIMIT).patience(LIMIT);
        run(self
            .client
            .wait_running(&bundle.name, bundle.revision, wait))
        .expect("the pods run")
    }

    pub(crate) fn remove_and_wait(&self, bundle: &str) {
        let bundle = self.name(bundle);
        run(self.client.remove_bundle(&RemoveBundle::new(&bundle))).expect("remove");
        run(self.client.wait_removed(&bundle, Wait::new(LIMIT))).expect("the pods are gone");
    }

    /// A bundle as it is committed, without what runs of it.
    pub(crate) fn bundle(&self, bundle: &str) -> Result<Bundle, Error> {
        run(self.client.get_bundle(self.name(bundle))).map(committed)
    }

    pub(crate) fn pods(&self, bundle: &str) -> Vec<Pod> {
        run(self.client.list_pods(Some(&self.name(bundle)))).expect("list the pods")
    }

    /// What containerd says of a container of one of this scene's pods, while it runs.
    pub(crate) fn running(&self, pod: &str, kind: ContainerKind) -> Option<Container> {
        running(self.node, &self.name(pod), kind)
    }

    pub(crate) fn first_line(&self, pod: &str) -> String {
        self.node
            .first_line(&self.name(pod), "main", LIMIT)
            .expect("the pod prints a line")
    }

    /// Waits until a pod's newest container has printed this as its first line.
    pub(crate) fn wait_for_line(&self, pod: &str, line: &str) {
        let name = self.name(pod);
        wait_until(LIMIT, &format!("pod {name} prints {line:?}"), || {
            let log = self.node.container_log("default", &name, "main");
            log.is_some_and(|log| log.lines().next() == Some(line))
        })
        .expect("the new content runs");
    }

    /// Waits until no container of a pod runs.
    pub(crate) fn wait_stopped(&self, pod: &str) {
        wait_until(LIMIT, &format!("pod {pod} stops"), || {
            [ContainerKind::Sandbox, ContainerKind::Container]
                .iter()
                .all(|kind| self.running(pod, *kind).is_none())
        })
        .expect("the pod stops");
    }

    /// The daemon's log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.daemon.log()).unwrap_or_default()
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for log in [self.daemon.log(), self.node.kubelet_log()] {
                let text = fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let end = lines[lines.len().saturating_sub(40)..].join("\n");
                eprintln!("{} ends with:\n{end}", log.display());
            }
        }
        let _ = self.daemon.stop();
        for file in files_of(&self.node.manifests(), &format!("{}-", self.name)) {
            let _ = fs::remove_file(file);
        }
    }
}

/// A bundle as it is committed, without what has become of it since.
pub(crate) fn committed(mut bundle: Bundle) -> Bundle {
    bundle.status = None;
    bundle.last_good_revision = 0;
    bundle.trial = None;
    bundle
}

/// The files of pods whose names begin so.
pub(crate) fn files_of(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let prefix = format!("seedpod_default_{prefix}");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("list the static pod directory")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

/// What containerd says of a pod's sandbox or first container, while it runs.
pub(crate) fn running(node: &Node, pod: &str, kind: ContainerKind) -> Option<Container> {
    let full = format!("{pod}-{}", node.name());
    // While containerd restarts it says nothing, and whoever waits asks again.
    let containers = node.containers().ok()?;
    containers
        .into_iter()
        .find(|it| it.pod == full && it.kind == kind && it.is_running())
}

/// The same, waiting for it.
pub(crate) fn wait_running(node: &Node, pod: &str, kind: ContainerKind) -> Container {
    wait_for(LIMIT, &format!("pod {pod} runs"), || {
        running(node, pod, kind)
    })
    .expect("the pod runs")
}

/// How a client of the daemon's own CA connects.
pub(crate) fn tls_options(daemon: &Seedpodd<'_>, identity: &Identity) -> Options {
    Options::new(&format!("https://{}", daemon.tls_address()))
        .expect("the daemon's address")
        .ca_file(daemon.ca_file())
        .client_certificate_files(&identity.certificate, &identity.key)
        .deadline(LIMIT)
}

/// How the node's operator connects.
pub(crate) fn socket_options(daemon: &Seedpodd<'_>) -> Options {
    Options::for_endpoint(Endpoint::Unix(daemon.socket())).deadline(LIMIT)
}

pub(crate) fn connect_lazy(options: Options) -> Client {
    // Made inside of the runtime, which the connection's own task is to live in.
    run(async { Client::connect_lazy(options) }).expect("the client's options")
}
