use serde_json::json;

use super::*;

fn object(kind: ObjectKind, data: &[(&str, &[u8], bool)]) -> Object {
    let data = data.iter().map(|(key, bytes, binary)| {
        let datum = Datum {
            bytes: Zeroizing::new(bytes.to_vec()),
            binary: *binary,
        };
        ((*key).to_owned(), datum)
    });
    let mut head = json!({
        "apiVersion": "v1",
        "kind": kind.as_str(),
        "metadata": {"name": "a", "namespace": "default", "labels": {"app": "web"}},
        "immutable": true,
    });
    if kind == ObjectKind::Secret {
        head["type"] = Value::from("Opaque");
    }
    Object {
        key: ObjectKey {
            kind,
            namespace: "default".to_owned(),
            name: "a".to_owned(),
        },
        head,
        data: data.collect(),
        origin: "manifests[0]".to_owned(),
        position: None,
    }
}

fn digest_key() -> DigestKey {
    DigestKey::new(Zeroizing::new([7; 32]))
}

#[test]
fn the_bytes_on_the_disk_and_their_digest_stay_as_they_are() {
    let secret = object(
        ObjectKind::Secret,
        &[("tls.key", b"key", false), ("empty", b"", false)],
    );
    let expected = concat!(
        r#"{"head":{"apiVersion":"v1","immutable":true,"kind":"Secret","metadata":{"labels":{"app":"web"},"#,
        r#""name":"a","namespace":"default"},"type":"Opaque"},"data":{"#,
        r#""empty":{"value":"","binary":false},"tls.key":{"value":"a2V5","binary":false}}}"#
    );
    assert_eq!(String::from_utf8_lossy(&secret.encode()), expected);
    let summary = secret.summary(&digest_key());
    assert_eq!(
        summary.digest.to_string(),
        "hmac-sha256:5993747d1cea06dd3073fa0f9b4005143e0789ed91c25d8a18b6d8a93e35e7bb"
    );
    assert_eq!(
        summary.keys["tls.key"].digest.to_string(),
        "hmac-sha256:a9eb69f8232c4591b07d0a8790bef3af669ad29f3e1aa8b43da8103ffc9c31d7"
    );
    assert_eq!(
        (summary.object_type.as_str(), summary.immutable),
        ("Opaque", true)
    );
    assert_eq!(summary.keys["tls.key"].size, 3);
    assert_eq!(summary.keys["empty"].size, 0);
}

#[test]
fn no_room_is_lost_and_nothing_grows_while_an_object_is_encoded() {
    let config = object(
        ObjectKind::ConfigMap,
        &[("a", b"text", false), ("b", b"\xff\x00", true)],
    );
    let bytes = config.encode();
    // Less by one: `true` is shorter than `false`; and the first key has no comma.
    assert_eq!(bytes.len(), bytes.capacity() - 2);
}

#[test]
fn what_is_encoded_is_decoded() {
    for object in [
        object(ObjectKind::Secret, &[]),
        object(ObjectKind::Secret, &[("a", b"\x00\xff", false)]),
        object(
            ObjectKind::ConfigMap,
            &[("a", b"text", false), ("b", b"\xff", true)],
        ),
    ] {
        let bytes = object.encode();
        let back = Object::decode(&bytes).unwrap();
        assert_eq!(back.key, object.key);
        assert_eq!(back.head, object.head);
        assert!(back.data == object.data);
        assert_eq!(back.origin(), "");
        assert_eq!(back.encode(), bytes);
        assert_eq!(back.summary(&digest_key()), object.summary(&digest_key()));
    }
}

#[test]
fn other_bytes_are_no_object() {
    let good = r#"{"head":{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","namespace":"b"},"type":"Opaque"},"data":{"k":{"value":"YQ==","binary":false}}}"#;
    assert!(Object::decode(good.as_bytes()).is_some());
    for (part, other) in [
        (r#""kind":"Secret""#, r#""kind":"Pod""#),
        (r#""namespace":"b""#, r#""namespace":"..""#),
        (r#","namespace":"b""#, ""),
        (r#""name":"a""#, r#""name":"a/b""#),
        (r#""k":"#, r#""..k":"#),
        (r#""k":"#, r#""a/b":"#),
        ("YQ==", "YQ"),
        ("false", "true"),
        (r#","binary":false"#, ""),
        (r#","data""#, r#","more":1,"data""#),
        ("}}}", "}}"),
        ("}}}", "}}}}"),
    ] {
        let bad = good.replacen(part, other, 1);
        assert_ne!(bad, good);
        assert!(Object::decode(bad.as_bytes()).is_none(), "{bad}");
    }
    let text = good.replace("Secret", "ConfigMap");
    assert!(Object::decode(text.as_bytes()).is_some());
    assert!(Object::decode(text.replace("YQ==", "/w==").as_bytes()).is_none());
    assert!(Object::decode(b"").is_none());
    assert!(Object::decode(b"\xff").is_none());
}

#[test]
fn debug_shows_no_content() {
    let secret = object(ObjectKind::Secret, &[("password", b"hunter2", false)]);
    let objects: Objects = [secret].into_iter().collect();
    let summaries: Vec<_> = objects.iter().map(|it| it.summary(&digest_key())).collect();
    let shown = format!("{objects:?} {summaries:?} {:?}", digest_key());
    assert!(
        shown.contains("Secret") && shown.contains("password"),
        "{shown}"
    );
    for part in ["hunter2", "aHVudGVyMg", "104, 117, 110"] {
        assert!(!shown.contains(part), "{shown}");
    }
}

#[test]
fn a_masked_secret_shows_its_keys_only() {
    let secret = object(ObjectKind::Secret, &[("a", b"hunter2", false)]);
    let masked = secret.to_manifest_value(Secrets::Masked);
    assert_eq!(masked["stringData"], json!({"a": "<masked>"}));
    assert_eq!(masked.get("data"), None);
    let shown = secret.to_manifest_value(Secrets::Shown);
    assert_eq!(shown["data"], json!({"a": "aHVudGVyMg=="}));
    assert_eq!(shown.get("stringData"), None);
    let config = object(
        ObjectKind::ConfigMap,
        &[("a", b"text", false), ("b", b"\xff", true)],
    );
    for secrets in [Secrets::Masked, Secrets::Shown] {
        let value = config.to_manifest_value(secrets);
        assert_eq!(value["data"], json!({"a": "text"}));
        assert_eq!(value["binaryData"], json!({"b": "/w=="}));
    }
}
