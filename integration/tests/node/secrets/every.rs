//! One pod that has every kind of reference to a Secret and to a ConfigMap, and the objects that it refers to.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use seedpod_integration::images;
use serde_json::{Value, json};

use super::listing;

/// What stands in the environment of the comparison's pods and must arrive there as it is.
pub(super) const ODD: &str =
    "va$(X)lue $$ $$(X) \"double\" 'single' \\back\nsecond line\t{{x}}\nünïcöde ☃ # no: comment";

fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// Bytes that are no text.
fn binary() -> Vec<u8> {
    (0..=255).cycle().take(3000).collect()
}

/// The objects, for a kube-apiserver and for Seedpod alike.
pub(super) fn objects() -> Vec<Value> {
    let object = |kind: &str, name: &str, mut rest: Value| {
        rest["apiVersion"] = json!("v1");
        rest["kind"] = json!(kind);
        rest["metadata"] = json!({"name": name, "namespace": "default"});
        rest
    };
    vec![
        object(
            "Secret",
            "tls",
            json!({
                "type": "kubernetes.io/tls",
                "data": {
                    "tls.crt": base64("-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----\n"),
                    "tls.key": base64("-----BEGIN PRIVATE KEY-----\nnot one\n-----END PRIVATE KEY-----\n"),
                },
            }),
        ),
        object(
            "Secret",
            "mixed",
            json!({
                "data": {
                    "both": base64("overridden"),
                    "empty": "",
                    "binary": base64(binary()),
                    "odd": base64(ODD),
                },
                "stringData": {"both": "by stringData", "only.string-data": "plain\n", "_": "underscore"},
            }),
        ),
        object(
            "Secret",
            "fixed",
            json!({"immutable": true, "data": {"password": base64("hunter2")}}),
        ),
        object(
            "Secret",
            "variables",
            json!({"data": {
                "PLAIN": base64("plain"),
                "ODD": base64(ODD),
                "a.b-c": base64("with dots and dashes"),
                "1digit": base64("begins with a digit"),
                "EMPTY": "",
                "OVERRIDDEN": base64("by the Secret"),
            }}),
        ),
        object(
            "ConfigMap",
            "settings",
            json!({
                "data": {
                    "app.conf": "[app]\nname = one\n",
                    "run.sh": "#!/bin/sh\necho run\n",
                    "odd": ODD,
                    "empty": "",
                    "LEVEL": "debug",
                    "both": "by the ConfigMap",
                    "OVERRIDDEN": "by the ConfigMap",
                    "2nd": "a digit",
                },
                "binaryData": {"logo.bin": base64(binary())},
            }),
        ),
        object("ConfigMap", "nothing", json!({})),
    ]
}

/// The volumes, each of which is mounted under its name in `/v`.
fn volumes() -> Value {
    json!([
        {"name": "all", "secret": {"secretName": "mixed"}},
        {"name": "items", "secret": {"secretName": "tls", "defaultMode": 0o440, "items": [
            {"key": "tls.crt", "path": "deep/er/cert.pem", "mode": 0o444},
            {"key": "tls.key", "path": "deep/key.pem", "mode": 0o400},
            {"key": "tls.key", "path": "again.key"},
        ]}},
        {"name": "private", "secret": {"secretName": "tls", "defaultMode": 0o400}},
        {"name": "group", "secret": {"secretName": "tls", "defaultMode": 0o060}},
        {"name": "fixed", "secret": {"secretName": "fixed", "optional": false}},
        {"name": "conf", "configMap": {"name": "settings"}},
        {"name": "scripts", "configMap": {"name": "settings", "defaultMode": 0o555, "items": [
            {"key": "run.sh", "path": "bin/run.sh"},
            {"key": "logo.bin", "path": "share/..logo/logo", "mode": 0o777},
        ]}},
        {"name": "nothing", "configMap": {"name": "nothing"}},
        {"name": "no-secret", "secret": {"secretName": "missing", "optional": true}},
        {"name": "no-map", "configMap": {"name": "missing", "optional": true}},
        {"name": "no-key", "secret": {"secretName": "tls", "optional": true, "items": [
            {"key": "missing", "path": "missing"}, {"key": "tls.crt", "path": "tls.crt"},
        ]}},
        {"name": "together", "projected": {"defaultMode": 0o640, "sources": [
            {"secret": {"name": "tls", "items": [
                {"key": "tls.key", "path": "pki/tls.key", "mode": 0o600}, {"key": "tls.crt", "path": "pki/tls.crt"},
            ]}},
            {"configMap": {"name": "settings", "items": [{"key": "app.conf", "path": "app.conf"}]}},
            {"downwardAPI": {"items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                {"path": "note", "fieldRef": {"fieldPath": "metadata.annotations['example.com/note']"}, "mode": 0o604},
                {"path": "pod/app", "fieldRef": {"fieldPath": "metadata.labels['app']"}},
                {"path": "pod/namespace", "fieldRef": {"fieldPath": "metadata.namespace"}},
                {"path": "pod/name", "fieldRef": {"fieldPath": "metadata.name"}},
                {"path": "pod/uid", "fieldRef": {"fieldPath": "metadata.uid"}},
                {"path": "cpu", "resourceFieldRef":
                    {"containerName": "main", "resource": "limits.cpu", "divisor": "1m"}},
                {"path": "memory", "resourceFieldRef": {"containerName": "main", "resource": "requests.memory"}},
            ]}},
            {"secret": {"name": "missing", "optional": true}},
            {"configMap": {"name": "settings", "optional": true, "items": [{"key": "missing", "path": "missing"}]}},
        ]}},
        // Both have a key "both". That is refused only where the paths are listed.
        {"name": "twice", "projected": {"sources": [
            {"secret": {"name": "mixed"}},
            {"configMap": {"name": "settings"}},
        ]}},
        {"name": "no-sources", "projected": {"sources": [{"secret": {"name": "missing", "optional": true}}]}},
    ])
}

fn mounts() -> Value {
    let volumes = volumes();
    let names = volumes.as_array().expect("a list").iter();
    let mut mounts: Vec<Value> = names
        .map(|it| {
            let name = it["name"].as_str().expect("a name");
            json!({"name": name, "mountPath": format!("/v/{name}")})
        })
        .collect();
    mounts.extend([
        json!({"name": "all", "mountPath": "/v/sub-file", "subPath": "odd"}),
        json!({"name": "items", "mountPath": "/v/sub-folder", "subPath": "deep/er"}),
        json!({"name": "items", "mountPath": "/v/sub-deep", "subPath": "deep/key.pem", "readOnly": true}),
        json!({"name": "conf", "mountPath": "/v/sub-named", "subPathExpr": "$(SUB)"}),
    ]);
    json!(mounts)
}

fn variables() -> Value {
    let secret = |name: &str, key: &str| json!({"secretKeyRef": {"name": name, "key": key}});
    let map = |name: &str, key: &str| json!({"configMapKeyRef": {"name": name, "key": key}});
    json!([
        {"name": "X", "value": "ex"},
        {"name": "SUB", "valueFrom": map("settings", "LEVEL")},
        {"name": "FROM_SECRET", "valueFrom": secret("mixed", "odd")},
        {"name": "FROM_MAP", "valueFrom": map("settings", "odd")},
        {"name": "FROM_STRING_DATA", "valueFrom": secret("mixed", "both")},
        {"name": "EMPTY_SECRET", "valueFrom": secret("mixed", "empty")},
        {"name": "EMPTY_MAP", "valueFrom": map("settings", "empty")},
        {"name": "NO_OBJECT", "valueFrom": {"secretKeyRef": {"name": "missing", "key": "x", "optional": true}}},
        {"name": "NO_KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "x", "optional": true}}},
        {"name": "OVERRIDDEN", "value": "by env"},
        {"name": "REFERS", "value": "<$(X)|$(FROM_SECRET)|$(SECRET_PLAIN)|$(MAP_LEVEL)|$(NO_KEY)|$(LATER)>"},
        {"name": "LATER", "value": "later"},
        {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "dotted.name", "valueFrom": map("settings", "LEVEL")},
    ])
}

fn sources() -> Value {
    json!([
        {"configMapRef": {"name": "settings"}},
        {"prefix": "MAP_", "configMapRef": {"name": "settings"}},
        {"secretRef": {"name": "variables"}},
        {"prefix": "SECRET_", "secretRef": {"name": "variables"}},
        {"prefix": "odd.prefix-", "secretRef": {"name": "variables"}},
        {"configMapRef": {"name": "nothing"}},
        {"prefix": "NO_", "secretRef": {"name": "missing", "optional": true}},
        {"configMapRef": {"name": "missing", "optional": true}},
    ])
}

/// The pod, with this `securityContext`, whose containers `init` and `main` tell what they find.
pub(super) fn pod(name: &str, security: &Value) -> Value {
    let container = |name: &str, script: String| {
        json!({
            "name": name,
            "image": images::BUSYBOX,
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", script],
            "env": variables(),
            "envFrom": sources(),
            "volumeMounts": mounts(),
            "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}, "requests": {"cpu": "1m", "memory": "33M"}},
        })
    };
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {"app": "listing", "example.com/quoted": "a.b"},
            "annotations": {"example.com/note": "line one\nline \"two\""},
        },
        "spec": {
            // Otherwise it is the pod's name, which for a static pod ends in the node's.
            "hostname": "listing",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "initContainers": [container("init", listing::init_script())],
            "containers": [container("main", listing::script())],
            "volumes": volumes(),
        },
    });
    if !security.is_null() {
        pod["spec"]["securityContext"] = security.clone();
    }
    pod
}

/// A folder for `seedpod inject FOLDER` that gives the same objects: plain files and literals, and a `seedpod.yaml`.
pub(super) fn write_folder(folder: &Path, bundle: &str, pod: &Value) {
    let write = |name: &str, content: &[u8]| {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().expect("a parent")).expect("make a folder");
        fs::write(&file, content).expect("write a file");
    };
    write(
        "pod.yaml",
        serde_saphyr::to_string(pod).expect("YAML").as_bytes(),
    );
    let mut generators = [vec![], vec![]];
    for object in objects() {
        let name = object["metadata"]["name"].as_str().expect("a name");
        let is_secret = object["kind"] == "Secret";
        if name == "nothing" {
            write("nothing.yaml", object.to_string().as_bytes());
            continue;
        }
        let (mut files, mut literals) = (vec![], vec![]);
        let mut take = |key: &str, content: Vec<u8>| match String::from_utf8(content) {
            // Names in upper case become literals, the others files: half of them under another name than the key.
            Ok(text) if key.chars().all(|it| it.is_ascii_uppercase()) => {
                literals.push(format!("{key}={text}"));
            }
            content => {
                let content =
                    content.map_or_else(std::string::FromUtf8Error::into_bytes, String::into_bytes);
                if files.len() % 2 == 0 {
                    write(&format!("{name}/{key}"), &content);
                    files.push(format!("{name}/{key}"));
                } else {
                    write(&format!("{name}/file-{}", files.len()), &content);
                    files.push(format!("{key}={name}/file-{}", files.len()));
                }
            }
        };
        let strings = if is_secret { "stringData" } else { "data" };
        let bytes = if is_secret { "data" } else { "binaryData" };
        for (key, value) in object[strings].as_object().into_iter().flatten() {
            take(key, value.as_str().expect("text").as_bytes().to_vec());
        }
        for (key, value) in object[bytes].as_object().into_iter().flatten() {
            if object[strings].get(key).is_none() {
                take(
                    key,
                    STANDARD
                        .decode(value.as_str().expect("text"))
                        .expect("base64"),
                );
            }
        }
        let mut generator = json!({"name": name, "files": files, "literals": literals});
        if let Some(kind) = object.get("type") {
            generator["type"] = kind.clone();
        }
        if let Some(immutable) = object.get("immutable") {
            generator["options"] = json!({"immutable": immutable});
        }
        generators[usize::from(!is_secret)].push(generator);
    }
    let [secrets, maps] = generators;
    let list = json!({
        "apiVersion": "seedpod.dev/v1alpha1",
        "kind": "BundleFolder",
        "bundle": bundle,
        "namespace": "default",
        "resources": ["pod.yaml", "nothing.yaml"],
        "secretGenerator": secrets,
        "configMapGenerator": maps,
    });
    write(
        "seedpod.yaml",
        serde_saphyr::to_string(&list).expect("YAML").as_bytes(),
    );
}
