//! Handing over, one node after another.

use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::{
    Installer, Phase, Scope, UpError, control_plane, error::chain, read_manifests, request_id,
};
use crate::{
    Client, Code, Handoff, HandoffState, StartHandoff,
    cluster::{HandoffComponent, HandoffKind, NodeHandoff, Rendered},
};

/// For how long a node may not answer while its handoff is watched: the handoff goes on without us, and the daemon may be
/// restarting.
const SILENCE: Duration = Duration::from_secs(120);

/// The most that a handoff may take: all its deadlines, and the way back.
const LONGEST: Duration = Duration::from_secs(45 * 60);

/// A node that has handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct HandedOver {
    /// The node.
    pub node: String,
    /// Its handoff.
    pub handoff: Handoff,
    /// Whether it had handed over before this run.
    pub before: bool,
}

impl Installer {
    /// Hands over one node of the control plane after another, never two at once. One that has handed over stays as it is;
    /// a handoff that is under way is watched to its end. At the first failure the rest is left untouched: the node that
    /// failed has its injected control plane back.
    ///
    /// # Errors
    /// [`UpError::HandedBack`] when a node could not hand over; others of [`UpError`].
    pub async fn handoff(&self) -> Result<Vec<HandedOver>, UpError> {
        let rendered = self.render()?;
        self.begin(Phase::Handoff);
        let manifests = read_manifests(&rendered.self_hosted)?;
        let mut done = Vec::new();
        for node in &rendered.handoff {
            let scope = self.reporter.scope(Phase::Handoff, Some(&node.node));
            let client = self.client(self.node(&node.node)?)?;
            let turn = Turn {
                scope: &scope,
                client: &client,
                node,
                rendered,
                manifests: &manifests,
            };
            let handed = turn.run().await.map_err(|error| {
                let error = standing(error, &done, &rendered.handoff);
                scope.failed(&chain(&error));
                error
            })?;
            scope.done(if handed.before {
                "the node has handed over"
            } else {
                "handed over"
            });
            done.push(handed);
        }
        Ok(done)
    }
}

/// One node's handoff.
struct Turn<'a> {
    scope: &'a Scope,
    client: &'a Client,
    node: &'a NodeHandoff,
    rendered: &'a Rendered,
    manifests: &'a [Zeroizing<String>],
}

impl Turn<'_> {
    async fn run(&self) -> Result<HandedOver, UpError> {
        let end = Instant::now() + LONGEST;
        let mut handoff = self.get().await?;
        let before = handoff
            .as_ref()
            .is_some_and(|handoff| handoff.state == HandoffState::Committed);
        // What an earlier run began may still go back: then it begins anew.
        if let Some(earlier) = &handoff
            && earlier.state == HandoffState::Reverting
        {
            handoff = Some(self.watch(end).await?);
        }
        let handoff = match handoff {
            Some(there) if there.state == HandoffState::Committed => there,
            Some(there) if there.state != HandoffState::Reverted => self.watch(end).await?,
            earlier => {
                self.start(earlier.as_ref()).await?;
                self.watch(end).await?
            }
        };
        if handoff.state == HandoffState::Committed {
            return Ok(HandedOver {
                node: self.node.node.clone(),
                handoff,
                before,
            });
        }
        let (state, reason, message) = match handoff.failure {
            Some(failure) => (failure.state, failure.reason, failure.message),
            None => (handoff.state, "UNKNOWN".to_owned(), handoff.message),
        };
        Err(UpError::HandedBack {
            node: self.node.node.clone(),
            state: state.to_string(),
            reason,
            message,
            standing: String::new(),
        })
    }

    async fn get(&self) -> Result<Option<Handoff>, UpError> {
        let handoff = control_plane::get(self.client).await;
        handoff.map_err(UpError::node(&self.node.node, "ask for its handoff"))
    }

    /// Begins the handoff, the one after `earlier` that went back. The id follows from the content and from that one: a
    /// run that is killed before it has the answer asks for the same handoff again.
    async fn start(&self, earlier: Option<&Handoff>) -> Result<(), UpError> {
        self.scope.waiting("the handoff begins");
        let kubeconfig = &self.rendered.kubeconfigs.handoff;
        let earlier = earlier.map_or("", |handoff| handoff.id.as_str());
        let parts = [earlier, &self.node.node, &self.node.bundle, kubeconfig];
        let manifests = self.manifests.iter().map(|manifest| manifest.as_str());
        let id = request_id::of(parts.into_iter().chain(manifests.clone()));
        let mut request = StartHandoff::new(&self.node.bundle, kubeconfig.as_str())
            .manifests(manifests)
            .node_labels(self.node.node_labels.clone())
            .request_id(id);
        for component in &self.node.components {
            request = request.component(asked(component));
        }
        match self.client.start_handoff(&request).await {
            Ok(_) => Ok(()),
            // Somebody else was faster: it is this one that is watched then.
            Err(error) if error.code() == Some(Code::AlreadyExists) => Ok(()),
            Err(error) => Err(UpError::node(&self.node.node, "begin its handoff")(error)),
        }
    }

    /// Watches until the handoff is committed or handed back.
    async fn watch(&self, end: Instant) -> Result<Handoff, UpError> {
        let mut last = String::from("the handoff is under way");
        let left = end.saturating_duration_since(Instant::now());
        let watched = self
            .client
            .wait_handoff(None, SILENCE, |heard| match heard {
                Ok(handoff) => {
                    last = words(handoff);
                    self.scope.waiting(&last);
                }
                Err(error) => {
                    self.scope
                        .waiting(&format!("{last} (the node does not answer: {error})"));
                }
            });
        match tokio::time::timeout(left, watched).await {
            Ok(watched) => watched.map_err(UpError::node(&self.node.node, "watch its handoff")),
            Err(_) => Err(UpError::Deadline {
                phase: Phase::Handoff,
                node: Some(self.node.node.clone()),
                after: LONGEST,
                waiting: last,
            }),
        }
    }
}

/// The state, and what it waits for.
fn words(handoff: &Handoff) -> String {
    let mut text = handoff.state.to_string();
    if !handoff.message.is_empty() {
        text = format!("{text}: {}", handoff.message);
    }
    match &handoff.failure {
        Some(failure) => format!(
            "{text} (it failed in {}: {} [{}])",
            failure.state, failure.message, failure.reason
        ),
        None => text,
    }
}

/// The error, with what has become of the other nodes.
fn standing(error: UpError, done: &[HandedOver], all: &[NodeHandoff]) -> UpError {
    let UpError::HandedBack {
        node,
        state,
        reason,
        message,
        ..
    } = error
    else {
        return error;
    };
    let names = |names: Vec<&str>| match names.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let handed: Vec<&str> = done.iter().map(|done| done.node.as_str()).collect();
    let untouched = all
        .iter()
        .map(|other| other.node.as_str())
        .filter(|other| *other != node && !handed.contains(other));
    let standing = format!(
        "its injected control plane runs again; handed over: {}; untouched: {}; run again when the \
         cause is gone",
        names(handed.clone()),
        names(untouched.collect())
    );
    UpError::HandedBack {
        node,
        state,
        reason,
        message,
        standing,
    }
}

fn asked(component: &HandoffComponent) -> crate::HandoffComponent {
    let pod = component.injected_pod.as_str();
    let asked = match &component.kind {
        HandoffKind::ApiServer { port } => crate::HandoffComponent::api_server(pod).port(*port),
        HandoffKind::LeaderElected { lease } => crate::HandoffComponent::leader_elected(pod, lease),
    };
    asked
        .injected_namespace(&component.injected_namespace)
        .namespace(&component.namespace)
        .selector(component.selector.clone())
}
