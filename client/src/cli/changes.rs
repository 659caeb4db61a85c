//! Printing what a change does to the pods, Secrets and ConfigMaps of a bundle.

use std::fmt::Write as _;

use anstyle::Style;
use seedpod_client::{Change, ChangeType, ObjectChange};

use super::{
    objects::word,
    output::style::{BAD, BOLD, CHANGED, DIM, GOOD, PLACE, RESET},
};

/// Whether nothing changes.
pub(crate) fn are_none(pods: &[Change], objects: &[ObjectChange]) -> bool {
    let mut types = pods
        .iter()
        .map(|change| change.r#type)
        .chain(objects.iter().map(|change| change.r#type));
    types.all(|change| change == ChangeType::Unchanged)
}

/// A line for each pod, and then for each Secret and ConfigMap, with its diff if there is one.
pub(crate) fn push(text: &mut String, pods: &[Change], objects: &[ObjectChange]) {
    for change in pods {
        let name = format!("{}/{}", change.namespace, change.name);
        push_one(text, change.r#type, &name, &change.diff);
    }
    for change in objects {
        let name = format!("{} {}/{}", word(change.kind), change.namespace, change.name);
        push_one(text, change.r#type, &name, &change.diff);
    }
}

fn push_one(text: &mut String, change: ChangeType, name: &str, diff: &str) {
    let (style, mark) = mark(change);
    let _ = writeln!(
        text,
        "  {style}{mark} {:<9}{RESET}  {name}",
        change.as_str()
    );
    push_diff(text, diff, "      ");
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
