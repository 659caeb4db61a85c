//! What holds for all objects and references.

use proptest::prelude::*;

use super::*;
use crate::{BundleName, Stamp, keep_uid, nudge, render, restamp, unrender};

/// A name, a path or a key, good or bad.
fn word() -> impl Strategy<Value = String> {
    let words = [
        "a", "b", "a/b", "b/a/c", "..", ".", "../a", "/a", "a/../b", "a//b", "./a", "a/", "..a",
        "..data", "", "a\0", "a\n", "ä", "tls.crt", "...",
    ];
    prop_oneof![
        8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => Just("n".repeat(256)),
        1 => Just("n/".repeat(2100)),
        2 => "[a-c./]{0,6}",
    ]
}

fn name() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["x", "y", "none"]).prop_map(str::to_owned)
}

fn some_objects() -> impl Strategy<Value = Objects> {
    let data = || {
        let datum = (
            word(),
            prop::collection::vec(any::<u8>(), 0..5),
            any::<bool>(),
        );
        prop::collection::vec(datum, 0..5)
    };
    prop::collection::vec(data(), 4).prop_map(|data| {
        let kinds = [ObjectKind::Secret, ObjectKind::ConfigMap];
        let keys = kinds
            .into_iter()
            .flat_map(|kind| [(kind, "x"), (kind, "y")]);
        let made = keys.zip(data).map(|((kind, name), data)| {
            let mut object = object(kind, name, &[]);
            for (key, bytes, binary) in data {
                let datum = Datum {
                    bytes: Zeroizing::new(bytes),
                    binary: binary && kind == ObjectKind::ConfigMap,
                };
                object.data.insert(key, datum);
            }
            object
        });
        objects(made)
    })
}

fn items() -> impl Strategy<Value = Value> {
    let item = (word(), word(), prop::option::of(-1_i32..0o1000))
        .prop_map(|(key, path, mode)| json!({"key": key, "path": path, "mode": mode}));
    prop::option::of(prop::collection::vec(item, 0..4)).prop_map(|items| json!(items))
}

fn source() -> impl Strategy<Value = Value> {
    let field = proptest::sample::select(vec![
        "metadata.uid",
        "metadata.name",
        "metadata.labels",
        "metadata.annotations",
    ]);
    prop_oneof![
        (name(), items(), any::<bool>()).prop_map(|(name, items, optional)| {
            json!({"secret": {"name": name, "items": items, "optional": optional}})
        }),
        (name(), items(), any::<bool>()).prop_map(|(name, items, optional)| {
            json!({"configMap": {"name": name, "items": items, "optional": optional}})
        }),
        (word(), field).prop_map(|(path, field)| {
            json!({"downwardAPI": {"items": [{"path": path, "fieldRef": {"fieldPath": field}}]}})
        }),
    ]
}

fn some_volume() -> impl Strategy<Value = Value> {
    prop_oneof![
        (name(), items(), any::<bool>()).prop_map(|(name, items, optional)| {
            json!({"secret": {"secretName": name, "items": items, "optional": optional}})
        }),
        (name(), items(), any::<bool>()).prop_map(|(name, items, optional)| {
            json!({"configMap": {"name": name, "items": items, "optional": optional}})
        }),
        prop::collection::vec(source(), 0..4)
            .prop_map(|sources| json!({"projected": {"sources": sources}})),
        Just(json!({"emptyDir": {}})),
        Just(json!({"hostPath": {"path": "/"}})),
    ]
}

fn variable() -> impl Strategy<Value = Value> {
    let kind = proptest::sample::select(vec!["secretKeyRef", "configMapKeyRef"]);
    prop_oneof![
        ("[A-C]", "[a$()A-C]{0,6}").prop_map(|(name, value)| json!({"name": name, "value": value})),
        ("[A-C]", kind, name(), word(), any::<bool>()).prop_map(|(name, kind, object, key, optional)| {
            json!({"name": name, "valueFrom": {kind: {"name": object, "key": key, "optional": optional}}})
        }),
        Just(json!({"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}})),
    ]
}

fn some_container() -> impl Strategy<Value = Value> {
    let kind = proptest::sample::select(vec!["secretRef", "configMapRef"]);
    let from = (kind, name(), any::<bool>(), prop::option::of("[A-C_]{1,2}")).prop_map(
        |(kind, name, optional, prefix)| {
            json!({"prefix": prefix, kind: {"name": name, "optional": optional}})
        },
    );
    let mount = (0..4_usize, word()).prop_map(
        |(volume, path)| json!({"name": format!("v{volume}"), "mountPath": format!("/m/{path}")}),
    );
    (
        prop::option::of(prop::collection::vec(variable(), 0..4)),
        prop::option::of(prop::collection::vec(from, 0..3)),
        prop::collection::vec(mount, 0..4),
    )
        .prop_map(|(env, env_from, mounts)| {
            json!({"name": "c", "image": "a", "env": env, "envFrom": env_from, "volumeMounts": mounts})
        })
}

fn some_pod() -> impl Strategy<Value = Pod> {
    (
        prop::collection::vec(some_volume(), 0..4),
        prop::collection::vec(some_container(), 0..2),
        prop::collection::vec(some_container(), 1..3),
        prop::option::of(1..9_i64),
    )
        .prop_map(|(volumes, init, containers, group)| {
            let volumes: Vec<_> = volumes
                .into_iter()
                .enumerate()
                .map(|(index, mut volume)| {
                    volume["name"] = Value::from(format!("v{index}"));
                    volume
                })
                .collect();
            pod(json!({
                "securityContext": {"fsGroup": group},
                "volumes": volumes,
                "initContainers": init,
                "containers": containers,
            }))
        })
}

/// Resolves what it can, as a check does that goes on after a fault.
fn resolve_anyhow<'o>(pod: &Pod, objects: &'o Objects) -> Materials<'o> {
    let spec = typed_spec(pod);
    let context = Context {
        node: &node(),
        namespace: "default",
        metadata: &pod.value()["metadata"],
        spec: &spec,
        objects,
        faulty: &BTreeSet::new(),
        used: 0,
    };
    resolve(context, &mut |_, _| {})
}

fn stamp<'a>(bundle: &'a BundleName, pod: &Pod, uid: &'a str, volumes: &'a str) -> Stamp<'a> {
    Stamp {
        bundle,
        revision: uid.len() as u64,
        uid,
        digest: pod.digest(),
        volumes,
    }
}

/// Kubernetes' `HasAPIObjectReference`, as far as checked pods can have any.
fn has_api_reference(pod: &Value) -> bool {
    let named = |value: &Value| value["name"].as_str().is_some_and(|name| !name.is_empty());
    let of_container = |container: &Value| {
        let list = |field: &str| container[field].as_array().cloned().unwrap_or_default();
        list("envFrom")
            .iter()
            .any(|it| named(&it["secretRef"]) || named(&it["configMapRef"]))
            || list("env").iter().any(|it| {
                named(&it["valueFrom"]["secretKeyRef"])
                    || named(&it["valueFrom"]["configMapKeyRef"])
            })
    };
    let of_volume = |volume: &Value| {
        let sources = volume["projected"]["sources"].as_array().cloned();
        !volume["secret"].is_null()
            || !volume["configMap"].is_null()
            || sources
                .unwrap_or_default()
                .iter()
                .any(|source| source["downwardAPI"].is_null())
    };
    let list = |field: &str| pod["spec"][field].as_array().cloned().unwrap_or_default();
    ["initContainers", "containers", "ephemeralContainers"]
        .iter()
        .any(|field| list(field).iter().any(of_container))
        || list("volumes").iter().any(of_volume)
}

proptest! {
    #[test]
    fn no_file_leaves_its_volume_and_none_is_a_folder(pod in some_pod(), objects in some_objects()) {
        for volume in resolve_anyhow(&pod, &objects).volumes("uid") {
            let paths = volume.files.keys().chain(&volume.folders);
            for path in paths.clone() {
                prop_assert!(path.len() <= 4096 && !path.contains('\0'), "{path:?}");
                prop_assert!(!path.starts_with(".."), "{path:?}");
                for name in path.split('/') {
                    prop_assert!(!matches!(name, "" | "." | "..") && name.len() <= 255, "{path:?}");
                }
            }
            for file in volume.files.keys() {
                let folder = format!("{file}/");
                prop_assert!(!paths.clone().any(|path| path.starts_with(&folder)), "{file:?}");
                prop_assert!(!volume.folders.contains(file), "{file:?}");
            }
            prop_assert!(volume.files.values().all(|file| file.mode <= 0o777));
        }
    }

    #[test]
    fn a_rendered_pod_refers_to_nothing_and_is_stamped_anew_from_its_text(
        pod in some_pod(),
        objects in some_objects(),
        count in any::<u64>(),
    ) {
        let (one, two): (BundleName, BundleName) = ("one".parse().unwrap(), "two".parse().unwrap());
        let materials = resolve_anyhow(&pod, &objects);
        let first = stamp(&one, &pod, "a", "/run/a");
        let second = stamp(&two, &pod, "bb", "/elsewhere/bb");
        let rendered = render(&pod, &first, &materials);
        prop_assert!(!has_api_reference(&serde_json::from_str(&rendered).unwrap()), "{rendered}");
        prop_assert_eq!(&rendered, &render(&pod, &first, &resolve_anyhow(&pod, &objects)));
        let other = render(&pod, &second, &materials);
        prop_assert_eq!(restamp(&rendered, &pod, &second), Some(other.clone()));
        let touched = keep_uid(&nudge(&rendered, count), "old");
        prop_assert_eq!(restamp(&touched, &pod, &second), Some(other));
        let is_plain = pod.references().is_empty();
        prop_assert_eq!(unrender(&rendered).is_some(), is_plain);
        let again = Pod::from_source(&pod.source()).unwrap();
        prop_assert_eq!(again.digest(), pod.digest());
    }

    #[test]
    fn a_rendering_of_another_pod_is_not_stamped(pod in some_pod(), other in some_pod()) {
        let bundle: BundleName = "one".parse().unwrap();
        let objects = Objects::default();
        let materials = resolve_anyhow(&pod, &objects);
        let stamp = stamp(&bundle, &pod, "a", "/run/a");
        let rendered = render(&pod, &stamp, &materials);
        if let Some(text) = restamp(&rendered, &other, &stamp) {
            prop_assert_eq!(text, render(&other, &stamp, &resolve_anyhow(&other, &objects)));
        }
    }
}
