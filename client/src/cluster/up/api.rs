//! What is asked of the cluster's API at its endpoint: reads, and the labels and taints of nodes.

use std::{fmt, time::Duration};

use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{ConfigMap, Endpoints, Node, Pod, ServiceAccount},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::params::GetParams,
};
use serde_json::{Value, json};

use super::error::chain;

/// The field manager of nodes' labels. It is not that of what nodes apply: each says all that it wants of an object.
const MANAGER: &str = "seedpod-up";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the API did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct ApiError {
    /// Where the API was looked for.
    pub endpoint: String,
    /// The HTTP status, when it answered.
    pub status: Option<u16>,
    /// What it says, or why it cannot be reached.
    pub message: String,
}

impl ApiError {
    /// Whether the same may well succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self.status {
            // A cluster that has just begun does not know all its rules yet.
            Some(status) => matches!(status, 403 | 404 | 409 | 429) || status >= 500,
            None => true,
        }
    }
}

/// The API at its endpoint, as the cluster's administrator.
#[derive(Clone)]
pub(super) struct ApiClient {
    client: Client,
    endpoint: String,
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiClient")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl ApiClient {
    /// Connects to nobody yet; then to the kubeconfig's server, or to the address in its place.
    pub(super) async fn new(kubeconfig: &str, address: Option<&str>) -> Result<Self, ApiError> {
        let unusable = |message: String| ApiError {
            endpoint: String::new(),
            status: None,
            message,
        };
        let wrong = |error: &(dyn std::error::Error + 'static)| {
            unusable(format!("it is not as rendered: {}", chain(error)))
        };
        let kubeconfig = Kubeconfig::from_yaml(kubeconfig).map_err(|error| wrong(&error))?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| wrong(&error))?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(READ_TIMEOUT);
        let endpoint = config.cluster_url.to_string();
        if let Some(address) = address {
            let host = config.cluster_url.host().unwrap_or_default();
            let host = host.trim_start_matches('[').trim_end_matches(']');
            config.tls_server_name = Some(host.to_owned());
            config.cluster_url = format!("https://{address}")
                .parse()
                .map_err(|_| unusable(format!("{address:?} is no HOST:PORT")))?;
        }
        let client = Client::try_from(config).map_err(|error| wrong(&error))?;
        Ok(Self {
            client,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
        })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Succeeds when `/readyz` says so.
    pub(super) async fn ready(&self) -> Result<(), ApiError> {
        let request = kube::core::Request::new("").get("readyz", &GetParams::default());
        let request = request.map_err(|error| self.error(&kube::Error::BuildRequest(error)))?;
        let text = self.client.request_text(request).await;
        text.map(drop).map_err(|error| self.error(&error))
    }

    /// Its version, such as `v1.37.2`.
    pub(super) async fn version(&self) -> Result<String, ApiError> {
        let version = self.client.apiserver_version().await;
        version
            .map(|version| version.git_version)
            .map_err(|error| self.error(&error))
    }

    pub(super) async fn service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<bool, ApiError> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get_opt(name).await;
        found
            .map(|found| found.is_some())
            .map_err(|error| self.error(&error))
    }

    pub(super) async fn nodes(&self) -> Result<Vec<Node>, ApiError> {
        let api: Api<Node> = Api::all(self.client.clone());
        let list = api.list(&ListParams::default()).await;
        list.map(|list| list.items)
            .map_err(|error| self.error(&error))
    }

    /// The pods of a node with these labels, also those that stop.
    pub(super) async fn pods(
        &self,
        namespace: &str,
        labels: &[(String, String)],
        node: &str,
    ) -> Result<Vec<Pod>, ApiError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let parameters = ListParams::default()
            .labels(&labels.join(","))
            .fields(&format!("spec.nodeName={node}"));
        let list = api.list(&parameters).await;
        list.map(|list| list.items)
            .map_err(|error| self.error(&error))
    }

    pub(super) async fn lease(&self, name: &str) -> Result<Option<Lease>, ApiError> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), "kube-system");
        api.get_opt(name).await.map_err(|error| self.error(&error))
    }

    pub(super) async fn config_map(&self, name: &str) -> Result<Option<ConfigMap>, ApiError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), "kube-system");
        api.get_opt(name).await.map_err(|error| self.error(&error))
    }

    /// Whether the Service `default/kubernetes` leads to anybody.
    pub(super) async fn has_endpoints(&self) -> Result<bool, ApiError> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), "default");
        let found = api.get_opt("kubernetes").await;
        found
            .map(|found| {
                found
                    .and_then(|slice| slice.endpoints)
                    .is_some_and(|endpoints| !endpoints.is_empty())
            })
            .map_err(|error| self.error(&error))
    }

    /// Sets whom the Service `default/kubernetes` leads to.
    pub(super) async fn set_endpoints(
        &self,
        endpoints: &Value,
        slice: &Value,
    ) -> Result<(), ApiError> {
        let parameters = PatchParams::apply(MANAGER).force();
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), "default");
        let patch = Patch::Apply(endpoints);
        let patched = api.patch("kubernetes", &parameters, &patch).await;
        patched.map_err(|error| self.error(&error))?;
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), "default");
        let patch = Patch::Apply(slice);
        let patched = api.patch("kubernetes", &parameters, &patch).await;
        patched.map(drop).map_err(|error| self.error(&error))
    }

    /// Sets labels of a node by server-side apply; those that an earlier run set and this one does not are taken away.
    pub(super) async fn set_labels(&self, node: &str, labels: &Value) -> Result<(), ApiError> {
        let api: Api<Node> = Api::all(self.client.clone());
        let parameters = PatchParams::apply(MANAGER).force();
        let patch = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": node, "labels": labels },
        });
        let patched = api.patch(node, &parameters, &Patch::Apply(patch)).await;
        patched.map(drop).map_err(|error| self.error(&error))
    }

    /// Replaces the taints of a node as it was seen: 409 when it has changed since. The list is one field, which
    /// controllers write too, so that it cannot be applied in parts.
    pub(super) async fn set_taints(&self, node: &Node, taints: &Value) -> Result<(), ApiError> {
        let api: Api<Node> = Api::all(self.client.clone());
        let patch = json!({
            "metadata": { "resourceVersion": node.resource_version() },
            "spec": { "taints": taints },
        });
        let parameters = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patched = api
            .patch(&node.name_any(), &parameters, &Patch::Merge(patch))
            .await;
        patched.map(drop).map_err(|error| self.error(&error))
    }

    fn error(&self, error: &kube::Error) -> ApiError {
        let (status, message) = match error {
            kube::Error::Api(status) => (Some(status.code), status.message.clone()),
            error => (None, root(error)),
        };
        ApiError {
            endpoint: self.endpoint.clone(),
            status,
            message: if message.is_empty() {
                format!(
                    "the API at {} answers {}",
                    self.endpoint,
                    status.unwrap_or(0)
                )
            } else {
                format!("the API at {}: {message}", self.endpoint)
            },
        }
    }
}

/// The innermost cause: what is around it says only that a request has failed.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
