//! The kubelet: configuration, start, restart.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::{KUBELET, Node};
use crate::cargo::workspace_binary;
use crate::state::KubeletAccess;

impl Node {
    /// Starts the kubelet, which must not run, and waits until it says that it is healthy.
    ///
    /// # Errors
    /// Fails when it runs already, or does not start.
    pub fn start_kubelet(&self) -> Result<()> {
        if let Some(process) = self.process(KUBELET) {
            bail!("the kubelet runs already, with pid {}", process.pid);
        }
        let root = self.kubelet_root();
        fs::create_dir_all(&root).with_context(|| format!("make {}", root.display()))?;
        let state = self.state();
        let config = self.layout.kubelet_config();
        fs::write(&config, self.kubelet_config().to_string())
            .with_context(|| format!("write {}", config.display()))?;
        let mut arguments = vec![
            format!("--config={}", config.display()),
            format!("--root-dir={}", root.display()),
            format!("--cert-dir={}", root.join("pki").display()),
            format!("--hostname-override={}", self.name()),
            // Otherwise the pods' gateway: it is there even on a host without a network.
            format!(
                "--node-ip={}",
                state
                    .own_network
                    .as_ref()
                    .map_or(state.network.gateway, |own| own.address)
            ),
            "--v=2".to_owned(),
        ];
        if state.bare.is_some() {
            arguments.extend(self.joining_arguments());
        }
        if state.kubelet_uses_api_server {
            let kubeconfig = self.layout.control_plane().join("kubelet.kubeconfig");
            arguments.push(format!("--kubeconfig={}", kubeconfig.display()));
        }
        self.launch(KUBELET, &self.tool(KUBELET)?, arguments)?;
        let client = self.kubelet();
        self.wait_serving(KUBELET, || {
            client
                .get("/healthz")
                .is_ok_and(|answer| answer.status == 200)
        })
    }

    /// Kills the kubelet with SIGKILL. Containers go on.
    ///
    /// # Errors
    /// Fails when it does not end.
    pub fn kill_kubelet(&self) -> Result<()> {
        match self.process(KUBELET) {
            Some(process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Kills the kubelet with SIGKILL, whatever it is at, and starts it again. Containers go on.
    ///
    /// # Errors
    /// Fails when it does not start again.
    pub fn restart_kubelet(&self) -> Result<()> {
        self.kill_kubelet()?;
        self.start_kubelet()
    }

    /// A command that restarts the kubelet, for whoever may do so: what `systemctl restart kubelet` is elsewhere.
    ///
    /// # Errors
    /// Fails when the rig's own program can't be built.
    pub fn kubelet_restart_command(&self) -> Result<Vec<String>> {
        let program = workspace_binary("seedpod-integration", "seedpod-rig")?;
        let words = [
            &program,
            Path::new("kubelet"),
            Path::new("restart"),
            self.dir(),
        ];
        Ok(words.map(|word| word.display().to_string()).to_vec())
    }

    /// What a unit file for a bare kubelet would work out at each start.
    fn joining_arguments(&self) -> Vec<String> {
        let (kubeconfig, bootstrap) =
            (self.layout.kubeconfig(), self.layout.bootstrap_kubeconfig());
        let mut arguments = Vec::new();
        if bootstrap.exists() {
            arguments.push(format!("--bootstrap-kubeconfig={}", bootstrap.display()));
        }
        // With the other one, the kubelet makes this file itself.
        if kubeconfig.exists() || bootstrap.exists() {
            arguments.push(format!("--kubeconfig={}", kubeconfig.display()));
        }
        arguments
    }

    /// The keys of a bare kubelet's configuration that depend on what it was given.
    fn joining_config(&self, access: KubeletAccess) -> Map<String, Value> {
        let (ca, bootstrap) = (
            self.layout.client_ca(),
            self.layout.bootstrap_kubeconfig().exists(),
        );
        let joined = bootstrap || self.layout.kubeconfig().exists();
        let closed = joined && access == KubeletAccess::Cluster;
        let mut authentication = json!({
            "anonymous": {"enabled": !closed},
            "webhook": {"enabled": closed},
        });
        if ca.exists() {
            authentication["x509"] = json!({"clientCAFile": ca});
        }
        let mode = if closed { "Webhook" } else { "AlwaysAllow" };
        let keys = json!({
            "authentication": authentication,
            "authorization": {"mode": mode},
            "rotateCertificates": bootstrap,
        });
        keys.as_object().cloned().unwrap_or_default()
    }

    fn kubelet_config(&self) -> Value {
        let state = self.state();
        let address = if state.own_network.is_some() {
            "0.0.0.0"
        } else {
            "127.0.0.1"
        };
        let mut config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": address,
            "port": state.kubelet_port,
            "readOnlyPort": state.kubelet_read_only_port,
            "healthzPort": 0,
            "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
            "authorization": {"mode": "AlwaysAllow"},
            "staticPodPath": self.manifests(),
            "podLogsDir": self.pod_logs(),
            "volumePluginDir": self.kubelet_root().join("volume-plugins"),
            "containerRuntimeEndpoint": format!("unix://{}", self.containerd_socket().display()),
            "cgroupDriver": "cgroupfs",
            // A cgroup of its own: two kubelets under one would clean up each other's pods.
            "cgroupRoot": self.cgroup.path(),
            "failCgroupV1": false,
            "failSwapOn": false,
            "enforceNodeAllocatable": [],
            "makeIPTablesUtilChains": false,
            "maxPods": 250,
            // A disk that is nearly full is the host's affair and must not evict a test's pods.
            "evictionHard": {
                "memory.available": "1Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
                "imagefs.available": "0%", "imagefs.inodesFree": "0%",
            },
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
        });
        if let Some(keys) = config.as_object_mut() {
            if let Some(access) = state.bare {
                keys.extend(self.joining_config(access));
            }
            keys.extend(state.kubelet_config);
        }
        config
    }
}
