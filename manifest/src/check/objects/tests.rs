use super::*;
use crate::Position;

fn object(kind: ObjectKind, namespace: &str, name: &str, line: usize) -> Object {
    Object {
        key: ObjectKey {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        },
        head: Value::Null,
        data: BTreeMap::new(),
        origin: format!("manifests[0].documents[{line}]"),
        position: Some(Position {
            manifest: 0,
            line,
            column: 1,
        }),
    }
}

#[test]
fn only_what_no_pod_refers_to_is_warned_of() {
    let objects: Objects = [
        object(ObjectKind::Secret, "default", "a", 1),
        object(ObjectKind::Secret, "other", "a", 2),
        object(ObjectKind::ConfigMap, "default", "a", 3),
    ]
    .into_iter()
    .collect();
    let warned = |references: &BTreeSet<ObjectKey>| -> Vec<_> {
        let mut findings = Findings::default();
        warn_of_unused(&mut findings, &objects, references);
        let (violations, warnings) = findings.into_parts();
        assert!(violations.is_empty());
        assert!(warnings.iter().all(|it| it.reason == Reason::UnusedObject));
        warnings.into_iter().map(|it| it.field).collect()
    };
    let mut references: BTreeSet<_> = objects.iter().map(|it| it.key().clone()).collect();
    assert_eq!(warned(&references), [""; 0]);
    references.retain(|key| key.namespace != "other");
    assert_eq!(warned(&references), ["manifests[0].documents[2]"]);
    assert_eq!(warned(&BTreeSet::new()).len(), 3);
}
