//! Injecting the bundles of nodes, for the phases `etcd` and `control-plane`.

use std::time::Duration;

use super::{Installer, Phase, Scope, UpError, error::chain, wait};
use crate::{
    ChangeType, Client, Folder, FolderManifest, InjectPods, Pod, PodState, Wait,
    cluster::{ETCD_BUNDLE, NodeConfiguration, RenderedBundle},
};

/// How long a pod may have failed. A member of etcd that waits for the others, or an API server for etcd, may end and be
/// started again more than once.
const PATIENCE: Duration = Duration::from_secs(90);

/// A bundle on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct InjectedBundle {
    /// The node.
    pub node: String,
    /// The bundle.
    pub bundle: String,
    /// Its revision.
    pub revision: u64,
    /// Whether this run has changed it.
    pub changed: bool,
    /// Whether its pods run. Not so when the node has handed over: then the bundle is standby.
    pub running: bool,
}

impl Installer {
    /// Injects the members of etcd, on all their nodes at the same time, and waits until all are ready. Nothing is to be
    /// done when etcd is external.
    ///
    /// # Errors
    /// Those of [`UpError`].
    pub async fn etcd(&self) -> Result<Vec<InjectedBundle>, UpError> {
        let bundles: Vec<&RenderedBundle> = self.bundles(ETCD_BUNDLE)?;
        let phase = self.begin(Phase::Etcd);
        if bundles.is_empty() {
            phase.done("etcd is external");
            return Ok(Vec::new());
        }
        let inject = bundles.into_iter().map(|bundle| async move {
            let scope = self.reporter.scope(Phase::Etcd, Some(&bundle.node));
            let client = self.client(self.node(&bundle.node)?)?;
            let injected = inject(&scope, &client, bundle).await?;
            self.wait_ready(&scope, &client, injected).await
        });
        wait::all(inject).await
    }

    /// The rendered bundles of this name, in the order of the configuration.
    pub(super) fn bundles(&self, name: &str) -> Result<Vec<&RenderedBundle>, UpError> {
        let bundles = self.render()?.bundles.iter();
        Ok(bundles.filter(|bundle| bundle.bundle == name).collect())
    }

    pub(super) fn node(&self, name: &str) -> Result<&NodeConfiguration, UpError> {
        let mut nodes = self.loaded.configuration.nodes.iter();
        nodes
            .find(|node| node.name == name)
            .ok_or_else(|| UpError::Unverified {
                node: Some(name.to_owned()),
                message: "it is not in the configuration that the folder was rendered from"
                    .to_owned(),
            })
    }

    /// Waits until the pods of a bundle are ready.
    pub(super) async fn wait_ready(
        &self,
        scope: &Scope,
        client: &Client,
        injected: InjectedBundle,
    ) -> Result<InjectedBundle, UpError> {
        let wait = Wait::new(self.timeout)
            .patience(PATIENCE.min(self.timeout))
            .on_progress(|pods| {
                if let Some(text) = unfinished(pods) {
                    scope.waiting(&text);
                }
            });
        let waited = client.wait_ready(&injected.bundle, injected.revision, wait);
        match waited.await {
            Ok(_) => {
                scope.done(&format!("bundle {} is ready", injected.bundle));
                Ok(injected)
            }
            Err(source) => {
                let error = UpError::NotReady {
                    node: injected.node,
                    bundle: injected.bundle,
                    source: Box::new(source),
                };
                scope.failed(&chain(&error));
                Err(error)
            }
        }
    }
}

/// Makes the node's bundle what was rendered.
pub(super) async fn inject(
    scope: &Scope,
    client: &Client,
    bundle: &RenderedBundle,
) -> Result<InjectedBundle, UpError> {
    scope.waiting(&format!("inject bundle {}", bundle.bundle));
    let folder = Folder::read(&bundle.folder).map_err(|source| UpError::Bundle {
        path: bundle.folder.clone(),
        source: Box::new(source),
    })?;
    // An id that followed from the content would have the node answer an old request again, when the bundle has had this
    // content before and has another one now. Injecting the same content twice changes nothing, with any id.
    let manifests = folder.manifests().iter();
    let request = InjectPods::new(&bundle.bundle).manifests(manifests.map(FolderManifest::text));
    let injected = client
        .inject(&request)
        .await
        .map_err(UpError::node(&bundle.node, "inject a bundle"))
        .inspect_err(|error| scope.failed(&chain(error)))?;
    let pods = injected.changes.iter();
    let objects = injected.object_changes.iter();
    let changed = pods
        .map(|change| change.r#type)
        .chain(objects.map(|change| change.r#type))
        .any(|change| change != ChangeType::Unchanged);
    for warning in &injected.warnings {
        scope.warning(&format!(
            "bundle {}: {}",
            bundle.bundle, warning.description
        ));
    }
    Ok(InjectedBundle {
        node: bundle.node.clone(),
        bundle: bundle.bundle.clone(),
        revision: injected.bundle.revision,
        changed,
        running: true,
    })
}

/// What the pods that are not ready wait for.
fn unfinished(pods: &[Pod]) -> Option<String> {
    // Pods that wait for an earlier wave say so at length; what that wave waits for says it all.
    let begun = |pod: &Pod| !matches!(pod.state, PodState::Ready | PodState::Committed);
    let any_begun = pods.iter().any(begun);
    let words: Vec<String> = pods
        .iter()
        .filter(|pod| pod.state != PodState::Ready && (!any_begun || begun(pod)))
        .map(|pod| {
            if pod.message.is_empty() {
                format!("pod {}: {}", pod.name, pod.state)
            } else {
                format!("pod {}: {} ({})", pod.name, pod.state, pod.message)
            }
        })
        .collect();
    (!words.is_empty()).then(|| words.join("; "))
}
