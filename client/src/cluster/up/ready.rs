//! Whether the API answers, at its endpoint and on each node of the control plane.

use super::{
    Installer, Phase, UpError,
    api::ApiClient,
    error::chain,
    wait::{self, Look},
};
use crate::cluster::NodeConfiguration;

/// Without these, no pod can be made there: its service account is what a pod is checked for first.
const NAMESPACES: [&str; 2] = ["kube-system", "default"];

/// What every cluster has, for a node to ask about without changing anything.
const PROBE: &str = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: kube-system\n";

/// The API answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct ReadyApi {
    /// Where.
    pub endpoint: String,
    /// Its version.
    pub version: String,
    /// The nodes on which it answers too.
    pub nodes: Vec<String>,
}

impl Installer {
    /// Waits until the API answers at its endpoint and, as their Seedpods see it, on each node of the control plane, and
    /// until there are the default service accounts, which the controller manager makes. The Service `default/kubernetes` has
    /// the nodes as its endpoints then.
    ///
    /// # Errors
    /// Those of [`UpError`].
    pub async fn api(&self) -> Result<ReadyApi, UpError> {
        let scope = self.begin(Phase::Api);
        let api = self.api_client().await?;
        let local = &self.render()?.kubeconfigs.handoff;
        let version = wait::until(&scope, self.timeout, || look(&api)).await?;
        let nodes = self.nodes_of_control_plane();
        let asks = nodes.iter().map(|node| self.api_on(node, local));
        wait::all(asks).await?;
        self.publish(&scope, &api).await?;
        scope.done(&format!("{version} answers at {}", api.endpoint()));
        Ok(ReadyApi {
            endpoint: api.endpoint().to_owned(),
            version,
            nodes: nodes.iter().map(|node| node.name.clone()).collect(),
        })
    }

    /// Waits until the API answers on a node of the control plane.
    async fn api_on(&self, node: &NodeConfiguration, local: &str) -> Result<(), UpError> {
        let scope = self.reporter.scope(Phase::Api, Some(&node.name));
        let client = self.client(node)?;
        let (scope, client) = (&scope, &client);
        wait::until(scope, self.timeout, || async move {
            scope.waiting("the API answers on the node");
            match super::apply::validate(client, PROBE, local).await {
                Ok(()) => Ok(Look::Done(())),
                Err(error) if wait::passes(&error) => Ok(Look::NotYet(chain(&error))),
                Err(error) => Err(UpError::node(
                    &node.name,
                    "ask for the API server that it runs",
                )(error)),
            }
        })
        .await?;
        scope.done("the API answers on the node");
        Ok(())
    }
}

async fn look(api: &ApiClient) -> Result<Look<String>, UpError> {
    let doing = "ask whether the API is ready";
    if let Look::NotYet(why) = wait::patient(api.ready().await, doing)? {
        return Ok(Look::NotYet(format!("the API answers: {why}")));
    }
    for namespace in NAMESPACES {
        let found = api.service_account(namespace, "default").await;
        match wait::patient(found, doing)? {
            Look::Done(true) => {}
            Look::Done(false) => {
                return Ok(Look::NotYet(format!(
                    "the controller manager makes the service account {namespace}/default"
                )));
            }
            Look::NotYet(why) => return Ok(Look::NotYet(why)),
        }
    }
    wait::patient(api.version().await, doing)
}
