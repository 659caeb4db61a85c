//! Having a node apply objects to the cluster.

use std::{collections::BTreeMap, ops::AddAssign, time::Instant};

use futures_util::TryStreamExt as _;
use zeroize::Zeroizing;

use super::{Installer, Scope, UpError, error::chain, wait};
use crate::{AppliedResult, ApplyObjects, Client, Error};

/// What has become of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct AppliedCount {
    /// How many were not there before.
    pub created: usize,
    /// How many were changed.
    pub configured: usize,
    /// How many were there as demanded.
    pub unchanged: usize,
}

impl AddAssign for AppliedCount {
    fn add_assign(&mut self, other: Self) {
        self.created += other.created;
        self.configured += other.configured;
        self.unchanged += other.unchanged;
    }
}

impl Installer {
    /// Applies manifests through the first node of the control plane that can, with an administrator's rights and the API server
    /// on that very node: no node needs a way to the endpoint.
    pub(super) async fn apply_through_a_node(
        &self,
        scope: &Scope,
        manifests: &[Zeroizing<String>],
    ) -> Result<AppliedCount, UpError> {
        if manifests.is_empty() {
            return Ok(AppliedCount::default());
        }
        let local = &self.render()?.kubeconfigs.handoff;
        let end = Instant::now() + self.timeout;
        let mut nodes = self.nodes_of_control_plane().into_iter().cycle();
        loop {
            let Some(node) = nodes.next() else {
                // A configuration without a control plane does not load.
                return Ok(AppliedCount::default());
            };
            scope.waiting(&format!("objects are applied through node {}", node.name));
            let client = self.client(node)?;
            let left = end.saturating_duration_since(Instant::now());
            let request = ApplyObjects::new(local.as_str())
                .manifests(manifests.iter().map(|it| it.as_str()))
                .timeout(left.max(wait::SHORTEST));
            match apply(scope, &client, &request).await {
                Ok(count) => {
                    let AppliedCount {
                        created,
                        configured,
                        unchanged,
                    } = count;
                    scope.done(&format!(
                        "objects: {created} created, {configured} configured, {unchanged} unchanged"
                    ));
                    return Ok(count);
                }
                // Another node may have what this one has not, and after a while the same one too.
                Err(error) if wait::passes(&error) && Instant::now() + wait::PAUSE < end => {
                    scope.waiting(&format!("node {}: {}", node.name, chain(&error)));
                    tokio::time::sleep(wait::PAUSE).await;
                }
                Err(error) => return Err(UpError::node(&node.name, "apply objects")(error)),
            }
        }
    }
}

/// Whether the API server that the node runs would take a manifest.
pub(super) async fn validate(
    client: &Client,
    manifest: &str,
    kubeconfig: &str,
) -> Result<(), Error> {
    let request = ApplyObjects::new(kubeconfig)
        .manifests([manifest])
        .timeout(wait::SHORTEST)
        .validate_only(true);
    let answers = client.apply_objects(&request);
    answers.try_for_each(|_| async { Ok(()) }).await
}

/// Applies, and counts what has become of each object.
pub(super) async fn apply(
    scope: &Scope,
    client: &Client,
    request: &ApplyObjects,
) -> Result<AppliedCount, Error> {
    let mut answers = client.apply_objects(request);
    // An object that was waited for comes more than once: the last word counts.
    let mut results = BTreeMap::new();
    while let Some(applied) = answers.try_next().await? {
        if applied.result == AppliedResult::Waiting {
            scope.waiting(&format!("{}: {}", applied.object, applied.message));
        }
        results.insert(applied.object, applied.result);
    }
    let count = |wanted| results.values().filter(|result| **result == wanted).count();
    Ok(AppliedCount {
        created: count(AppliedResult::Created),
        configured: count(AppliedResult::Configured),
        unchanged: count(AppliedResult::Unchanged),
    })
}
