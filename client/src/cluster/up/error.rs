//! Why a phase did not come to its end.

use std::{io, path::PathBuf, time::Duration};

use super::{Phase, Preflight, api::ApiError};
use crate::{Error, FolderError, WaitError, cluster::RenderError, error::Seconds};

/// Why a phase did not come to its end. What was done until then stays; run again, it goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpError {
    /// Nodes are not as they should be. Nothing was changed.
    #[error("{}", .0.summary())]
    Preflight(Box<Preflight>),
    /// The cluster cannot be rendered.
    #[error("the cluster cannot be rendered")]
    Render(#[source] Box<RenderError>),
    /// A rendered bundle cannot be read.
    #[error("the rendered bundle {} cannot be read", path.display())]
    Bundle {
        /// Its folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<FolderError>,
    },
    /// A file of the folder cannot be read, or the folder itself not be locked.
    #[error("{} cannot be {doing}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// `read` or `locked`.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another run works with the same folder.
    #[error(
        "another `seedpod up` or `seedpod down` works with {}: wait until it has ended, or stop it",
        .0.display()
    )]
    Locked(PathBuf),
    /// A node's Seedpod refused, or cannot be reached.
    #[error("node {node}: cannot {doing}")]
    Node {
        /// The node.
        node: String,
        /// What was to be done.
        doing: &'static str,
        /// Why it was not.
        #[source]
        source: Box<Error>,
    },
    /// A bundle did not get ready.
    #[error("node {node}: bundle {bundle} did not get ready")]
    NotReady {
        /// The node.
        node: String,
        /// The bundle.
        bundle: String,
        /// Why.
        #[source]
        source: Box<WaitError>,
    },
    /// The API cannot be asked at all: its kubeconfig is no good, or it refuses.
    #[error("cannot {doing}")]
    Api {
        /// What was to be done.
        doing: &'static str,
        /// Why it was not.
        #[source]
        source: ApiError,
    },
    /// Time is up.
    #[error("{}after {} still waiting: {waiting}", of(node.as_ref()), Seconds(*.after))]
    #[non_exhaustive]
    Deadline {
        /// The phase.
        phase: Phase,
        /// The node, if it is about one.
        node: Option<String>,
        /// How long was waited.
        after: Duration,
        /// What for.
        waiting: String,
    },
    /// A node's handoff has failed, and the node has handed back by itself.
    #[error(
        "node {node} could not hand over and has handed back by itself: in {state}: {message} [{reason}]\n  {standing}"
    )]
    #[non_exhaustive]
    HandedBack {
        /// The node.
        node: String,
        /// In which state it has failed.
        state: String,
        /// The stable reason.
        reason: String,
        /// Why, with the remedy.
        message: String,
        /// What has become of the other nodes.
        standing: String,
    },
    /// The cluster is not as it should be after everything was done.
    #[error("{}{message}", of(node.as_ref()))]
    Unverified {
        /// The node, if it is about one.
        node: Option<String>,
        /// What is not, and what to do.
        message: String,
    },
    /// The same phase has failed on several nodes.
    #[error("{} nodes failed:{}", .0.len(), lines(.0))]
    Several(Vec<UpError>),
}

impl UpError {
    /// One error of many; `None` when there is none.
    pub(super) fn of(mut errors: Vec<Self>) -> Option<Self> {
        match errors.len() {
            0 => None,
            1 => errors.pop(),
            _ => Some(Self::Several(errors)),
        }
    }

    pub(super) fn node(node: &str, doing: &'static str) -> impl FnOnce(Error) -> Self {
        move |source| Self::Node {
            node: node.to_owned(),
            doing,
            source: Box::new(source),
        }
    }

    /// The first of several; itself otherwise. What a program decides by.
    pub fn first(&self) -> &Self {
        match self {
            Self::Several(errors) => errors.first().map_or(self, Self::first),
            error => error,
        }
    }

    /// The error of a node's Seedpod, when that is the cause.
    pub fn client_error(&self) -> Option<&Error> {
        match self.first() {
            Self::Node { source, .. } => Some(source),
            Self::NotReady { source, .. } => match &**source {
                WaitError::Client(error) => Some(error),
                _ => None,
            },
            _ => None,
        }
    }
}

fn of(node: Option<&String>) -> String {
    node.map(|node| format!("node {node}: "))
        .unwrap_or_default()
}

/// Each error with its causes on a line.
fn lines(errors: &[UpError]) -> String {
    let line = |error: &UpError| format!("\n  {}", chain(error));
    errors.iter().map(line).collect()
}

/// The error and its causes in one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}
