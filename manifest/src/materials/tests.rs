use std::collections::BTreeMap;

use serde_json::json;
use zeroize::Zeroizing;

use super::*;
use crate::{Object, ObjectKind, VolumeContent, object::Datum};

mod env;
mod files;
mod properties;

fn object(kind: ObjectKind, name: &str, data: &[(&str, &[u8])]) -> Object {
    let data = data.iter().map(|(key, bytes)| {
        let datum = Datum {
            bytes: Zeroizing::new(bytes.to_vec()),
            binary: false,
        };
        ((*key).to_owned(), datum)
    });
    Object {
        key: ObjectKey {
            kind,
            namespace: "default".to_owned(),
            name: name.to_owned(),
        },
        head: json!({
            "apiVersion": "v1",
            "kind": kind.as_str(),
            "metadata": {"name": name, "namespace": "default"},
        }),
        data: data.collect(),
        origin: String::new(),
        position: None,
    }
}

fn secret(name: &str, data: &[(&str, &[u8])]) -> Object {
    object(ObjectKind::Secret, name, data)
}

fn config_map(name: &str, data: &[(&str, &[u8])]) -> Object {
    object(ObjectKind::ConfigMap, name, data)
}

fn with_binary(mut object: Object, key: &str, bytes: &[u8]) -> Object {
    let datum = Datum {
        bytes: Zeroizing::new(bytes.to_vec()),
        binary: true,
    };
    object.data.insert(key.to_owned(), datum);
    object
}

fn objects(objects: impl IntoIterator<Item = Object>) -> Objects {
    objects.into_iter().collect()
}

fn node() -> NodeName {
    "Node-1".parse().unwrap()
}

/// A pod with this spec; of the metadata, what tests look for.
#[expect(clippy::needless_pass_by_value, reason = "json! gives values")]
fn pod(spec: Value) -> Pod {
    let value = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "labels": {"tier": "front", "app": "web"},
            "annotations": {"note": "a \"note\"", "seedpod.dev/wave": "2"},
        },
        "spec": spec,
    });
    Pod::from_canonical(value, String::new(), None).unwrap()
}

/// A pod with one container that mounts the volume `v`.
fn pod_with_volume(volume: Value) -> Pod {
    let mut volume = volume;
    volume["name"] = Value::from("v");
    pod(json!({
        "containers": [{
            "name": "main",
            "image": "a",
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        }],
        "volumes": [volume],
    }))
}

#[expect(clippy::needless_pass_by_value, reason = "json! gives values")]
fn pod_with_env(env: Value, env_from: Value) -> Pod {
    pod(json!({
        "containers": [{"name": "main", "image": "a", "env": env, "envFrom": env_from}],
    }))
}

fn volume<'o>(pod: &Pod, objects: &'o Objects) -> VolumeContent<'o> {
    let materials = Materials::of(pod, objects, &node()).unwrap();
    materials.volumes("the-uid").remove(0)
}

/// The files of the volume `v`: path, mode, content.
fn files(volume: Value, objects: &Objects) -> Vec<(String, u32, String)> {
    let pod = pod_with_volume(volume);
    let volume = self::volume(&pod, objects);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let files = volume.files.into_iter();
    files
        .map(|(path, file)| (path, file.mode, text(&file.content)))
        .collect()
}

fn fault(pod: &Pod, objects: &Objects) -> String {
    Materials::of(pod, objects, &node())
        .unwrap_err()
        .to_string()
}

fn file(path: &str, mode: u32, content: &str) -> (String, u32, String) {
    (path.to_owned(), mode, content.to_owned())
}

#[test]
fn nothing_is_told_of_a_value() {
    let objects = objects([secret("s", &[("k", b"hunter2")])]);
    let pod = pod_with_volume(json!({"secret": {"secretName": "s"}}));
    let materials = Materials::of(&pod, &objects, &node()).unwrap();
    let volumes = materials.volumes("");
    let text = format!("{materials:?} {volumes:?} {:?}", volumes[0].files["k"]);
    assert!(
        !text.contains("hunter2") && !text.contains("104, 117"),
        "{text}"
    );
}

#[test]
fn a_pod_without_references_takes_nothing_and_keeps_its_digest() {
    let objects = objects([secret("s", &[("k", b"v")])]);
    let pod = pod_with_volume(json!({"emptyDir": {}}));
    let materials = Materials::of(&pod, &objects, &node()).unwrap();
    let key = DigestKey::new(Zeroizing::new([7; 32]));
    assert_eq!(materials.digest(&pod, &key), pod.digest());
    assert!(materials.volumes("").is_empty());
    assert!(pod.references().is_empty());
}

#[test]
fn all_references_are_listed_once() {
    let pod = pod(json!({
        "initContainers": [{
            "name": "init",
            "envFrom": [{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "b", "optional": true}}],
        }],
        "containers": [{
            "name": "main",
            "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "b", "key": "k"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
            ],
        }],
        "volumes": [
            {"name": "a", "secret": {"secretName": "d"}},
            {"name": "b", "configMap": {"name": "e"}},
            {"name": "c", "projected": {"sources": [{"secret": {"name": "f"}}, {"configMap": {"name": "a"}}]}},
        ],
    }));
    let names: Vec<_> = pod.references().iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "ConfigMap default/a",
            "ConfigMap default/c",
            "ConfigMap default/e",
            "Secret default/b",
            "Secret default/d",
            "Secret default/f"
        ]
    );
}

#[test]
fn the_digest_changes_with_what_the_pod_sees_and_with_nothing_else() {
    let key = DigestKey::new(Zeroizing::new([7; 32]));
    let digest_of = |pod: &Pod, objects: &Objects| {
        Materials::of(pod, objects, &node())
            .unwrap()
            .digest(pod, &key)
    };
    let items = pod_with_volume(
        json!({"secret": {"secretName": "s", "items": [{"key": "k", "path": "p"}]}}),
    );
    let env = pod_with_env(
        json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
        json!(null),
    );
    let missing = pod_with_volume(json!({"secret": {"secretName": "t", "optional": true}}));
    let with = |data: &[(&str, &[u8])]| objects([secret("s", data)]);
    for (pod, sees) in [(&items, true), (&env, true), (&missing, false)] {
        let before = digest_of(pod, &with(&[("k", b"1")]));
        assert_ne!(before, pod.digest());
        assert_eq!(before, digest_of(pod, &with(&[("k", b"1")])));
        assert_eq!(
            before,
            digest_of(pod, &with(&[("k", b"1"), ("other", b"1")]))
        );
        assert_eq!(before != digest_of(pod, &with(&[("k", b"2")])), sees);
    }
    let all = pod_with_volume(json!({"secret": {"secretName": "s"}}));
    assert_ne!(
        digest_of(&all, &with(&[("k", b"1")])),
        digest_of(&all, &with(&[("k", b"1"), ("other", b"")]))
    );
    // A short value can not be found by trying, without the key.
    let other = DigestKey::new(Zeroizing::new([8; 32]));
    let objects = with(&[("k", b"1")]);
    let materials = Materials::of(&all, &objects, &node()).unwrap();
    assert_ne!(materials.digest(&all, &key), materials.digest(&all, &other));
}

#[test]
fn the_uid_is_in_the_file_but_not_in_the_digest() {
    let pod = pod_with_volume(json!({"projected": {"sources": [
        {"configMap": {"name": "none", "optional": true}},
        {"downwardAPI": {"items": [{"path": "uid", "fieldRef": {"fieldPath": "metadata.uid"}}]}},
    ]}}));
    let objects = Objects::default();
    let materials = Materials::of(&pod, &objects, &node()).unwrap();
    let content = |uid| materials.volumes(uid)[0].files["uid"].content.to_vec();
    assert_eq!(content("one"), b"one");
    assert_eq!(content("two"), b"two");
}

#[test]
fn the_size_counts_whole_pages() {
    let objects = objects([secret("s", &[("a", b""), ("b", &[0; 4097])])]);
    let pod = pod_with_volume(json!({"secret": {"secretName": "s"}}));
    let materials = Materials::of(&pod, &objects, &node()).unwrap();
    assert_eq!(materials.size(), 3 * 4096);
}

#[test]
fn volumes_have_at_most_64_mebibytes() {
    let objects = objects([secret("s", &[("a", &[0; 1 << 20])])]);
    let with = |count: usize| {
        let volumes: Vec<_> = (0..count)
            .map(|index| json!({"name": format!("v{index}"), "secret": {"secretName": "s"}}))
            .collect();
        pod(json!({"containers": [{"name": "main"}], "volumes": volumes}))
    };
    let allowed = with(64);
    assert!(Materials::of(&allowed, &objects, &node()).is_ok());
    assert!(fault(&with(65), &objects).contains("larger volumes"));
}

#[test]
fn folders_and_modes_follow_the_fs_group() {
    let objects = objects([config_map("c", &[("a", b""), ("b", b"")])]);
    let definition = json!({"configMap": {
        "name": "c",
        "items": [{"key": "a", "path": "x/a", "mode": 0o600}, {"key": "b", "path": "b", "mode": 0o777}],
    }});
    let plain = pod_with_volume(definition);
    let mut grouped = plain.value().clone();
    grouped["spec"]["securityContext"] = json!({"fsGroup": 1234});
    let grouped = Pod::from_canonical(grouped, String::new(), None).unwrap();
    let look = |pod: &Pod| {
        let volume = volume(pod, &objects);
        let modes: BTreeMap<_, _> = volume
            .files
            .iter()
            .map(|(path, file)| (path.clone(), file.mode))
            .collect();
        (volume.group, volume.folder_mode, modes["x/a"], modes["b"])
    };
    assert_eq!(look(&plain), (None, 0o755, 0o600, 0o777));
    assert_eq!(look(&grouped), (Some(1234), 0o2755, 0o640, 0o777));
}
