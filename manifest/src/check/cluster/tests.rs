use serde_json::json;

use super::*;

fn faults(manifests: &[&str]) -> Vec<(String, Reason)> {
    read(manifests, 1 << 20)
        .expect_err("a fault")
        .into_iter()
        .map(|violation| (violation.field, violation.reason))
        .collect()
}

#[test]
fn objects_of_any_kind_come_in_their_order_with_lists_flattened_and_unknown_fields_kept() {
    let manifests = [
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: one\n---\napiVersion: example.com/v1\nkind: Thing\n\
         metadata:\n  name: a\n  namespace: one\nspec:\n  new: [1, {x: z}]\n",
        r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "apps/v1", "kind": "DaemonSetList", "items": [{"metadata": {"name": "d"}}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:x"}}]}"#,
    ];
    let objects = read(&manifests, 1 << 20).expect("all good");
    let seen: Vec<_> = objects
        .iter()
        .map(|object| {
            (
                object.field.as_str(),
                object.kind.as_str(),
                object.name.as_str(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("manifests[0].documents[0]", "Namespace", "one"),
            ("manifests[0].documents[1]", "Thing", "a"),
            ("manifests[1].items[0].items[0]", "DaemonSet", "d"),
            ("manifests[1].items[1]", "ClusterRole", "system:x"),
        ]
    );
    assert_eq!(objects[1].value["spec"], json!({"new": [1, {"x": "z"}]}));
    assert_eq!(objects[1].namespace, "one");
    assert_eq!(objects[2].value["apiVersion"], "apps/v1");
}

#[test]
fn what_cannot_be_sent_is_refused_with_its_field() {
    let rows: [(&str, &str, Reason); 11] = [
        (
            "kind: A\nmetadata: {name: a}",
            "manifests[0].apiVersion",
            Reason::MissingField,
        ),
        (
            "apiVersion: v1\nmetadata: {name: a}",
            "manifests[0].kind",
            Reason::MissingField,
        ),
        (
            "apiVersion: v1\nkind: Pod",
            "manifests[0].metadata",
            Reason::MissingField,
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {}",
            "manifests[0].metadata.name",
            Reason::MissingField,
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a}",
            "manifests[0].metadata.name",
            Reason::MissingField,
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: 1}",
            "manifests[0].metadata.name",
            Reason::WrongType,
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a/b}",
            "manifests[0].metadata.name",
            Reason::InvalidName,
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: ..}",
            "manifests[0].metadata.namespace",
            Reason::InvalidName,
        ),
        (
            "apiVersion: ../v1\nkind: Pod\nmetadata: {name: a}",
            "manifests[0].apiVersion",
            Reason::InvalidValue,
        ),
        (
            "apiVersion: v1\nkind: A/B\nmetadata: {name: a}",
            "manifests[0].kind",
            Reason::InvalidValue,
        ),
        ("- a", "manifests[0]", Reason::WrongType),
    ];
    for (text, field, reason) in rows {
        assert_eq!(faults(&[text]), [(field.to_owned(), reason)], "{text}");
    }
    let twice = "apiVersion: apps/v1\nkind: A\nmetadata: {name: a}";
    let again = "apiVersion: apps/v1beta1\nkind: A\nmetadata: {name: a}";
    assert_eq!(
        faults(&[twice, again]),
        [("manifests[1]".to_owned(), Reason::DuplicateObject)]
    );
    assert_eq!(faults(&["# nothing"])[0].1, Reason::EmptyManifest);
}
