//! Nodes in the cluster: registered, labelled, Ready.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;
use serde_json::json;

use super::{
    Installer, Phase, Scope, UpError,
    api::ApiClient,
    wait::{self, Look},
};
use crate::cluster::NodeConfiguration;

/// By which kubectl shows a node's role.
const ROLE: &str = "node-role.kubernetes.io/control-plane";

/// A node that has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct RegisteredNode {
    /// The node.
    pub node: String,
    /// Whether it is Ready.
    pub ready: bool,
    /// Why it is not. Empty when it is.
    pub message: String,
    /// The version of its kubelet.
    pub kubelet_version: String,
}

impl Installer {
    /// Waits until every node is registered, and sets its labels. A node that is not Ready only for want of a network of
    /// pods is fine here: that comes with the addons.
    ///
    /// # Errors
    /// Those of [`UpError`].
    pub async fn nodes(&self) -> Result<Vec<RegisteredNode>, UpError> {
        self.begin(Phase::Nodes);
        let api = self.api_client().await?;
        let nodes = self.loaded.configuration.nodes.iter();
        let register = nodes.map(|node| self.register(&api, node));
        wait::all(register).await
    }

    async fn register(
        &self,
        api: &ApiClient,
        node: &NodeConfiguration,
    ) -> Result<RegisteredNode, UpError> {
        let scope = self.reporter.scope(Phase::Nodes, Some(&node.name));
        scope.waiting("the node is registered");
        wait::until(&scope, self.timeout, || async {
            Ok(match find(api, &node.name).await? {
                Look::Done(_) => Look::Done(()),
                Look::NotYet(why) => Look::NotYet(why),
            })
        })
        .await?;
        let labels = labels(node);
        wait::until(&scope, self.timeout, || async {
            let set = api.set_labels(&node.name, &json!(labels)).await;
            wait::patient(set, "set the labels of a node")
        })
        .await?;
        wait::until(&scope, self.timeout, || taint(api, node)).await?;
        let registered = self
            .wait_node(&scope, api, node, |seen| seen.ready || lacks_network(seen))
            .await?;
        scope.done(if registered.ready {
            "the node is Ready"
        } else {
            "the node is registered; it waits for the network of pods"
        });
        Ok(registered)
    }

    /// Waits until every node is Ready.
    pub(super) async fn wait_nodes_ready(
        &self,
        phase: Phase,
    ) -> Result<Vec<RegisteredNode>, UpError> {
        let api = self.api_client().await?;
        let nodes = self.loaded.configuration.nodes.iter();
        let wait = nodes.map(|node| {
            let api = &api;
            async move {
                let scope = self.reporter.scope(phase, Some(&node.name));
                let seen = self.wait_node(&scope, api, node, |seen| seen.ready).await?;
                scope.done("the node is Ready");
                Ok(seen)
            }
        });
        wait::all(wait).await
    }

    async fn wait_node(
        &self,
        scope: &Scope,
        api: &ApiClient,
        node: &NodeConfiguration,
        enough: impl Fn(&RegisteredNode) -> bool,
    ) -> Result<RegisteredNode, UpError> {
        let enough = &enough;
        wait::until(scope, self.timeout, || async move {
            let found = match find(api, &node.name).await? {
                Look::Done(found) => found,
                Look::NotYet(why) => return Ok(Look::NotYet(why)),
            };
            let seen = seen(&found);
            if enough(&seen) {
                return Ok(Look::Done(seen));
            }
            Ok(Look::NotYet(format!("the node is Ready: {}", seen.message)))
        })
        .await
    }
}

/// Sees to it that the node has the taints that the configuration gives it; others, such as those of controllers, stay.
async fn taint(api: &ApiClient, node: &NodeConfiguration) -> Result<Look<()>, UpError> {
    let mut wanted = Vec::new();
    for given in &node.taints {
        wanted.push(Taint::parse(given).map_err(|message| UpError::Unverified {
            node: Some(node.name.clone()),
            message,
        })?);
    }
    if wanted.is_empty() {
        return Ok(Look::Done(()));
    }
    let found = match find(api, &node.name).await? {
        Look::Done(found) => found,
        Look::NotYet(why) => return Ok(Look::NotYet(why)),
    };
    let there = found
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.clone())
        .unwrap_or_default();
    let has = |taint: &Taint| {
        there.iter().any(|there| {
            there.key == taint.key
                && there.effect == taint.effect
                && there.value.as_deref().unwrap_or_default() == taint.value
        })
    };
    if wanted.iter().all(has) {
        return Ok(Look::Done(()));
    }
    let others = there.iter().filter(|there| {
        let same = |taint: &Taint| there.key == taint.key && there.effect == taint.effect;
        !wanted.iter().any(same)
    });
    let mut taints: Vec<_> = others.map(|taint| json!(taint)).collect();
    taints.extend(wanted.iter().map(|taint| {
        let Taint { key, value, effect } = taint;
        json!({ "key": key, "value": value, "effect": effect })
    }));
    let set = api.set_taints(&found, &json!(taints)).await;
    wait::patient(set, "set the taints of a node")
}

/// A taint as the configuration writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taint {
    key: String,
    value: String,
    effect: String,
}

impl Taint {
    pub(super) fn parse(given: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{given:?} is no taint: {why}");
        let (rest, effect) = given
            .rsplit_once(':')
            .ok_or_else(|| wrong("it has no effect"))?;
        if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            return Err(wrong(
                "its effect must be NoSchedule, PreferNoSchedule or NoExecute",
            ));
        }
        let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
        if key.is_empty() {
            return Err(wrong("it has no key"));
        }
        Ok(Self {
            key: key.to_owned(),
            value: value.to_owned(),
            effect: effect.to_owned(),
        })
    }
}

async fn find(api: &ApiClient, name: &str) -> Result<Look<Node>, UpError> {
    let nodes = match wait::patient(api.nodes().await, "list the nodes of the cluster")? {
        Look::Done(nodes) => nodes,
        Look::NotYet(why) => return Ok(Look::NotYet(why)),
    };
    let found = nodes.into_iter().find(|node| node.name_any() == name);
    Ok(found.map_or_else(
        || Look::NotYet("the kubelet registers the node".to_owned()),
        Look::Done,
    ))
}

/// The labels that the configuration gives a node, with that of its role.
fn labels(node: &NodeConfiguration) -> BTreeMap<String, String> {
    let mut labels = node.labels.clone();
    if node.control_plane {
        labels.entry(ROLE.to_owned()).or_default();
    }
    labels
}

fn seen(node: &Node) -> RegisteredNode {
    let status = node.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready");
    RegisteredNode {
        node: node.name_any(),
        ready: ready.is_some_and(|condition| condition.status == "True"),
        message: match ready {
            None => "its kubelet has not reported yet".to_owned(),
            Some(condition) if condition.status == "True" => String::new(),
            Some(condition) => {
                let reason = condition.reason.as_deref().unwrap_or("NotReady");
                let message = condition.message.as_deref().unwrap_or_default();
                format!("{reason}: {message}")
            }
        },
        kubelet_version: status
            .and_then(|status| status.node_info.as_ref())
            .map(|info| info.kubelet_version.clone())
            .unwrap_or_default(),
    }
}

/// Whether the kubelet waits for nothing but a network plugin.
fn lacks_network(seen: &RegisteredNode) -> bool {
    seen.message.contains("NetworkPluginNotReady")
        || seen.message.contains("cni plugin not initialized")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{NodeCondition, NodeStatus};

    use super::*;

    fn node(conditions: Vec<NodeCondition>) -> RegisteredNode {
        seen(&Node {
            status: Some(NodeStatus {
                conditions: Some(conditions),
                ..NodeStatus::default()
            }),
            ..Node::default()
        })
    }

    fn ready(status: &str, message: &str) -> NodeCondition {
        NodeCondition {
            type_: "Ready".to_owned(),
            status: status.to_owned(),
            reason: Some("KubeletNotReady".to_owned()),
            message: Some(message.to_owned()),
            ..NodeCondition::default()
        }
    }

    #[test]
    fn taints_are_read_as_kubectl_writes_them() {
        let taint = Taint::parse("node-role.kubernetes.io/control-plane:NoSchedule");
        let taint = taint.expect("a taint");
        assert_eq!(taint.key, "node-role.kubernetes.io/control-plane");
        assert_eq!(
            Taint::parse("a=b:NoExecute").map(|taint| taint.value),
            Ok("b".to_owned())
        );
        for given in ["a", "a:Never", ":NoSchedule", "=b:NoSchedule"] {
            assert!(Taint::parse(given).is_err(), "{given}");
        }
    }

    #[test]
    fn a_node_without_a_network_of_pods_is_told_from_one_that_is_broken() {
        let lacking = node(vec![ready(
            "False",
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized",
        )]);
        assert!(!lacking.ready && lacks_network(&lacking));
        let broken = node(vec![ready("False", "PLEG is not healthy")]);
        assert!(!broken.ready && !lacks_network(&broken));
        assert!(node(vec![ready("True", "")]).ready);
        assert!(!node(Vec::new()).ready);
    }
}
