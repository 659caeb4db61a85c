//! What events say of changes.

use std::time::Duration;

use seedpod_manifest::ObjectKind;

use crate::node::{Bundle, Change, ChangeKind, ObjectChange};

const KINDS: [ObjectKind; 2] = [ObjectKind::Secret, ObjectKind::ConfigMap];

/// What a change does, for events: "2 pods added, 1 Secret replaced". Of objects only what changes.
pub(super) fn summary(changes: &[Change], object_changes: &[ObjectChange]) -> String {
    let words = [
        (ChangeKind::Added, "added"),
        (ChangeKind::Replaced, "replaced"),
        (ChangeKind::Removed, "removed"),
        (ChangeKind::Unchanged, "unchanged"),
    ];
    let pods = words.iter().filter_map(|(kind, word)| {
        let count = changes.iter().filter(|change| change.kind == *kind).count();
        (count > 0).then(|| format!("{} {word}", counted(count, "pod")))
    });
    let changing = words
        .iter()
        .filter(|(kind, _)| *kind != ChangeKind::Unchanged);
    let objects = changing.flat_map(|(kind, word)| {
        KINDS.iter().filter_map(move |of| {
            let these = object_changes.iter();
            let count = these
                .filter(|change| change.kind == *kind && change.object.kind == *of)
                .count();
            (count > 0).then(|| format!("{} {word}", counted(count, of.as_str())))
        })
    });
    pods.chain(objects).collect::<Vec<_>>().join(", ")
}

/// What a bundle has, for events: "2 pods, 1 Secret".
pub(super) fn contents(bundle: &Bundle) -> String {
    let mut texts = vec![counted(bundle.pods.len(), "pod")];
    for kind in KINDS {
        let objects = bundle.objects.iter();
        let count = objects
            .filter(|object| object.summary.key.kind == kind)
            .count();
        if count > 0 {
            texts.push(counted(count, kind.as_str()));
        }
    }
    texts.join(", ")
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// A time as it was asked for, which is in seconds mostly.
pub(super) fn in_words(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use seedpod_manifest::{ObjectKey, PodKey};

    use super::*;

    #[test]
    fn an_event_counts_pods_and_the_objects_that_change() {
        let pod = |name: &str, kind| Change {
            pod: PodKey {
                namespace: "default".to_owned(),
                name: name.to_owned(),
            },
            kind,
            diff: String::new(),
        };
        let object = |of, name: &str, kind| ObjectChange {
            object: ObjectKey {
                kind: of,
                namespace: "default".to_owned(),
                name: name.to_owned(),
            },
            kind,
            diff: String::new(),
        };
        let pods = [
            pod("a", ChangeKind::Added),
            pod("b", ChangeKind::Added),
            pod("c", ChangeKind::Unchanged),
        ];
        assert_eq!(summary(&pods, &[]), "2 pods added, 1 pod unchanged");
        let objects = [
            object(ObjectKind::ConfigMap, "a", ChangeKind::Removed),
            object(ObjectKind::ConfigMap, "b", ChangeKind::Removed),
            object(ObjectKind::Secret, "c", ChangeKind::Replaced),
            object(ObjectKind::Secret, "d", ChangeKind::Unchanged),
        ];
        assert_eq!(
            summary(&pods[..1], &objects),
            "1 pod added, 1 Secret replaced, 2 ConfigMaps removed"
        );
    }
}
