//! Whether the cluster is as it should be in the end.

use std::{
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use zeroize::Zeroizing;

use super::{
    Installer, Phase, UpError,
    api::ApiClient,
    apply,
    wait::{self, Look},
};
use crate::{
    ApplyObjects,
    cluster::{HandoffComponent, HandoffKind, NodeHandoff},
};

/// What is written and read back. It stays, and says when that was last done.
const CONFIG_MAP: &str = "seedpod-up";

/// By which the API server marks the image of a static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Verified {
    /// Where the API answers.
    pub endpoint: String,
    /// Its version.
    pub version: String,
    /// The nodes of the control plane.
    pub nodes: Vec<VerifiedNode>,
    /// The leases, each seen to be renewed.
    pub leases: Vec<VerifiedLease>,
}

/// A node whose self-hosted pods are Ready, and through which something was written that was read back at the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct VerifiedNode {
    /// The node.
    pub node: String,
    /// Its self-hosted pods.
    pub pods: Vec<String>,
}

/// A lease that somebody holds and renews.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct VerifiedLease {
    /// The lease.
    pub lease: String,
    /// Who.
    pub holder: String,
}

impl Installer {
    /// Looks at the cluster as a whole: the API answers at its endpoint, the self-hosted pods are Ready on each node of
    /// the control plane, the leases are renewed, and what is written through each node is read back at the endpoint.
    ///
    /// # Errors
    /// Those of [`UpError`].
    pub async fn verify(&self) -> Result<Verified, UpError> {
        let scope = self.begin(Phase::Verify);
        let api = self.api_client().await?;
        let ask = || async { wait::patient(api.ready().await, "ask whether the API is ready") };
        wait::until(&scope, self.timeout, ask).await?;
        let version = || async { wait::patient(api.version().await, "ask for its version") };
        let version = wait::until(&scope, self.timeout, version).await?;
        let handoff = &self.render()?.handoff;
        let pods = handoff.iter().map(|node| self.verify_pods(&api, node));
        let nodes = wait::all(pods).await?;
        let leases = handoff.iter().flat_map(|node| &node.components);
        let mut leases: Vec<&str> = leases.filter_map(lease).collect();
        leases.sort_unstable();
        leases.dedup();
        let renewed = leases
            .into_iter()
            .map(|lease| self.verify_lease(&api, lease));
        let leases = wait::all(renewed).await?;
        let local = &self.render()?.kubeconfigs.handoff;
        for node in handoff {
            self.write_and_read(&api, node, local).await?;
        }
        scope.done(&format!("{version} answers at {}", api.endpoint()));
        Ok(Verified {
            endpoint: api.endpoint().to_owned(),
            version,
            nodes,
            leases,
        })
    }

    /// Waits until each self-hosted component has a pod that is Ready on the node.
    async fn verify_pods(
        &self,
        api: &ApiClient,
        node: &NodeHandoff,
    ) -> Result<VerifiedNode, UpError> {
        let scope = self.reporter.scope(Phase::Verify, Some(&node.node));
        let pods = wait::until(&scope, self.timeout, || async move {
            let mut names = Vec::new();
            for component in &node.components {
                let labels: Vec<_> = component.selector.clone().into_iter().collect();
                let pods = api.pods(&component.namespace, &labels, &node.node).await;
                let pods = match wait::patient(pods, "list the self-hosted pods")? {
                    Look::Done(pods) => pods,
                    Look::NotYet(why) => return Ok(Look::NotYet(why)),
                };
                match pods.iter().find(|pod| serves(pod)) {
                    Some(pod) => names.push(pod.name_any()),
                    None => {
                        return Ok(Look::NotYet(format!(
                            "the pod that takes over from {} is Ready",
                            component.injected_pod
                        )));
                    }
                }
            }
            Ok(Look::Done(names))
        })
        .await?;
        scope.done("the self-hosted pods are Ready");
        Ok(VerifiedNode {
            node: node.node.clone(),
            pods,
        })
    }

    /// Waits until a lease is seen to be renewed, which needs nobody's clock.
    async fn verify_lease(&self, api: &ApiClient, lease: &str) -> Result<VerifiedLease, UpError> {
        let scope = self.reporter.scope(Phase::Verify, None);
        let first = Mutex::new(None);
        let first = &first;
        let holder = wait::until(&scope, self.timeout, || async move {
            let found = match wait::patient(api.lease(lease).await, "read a lease")? {
                Look::Done(found) => found.and_then(|found| found.spec),
                Look::NotYet(why) => return Ok(Look::NotYet(why)),
            };
            let held = found.and_then(|spec| Some((spec.holder_identity?, spec.renew_time?)));
            let Some(held) = held.filter(|(holder, _)| !holder.is_empty()) else {
                return Ok(Look::NotYet(format!("somebody takes the lease {lease}")));
            };
            let before = first
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert_with(|| held.clone())
                .clone();
            if before != held {
                return Ok(Look::Done(held.0));
            }
            Ok(Look::NotYet(format!("{} renews the lease {lease}", held.0)))
        })
        .await?;
        Ok(VerifiedLease {
            lease: lease.to_owned(),
            holder,
        })
    }

    /// Writes through a node, and reads it back at the endpoint.
    async fn write_and_read(
        &self,
        api: &ApiClient,
        node: &NodeHandoff,
        local: &Zeroizing<String>,
    ) -> Result<(), UpError> {
        let scope = self.reporter.scope(Phase::Verify, Some(&node.node));
        let client = self.client(self.node(&node.node)?)?;
        let value = format!("{} through {}", now(), node.node);
        let manifest = format!(
            "{{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {{\"name\": \"{CONFIG_MAP}\", \
             \"namespace\": \"kube-system\"}}, \"data\": {{\"verified\": \"{value}\"}}}}"
        );
        let request = ApplyObjects::new(local.as_str())
            .manifests([manifest])
            .timeout(self.timeout);
        apply::apply(&scope, &client, &request)
            .await
            .map_err(UpError::node(&node.node, "write through its API server"))?;
        let value = &value;
        wait::until(&scope, self.timeout, || async move {
            let found = match wait::patient(api.config_map(CONFIG_MAP).await, "read a ConfigMap")? {
                Look::Done(found) => found.and_then(|found| found.data),
                Look::NotYet(why) => return Ok(Look::NotYet(why)),
            };
            let read = found.and_then(|mut data| data.remove("verified"));
            Ok(if read.as_ref() == Some(value) {
                Look::Done(())
            } else {
                Look::NotYet("what was written is read back at the endpoint".to_owned())
            })
        })
        .await?;
        scope.done("what was written through the node was read back");
        Ok(())
    }
}

fn lease(component: &HandoffComponent) -> Option<&str> {
    match &component.kind {
        HandoffKind::LeaderElected { lease } => Some(lease),
        HandoffKind::ApiServer { .. } => None,
    }
}

/// Whether it is Ready, stays, and is the cluster's own.
fn serves(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none() && !pod.annotations().contains_key(MIRROR)
}

fn now() -> String {
    jiff::Timestamp::try_from(SystemTime::now()).map_or_else(
        |_| String::from("at an unknown time"),
        |time| time.to_string(),
    )
}
