//! Telling what is going on.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use super::Phase;

/// Something that has happened, or that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// The node that it is about. `None`: all of them, or none in particular.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub node: Option<String>,
    /// What kind of news it is.
    pub kind: ProgressKind,
    /// For people.
    pub message: String,
    /// Since when this is waited for. Only of [`ProgressKind::Waiting`].
    #[cfg_attr(
        feature = "serde",
        serde(
            with = "crate::types::rfc3339",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub since: Option<SystemTime>,
}

/// What kind of news it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub enum ProgressKind {
    /// The phase begins.
    Started,
    /// The message says what is waited for.
    Waiting,
    /// It was done, or was done already.
    Done,
    /// It goes on, and somebody should know.
    Warning,
    /// It has failed; the error says it too.
    Failed,
}

type Sink = Arc<dyn Fn(&Progress) + Send + Sync>;

/// Whom to tell.
#[derive(Clone, Default)]
pub(super) struct Reporter(Option<Sink>);

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reporter").field(&self.0.is_some()).finish()
    }
}

impl Reporter {
    pub(super) fn new(sink: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(sink)))
    }

    /// For all that concerns one phase, or one node in it.
    pub(super) fn scope(&self, phase: Phase, node: Option<&str>) -> Scope {
        Scope {
            reporter: self.clone(),
            phase,
            node: node.map(str::to_owned),
            waiting: Mutex::new(None),
        }
    }
}

/// What is told of one phase, or of one node in it.
#[derive(Debug)]
pub(super) struct Scope {
    reporter: Reporter,
    phase: Phase,
    node: Option<String>,
    /// What is waited for, and since when.
    waiting: Mutex<Option<(String, SystemTime)>>,
}

impl Scope {
    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    pub(super) fn started(&self) {
        self.tell(ProgressKind::Started, self.phase.about(), None);
    }

    /// Told once, however often it is said in a row.
    pub(super) fn waiting(&self, what: &str) {
        let since = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.as_ref().is_some_and(|(before, _)| before == what) {
                return;
            }
            let now = SystemTime::now();
            *waiting = Some((what.to_owned(), now));
            now
        };
        self.tell(ProgressKind::Waiting, what, Some(since));
    }

    pub(super) fn done(&self, message: &str) {
        self.tell(ProgressKind::Done, message, None);
    }

    pub(super) fn warning(&self, message: &str) {
        self.tell(ProgressKind::Warning, message, None);
    }

    pub(super) fn failed(&self, message: &str) {
        self.tell(ProgressKind::Failed, message, None);
    }

    fn tell(&self, kind: ProgressKind, message: &str, since: Option<SystemTime>) {
        if let Some(sink) = &self.reporter.0 {
            sink(&Progress {
                phase: self.phase,
                node: self.node.clone(),
                kind,
                message: message.to_owned(),
                since,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_told_when_it_changes() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let reporter = Reporter::new({
            let told = Arc::clone(&told);
            move |progress| {
                told.lock()
                    .expect("unpoisoned")
                    .push((progress.message.clone(), progress.since.is_some()));
            }
        });
        let scope = reporter.scope(Phase::Etcd, Some("node-1"));
        for what in ["a", "a", "b", "a"] {
            scope.waiting(what);
        }
        scope.done("ready");
        let waited = |what: &str| (what.to_owned(), true);
        assert_eq!(
            *told.lock().expect("unpoisoned"),
            [
                waited("a"),
                waited("b"),
                waited("a"),
                ("ready".to_owned(), false)
            ]
        );
    }
}
