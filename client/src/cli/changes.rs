//! Printing what a change does to the pods of a bundle.

use std::fmt::Write as _;

use anstyle::Style;
use seedpod_client::{Change, ChangeType};

use super::output::style::{BAD, BOLD, CHANGED, DIM, GOOD, PLACE, RESET};

/// A line for each pod, with its diff if there is one.
pub(crate) fn push(text: &mut String, changes: &[Change]) {
    for change in changes {
        let (style, mark) = mark(change.r#type);
        let (word, namespace, name) = (change.r#type.as_str(), &change.namespace, &change.name);
        let _ = writeln!(text, "  {style}{mark} {word:<9}{RESET}  {namespace}/{name}");
        push_diff(text, &change.diff, "      ");
    }
}

/// The sign makes the kind of change plain without colours.
fn mark(change: ChangeType) -> (Style, char) {
    match change {
        ChangeType::Added => (GOOD, '+'),
        ChangeType::Replaced => (CHANGED, '~'),
        ChangeType::Removed => (BAD, '-'),
        ChangeType::Unchanged => (DIM, '='),
        _ => (Style::new(), '?'),
    }
}

/// A unified diff, each line behind `indent`.
pub(crate) fn push_diff(text: &mut String, diff: &str, indent: &str) {
    for line in diff.lines() {
        let style = match line.as_bytes() {
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => BOLD,
            [b'+', ..] => GOOD,
            [b'-', ..] => BAD,
            [b'@', ..] => PLACE,
            _ => Style::new(),
        };
        let _ = writeln!(text, "{indent}{style}{line}{RESET}");
    }
}
