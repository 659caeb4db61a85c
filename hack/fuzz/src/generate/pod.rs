//! Pods that take from objects.

use serde_json::{Map, Value, json};

use super::object::{HOSTILE_NAMES, Made, NAMES};
use crate::dice::Dice;

const PATHS: [&str; 9] = [
    "tls.crt", "a", "b", "d/e", "d/f", "x/y/z", ".hidden", "A", "d",
];
const HOSTILE_PATHS: [&str; 28] = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "../x",
    "a/../b",
    "a/..",
    "./a",
    "a//b",
    "a/",
    ".",
    "a/./b",
    "..data",
    "..data/x",
    "a/..b",
    "..2026_11_25",
    "a\0",
    "a\nb",
    "é*127",
    "é*128",
    "x*255",
    "x*256",
    "x/*2047",
    "x/*3000",
    "a\\..\\b",
    "d/e/g",
    "C:\\x",
    "...",
];
const HOSTILE_MODES: [i64; 9] = [
    0o1777,
    0o2755,
    0o4755,
    512,
    -1,
    511,
    1 << 32,
    i64::MAX,
    i64::MIN,
];
const VARIABLES: [&str; 6] = ["A", "B_2", "a.b", "PATH", "TOKEN", "C-3"];
const HOSTILE_VARIABLES: [&str; 9] = ["", "=", "A=B", "9", "a b", "$(A)", "é", "\0", "x*300"];
/// Fields that variables and files can both have.
const FIELDS: [&str; 6] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "metadata.labels['app']",
    "metadata.annotations['note']",
    "metadata.labels['absent']",
];
const HOSTILE_FIELDS: [&str; 11] = [
    "metadata.labels",
    "metadata.annotations",
    "status.podIP",
    "spec.nodeName",
    "",
    "metadata.labels['",
    "metadata.labels['é']",
    "spec.serviceAccountName",
    "metadata.annotations['seedpod.dev/digest']",
    "status.hostIP",
    "metadata",
];

/// What a pod may take from: the objects of its namespace and, sometimes, whatever.
struct Source<'m> {
    objects: Vec<&'m Made>,
    allow_secret_env: bool,
}

impl<'m> Source<'m> {
    /// An object of the kind. None when there is none, unless something is to go wrong.
    fn pick(&self, dice: &mut Dice<'_>, secret: bool) -> Option<(String, Vec<String>)> {
        if dice.is_hostile() {
            return Some((dice.text(&NAMES, &HOSTILE_NAMES), vec!["A".to_owned()]));
        }
        let objects: Vec<&Made> = self
            .objects
            .iter()
            .copied()
            .filter(|made| made.is_secret == secret)
            .collect();
        if objects.is_empty() {
            return None;
        }
        let made = dice.pick(&objects);
        Some((made.name.clone(), made.keys.clone()))
    }
}

fn key(dice: &mut Dice<'_>, keys: &[String]) -> String {
    if keys.is_empty() || dice.is_hostile() {
        return dice.text(&["A", "absent"], &HOSTILE_PATHS);
    }
    dice.pick(keys)
}

fn optional(dice: &mut Dice<'_>, object: &mut Value) {
    if dice.odds(1, 4) {
        object["optional"] = dice.pick(&[json!(true), json!(false), Value::Null]);
    }
}

fn mode(dice: &mut Dice<'_>) -> Value {
    if dice.is_hostile() {
        return json!(dice.pick(&HOSTILE_MODES));
    }
    json!(dice.pick(&[0o644, 0o600, 0o400, 0o777, 0, 0o111, 0o640]))
}

/// A path that no other file of the volume has, most of the time.
fn path(dice: &mut Dice<'_>, files: &mut usize) -> String {
    *files += 1;
    if dice.is_hostile() {
        return dice.text(&PATHS, &HOSTILE_PATHS);
    }
    let folder = dice.pick(&["", "", "d/", "./d//e/"]);
    format!("{folder}p{files}")
}

fn items(dice: &mut Dice<'_>, keys: &[String], files: &mut usize, object: &mut Value) {
    if !dice.odds(2, 3) {
        return;
    }
    let items: Vec<Value> = (0..=dice.below(3))
        .map(|_| {
            let path = path(dice, files);
            let mut item = json!({"key": key(dice, keys), "path": path});
            if dice.odds(1, 3) {
                item["mode"] = mode(dice);
            }
            item
        })
        .collect();
    object["items"] = json!(items);
}

fn downward_files(dice: &mut Dice<'_>, files: &mut usize) -> Value {
    let items: Vec<Value> = (0..=dice.below(2))
        .map(|_| {
            let path = path(dice, files);
            let mut item = json!({"path": path});
            if dice.odds(1, 5) {
                item["resourceFieldRef"] =
                    json!({"containerName": "main", "resource": "limits.cpu"});
            } else {
                item["fieldRef"] = json!({"fieldPath": dice.text(&FIELDS, &HOSTILE_FIELDS)});
            }
            if dice.odds(1, 3) {
                item["mode"] = mode(dice);
            }
            item
        })
        .collect();
    json!({"items": items})
}

/// A Secret or a ConfigMap of a volume. They differ in how a volume of its own names it.
fn files(
    dice: &mut Dice<'_>,
    source: &Source<'_>,
    secret: bool,
    name_field: &str,
    files: &mut usize,
) -> Option<Value> {
    let (name, keys) = source.pick(dice, secret)?;
    let mut object = json!({name_field: name});
    items(dice, &keys, files, &mut object);
    optional(dice, &mut object);
    Some(object)
}

fn projection(dice: &mut Dice<'_>, source: &Source<'_>, count: &mut usize) -> Option<Value> {
    Some(match dice.below(4) {
        0 => json!({"secret": files(dice, source, true, "name", count)?}),
        1 => json!({"configMap": files(dice, source, false, "name", count)?}),
        2 => json!({"downwardAPI": downward_files(dice, count)}),
        _ if dice.is_hostile() => dice.pick(&[
            json!({}),
            json!({"serviceAccountToken": {"path": "token"}}),
            json!({"clusterTrustBundle": {"name": "x", "path": "ca"}}),
            json!({"secret": {"name": "tls"}, "configMap": {"name": "conf"}}),
        ]),
        _ => json!({"secret": files(dice, source, true, "name", count)?}),
    })
}

fn volume(dice: &mut Dice<'_>, source: &Source<'_>, name: &str) -> Value {
    let count = &mut 0;
    let content = match dice.below(6) {
        0 | 1 => files(dice, source, true, "secretName", count).map(|it| ("secret", it)),
        2 => files(dice, source, false, "name", count).map(|it| ("configMap", it)),
        3 | 4 => {
            let sources: Vec<Value> = (0..=dice.below(4))
                .filter_map(|_| projection(dice, source, count))
                .collect();
            Some(("projected", json!({"sources": sources})))
        }
        _ => dice.pick(&[
            Some(("emptyDir", json!({}))),
            Some(("hostPath", json!({"path": "/etc/pki", "type": "Directory"}))),
            None,
        ]),
    };
    let mut volume = json!({"name": name});
    if let Some((field, mut content)) = content {
        if field != "emptyDir" && field != "hostPath" && dice.odds(1, 3) {
            content["defaultMode"] = mode(dice);
        }
        volume[field] = content;
    } else if dice.odds(1, 2) {
        volume["downwardAPI"] = downward_files(dice, count);
    }
    if dice.is_hostile() {
        let (field, value) = dice.pick(&[
            ("persistentVolumeClaim", json!({"claimName": "x"})),
            ("azureFile", json!({"secretName": "tls", "shareName": "x"})),
            (
                "csi",
                json!({"driver": "x", "nodePublishSecretRef": {"name": "tls"}}),
            ),
            (
                "rbd",
                json!({"monitors": ["a"], "image": "b", "secretRef": {"name": "tls"}}),
            ),
        ]);
        volume[field] = value;
    }
    volume
}

fn variable(dice: &mut Dice<'_>, source: &Source<'_>) -> Value {
    let mut variable = json!({"name": dice.text(&VARIABLES, &HOSTILE_VARIABLES)});
    let secret = if source.allow_secret_env {
        dice.odds(1, 2)
    } else {
        dice.is_hostile()
    };
    match dice.below(5) {
        0 => variable["value"] = json!(dice.pick(&["", "x", "$(A)", "$$(A)", "$(B_2)$", "$("])),
        1 => {
            let field = dice.text(&FIELDS, &HOSTILE_FIELDS);
            variable["valueFrom"] = json!({"fieldRef": {"fieldPath": field}});
        }
        _ => {
            let field = if secret {
                "secretKeyRef"
            } else {
                "configMapKeyRef"
            };
            let Some((name, keys)) = source.pick(dice, secret) else {
                return variable;
            };
            let mut object = json!({"name": name, "key": key(dice, &keys)});
            optional(dice, &mut object);
            variable["valueFrom"] = json!({field: object});
        }
    }
    variable
}

fn container(dice: &mut Dice<'_>, source: &Source<'_>, name: &str, volumes: &[String]) -> Value {
    let mut container = json!({
        "name": name,
        "image": "registry.example/web:1",
        "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}},
    });
    let variables: Vec<Value> = (0..dice.below(5)).map(|_| variable(dice, source)).collect();
    container["env"] = json!(variables);
    let mut from = Vec::new();
    for _ in 0..dice.below(3) {
        let secret = source.allow_secret_env && dice.odds(1, 2);
        let Some((name, _)) = source.pick(dice, secret) else {
            continue;
        };
        let mut object = json!({"name": name});
        optional(dice, &mut object);
        let field = if secret { "secretRef" } else { "configMapRef" };
        let mut item = json!({field: object});
        if dice.odds(1, 3) {
            item["prefix"] = json!(dice.text(&["P_", "x.", ""], &HOSTILE_VARIABLES));
        }
        from.push(item);
    }
    container["envFrom"] = json!(from);
    let mut mounts = Vec::new();
    for (index, volume) in volumes.iter().enumerate() {
        let mut mount = json!({"name": volume, "mountPath": format!("/m{index}")});
        if dice.odds(1, 12) {
            // Into another volume, where the runtime needs a folder.
            mount["mountPath"] = json!(format!(
                "/m{}/{}",
                dice.below(4),
                dice.pick(&["a", "d", "x/y", "."])
            ));
        }
        if dice.odds(1, 4) {
            mount["subPath"] = json!(dice.text(&PATHS, &HOSTILE_PATHS));
        }
        if dice.odds(1, 4) {
            mount["readOnly"] = json!(dice.odds(1, 2));
        }
        if dice.is_hostile() {
            let (field, value) = dice.pick(&[
                ("recursiveReadOnly", "IfPossible"),
                ("recursiveReadOnly", "Enabled"),
                ("mountPropagation", "Bidirectional"),
                ("subPathExpr", "$(A)/$(B_2)"),
            ]);
            mount[field] = json!(value);
        }
        mounts.push(mount);
    }
    container["volumeMounts"] = json!(mounts);
    container
}

pub(super) fn make(
    dice: &mut Dice<'_>,
    index: usize,
    namespace: &str,
    objects: &[Made],
    allow_secret_env: bool,
) -> Value {
    let source = &Source {
        objects: objects
            .iter()
            .filter(|made| made.namespace == namespace)
            .collect(),
        allow_secret_env,
    };
    let mut names = Vec::new();
    let mut volumes = Vec::new();
    for index in 0..dice.below(4) {
        let name = dice.text(
            &[&format!("v{index}")],
            &["..", "v0", "A", "a/b", "", "x*64"],
        );
        volumes.push(volume(dice, source, &name));
        names.push(name);
    }
    let mut spec = Map::new();
    spec.insert("volumes".to_owned(), json!(volumes));
    let main = container(dice, source, "main", &names);
    spec.insert("containers".to_owned(), json!([main]));
    if dice.odds(1, 4) {
        let init = container(dice, source, "init", &names);
        spec.insert("initContainers".to_owned(), json!([init]));
    }
    if dice.odds(1, 3) {
        let group = dice.pick(&[json!(0), json!(1000), json!(2_147_483_647)]);
        let user = dice.pick(&[json!(0), json!(65_534), Value::Null]);
        spec.insert(
            "securityContext".to_owned(),
            json!({"fsGroup": group, "runAsUser": user}),
        );
    }
    if dice.is_hostile() {
        let (field, value) = dice.pick(&[
            ("imagePullSecrets", json!([{"name": "tls"}])),
            ("serviceAccountName", json!("x")),
            ("resourceClaims", json!([{"name": "x"}])),
            ("hostUsers", json!(false)),
        ]);
        spec.insert(field.to_owned(), value);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("pod{index}"),
            "namespace": namespace,
            "labels": {"app": "web"},
            "annotations": {"note": dice.pick(&["", "line\nline", "\"quoted\"", "$(A)"])},
        },
        "spec": spec,
    })
}
