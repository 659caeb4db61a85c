//! What holds for all bundles with references: a pod that was checked can be resolved and rendered.

use proptest::prelude::*;
use seedpod_manifest::{
    BundleName, FieldValidation, Materials, NodeName, Options, Stamp, check, render,
};
use serde_json::{Value, json};

fn word() -> impl Strategy<Value = String> {
    let words = [
        "a", "b", "c", "a/b", "a/../b", "..", "./a", "a//b", "", "..a", "a\0", "x.y",
    ];
    let words = proptest::sample::select(words.to_vec()).prop_map(str::to_owned);
    prop_oneof![3 => proptest::sample::select(vec!["a", "b"]).prop_map(str::to_owned), 1 => words]
}

fn reference() -> impl Strategy<Value = Value> {
    let items = prop::collection::vec((word(), word(), prop::option::of(0..0o777_i32)), 0..3);
    (
        proptest::sample::select(vec!["x", "y"]),
        items,
        any::<bool>(),
    )
        .prop_map(|(name, items, optional)| {
            let items: Vec<_> = items
                .into_iter()
                .map(|(key, path, mode)| json!({"key": key, "path": path, "mode": mode}))
                .collect();
            json!({"name": name, "items": items, "optional": optional})
        })
}

fn kind(secret: bool) -> &'static str {
    if secret { "secret" } else { "configMap" }
}

fn volume() -> impl Strategy<Value = Value> {
    let field = proptest::sample::select(vec![
        ("fieldRef", json!({"fieldPath": "metadata.uid"})),
        ("fieldRef", json!({"fieldPath": "metadata.annotations"})),
        ("fieldRef", json!({"fieldPath": "metadata.labels['a']"})),
        (
            "resourceFieldRef",
            json!({"containerName": "c0", "resource": "limits.cpu", "divisor": "1m"}),
        ),
        (
            "resourceFieldRef",
            json!({"containerName": "c0", "resource": "requests.memory"}),
        ),
        (
            "resourceFieldRef",
            json!({"containerName": "c9", "resource": "requests.memory"}),
        ),
    ]);
    let source = prop_oneof![
        4 => (reference(), any::<bool>()).prop_map(|(source, secret)| json!({kind(secret): source})),
        1 => (word(), field).prop_map(|(path, (field, value))| {
            json!({"downwardAPI": {"items": [{"path": path, field: value}]}})
        }),
    ];
    prop_oneof![
        (reference(), any::<bool>()).prop_map(|(mut source, secret)| {
            if secret {
                source["secretName"] = source["name"].take();
                source.as_object_mut().unwrap().remove("name");
            }
            json!({kind(secret): source})
        }),
        prop::collection::vec(source, 0..3)
            .prop_map(|sources| json!({"projected": {"sources": sources}})),
    ]
}

fn container() -> impl Strategy<Value = Value> {
    let name = || proptest::sample::select(vec!["x", "y"]);
    let variable = ("[A-C]", any::<bool>(), name(), word(), any::<bool>()).prop_map(
        |(variable, secret, name, key, optional)| {
            let field = format!("{}KeyRef", kind(secret));
            let source = json!({"name": name, "key": key, "optional": optional});
            json!({"name": variable, "valueFrom": {field: source}})
        },
    );
    let from = (any::<bool>(), name(), any::<bool>()).prop_map(|(secret, name, optional)| {
        json!({format!("{}Ref", kind(secret)): {"name": name, "optional": optional}})
    });
    (
        prop::collection::vec(variable, 0..3),
        prop::collection::vec(from, 0..2),
        prop::option::of("[1-9][0-9]{0,2}(m|)"),
        any::<bool>(),
    )
        .prop_map(|(env, env_from, cpu, mounts)| {
            let limits = cpu.map(|cpu| json!({"limits": {"cpu": cpu}}));
            let mounts = if mounts {
                json!([{"name": "v0", "mountPath": "/v"}, {"name": "v0", "mountPath": "/v/a/b"}])
            } else {
                json!([])
            };
            json!({"image": "a", "env": env, "envFrom": env_from, "resources": limits, "volumeMounts": mounts})
        })
}

fn object(kind: &str, name: &str) -> impl Strategy<Value = Value> + use<> {
    let (kind, name) = (kind.to_owned(), name.to_owned());
    let values = ["", "YQ==", "JChBKQ==", "AA==", "/w=="];
    let value = proptest::sample::select(values.to_vec());
    let key = proptest::sample::select(vec!["a", "b", "c"]);
    prop::collection::btree_map(key, value, 0..3).prop_map(move |data| {
        let field = if kind == "Secret" {
            "data"
        } else {
            "binaryData"
        };
        let meta = json!({"name": name});
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": meta, field: data});
        if kind == "ConfigMap" && !data.contains_key("b") {
            object["data"] = json!({"b": "$(A)$$"});
        }
        object
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_checked_pod_can_always_be_rendered(
        volumes in prop::collection::vec(volume(), 0..3),
        containers in prop::collection::vec(container(), 1..3),
        x in (object("Secret", "x"), object("ConfigMap", "x")),
        y in (object("Secret", "y"), any::<bool>()),
    ) {
        let named = |prefix: &str, list: Vec<Value>| -> Vec<Value> {
            let list = list.into_iter().enumerate();
            list.map(|(index, mut item)| {
                item["name"] = Value::from(format!("{prefix}{index}"));
                item
            })
            .collect()
        };
        let mut spec = json!({"volumes": named("v", volumes), "containers": named("c", containers)});
        if spec["volumes"] == json!([]) {
            for container in spec["containers"].as_array_mut().unwrap() {
                container["volumeMounts"] = json!([]);
            }
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
        let mut documents = vec![pod.to_string(), x.0.to_string(), x.1.to_string()];
        documents.extend(y.1.then(|| y.0.to_string()));
        let node: NodeName = "node".parse().unwrap();
        let options = Options {
            allow_secret_env: true,
            node: node.clone(),
            max_pods: 1,
            max_bytes: 1 << 20,
            field_validation: FieldValidation::Strict,
        };
        let bundle: BundleName = "b".parse().unwrap();
        if let Ok(checked) = check(&documents, &options) {
            let pod = &checked.pods[0];
            let materials = Materials::of(pod, &checked.objects, &node);
            let materials = materials.map_err(|error| TestCaseError::fail(format!("{error} {pod:?}")))?;
            let stamp = Stamp { bundle: &bundle, revision: 1, uid: "u", digest: pod.digest(), volumes: "/v" };
            let text = render(pod, &stamp, &materials);
            for reference in ["KeyRef", "secretRef", "configMapRef", "\"secret\"", "\"configMap\""] {
                prop_assert!(!text.contains(reference), "{}", text);
            }
        }
    }
}
