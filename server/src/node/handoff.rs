//! The node's part of a handoff: what may be started, and the handle's ways to it.

use std::sync::Arc;

use seedpod_manifest::{BundleName, NodeName, PodKey};
use tokio::sync::watch;

use super::{
    AbortHandoffError, AdvanceError, ChangeError, HandingOver, MaterialError, NodeHandle, OnTrial,
    RequestId, StartHandoffError, State, actor::Command, owner_of, status::PodState,
};
use crate::{
    handoff::{Material, Record, Spec, Stage},
    runtime_cri::Sandbox,
};

impl NodeHandle {
    /// Starts a handoff and answers when that is durable.
    ///
    /// # Cancel safety
    /// Once called, it is carried out also when the caller goes away.
    pub(crate) async fn start_handoff(
        &self,
        spec: Spec,
        material: Material,
        request: Option<RequestId>,
    ) -> Result<Arc<Record>, StartHandoffError> {
        let client = Arc::clone(&self.client);
        self.ask(|answer| Command::StartHandoff {
            spec: Box::new(spec),
            material,
            request,
            client,
            answer,
        })
        .await
    }

    /// What [`Self::start_handoff`] answered to this request before. An error when it was another one.
    pub(crate) async fn replay_handoff(
        &self,
        request: RequestId,
    ) -> Result<Option<Arc<Record>>, StartHandoffError> {
        self.ask(|answer| Command::ReplayHandoff(request, answer))
            .await
    }

    /// Whether a handoff could be started now.
    pub(crate) async fn check_handoff(&self, spec: &Spec) -> Result<(), StartHandoffError> {
        let state = self.state();
        admit(&state, self.has_runtime, spec)?;
        let judged = self.judge(Some(&spec.bundle)).await;
        let mut components = spec.components.iter().map(|it| &it.injected);
        let not_ready = components.find(|key| {
            let mut of_pod = judged.iter().filter(|status| status.key == **key);
            !of_pod.any(|status| status.state == PodState::Ready)
        });
        match not_ready {
            None => Ok(()),
            Some(pod) => Err(StartHandoffError::NotReady {
                name: spec.bundle.clone(),
                revision: state.newest_revision(&spec.bundle).unwrap_or_default(),
                pod: Some(pod.clone()),
            }),
        }
    }

    /// Has a handoff that is under way take its way back. `id`: only this one.
    ///
    /// # Cancel safety
    /// Once called, it is carried out also when the caller goes away.
    pub(crate) async fn abort_handoff(
        &self,
        id: Option<&str>,
    ) -> Result<Arc<Record>, AbortHandoffError> {
        let (id, client) = (id.map(str::to_owned), Arc::clone(&self.client));
        self.ask(|answer| Command::AbortHandoff { id, client, answer })
            .await
    }

    /// Commits the next record of the handoff, if nobody else came first: its generation is the next one.
    pub(crate) async fn advance_handoff(&self, next: Record) -> Result<Arc<Record>, AdvanceError> {
        self.ask(|answer| Command::AdvanceHandoff(Box::new(next), answer))
            .await
    }

    /// Forgets the handoff, with what it has of secrets.
    pub(crate) async fn forget_handoff(&self) -> Result<(), ChangeError> {
        self.ask(Command::ForgetHandoff).await
    }

    /// What the handoff needs of what is secret, from the disk. Only the kubeconfig, once it is committed.
    pub(crate) fn handoff_material(&self) -> Result<Material, MaterialError> {
        let mut digest = self.state().handoff_material.ok_or(MaterialError::None)?;
        loop {
            match self.kept.handoff_material(&digest) {
                Ok(material) => return Ok(material),
                Err(error) => {
                    // Another one may have come into its place since.
                    let now = self.state().handoff_material.ok_or(MaterialError::None)?;
                    if now == digest {
                        return Err(MaterialError::Read(error));
                    }
                    digest = now;
                }
            }
        }
    }

    /// As if all pods of this revision were ready.
    #[cfg(test)]
    pub(crate) async fn mark_ready(&self, bundle: &BundleName, revision: u64) {
        let bundle = bundle.clone();
        let marked = self.commands.send(Command::MarkReady { bundle, revision });
        marked.await.expect("the actor is there");
        self.alive().await;
    }

    /// Where is told what the handoff waits for now, for people.
    pub(crate) fn handoff_message(&self) -> &watch::Sender<String> {
        &self.handoff_message
    }

    /// The injected pod that a sandbox is of.
    pub(crate) fn owner_of(&self, sandbox: &Sandbox) -> Option<(BundleName, PodKey)> {
        owner_of(&self.place.id, sandbox, &self.place.node)
    }

    /// Whether a sandbox is of a bundle's pod as it is demanded now. One that was withheld and came back, or was replaced,
    /// may run on under its old uid until the kubelet has seen that.
    pub(crate) fn is_current(&self, sandbox: &Sandbox, bundle: &BundleName, pod: &PodKey) -> bool {
        let state = self.state();
        let pods = state.bundles.get(bundle).map(|bundle| &bundle.pods);
        let mut pods = pods.into_iter().flatten();
        pods.any(|it| it.key == *pod && it.uid == sandbox.uid)
    }

    /// As the kubelet and the API server call this node.
    pub(crate) fn node_name(&self) -> &NodeName {
        &self.place.node
    }

    /// What is committed, and each change of it.
    pub(crate) fn states(&self) -> watch::Receiver<Arc<State>> {
        self.published.state.clone()
    }
}

/// Whether the committed state lets a handoff begin.
pub(super) fn admit(
    state: &State,
    has_runtime: bool,
    spec: &Spec,
) -> Result<(), StartHandoffError> {
    if let Some(record) = &state.handoff {
        match record.stage {
            Stage::Reverted => {}
            Stage::Committed | Stage::StandingIn | Stage::StandingDown => {
                return Err(StartHandoffError::HandedOver(Arc::clone(record)));
            }
            _ => return Err(StartHandoffError::UnderWay(Arc::clone(record))),
        }
    }
    if !has_runtime {
        return Err(StartHandoffError::NoRuntime);
    }
    let name = &spec.bundle;
    let bundle = state.bundles.get(name);
    let bundle = bundle.ok_or_else(|| StartHandoffError::NotFound { name: name.clone() })?;
    for (component, injected) in spec.components.iter().map(|it| &it.injected).enumerate() {
        if bundle.pods.iter().all(|pod| pod.key != *injected) {
            return Err(StartHandoffError::NoPod {
                component,
                pod: injected.clone(),
                name: name.clone(),
            });
        }
    }
    let (name, revision) = (name.clone(), bundle.revision);
    if state.trials.get(&name).is_some_and(OnTrial::is_pending) {
        return Err(StartHandoffError::OnTrial { name, revision });
    }
    if !state.ready.contains(&name) {
        return Err(StartHandoffError::NotReady {
            name,
            revision,
            pod: None,
        });
    }
    Ok(())
}

/// Refuses a change of a bundle that is being handed over, or back.
pub(super) fn check_change(state: &State, name: &BundleName) -> Result<(), HandingOver> {
    let record = state.handoff.as_ref().filter(|it| it.spec.bundle == *name);
    let moves = |stage: Stage| {
        stage.is_under_way() || matches!(stage, Stage::Reverting | Stage::StandingDown)
    };
    match record.filter(|record| moves(record.stage)) {
        Some(record) => Err(HandingOver {
            name: name.clone(),
            record: Arc::clone(record),
        }),
        None => Ok(()),
    }
}

/// Whether a bundle is handed over, so that its pods are not projected, or not for long.
pub(super) fn is_standby(state: &State, name: &BundleName) -> bool {
    let record = state.handoff.as_ref().filter(|it| it.spec.bundle == *name);
    record.is_some_and(|record| matches!(record.stage, Stage::Committed | Stage::StandingIn))
}
