//! A control plane of static pods, as an installer would inject it, made of the rig's own programs.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Node;
use super::api_server::{api_server_arguments, etcd_arguments};
use crate::binaries::Tool;
use crate::http::HttpClient;
use crate::images;
use crate::ports::free_ports;

/// The pods of a control plane at the address that the node's kubelet is bound to, and a client for it.
///
/// All are on the host's network, write nothing but etcd's data, and have readiness probes that ask each second.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    /// etcd, which needs nothing.
    pub etcd: Value,
    /// kube-apiserver, which ends by itself when etcd is not there for 20 s. It authorizes by `Node,RBAC`.
    pub kube_apiserver: Value,
    /// kube-controller-manager and kube-scheduler, which end when the API server lets them read nothing.
    pub clients: [Value; 2],
    /// Requests to the API server as an administrator.
    pub client: HttpClient,
    /// The API server's port, on 127.0.0.1 too.
    pub port: u16,
    data: PathBuf,
}

impl ControlPlane {
    /// The namespace of the pods.
    pub const NAMESPACE: &str = "kube-system";

    /// All pods, in the order in which they need each other.
    #[must_use]
    pub fn pods(&self) -> Vec<Value> {
        let [controller_manager, scheduler] = self.clients.clone();
        vec![
            self.etcd.clone(),
            self.kube_apiserver.clone(),
            controller_manager,
            scheduler,
        ]
    }

    /// All pods, with etcd in wave 0, the API server in wave 1 and its clients in wave 2.
    #[must_use]
    pub fn pods_in_waves(&self) -> Vec<Value> {
        let waves = ["0", "1", "2", "2"];
        let mut pods = self.pods();
        for (pod, wave) in pods.iter_mut().zip(waves) {
            pod["metadata"]["annotations"] = json!({"seedpod.dev/wave": wave});
        }
        pods
    }

    /// Whether `/readyz` says yes.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.client.get("/readyz").is_ok_and(|it| it.status == 200)
    }

    /// Whether kube-controller-manager and kube-scheduler have been elected.
    #[must_use]
    pub fn leases_are_held(&self) -> bool {
        [Tool::KubeControllerManager, Tool::KubeScheduler]
            .iter()
            .all(|tool| self.holder(tool.name()).is_some())
    }

    /// A kubeconfig for the node's kubelet, with all that it needs inline, and the authority of its clients.
    ///
    /// # Errors
    /// Fails when a certificate can't be read.
    pub fn kubelet_files(&self) -> Result<(String, String)> {
        let folder = self.data.parent().unwrap_or(&self.data);
        let read = |name: &str| {
            let file = folder.join(name);
            fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))
        };
        let (ca, certificate, key) = (read("ca.crt")?, read("kubelet.crt")?, read("kubelet.key")?);
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "rig", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.port),
                "certificate-authority-data": STANDARD.encode(&ca),
            }}],
            "users": [{"name": "kubelet", "user": {
                "client-certificate-data": STANDARD.encode(certificate),
                "client-key-data": STANDARD.encode(key),
            }}],
            "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": "kubelet"}}],
            "current-context": "rig",
        });
        Ok((kubeconfig.to_string(), ca))
    }

    fn holder(&self, lease: &str) -> Option<String> {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{lease}");
        let answer = self.client.get(&path).ok().filter(|it| it.status == 200)?;
        let lease: Value = serde_json::from_str(&answer.body).ok()?;
        let holder = lease["spec"]["holderIdentity"].as_str()?;
        Some(holder.to_owned()).filter(|holder| !holder.is_empty())
    }

    /// Removes etcd's data, once its pod has stopped, so that the next one starts with nothing.
    ///
    /// # Errors
    /// Fails when a file can't be removed.
    pub fn wipe(&self) -> Result<()> {
        match fs::remove_dir_all(&self.data) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", self.data.display()))
            }
            _ => Ok(()),
        }
    }
}

impl Node {
    /// The pods of a control plane for this node, which has their images then.
    ///
    /// # Errors
    /// Fails when a program can't be built or an image not be imported.
    pub fn control_plane(&self) -> Result<ControlPlane> {
        let state = self.plan_api_server()?;
        for image in images::CONTROL_PLANE {
            self.ensure_image(image)?;
        }
        let folder = self.layout.control_plane();
        let [controller_manager_port, scheduler_port] = free_ports()?;
        let mut api_server = api_server_arguments(&folder, &state, self.address());
        api_server.retain(|argument| !argument.starts_with("--authorization-mode="));
        api_server.push("--authorization-mode=Node,RBAC".to_owned());

        let etcd = etcd_arguments(&folder, &state);
        let etcd_health =
            json!({"host": "127.0.0.1", "port": state.etcd_ports[0], "path": "/readyz"});
        let pod = |tool: Tool, image: &str, arguments: &[String], health: &Value| {
            static_pod(&folder, tool, image, arguments, health)
        };
        Ok(ControlPlane {
            etcd: pod(Tool::Etcd, images::ETCD, &etcd, &etcd_health),
            kube_apiserver: pod(
                Tool::KubeApiserver,
                images::KUBE_APISERVER,
                &api_server,
                &https(state.port, "/readyz"),
            ),
            clients: [
                pod(
                    Tool::KubeControllerManager,
                    images::KUBE_CONTROLLER_MANAGER,
                    &controller_manager_arguments(&folder, controller_manager_port),
                    &https(controller_manager_port, "/healthz"),
                ),
                pod(
                    Tool::KubeScheduler,
                    images::KUBE_SCHEDULER,
                    &client_arguments(&folder, Tool::KubeScheduler, scheduler_port),
                    &https(scheduler_port, "/readyz"),
                ),
            ],
            client: self.administrator(state.port)?,
            port: state.port,
            data: folder.join("etcd"),
        })
    }
}

fn https(port: u16, path: &str) -> Value {
    json!({"host": "127.0.0.1", "port": port, "path": path, "scheme": "HTTPS"})
}

fn static_pod(
    folder: &Path,
    tool: Tool,
    image: &str,
    arguments: &[String],
    health: &Value,
) -> Value {
    let mut command = vec![format!("/bin/{}", tool.name())];
    command.extend_from_slice(arguments);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": tool.name(), "namespace": ControlPlane::NAMESPACE},
        "spec": {
            "hostNetwork": true,
            "priorityClassName": "system-node-critical",
            "priority": 2_000_001_000,
            "terminationGracePeriodSeconds": 10,
            "containers": [{
                "name": "main",
                "image": image,
                "imagePullPolicy": "Never",
                "command": command,
                "readinessProbe": {"httpGet": health, "periodSeconds": 1, "timeoutSeconds": 5},
                "volumeMounts": [{"name": "files", "mountPath": folder}],
            }],
            "volumes": [{"name": "files", "hostPath": {"path": folder}}],
        },
    })
}

/// What kube-controller-manager and kube-scheduler have in common.
fn client_arguments(folder: &Path, tool: Tool, port: u16) -> Vec<String> {
    let kubeconfig = folder.join(format!("{}.kubeconfig", tool.name()));
    let kubeconfig = kubeconfig.display();
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--leader-elect=true".to_owned(),
    ]
}

fn controller_manager_arguments(folder: &Path, port: u16) -> Vec<String> {
    let mut arguments = client_arguments(folder, Tool::KubeControllerManager, port);
    let (key, ca) = (folder.join("service-account.key"), folder.join("ca.crt"));
    arguments.extend([
        format!("--service-account-private-key-file={}", key.display()),
        format!("--root-ca-file={}", ca.display()),
        "--use-service-account-credentials=true".to_owned(),
    ]);
    arguments
}
