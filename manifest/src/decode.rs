//! From text to trees: YAML or JSON, one or several documents.

mod budget;
mod json;
mod places;
mod scalar;
pub(crate) mod suggest;
pub(crate) mod tree;
pub(crate) mod typed;
mod yaml;

pub(crate) use budget::Budget;
use budget::{MAX_DEPTH, Stop};
pub use places::Places;
use tree::{Mark, Node};

use crate::{Reason, field::OwnedSegment};

/// What was read of one manifest.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) documents: Vec<Node>,
    /// Whether an empty document stands before them.
    pub(crate) starts_empty: bool,
    /// What is wrong within the documents, which could be read nevertheless.
    pub(crate) faults: Vec<Fault>,
    /// What ended the reading before the end of the text.
    pub(crate) stop: Option<Stop>,
}

/// A fault of the text that does not hinder reading on.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The number of the document, without those that are empty.
    pub(crate) document: usize,
    pub(crate) path: Vec<OwnedSegment>,
    pub(crate) mark: Mark,
    pub(crate) reason: Reason,
    pub(crate) description: String,
}

/// Reads a manifest.
pub(crate) fn read(text: &str, budget: &mut Budget) -> Outcome {
    let mut outcome = read_any(text, budget);
    // Aliases can put a deep value in a deep place.
    if let Some(index) = outcome
        .documents
        .iter()
        .position(|document| document.is_deeper_than(MAX_DEPTH))
    {
        outcome.stop = Some(Stop::too_deep(outcome.documents[index].mark));
        outcome.documents.truncate(index);
        outcome.faults.retain(|fault| fault.document < index);
    }
    outcome
}

fn read_any(text: &str, budget: &mut Budget) -> Outcome {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.trim_start().starts_with(['{', '[']) {
        return yaml::read(text, budget);
    }
    let before = budget.clone();
    let as_json = json::read(text, budget);
    if as_json
        .stop
        .as_ref()
        .is_none_or(|stop| stop.reason != Reason::SyntaxError)
    {
        return as_json;
    }
    // YAML in braces, or JSON documents with `---` between them.
    let after = std::mem::replace(budget, before);
    let as_yaml = yaml::read(text, budget);
    if as_yaml.stop.is_none() {
        return as_yaml;
    }
    *budget = after;
    as_json
}

/// Reads the first document only, whatever comes after it. `None` when it is empty or unreadable.
pub(crate) fn read_first(text: &str, budget: &mut Budget) -> Option<Node> {
    let outcome = read(text, budget);
    if outcome.starts_empty {
        return None;
    }
    outcome.documents.into_iter().next()
}
