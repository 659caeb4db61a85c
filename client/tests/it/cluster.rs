//! Bringing played clusters up and taking them down.

mod api;
mod down;
mod handoff;
mod kills;
mod preflight;
mod seedpod;
mod tool;
mod up;
mod world;

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use seedpod_client::cluster::{ClusterConfiguration, Installer, Outcome, Phase, Progress, UpError};
use tempfile::TempDir;

use world::World;

/// A played cluster, and the folder with its configuration.
struct Scene {
    world: Arc<World>,
    /// Where the API is reached: its endpoint is no address of this machine.
    api: String,
    folder: TempDir,
    told: Arc<Mutex<Vec<Progress>>>,
}

impl Scene {
    /// A cluster of these nodes, of which the ones that begin with `w` are workers. Its API is served when the control
    /// plane is injected.
    fn new(nodes: &[&str]) -> Self {
        Self::with(nodes, "")
    }

    /// As [`Self::new`], with more lines in its configuration.
    fn with(nodes: &[&str], lines: &str) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let world = Arc::new(World::new(nodes));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let mut text = format!(
            "apiVersion: seedpod.dev/v1alpha1\nkind: ClusterConfiguration\nname: demo\nkubernetesVersion: v1.37.2\n\
             controlPlaneEndpoint: https://192.0.2.1:{port}\n{lines}nodes:\n"
        );
        for (index, name) in nodes.iter().enumerate() {
            let socket = seedpod::serve(&world, name, folder.path());
            let worker = name.starts_with('w');
            text += &format!(
                "- {{name: {name}, address: 192.0.2.{}, endpoint: 'unix://{}', controlPlane: {}, labels: {{zone: a}}}}\n",
                index + 1,
                socket.display(),
                !worker
            );
        }
        fs::write(folder.path().join("cluster.yaml"), text).expect("written");
        let scene = Self {
            world,
            api: format!("127.0.0.1:{port}"),
            folder,
            told: Arc::default(),
        };
        let installer = scene.installer();
        let rendered = installer.render().expect("rendered");
        let first = &rendered.handoff[0].node;
        let pair = &rendered.pki.api_server[first];
        let (certificate, key) = (&pair.certificate, &pair.key);
        api::serve(Arc::clone(&scene.world), listener, certificate, key);
        scene.told.lock().expect("unpoisoned").clear();
        scene
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("cluster.yaml")
    }

    /// What a new process would have.
    fn installer(&self) -> Installer {
        let loaded = ClusterConfiguration::load(self.file()).expect("a configuration");
        let told = Arc::clone(&self.told);
        Installer::new(loaded, self.folder.path().join("demo"))
            .timeout(Duration::from_secs(20))
            .api_address(&self.api)
            .on_progress(move |progress| {
                told.lock().expect("unpoisoned").push(progress.clone());
            })
    }

    /// All phases, as a process of its own.
    async fn up(&self) -> Result<Vec<Outcome>, UpError> {
        let installer = self.installer();
        let mut outcomes = Vec::new();
        for phase in Phase::ALL {
            outcomes.push(installer.run(phase).await?);
        }
        Ok(outcomes)
    }

    fn calls(&self, method: &str) -> Vec<String> {
        let state = self.world.state();
        let calls = state.calls.iter();
        calls
            .filter(|call| call.split(' ').nth(1) == Some(method))
            .cloned()
            .collect()
    }

    fn told(&self) -> Vec<Progress> {
        self.told.lock().expect("unpoisoned").clone()
    }
}
