//! What `ListPods` finds out: the node's own knowledge, and what the runtime says.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use seedpod_manifest::{BundleName, NodeName};
use seedpod_proto::v1;
use tokio::time::{Instant, timeout_at};

use super::{
    convert,
    page::{List, Page},
};
use crate::{
    node::{
        NodeHandle,
        status::{Entry, RuntimeView, entries},
    },
    runtime_cri::{ContainerDetails, ContainerState, CriRuntime, Runtime, Sandbox},
};

/// How many questions the runtime gets at once.
const AT_ONCE: usize = 16;

/// How long all questions about details may take. What has no answer by then is told without.
const DETAILS: Duration = Duration::from_secs(3);

/// What the runtime said, or why it said nothing.
enum Runs {
    NotConfigured,
    Away(String),
    Seen(Vec<Sandbox>),
}

impl Runs {
    async fn ask(handle: &NodeHandle, runtime: Option<&CriRuntime>, node: &NodeName) -> Self {
        match runtime {
            None => Self::NotConfigured,
            Some(runtime) => match runtime.sandboxes().await {
                Ok(mut sandboxes) => {
                    handle.disown_copies(&mut sandboxes, node);
                    Self::Seen(sandboxes)
                }
                Err(error) => Self::Away(error.root_cause()),
            },
        }
    }

    fn view(&self) -> RuntimeView<'_> {
        match self {
            Self::NotConfigured => RuntimeView::NotConfigured,
            Self::Away(cause) => RuntimeView::Away(cause),
            Self::Seen(sandboxes) => RuntimeView::Seen(sandboxes),
        }
    }
}

/// A pod's place in the list: bundle, namespace, name.
type Key = (String, String, String);

pub(super) type PodPage = Page<Key>;

/// One page of pods and the token of the next one.
pub(super) async fn list(
    handle: &NodeHandle,
    runtime: Option<&CriRuntime>,
    node: &NodeName,
    only: Option<&BundleName>,
    page: &PodPage,
) -> (Vec<v1::Pod>, String) {
    // The runtime first: a pod that is committed after it was asked shows as not running yet, which is true or was a
    // moment ago. The other way round, what was just replaced would show as being removed.
    let runs = Runs::ask(handle, runtime, node).await;
    let (state, projections) = (handle.state(), handle.projections());
    let all = entries(&state, &projections, runs.view(), node, only);
    let filter = List::Pods(only.map_or("", BundleName::as_str));
    let (entries, token) = page.take(filter, all, key);

    let shown = entries
        .iter()
        .filter_map(|entry| entry.sandbox(runs.view(), node));
    let questions = all_of(shown);
    let Details {
        containers,
        mut ips,
    } = Details::ask(runtime, questions).await;
    let pods = entries
        .iter()
        .map(|entry| {
            let status = entry.status(runs.view(), node, &containers);
            let pod_ips = ips.remove(&status.sandbox_id).unwrap_or_default();
            convert::pod(status, pod_ips)
        })
        .collect();
    (pods, token)
}

fn key(entry: &Entry<'_>) -> Key {
    (
        entry.bundle.to_string(),
        entry.key.namespace.clone(),
        entry.key.name.clone(),
    )
}

/// How many pods are in each state, for metrics. `None` when the runtime does not answer.
pub(crate) async fn pods_by_state(
    handle: &NodeHandle,
    runtime: Option<&CriRuntime>,
    node: &NodeName,
) -> Option<BTreeMap<&'static str, u64>> {
    let runs = Runs::ask(handle, runtime, node).await;
    if let Runs::Away(_) = runs {
        return None;
    }
    let (state, projections) = (handle.state(), handle.projections());
    let all = entries(&state, &projections, runs.view(), node, None);
    let shown = all
        .iter()
        .filter_map(|entry| entry.sandbox(runs.view(), node));
    let questions = ended_of(shown);
    let details = Details::ask(runtime, questions).await;
    let mut counts = BTreeMap::new();
    for entry in &all {
        let status = entry.status(runs.view(), node, &details.containers);
        *counts.entry(status.state.as_str()).or_default() += 1;
    }
    Some(counts)
}

/// What the runtime's lists do not tell, by the ids of containers and sandboxes.
#[derive(Default)]
struct Details {
    containers: HashMap<String, ContainerDetails>,
    ips: HashMap<String, Vec<String>>,
}

/// A question to the runtime about one thing. Owned, like the answers, so that many can be under way at once.
enum Question {
    Container(String),
    Sandbox(String),
}

enum Answer {
    Container(String, ContainerDetails),
    Sandbox(String, Vec<String>),
    /// It is gone by now, or the runtime is.
    None,
}

/// All that is to be told of these sandboxes and their containers.
fn all_of<'a>(sandboxes: impl Iterator<Item = &'a Sandbox>) -> Vec<Question> {
    let mut questions = Vec::new();
    for sandbox in sandboxes {
        questions.extend(
            sandbox
                .containers
                .iter()
                .map(|c| Question::Container(c.id.clone())),
        );
        // What does not run has no address any more, whatever the runtime remembers.
        if sandbox.ready {
            questions.push(Question::Sandbox(sandbox.id.clone()));
        }
    }
    questions
}

/// Only what a pod's state depends on: how the containers ended.
fn ended_of<'a>(sandboxes: impl Iterator<Item = &'a Sandbox>) -> Vec<Question> {
    sandboxes
        .flat_map(|sandbox| &sandbox.containers)
        .filter(|container| container.state == ContainerState::Exited)
        .map(|container| Question::Container(container.id.clone()))
        .collect()
}

impl Details {
    async fn ask(runtime: Option<&CriRuntime>, questions: Vec<Question>) -> Self {
        let mut details = Self::default();
        let Some(runtime) = runtime else {
            return details;
        };
        let deadline = Instant::now() + DETAILS;
        let mut answers = stream::iter(questions)
            .map(|question| answer(runtime.clone(), question))
            .buffer_unordered(AT_ONCE);
        while let Ok(Some(answer)) = timeout_at(deadline, answers.next()).await {
            match answer {
                Answer::Container(id, found) => drop(details.containers.insert(id, found)),
                Answer::Sandbox(id, found) => drop(details.ips.insert(id, found)),
                Answer::None => {}
            }
        }
        details
    }
}

async fn answer(runtime: CriRuntime, question: Question) -> Answer {
    match question {
        Question::Container(id) => match runtime.container_status(&id).await {
            Ok(found) => Answer::Container(id, found),
            Err(_) => Answer::None,
        },
        Question::Sandbox(id) => match runtime.sandbox_ips(&id).await {
            Ok(found) => Answer::Sandbox(id, found),
            Err(_) => Answer::None,
        },
    }
}
