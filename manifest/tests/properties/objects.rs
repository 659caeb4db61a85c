//! What holds for every Secret and ConfigMap.

use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
use proptest::prelude::*;
use seedpod_manifest::{FieldValidation, Object, ObjectKind, Secrets, check};
use serde_json::{Map, Value, json};

use super::{labels, options, piece, text};

/// Shows that an object is the same after it went through the disk, JSON and YAML.
pub(super) fn read_back(object: &Object, validation: FieldValidation) {
    let bytes = object.encode();
    let decoded = Object::decode(&bytes).unwrap();
    assert_eq!(decoded.encode(), bytes);
    assert_eq!(decoded.key(), object.key());
    let value = object.to_manifest_value(Secrets::Shown);
    assert_eq!(decoded.to_manifest_value(Secrets::Shown), value);
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "a", "image": "a"}]}})
    .to_string();
    for text in [value.to_string(), serde_saphyr::to_string(&value).unwrap()] {
        let checked = check(&[&text, &pod], &options(validation));
        let checked = checked.unwrap_or_else(|it| panic!("{it:?}\n{text}"));
        let again = checked.objects.get(object.key()).unwrap();
        assert_eq!(again.encode(), bytes, "{text}");
    }
}

/// A Secret or ConfigMap that is valid, with values that are hard to write.
fn valid_object() -> impl Strategy<Value = Value> {
    let key = || "(\\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]{0,10})";
    let plain = prop_oneof![text(), any::<String>()];
    (
        any::<bool>(),
        "[a-z]([-a-z0-9]{0,20}[a-z0-9])?",
        prop::option::of("[a-z]([-a-z0-9]{0,20}[a-z0-9])?"),
        labels(),
        text(),
        prop::collection::btree_map(key(), plain, 0..6),
        prop::collection::btree_map(key(), prop::collection::vec(any::<u8>(), 0..40), 0..6),
        prop::option::of(any::<bool>()),
    )
        .prop_map(
            |(is_secret, name, namespace, labels, note, plain, binary, immutable)| {
                let (kind, texts, bytes) = if is_secret {
                    ("Secret", "stringData", "data")
                } else {
                    ("ConfigMap", "data", "binaryData")
                };
                let binary: Map<_, _> = binary
                    .into_iter()
                    .filter(|(key, _)| is_secret || !plain.contains_key(key))
                    .map(|(key, bytes)| (key, Value::from(STANDARD.encode(bytes))))
                    .collect();
                json!({
                    "apiVersion": "v1",
                    "kind": kind,
                    "metadata": {"name": name, "namespace": namespace, "labels": labels, "annotations": {"note": note}},
                    "immutable": immutable,
                    texts: plain,
                    bytes: binary,
                })
            },
        )
}

/// Has characters that no key has.
const MARKER: &str = "s3cr3t/marker";

/// A value of a Secret with the marker in it: right, of another type, or not base64.
fn marked_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::from(MARKER)),
        Just(Value::from(STANDARD.encode(MARKER))),
        text().prop_map(|text| Value::from(format!("{text}{MARKER}"))),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            inner.prop_map(|value| json!({MARKER: value})),
        ]
    })
}

/// A Secret whose data may be anything.
fn marked_secret() -> impl Strategy<Value = Value> {
    let types = [
        "",
        "Opaque",
        "kubernetes.io/tls",
        "kubernetes.io/ssh-auth",
        "kubernetes.io/dockercfg",
        "kubernetes.io/dockerconfigjson",
        "kubernetes.io/basic-auth",
    ];
    let keys = [
        "tls.crt",
        "tls.key",
        ".dockercfg",
        ".dockerconfigjson",
        "ssh-privatekey",
        "..",
        "a/b",
    ];
    let pairs = || {
        let pair = (proptest::sample::select(keys.to_vec()), marked_value());
        prop::collection::vec(pair, 0..4).prop_map(|pairs| {
            Value::Object(
                pairs
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect(),
            )
        })
    };
    let data = || prop_oneof![4 => pairs(), 1 => marked_value()];
    (proptest::sample::select(types.to_vec()), data(), data(), marked_value()).prop_map(
        |(object_type, data, strings, immutable)| {
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "type": object_type, "data": data,
                "stringData": strings, "immutable": immutable})
        },
    )
}

/// Shows that nothing told about a Secret holds the marker.
fn tells_nothing(text: &str) {
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, image: a}]}}";
    for validation in [FieldValidation::Strict, FieldValidation::Warn] {
        let told = match check(&[text, pod], &options(validation)) {
            Ok(checked) => {
                let masked: Vec<_> = checked
                    .objects
                    .iter()
                    .map(|object| object.to_manifest_value(Secrets::Masked))
                    .collect();
                format!("{checked:?} {masked:?}")
            }
            Err(violations) => format!("{violations:?}"),
        };
        let encoded = STANDARD.encode(MARKER);
        assert!(
            !told.contains(MARKER) && !told.contains(&encoded[..16]),
            "{told}\n{text}"
        );
    }
}

/// Pieces of YAML that do not end the line.
fn piece_of_a_line() -> impl Strategy<Value = String> {
    piece().prop_filter("one line", |piece| {
        !piece.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
    })
}

proptest! {
    #[test]
    fn an_object_is_the_same_after_it_went_through_disk_json_and_yaml(value in valid_object()) {
        let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, image: a}]}}";
        let checked = check(&[value.to_string().as_str(), pod], &options(FieldValidation::Strict)).unwrap();
        prop_assert_eq!(checked.objects.len(), 1);
        for object in checked.objects.iter() {
            read_back(object, FieldValidation::Strict);
            let masked = object.to_manifest_value(Secrets::Masked);
            let is_secret = object.key().kind == ObjectKind::Secret;
            prop_assert!(!is_secret || masked.get("data").is_none());
        }
    }

    #[test]
    fn any_bytes_are_an_object_or_not(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Object::decode(&bytes).is_none());
    }

    #[test]
    fn nothing_tells_what_any_secret_holds(value in marked_secret()) {
        tells_nothing(&value.to_string());
        tells_nothing(&format!("{value:#}"));
        tells_nothing(&serde_saphyr::to_string(&value).unwrap());
    }

    #[test]
    fn nothing_tells_what_was_written_as_a_value(
        before in prop::collection::vec(piece_of_a_line(), 0..6).prop_map(|pieces| pieces.concat()),
        after in prop::collection::vec(piece_of_a_line(), 0..6).prop_map(|pieces| pieces.concat()),
        field in proptest::sample::select(vec!["data", "stringData"]),
    ) {
        let head = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n";
        tells_nothing(&format!("{head}{field}:\n  a: b\n  k: {before}{MARKER}{after}\n"));
        tells_nothing(&format!("{head}{field}: {{a: b, k: {before}{MARKER}{after}}}\n"));
    }
}
