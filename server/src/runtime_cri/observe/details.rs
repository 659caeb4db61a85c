//! What the runtime's lists do not tell: asked once for each container in each of its states, and then remembered.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, stream};

use crate::runtime_cri::{
    ContainerDetails, ContainerState, Listing, Runtime, RuntimeError, Sandbox,
};

/// How many questions the runtime gets at once.
const AT_ONCE: usize = 16;

/// What was asked before, as long as the runtime lists it.
#[derive(Debug, Default)]
pub(super) struct Cache {
    containers: HashMap<String, (ContainerState, ContainerDetails)>,
    ips: HashMap<String, Vec<String>>,
    /// By container, how the attempt before it ended: the kubelet removes that one when both have ended.
    last: HashMap<String, ContainerDetails>,
}

/// A question, owned like its answer, so that many can be under way at once.
enum Question {
    Container(String, ContainerState),
    Sandbox(String),
}

enum Answer {
    Container(String, ContainerState, ContainerDetails),
    Sandbox(String, Vec<String>),
}

impl Cache {
    /// Fills in the details of the sandboxes that have a bundle, as far as they can be had: what is gone already when
    /// it is asked for, or cannot be asked, is left out. Whether none was.
    pub(super) async fn fill<R: Runtime>(&mut self, runtime: &R, listing: &mut Listing) -> bool {
        let mut complete = true;
        let mut answers = stream::iter(self.missing(listing))
            .map(|question| ask(runtime.clone(), question))
            .buffer_unordered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Answer::Container(id, state, details)) => {
                    self.containers.insert(id, (state, details));
                }
                Ok(Answer::Sandbox(id, ips)) => drop(self.ips.insert(id, ips)),
                Err(_) => complete = false,
            }
        }
        drop(answers);
        self.apply(listing);
        self.forget(listing);
        complete
    }

    fn missing(&self, listing: &Listing) -> Vec<Question> {
        let mut questions = Vec::new();
        let ours = listing.sandboxes.iter().filter(is_ours);
        for sandbox in ours {
            for container in &sandbox.containers {
                let known = self.containers.get(&container.id);
                if known.is_none_or(|(state, _)| *state != container.state) {
                    let id = container.id.clone();
                    questions.push(Question::Container(id, container.state));
                }
                if let Some(id) = listing.previous.get(&container.id)
                    && !self.ended(id)
                {
                    let id = id.clone();
                    questions.push(Question::Container(id, ContainerState::Exited));
                }
            }
            if sandbox.ready && !self.ips.contains_key(&sandbox.id) {
                questions.push(Question::Sandbox(sandbox.id.clone()));
            }
        }
        questions
    }

    fn ended(&self, id: &str) -> bool {
        self.containers
            .get(id)
            .is_some_and(|(state, _)| *state == ContainerState::Exited)
    }

    fn apply(&mut self, listing: &mut Listing) {
        let previous = &listing.previous;
        for sandbox in listing.sandboxes.iter_mut().filter(|s| is_ours(&&**s)) {
            for container in &mut sandbox.containers {
                container.details = self
                    .containers
                    .get(&container.id)
                    // How it was before it has ended says nothing of its end.
                    .filter(|(state, _)| *state == container.state)
                    .map(|(_, details)| details.clone());
                let before = previous
                    .get(&container.id)
                    .and_then(|id| self.containers.get(id));
                if let Some((_, end)) = before {
                    self.last.insert(container.id.clone(), end.clone());
                }
                container.last_termination = self.last.get(&container.id).cloned();
            }
            if sandbox.ready {
                // What does not run has no address any more, whatever the runtime remembers.
                sandbox.ips = self.ips.get(&sandbox.id).cloned().unwrap_or_default();
            }
        }
    }

    /// Forgets what the runtime does not list any more.
    fn forget(&mut self, listing: &Listing) {
        let sandboxes: HashSet<&str> = listing.sandboxes.iter().map(|s| s.id.as_str()).collect();
        let containers: HashSet<&str> = listing
            .sandboxes
            .iter()
            .flat_map(|sandbox| &sandbox.containers)
            .map(|container| container.id.as_str())
            .chain(listing.previous.values().map(String::as_str))
            .collect();
        self.containers
            .retain(|id, _| containers.contains(id.as_str()));
        self.last.retain(|id, _| containers.contains(id.as_str()));
        self.ips.retain(|id, _| sandboxes.contains(id.as_str()));
    }
}

fn is_ours(sandbox: &&Sandbox) -> bool {
    sandbox.bundle.is_some()
}

async fn ask<R: Runtime>(runtime: R, question: Question) -> Result<Answer, RuntimeError> {
    match question {
        Question::Container(id, state) => {
            let details = runtime.container_status(&id).await?;
            Ok(Answer::Container(id, state, details))
        }
        Question::Sandbox(id) => {
            let ips = runtime.sandbox_ips(&id).await?;
            Ok(Answer::Sandbox(id, ips))
        }
    }
}
