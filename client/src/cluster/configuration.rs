//! `kind: ClusterConfiguration` of `seedpod.dev/v1alpha1`.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize, de};

/// A cluster as its user describes it. Paths that are not absolute start at the file's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterConfiguration {
    /// Always `seedpod.dev/v1alpha1`.
    pub api_version: String,
    /// Always `ClusterConfiguration`.
    pub kind: String,
    /// The cluster's name, which contexts in kubeconfigs get.
    pub name: String,
    /// How much of the control plane runs in the cluster.
    #[serde(default)]
    pub level: Level,
    /// The version of the control plane, such as `v1.37.2`.
    pub kubernetes_version: String,
    /// Where clients outside of the control plane's nodes reach the API: `https://HOST:PORT`. Not given: the address of
    /// the first node of the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_endpoint: Option<String>,
    /// The machines.
    pub nodes: Vec<NodeConfiguration>,
    /// How the nodes' Seedpods are reached.
    #[serde(default)]
    pub seedpod: SeedpodAccess,
    /// Addresses inside of the cluster.
    #[serde(default)]
    pub networking: Networking,
    /// Where the programs come from.
    #[serde(default)]
    pub images: Images,
    /// etcd.
    #[serde(default)]
    pub etcd: Etcd,
    /// kube-apiserver.
    #[serde(default)]
    pub api_server: ApiServer,
    /// kube-controller-manager.
    #[serde(default)]
    pub controller_manager: Component,
    /// kube-scheduler.
    #[serde(default)]
    pub scheduler: Component,
    /// The kubelets.
    #[serde(default)]
    pub kubelet: KubeletSettings,
    /// Certificates.
    #[serde(default)]
    pub certificates: Certificates,
    /// A folder with manifests of the user's own (CNI, DNS, proxy), applied in order: namespaces, CRDs, the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addons: Option<PathBuf>,
}

/// Which parts are self-hosted, in the words of the design document of self-hosted Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Level {
    /// API server, controller manager and scheduler in the cluster; etcd is external.
    #[serde(rename = "2-4")]
    TwoToFour,
    /// The same, with an etcd that is injected and kept by Seedpod.
    #[default]
    #[serde(rename = "1-4")]
    OneToFour,
    /// The kubelet too. Not there yet, and refused.
    #[serde(rename = "0-4")]
    ZeroToFour,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeConfiguration {
    /// The node's name, as its kubelet and its seedpodd have it.
    pub name: String,
    /// The address at which the other nodes reach it.
    #[serde(deserialize_with = "address")]
    pub address: IpAddr,
    /// The endpoint of its seedpodd, as for `seedpod --endpoint`. Not given: `https://ADDRESS:10290`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Whether it is of the control plane.
    #[serde(default)]
    pub control_plane: bool,
    /// Whether it has a member of etcd. Not given: as `controlPlane`, at level 1-4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<bool>,
    /// Labels of the Node object.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Taints of the Node object, as `KEY=VALUE:EFFECT` or `KEY:EFFECT`. Not given: none, also on the control plane.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<String>,
}

/// An address, or an error that says what one looks like.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpAddr, D::Error> {
    let given = String::deserialize(deserializer)?;
    given.parse().map_err(|_| {
        de::Error::custom(format!(
            "address: {given:?} is no IP address; write it as in 192.0.2.7"
        ))
    })
}

/// How the nodes' Seedpods are reached, all with the same certificates. Not given: as the CLI's flags say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeedpodAccess {
    /// The authority of the daemons' certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The installer's certificate, with the role seedpod:admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// Its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

/// Addresses inside of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Networking {
    /// Of services.
    pub service_subnet: String,
    /// Of pods. Not given: the controller manager allocates none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_subnet: Option<String>,
    /// The domain of service names.
    pub dns_domain: String,
}

impl Default for Networking {
    fn default() -> Self {
        Self {
            service_subnet: "10.96.0.0/12".to_owned(),
            pod_subnet: None,
            dns_domain: "cluster.local".to_owned(),
        }
    }
}

/// Where the programs come from. An image that is not given is `REPOSITORY/NAME:VERSION`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Images {
    /// Where Kubernetes' images are.
    pub repository: String,
    /// `imagePullPolicy` of all of them.
    pub pull_policy: String,
    /// Of etcd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd: Option<String>,
    /// Of kube-apiserver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kube_apiserver: Option<String>,
    /// Of kube-controller-manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kube_controller_manager: Option<String>,
    /// Of kube-scheduler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kube_scheduler: Option<String>,
}

impl Default for Images {
    fn default() -> Self {
        Self {
            repository: "registry.k8s.io".to_owned(),
            pull_policy: "IfNotPresent".to_owned(),
            etcd: None,
            kube_apiserver: None,
            kube_controller_manager: None,
            kube_scheduler: None,
        }
    }
}

/// etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Etcd {
    /// An etcd that is there already: required at level 2-4, refused at level 1-4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEtcd>,
    /// Where a member keeps its data on its node.
    pub data_directory: PathBuf,
    /// The port for clients.
    pub client_port: u16,
    /// The port for the other members.
    pub peer_port: u16,
    /// The port for metrics and health on 127.0.0.1, without TLS.
    pub metrics_port: u16,
    /// Flags to add or override, without the dashes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_args: BTreeMap<String, String>,
}

impl Default for Etcd {
    fn default() -> Self {
        Self {
            external: None,
            data_directory: PathBuf::from("/var/lib/etcd"),
            client_port: 2379,
            peer_port: 2380,
            metrics_port: 2381,
            extra_args: BTreeMap::new(),
        }
    }
}

/// An etcd that Seedpod has nothing to do with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalEtcd {
    /// URLs of its members.
    pub endpoints: Vec<String>,
    /// The authority of its certificates. All three files, or none for `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The API servers' certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// Its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

/// kube-apiserver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ApiServer {
    /// The port on each node of the control plane.
    pub port: u16,
    /// Names and addresses for its certificate beside those of the nodes and of the endpoint.
    #[serde(rename = "certSANs", skip_serializing_if = "Vec::is_empty")]
    pub cert_sans: Vec<String>,
    /// Flags to add or override, without the dashes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_args: BTreeMap<String, String>,
    /// Folders and files of the nodes for its container, such as a policy that a flag names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_volumes: Vec<HostPathMount>,
}

impl Default for ApiServer {
    fn default() -> Self {
        Self {
            port: 6443,
            cert_sans: Vec::new(),
            extra_args: BTreeMap::new(),
            extra_volumes: Vec::new(),
        }
    }
}

/// kube-controller-manager or kube-scheduler.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Component {
    /// The port on 127.0.0.1. Not given: the component's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How many pods the cluster runs. Not given: one per node of the control plane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Flags to add or override, without the dashes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_args: BTreeMap<String, String>,
    /// Folders and files of the nodes for its container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_volumes: Vec<HostPathMount>,
}

/// A folder or a file of each node of the control plane, in a program's container. As in kubeadm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostPathMount {
    /// The volume's name.
    pub name: String,
    /// Where it is on the node.
    pub host_path: String,
    /// Where it is in the container.
    pub mount_path: String,
    /// Whether the program can only read it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// What has to be there: `File`, `DirectoryOrCreate` and so on, as `hostPath` of a pod has it. Not given: anything.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path_type: String,
}

/// The kubelets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KubeletSettings {
    /// How they come into the cluster.
    pub admission: AdmittedKubelet,
    /// Whether `seedpod up` gives the kubelets their kubeconfigs through Seedpod. Otherwise they are expected to have
    /// them already, from what was rendered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configure: Option<bool>,
}

/// How kubelets come into the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AdmittedKubelet {
    /// By a certificate that is rendered for each.
    #[default]
    Certificate,
    /// By TLS bootstrapping with a bootstrap token.
    BootstrapToken,
}

/// Certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Certificates {
    /// A folder with one's own authorities, named as in the rendered `pki` folder. A certificate without its key is
    /// allowed when everything that it would sign is there too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// For how many days authorities are valid.
    pub ca_days: u32,
    /// For how many days all other certificates are valid.
    pub days: u32,
}

impl Default for Certificates {
    fn default() -> Self {
        Self {
            directory: None,
            ca_days: 3650,
            days: 365,
        }
    }
}
