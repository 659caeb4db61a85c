//! What events say of changes.

use std::time::Duration;

use crate::node::{Change, ChangeKind};

/// What a change does, for events.
pub(super) fn summary(changes: &[Change]) -> String {
    let words = [
        (ChangeKind::Added, "added"),
        (ChangeKind::Replaced, "replaced"),
        (ChangeKind::Removed, "removed"),
        (ChangeKind::Unchanged, "unchanged"),
    ];
    let counts = words.iter().filter_map(|(kind, word)| {
        let count = changes.iter().filter(|change| change.kind == *kind).count();
        (count > 0).then(|| format!("{} {word}", counted(count, "pod")))
    });
    counts.collect::<Vec<_>>().join(", ")
}

pub(super) fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// A time as it was asked for, which is in seconds mostly.
pub(super) fn in_words(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}
