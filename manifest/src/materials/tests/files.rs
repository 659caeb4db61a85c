use super::*;

#[test]
fn all_keys_of_an_object_become_files() {
    let map = with_binary(config_map("c", &[("a", b"1"), ("b", b"2")]), "raw", &[0xff]);
    let objects = objects([secret("c", &[("key", b"3")]), map]);
    assert_eq!(
        files(
            json!({"secret": {"secretName": "c", "defaultMode": 0o400}}),
            &objects
        ),
        [file("key", 0o400, "3")]
    );
    assert_eq!(
        files(json!({"configMap": {"name": "c"}}), &objects),
        [
            file("a", 0o644, "1"),
            file("b", 0o644, "2"),
            file("raw", 0o644, "\u{fffd}")
        ]
    );
}

#[test]
fn items_choose_and_name_the_files() {
    let map = with_binary(config_map("c", &[("a", b"1")]), "raw", b"2");
    let objects = objects([map]);
    let definition = json!({"configMap": {
        "name": "c",
        "defaultMode": 0o600,
        "items": [
            {"key": "a", "path": "./x//a"},
            {"key": "raw", "path": "raw", "mode": 0o444},
            {"key": "a", "path": "x/b"},
        ],
    }});
    assert_eq!(
        files(definition, &objects),
        [
            file("raw", 0o444, "2"),
            file("x/a", 0o600, "1"),
            file("x/b", 0o600, "1")
        ]
    );
}

#[test]
fn what_is_missing_must_be_optional() {
    let objects = objects([secret("s", &[("a", b"1")])]);
    let none: [(String, u32, String); 0] = [];
    for (definition, wanted) in [
        (
            json!({"secret": {"secretName": "s", "items": [{"key": "b", "path": "b"}]}}),
            "the key b of Secret default/s",
        ),
        (json!({"secret": {"secretName": "t"}}), "Secret default/t"),
        (json!({"configMap": {"name": "s"}}), "ConfigMap default/s"),
        (
            json!({"projected": {"sources": [{"secret": {"name": "t"}}]}}),
            "Secret default/t",
        ),
    ] {
        let message = fault(&pod_with_volume(definition.clone()), &objects);
        assert!(message.contains(wanted), "{message}");
        let mut optional = definition;
        for place in ["/secret", "/configMap", "/projected/sources/0/secret"] {
            if let Some(source) = optional.pointer_mut(place) {
                source["optional"] = Value::from(true);
            }
        }
        assert_eq!(files(optional, &objects), none);
    }
}

#[test]
fn later_sources_of_a_projected_volume_win() {
    let objects = objects([
        secret("s", &[("a", b"1"), ("b", b"1")]),
        config_map("c", &[("b", b"2")]),
    ]);
    let definition = json!({"projected": {
        "defaultMode": 0o640,
        "sources": [
            {"secret": {"name": "s"}},
            {"configMap": {"name": "c"}},
            {"secret": {"name": "s", "items": [{"key": "a", "path": "c/d", "mode": 0o600}]}},
        ],
    }});
    assert_eq!(
        files(definition, &objects),
        [
            file("a", 0o640, "1"),
            file("b", 0o640, "2"),
            file("c/d", 0o600, "1")
        ]
    );
}

#[test]
fn a_projected_volume_of_the_downward_api_alone_is_the_kubelets() {
    let pod = pod_with_volume(json!({"projected": {"sources": [
        {"downwardAPI": {"items": [{"path": "all", "fieldRef": {"fieldPath": "metadata.annotations"}}]}},
    ]}}));
    let objects = Objects::default();
    let materials = Materials::of(&pod, &objects, &node()).unwrap();
    assert!(materials.volumes("").is_empty());
}

#[test]
fn a_file_that_is_a_folder_of_another_is_refused() {
    let objects = objects([secret("s", &[("a", b"1")])]);
    let definition = json!({"projected": {"sources": [
        {"secret": {"name": "s"}},
        {"secret": {"name": "s", "items": [{"key": "a", "path": "a/b"}]}},
    ]}});
    let message = fault(&pod_with_volume(definition), &objects);
    assert_eq!(
        message,
        "spec.volumes[0].projected.sources[1].secret.items[0].path refers to a/b beside a, which the bundle does not have"
    );
}

fn downward(item: Value, resources: Value) -> Pod {
    let mut item = item;
    item["path"] = Value::from("f");
    let mut pod = pod_with_volume(json!({"projected": {"sources": [
        {"configMap": {"name": "c", "optional": true}},
        {"downwardAPI": {"items": [item]}},
    ]}}));
    pod.value["spec"]["containers"][0]["resources"] = resources;
    pod
}

#[test]
fn the_downward_api_gives_what_never_changes() {
    let objects = Objects::default();
    let resources = json!({
        "limits": {"cpu": "1500m", "memory": "64Mi", "hugepages-2Mi": "4Mi"},
        "requests": {"memory": "32Mi"},
    });
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let resource = |name: &str, divisor: &str| json!({"resourceFieldRef": {"containerName": "main", "resource": name, "divisor": divisor}});
    for (item, expected) in [
        (field("metadata.name"), "web-node-1"),
        (field("metadata.namespace"), "default"),
        (field("metadata.uid"), "the-uid"),
        (field("metadata.labels"), "app=\"web\"\ntier=\"front\""),
        (field("metadata.labels['app']"), "web"),
        (field("metadata.labels['none']"), ""),
        (field("metadata.annotations['note']"), "a \"note\""),
        (field("metadata.annotations['seedpod.dev/wave']"), "2"),
        (resource("limits.cpu", "0"), "2"),
        (resource("limits.cpu", "1m"), "1500"),
        (resource("limits.memory", "1Mi"), "64"),
        (resource("requests.memory", "1"), "33554432"),
        // Defaults to the limit.
        (resource("requests.cpu", "1m"), "1500"),
        (resource("limits.hugepages-2Mi", "1Mi"), "4"),
        (resource("limits.hugepages-1Gi", "1"), "0"),
        (resource("requests.ephemeral-storage", "1"), "0"),
    ] {
        let pod = downward(item.clone(), resources.clone());
        let volume = volume(&pod, &objects);
        let content = String::from_utf8(volume.files["f"].content.to_vec()).unwrap();
        assert_eq!(content, expected, "{item}");
    }
}

#[test]
fn the_downward_api_gives_nothing_that_only_the_kubelet_knows() {
    let objects = Objects::default();
    let resource =
        |name: &str| json!({"resourceFieldRef": {"containerName": "main", "resource": name}});
    for item in [
        json!({"fieldRef": {"fieldPath": "metadata.annotations"}}),
        json!({"fieldRef": {"fieldPath": "metadata.annotations['kubernetes.io/config.hash']"}}),
        json!({"fieldRef": {"fieldPath": "metadata.annotations['seedpod.dev/digest']"}}),
        resource("limits.memory"),
        resource("limits.ephemeral-storage"),
    ] {
        let pod = downward(item.clone(), json!({"limits": {"memory": "0"}}));
        let message = fault(&pod, &objects);
        assert!(
            message.contains("only the kubelet knows"),
            "{item} {message}"
        );
    }
    let elsewhere = json!({"resourceFieldRef": {"containerName": "x", "resource": "limits.cpu"}});
    assert!(fault(&downward(elsewhere, json!({})), &objects).contains("the container x"));
}

#[test]
fn folders_are_made_for_what_is_mounted_below() {
    let objects = objects([secret("s", &[("a", b"1"), ("sub", b"2")])]);
    let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path});
    let pod = pod(json!({
        "initContainers": [{"name": "init", "volumeMounts": [mount("v", "/other/"), mount("w", "/other/x/y")]}],
        "containers": [{"name": "main", "volumeMounts": [
            mount("w", "/v/sub/deep/er"),
            mount("w", "/v/sub"),
            mount("v", "/v"),
            mount("w", "/vv"),
            mount("w", "/v/../z"),
        ]}],
        "volumes": [{"name": "v", "secret": {"secretName": "s"}}, {"name": "w", "emptyDir": {}}],
    }));
    let volume = volume(&pod, &objects);
    let folders: Vec<_> = volume.folders.iter().map(String::as_str).collect();
    assert_eq!(folders, ["sub", "x/y"]);
    // The kubelet leaves out the file, too: its folder is there first.
    let files: Vec<_> = volume.files.keys().map(String::as_str).collect();
    assert_eq!(files, ["a"]);
}
