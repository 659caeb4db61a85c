use super::*;
use crate::{
    NodeName, Position,
    check::{document_path, documents, report_outcome},
    decode::{self, Budget},
};

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

/// The keys of the objects that are right, and of those that are not.
fn sorted_out(text: &str) -> (Vec<String>, Vec<String>) {
    let node: NodeName = "node-1".parse().unwrap();
    let options = Options {
        node,
        max_pods: 1,
        max_bytes: 1 << 20,
        field_validation: FieldValidation::Strict,
        allow_secret_env: false,
    };
    let mut findings = Findings::default();
    let outcome = decode::read(text, &mut Budget::default());
    report_outcome(&mut findings, 0, &outcome);
    let mut items = Vec::new();
    for (index, node) in outcome.documents.iter().enumerate() {
        let origin = document_path(0, &outcome, index);
        let validation = options.field_validation;
        documents::expand(&mut findings, 0, origin, node, validation, &mut items);
    }
    let (objects, faulty) = check(&mut findings, items, &options);
    let right = objects.iter().map(|it| it.key().to_string());
    (
        right.collect(),
        faulty.iter().map(ToString::to_string).collect(),
    )
}

#[test]
fn an_object_with_any_fault_of_its_own_is_told_apart() {
    for rest in [
        "data: {k: '%'}",
        "data: [k]",
        "data: {a/b: Zg==}",
        "data: {on: Zg==}",
        "stringData: {k: a, k: b}",
        "stringData: {k: 1}",
        "type: kubernetes.io/tls",
        "more: 1",
    ] {
        let text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\n{rest}\n");
        let (right, faulty) = sorted_out(&text);
        assert_eq!((right.len(), faulty.len()), (0, 1), "{rest}");
        assert_eq!(faulty, ["Secret default/a"]);
    }
}

#[test]
fn the_fault_of_one_object_is_not_anothers() {
    let secret = |name: &str, rest: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: prod}}\n{rest}\n---\n"
        )
    };
    let mut text = secret("a", "");
    text.push_str(&secret("b", "data: {k: 1}"));
    for index in 2..12 {
        text.push_str(&secret(&format!("c{index}"), ""));
    }
    let (right, faulty) = sorted_out(&text);
    assert_eq!(right.len(), 11);
    assert_eq!(faulty, ["Secret prod/b"]);
}

#[test]
fn neither_of_two_objects_of_one_name_is_right() {
    let one = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n";
    let (right, faulty) = sorted_out(&format!("{one}---\n{one}"));
    assert!(right.is_empty());
    assert_eq!(faulty, ["Secret default/a"]);
    // What can not be referred to is not counted, and what has only a name is.
    let nameless = "apiVersion: v1\nkind: Secret\nmetadata: {}\n";
    assert_eq!(sorted_out(nameless), (vec![], vec![]));
    let wrong = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: 1}\n";
    assert_eq!(sorted_out(wrong).1, ["ConfigMap default/a"]);
}
