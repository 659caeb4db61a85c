//! What containers see must be what they would see with the objects themselves.

use super::*;
use crate::{BundleName, Stamp, materials::env::tests::expand, render};

/// The kubelet's `makeEnvironmentVariables`, without services.
fn kubelet(container: &Value, objects: &Objects) -> BTreeMap<String, String> {
    let find = |kind, name: &Value| {
        objects.get(&ObjectKey {
            kind,
            namespace: "default".to_owned(),
            name: name.as_str().unwrap().to_owned(),
        })
    };
    let text = |datum: &Datum| String::from_utf8(datum.bytes.to_vec()).unwrap();
    let mut result = BTreeMap::new();
    for source in container["envFrom"].as_array().into_iter().flatten() {
        let prefix = source["prefix"].as_str().unwrap_or_default();
        let object = match &source["configMapRef"]["name"] {
            Value::Null => find(ObjectKind::Secret, &source["secretRef"]["name"]),
            name => find(ObjectKind::ConfigMap, name),
        };
        for (key, datum) in object.into_iter().flat_map(|object| &object.data) {
            if !datum.binary {
                result.insert(format!("{prefix}{key}"), text(datum));
            }
        }
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().unwrap().to_owned();
        let mut value = variable["value"].as_str().unwrap_or_default().to_owned();
        let source = &variable["valueFrom"];
        if !value.is_empty() {
            value = expand(&value, &|name| result.get(name).cloned());
        } else if !source.is_null() {
            let (kind, reference) = match &source["secretKeyRef"] {
                Value::Null => (ObjectKind::ConfigMap, &source["configMapKeyRef"]),
                reference => (ObjectKind::Secret, reference),
            };
            let object = find(kind, &reference["name"]);
            let key = reference["key"].as_str().unwrap();
            match object.and_then(|object| object.data.get(key)) {
                Some(datum) if !datum.binary => value = text(datum),
                _ => continue,
            }
        }
        result.insert(name, value);
    }
    result
}

/// Renders the pod and gives the container back.
fn rendered(pod: &Pod, objects: &Objects) -> Value {
    let bundle: BundleName = "b".parse().unwrap();
    let materials = Materials::of(pod, objects, &node()).unwrap();
    let stamp = Stamp {
        bundle: &bundle,
        revision: 1,
        uid: "uid",
        digest: pod.digest(),
        volumes: "/volumes/uid",
    };
    let text = render(pod, &stamp, &materials);
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value["spec"]["containers"][0].take()
}

fn some_objects() -> Objects {
    objects([
        secret(
            "s",
            &[("A", b"from s"), ("B.c-d", b"$(A) $$ $"), ("_", b"")],
        ),
        with_binary(
            config_map("c", &[("A", b"from c"), ("Z", b"\"z\"\n")]),
            "raw",
            b"x",
        ),
    ])
}

#[test]
fn a_container_sees_the_same_variables_as_of_an_api_server() {
    let from = |kind: &str, name: &str| json!({kind: {"name": name}});
    let literal = |name: &str, value: &str| json!({"name": name, "value": value});
    let key = |name: &str, kind: &str, object: &str, key: &str| json!({"name": name, "valueFrom": {kind: {"name": object, "key": key, "optional": true}}});
    let cases = [
        (json!([]), json!([from("secretRef", "s")])),
        (
            json!([]),
            json!([from("secretRef", "s"), from("configMapRef", "c")]),
        ),
        (
            json!([]),
            json!([from("configMapRef", "c"), from("secretRef", "s")]),
        ),
        (
            json!([]),
            json!([{"prefix": "1 %", "configMapRef": {"name": "c"}}]),
        ),
        (
            json!([]),
            json!([{"secretRef": {"name": "none", "optional": true}}]),
        ),
        (json!(null), json!([from("configMapRef", "c")])),
        // One's own value refers to that of envFrom before it replaces it.
        (
            json!([literal("A", "$(A)!"), literal("Q", "$(A)")]),
            json!([from("configMapRef", "c")]),
        ),
        // What is optional and missing keeps that of envFrom.
        (
            json!([key("A", "secretKeyRef", "none", "A"), literal("Q", "$(A)")]),
            json!([from("configMapRef", "c")]),
        ),
        (json!([key("A", "secretKeyRef", "s", "none")]), json!([])),
        (json!([key("A", "configMapKeyRef", "c", "raw")]), json!([])),
        // Values are not expanded, but can be referred to.
        (
            json!([
                key("X", "secretKeyRef", "s", "B.c-d"),
                literal("Q", "<$(X)>")
            ]),
            json!(null),
        ),
        (
            json!([
                literal("Q", "$(X)"),
                key("X", "configMapKeyRef", "c", "Z"),
                literal("R", "$(X) $$(X)")
            ]),
            json!(null),
        ),
        (
            json!([key("X", "secretKeyRef", "s", "_"), literal("Q", "[$(X)]")]),
            json!(null),
        ),
        (
            json!([{"name": "E", "value": "", "valueFrom": {"secretKeyRef": {"name": "s", "key": "A"}}}]),
            json!(null),
        ),
    ];
    let objects = some_objects();
    for (env, env_from) in cases {
        let pod = pod_with_env(env, env_from);
        let source = &pod.value()["spec"]["containers"][0];
        let rendered = rendered(&pod, &objects);
        assert_eq!(
            kubelet(&rendered, &Objects::default()),
            kubelet(source, &objects),
            "{source} {rendered}"
        );
        let references = rendered.to_string();
        assert!(!references.contains("KeyRef") && !references.contains("envFrom\":[{"));
    }
}

#[test]
fn variables_that_can_not_be_are_refused_without_their_values() {
    let objects = objects([
        secret("s", &[("nul", b"hunter2\0"), ("raw", b"hunter2\xff")]),
        with_binary(config_map("c", &[("k", b"1")]), "bin", b"hunter2"),
    ]);
    let key = |kind: &str, object: &str, key: &str| json!([{"name": "A", "valueFrom": {kind: {"name": object, "key": key}}}]);
    for (env, env_from, wanted) in [
        (key("secretKeyRef", "s", "nul"), json!([]), "key nul"),
        (key("secretKeyRef", "s", "raw"), json!([]), "key raw"),
        (key("configMapKeyRef", "c", "bin"), json!([]), "key bin"),
        (key("configMapKeyRef", "c", "x"), json!([]), "key x"),
        (
            key("configMapKeyRef", "x", "x"),
            json!([]),
            "ConfigMap default/x",
        ),
        (json!([]), json!([{"secretRef": {"name": "s"}}]), "key nul"),
        (
            json!([]),
            json!([{"secretRef": {"name": "x"}}]),
            "Secret default/x",
        ),
    ] {
        let message = fault(&pod_with_env(env, env_from), &objects);
        assert!(
            message.contains(wanted) && !message.contains("hunter2"),
            "{message}"
        );
    }
}

#[test]
fn literals_have_at_most_what_the_kubelet_reads() {
    let objects = objects([config_map("c", &[("A", &[b'a'; 1 << 20])])]);
    let with = |count: usize| {
        let sources: Vec<_> = (0..count)
            .map(|index| json!({"prefix": format!("P{index}_"), "configMapRef": {"name": "c"}}))
            .collect();
        pod_with_env(json!([]), json!(sources))
    };
    assert!(Materials::of(&with(9), &objects, &node()).is_ok());
    assert!(fault(&with(10), &objects).contains("larger variables"));
}
