//! Secrets and ConfigMaps of a bundle: what is made of them, their limits, and that nothing tells what they hold.

use seedpod_manifest::{
    Checked, FieldValidation, Object, ObjectKey, ObjectKind, Options, Reason, Secrets, Violation,
    check,
};
use serde_json::{Value, json};

const GOOD: &str = include_str!("../testdata/good/objects.yaml");
const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: a, image: a}]}\n---\n";

fn options() -> Options {
    Options {
        allow_secret_env: false,
        node: "node-1".parse().unwrap(),
        max_pods: 64,
        max_bytes: 4 << 20,
        field_validation: FieldValidation::Strict,
    }
}

fn accept(manifest: &str) -> Checked {
    check(&[manifest], &options()).unwrap_or_else(|violations| panic!("{violations:#?}"))
}

fn refuse(manifest: &str) -> Violation {
    let mut violations = check(&[manifest], &options()).unwrap_err();
    assert_eq!(violations.len(), 1, "{violations:#?}");
    violations.remove(0)
}

/// The only object of a manifest, beside the pod that a bundle must have.
fn only(object: &str) -> Object {
    let objects = accept(&format!("{POD}{object}")).objects;
    assert_eq!(objects.len(), 1);
    objects.into_iter().next().unwrap()
}

fn shown(object: &Object) -> Value {
    object.to_manifest_value(Secrets::Shown)
}

fn secret(rest: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\n{rest}")
}

fn config_map(rest: &str) -> String {
    secret(rest).replace("Secret", "ConfigMap")
}

#[test]
fn objects_of_every_sort_are_accepted() {
    let checked = accept(GOOD);
    assert_eq!(checked.pods.len(), 1);
    let keys: Vec<_> = checked
        .objects
        .iter()
        .map(|it| it.key().to_string())
        .collect();
    assert_eq!(
        keys,
        [
            "ConfigMap default/nothing-in-it",
            "ConfigMap default/plain",
            "Secret default/1.own-type",
            "Secret default/plain",
            "Secret default/registry",
            "Secret default/registry-old",
            "Secret default/ssh",
            "Secret default/token",
            "Secret default/user",
            "Secret kube-system/tls",
        ]
    );
    let of = |kind, name: &str| {
        let namespace = "default".to_owned();
        let name = name.to_owned();
        let key = ObjectKey {
            kind,
            namespace,
            name,
        };
        checked.objects.get(&key).unwrap()
    };
    assert_eq!(
        shown(of(ObjectKind::Secret, "plain")),
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "plain",
                "namespace": "default",
                "labels": {"app": "web"},
                "annotations": {"note": "of the database"},
            },
            "type": "Opaque",
            "immutable": true,
            "data": {
                "both": "bmV3",
                "binary": "AP/+",
                "folded": "Zm9vYmFy",
                "empty": "",
                "nothing": "",
                "config.yaml": "cG9ydDogODA4MApuYW1lOiAiw6Qg8J2EniIK",
                "none": "",
            },
        })
    );
    assert_eq!(
        shown(of(ObjectKind::ConfigMap, "plain")),
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "plain", "namespace": "default"},
            "data": {"8080": "0644", "Dotted.name_with-dashes": "on", ".hidden": "", "nothing": ""},
            "binaryData": {"logo.png": "iVBORw0KGgo=", "empty": ""},
        })
    );
    let token = of(ObjectKind::Secret, "token");
    assert_eq!(token.origin(), "manifests[0].documents[3].items[4]");
    assert!(token.position().is_some());
}

#[test]
fn an_object_that_no_pod_refers_to_is_warned_of_where_it_stands() {
    let warnings = accept(GOOD).warnings;
    assert_eq!(warnings.len(), 10, "{warnings:#?}");
    assert!(warnings.iter().all(|it| it.reason == Reason::UnusedObject));
    let of_tls = warnings
        .iter()
        .find(|it| it.field == "manifests[0].documents[2]")
        .unwrap();
    assert_eq!(
        of_tls.description,
        "no pod of the namespace kube-system refers to the Secret tls: remove it, or correct the name or namespace"
    );
    assert_eq!(
        of_tls.position.map(|it| (it.line, it.column)),
        Some((34, 1))
    );
}

#[test]
fn what_is_shown_of_an_object_is_the_same_object() {
    for object in accept(GOOD).objects {
        let value = shown(&object);
        let yaml = serde_saphyr::to_string(&value).unwrap();
        for text in [value.to_string(), yaml] {
            let again = only(&text);
            assert_eq!(again.key(), object.key());
            assert_eq!(again.encode(), object.encode(), "{text}");
        }
        let back = Object::decode(&object.encode()).unwrap();
        assert_eq!(shown(&back), value);
    }
}

#[test]
fn what_means_the_same_is_the_same() {
    let plain = only(&secret("stringData: {k: v}\n"));
    for other in [
        "data: {k: dg==}\n",
        "data: {k: dg==}\ntype:\nimmutable: false\nstringData: {}\n",
        "data: {k: b3RoZXI=}\ntype: Opaque\nstringData: {k: v}\n",
        "data: {k: \"dg=\\n=\\r\\n\"}\nimmutable:\n",
    ] {
        assert_eq!(only(&secret(other)).encode(), plain.encode(), "{other}");
    }
    let labels =
        secret("data: {k: dg==}\n").replace("name: a", "name: a, labels: {}, annotations: ");
    assert_eq!(only(&labels).encode(), plain.encode());
    // As an API server reads it.
    let null = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\n  labels:\n    app:\n";
    let null = only(null);
    assert_eq!(shown(&null)["metadata"]["labels"], json!({"app": ""}));
    let immutable = only(&secret("data: {k: dg==}\nimmutable: true\n"));
    assert_ne!(immutable.encode(), plain.encode());
    let config = only(&config_map("data: {k: v}\n"));
    assert_ne!(
        only(&config_map("binaryData: {k: dg==}\n")).encode(),
        config.encode()
    );
}

#[test]
fn a_value_without_quotes_comes_with_the_remedy_and_without_the_value() {
    let number = refuse(&config_map("data: {port: 8080}\n"));
    assert_eq!(
        number.description,
        "it must be a string, but without quotes YAML reads it as a number: put it in quotes"
    );
    let json =
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"on":true}}"#;
    assert_eq!(
        refuse(json).description,
        "it must be a string, not a boolean: put it in quotes"
    );
    assert_eq!(
        refuse(&secret("stringdata: {a: b}\n")).description,
        "a Secret has no such field; did you mean stringData?"
    );
}

#[test]
fn what_only_a_server_writes_is_left_out_with_a_warning() {
    let from_server = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\n  uid: b\n  managedFields: [{manager: kubectl}]\n  \
                       annotations:\n    kubectl.kubernetes.io/last-applied-configuration: '{\"data\": {\"k\": \"dg==\"}}'\n\
                       data: {k: dg==}\n";
    let checked = accept(&format!("{POD}{from_server}"));
    let warned: Vec<_> = checked
        .warnings
        .iter()
        .filter(|it| it.reason == Reason::FieldDropped)
        .map(|it| it.field.as_str())
        .collect();
    assert_eq!(
        warned,
        [
            "manifests[0].documents[1].metadata.managedFields",
            "manifests[0].documents[1].metadata.uid",
            "manifests[0].documents[1].metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]",
        ]
    );
    let object = checked.objects.into_iter().next().unwrap();
    assert_eq!(object.encode(), only(&secret("data: {k: dg==}\n")).encode());
}

#[test]
fn an_unknown_field_is_left_out_when_validation_only_warns() {
    let manifest = format!("{POD}{}", secret("data: {k: dg==}\nstringdata: {k: w}\n"));
    let options = Options {
        field_validation: FieldValidation::Warn,
        ..options()
    };
    let checked = check(&[&manifest], &options).unwrap();
    let warning = &checked.warnings[0];
    assert_eq!(warning.reason, Reason::UnknownField);
    assert_eq!(warning.field, "manifests[0].documents[1].stringdata");
    let object = checked.objects.into_iter().next().unwrap();
    assert_eq!(object.encode(), only(&secret("data: {k: dg==}\n")).encode());
}

#[test]
fn all_faults_of_an_object_are_reported() {
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: [], lables: {}}\nimmutable: 1\n\
                    data: {a: 1, b: [], c/d: e}\nbinaryData: {f: '%', g: Zg==}\nother: 1\n";
    let violations = check(&[manifest], &options()).unwrap_err();
    let found: Vec<_> = violations
        .iter()
        .map(|it| {
            (
                it.reason.as_str(),
                it.field.strip_prefix("manifests[0].").unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("WRONG_TYPE", "metadata.labels"),
            ("UNKNOWN_FIELD", "metadata.lables"),
            ("WRONG_TYPE", "immutable"),
            ("WRONG_TYPE", "data.a"),
            ("WRONG_TYPE", "data.b"),
            ("INVALID_KEY", "data"),
            ("INVALID_VALUE", "binaryData.f"),
            ("UNKNOWN_FIELD", "other"),
        ]
    );
}

#[test]
fn objects_of_one_name_may_differ_in_kind_or_namespace() {
    let other = secret("").replace("name: a", "name: a, namespace: b");
    let both = format!("{POD}{}---\n{}---\n{other}", secret(""), config_map(""));
    assert_eq!(accept(&both).objects.len(), 3);
    let twice = refuse(&format!("{POD}{}---\n{}", secret(""), secret("")));
    assert_eq!(twice.reason, Reason::DuplicateObject);
    assert_eq!(
        twice.description,
        "Secret default/a is also the one of manifests[0].documents[1]: give one another name"
    );
}

#[test]
fn a_bundle_has_at_most_a_thousand_objects() {
    let with = |count: usize| {
        let items: Vec<_> = (0..count)
            .map(|n| json!({"metadata": {"name": format!("s{n}")}}))
            .collect();
        format!(
            "{POD}{}",
            json!({"apiVersion": "v1", "kind": "SecretList", "items": items})
        )
    };
    assert_eq!(accept(&with(1000)).objects.len(), 1000);
    let violation = refuse(&with(1001));
    assert_eq!(
        (violation.reason, violation.field.as_str()),
        (Reason::TooManyObjects, "manifests")
    );
    // They do not count as pods.
    let one_pod = Options {
        max_pods: 1,
        ..options()
    };
    assert!(check(&[with(1000)], &one_pod).is_ok());
}

#[test]
fn the_values_of_an_object_have_at_most_a_mebibyte() {
    let with = |kind: &str, fields: Value, name: &str| {
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        for (field, value) in fields.as_object().unwrap() {
            object[field] = value.clone();
        }
        format!("{POD}{object}")
    };
    let text = |length: usize| "x".repeat(length);
    // A key counts nothing, and base64 what is in it.
    let half = "AAAA".repeat((512 << 10) / 3);
    for (kind, binary) in [("Secret", "data"), ("ConfigMap", "binaryData")] {
        let plain = if kind == "Secret" {
            "stringData"
        } else {
            "data"
        };
        let rest = (1 << 20) - (512 << 10) / 3 * 3;
        let fields = |rest: usize| json!({binary: {"a": half}, plain: {"b": text(rest)}});
        assert_eq!(accept(&with(kind, fields(rest), "a")).objects.len(), 1);
        let violation = refuse(&with(kind, fields(rest + 1), "a"));
        assert_eq!(
            (violation.reason, violation.field.as_str()),
            (Reason::ObjectTooLarge, "manifests[0].documents[1]")
        );
        assert!(violation.description.contains("1048577"), "{violation:?}");
    }
    // What stringData replaces does not count.
    let replaced = json!({"data": {"a": half}, "stringData": {"a": text(1 << 20)}});
    assert_eq!(accept(&with("Secret", replaced, "a")).objects.len(), 1);
}
