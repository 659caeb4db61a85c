//! Injecting the control plane, unless it has been handed over.

use super::{
    InjectedBundle, Installer, Phase, Scope, UpError, inject,
    wait::{self, Look},
};
use crate::{
    Client, Code, Error, Handoff, HandoffState,
    cluster::{CONTROL_PLANE_BUNDLE, RenderedBundle},
};

impl Installer {
    /// Injects the control plane, on all its nodes at the same time, and waits until all are ready.
    ///
    /// On a node that has handed over, the bundle is what stands by: it gets its content, and nothing is waited for. A
    /// handoff that is under way is left alone.
    ///
    /// # Errors
    /// Those of [`UpError`].
    pub async fn control_plane(&self) -> Result<Vec<InjectedBundle>, UpError> {
        let bundles = self.bundles(CONTROL_PLANE_BUNDLE)?;
        self.begin(Phase::ControlPlane);
        let inject = bundles.into_iter().map(|bundle| async move {
            let scope = self.reporter.scope(Phase::ControlPlane, Some(&bundle.node));
            let client = self.client(self.node(&bundle.node)?)?;
            self.inject_control_plane(&scope, &client, bundle).await
        });
        wait::all(inject).await
    }

    async fn inject_control_plane(
        &self,
        scope: &Scope,
        client: &Client,
        bundle: &RenderedBundle,
    ) -> Result<InjectedBundle, UpError> {
        let failed = || UpError::node(&bundle.node, "ask for its handoff");
        let handoff = wait::until(scope, self.timeout, || async move {
            let handoff = get(client).await.map_err(failed())?;
            Ok(match handoff {
                // What goes back has begun to run the injected pods again, and is soon done with it.
                Some(handoff) if handoff.state == HandoffState::Reverting => {
                    Look::NotYet(format!("the handoff goes back: {}", handoff.message))
                }
                handoff => Look::Done(handoff),
            })
        })
        .await?;
        let state = handoff.map_or(HandoffState::Reverted, |handoff| handoff.state);
        match state {
            HandoffState::Reverted => {
                let injected = inject::inject(scope, client, bundle).await?;
                self.wait_ready(scope, client, injected).await
            }
            HandoffState::Committed => {
                let injected = inject::inject(scope, client, bundle).await?;
                scope.done("the node has handed over; the bundle stands by");
                Ok(InjectedBundle {
                    running: false,
                    ..injected
                })
            }
            state => {
                let there = client
                    .get_bundle(&bundle.bundle)
                    .await
                    .map_err(UpError::node(&bundle.node, "ask for its bundle"))?;
                scope.done(&format!(
                    "the node's handoff is {state}; the bundle stays as it is"
                ));
                Ok(InjectedBundle {
                    node: bundle.node.clone(),
                    bundle: bundle.bundle.clone(),
                    revision: there.revision,
                    changed: false,
                    running: false,
                })
            }
        }
    }
}

/// The node's handoff, if it has one.
pub(super) async fn get(client: &Client) -> Result<Option<Handoff>, Error> {
    match client.get_handoff().await {
        Ok(handoff) => Ok(Some(handoff)),
        Err(error) if error.code() == Some(Code::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
