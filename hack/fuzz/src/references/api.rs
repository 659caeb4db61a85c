//! What the pod would get from an API server: its environment and files, as the kubelet makes them.
//!
//! `makeEnvironmentVariables` in Kubernetes' `pkg/kubelet/kubelet_pods.go`, `third_party/forked/golang/expansion`, and
//! `MakePayload` and `collectData` of the plugins in `pkg/volume`.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use seedpod_manifest::{ObjectKey, ObjectKind, Objects, Secrets};
use serde_json::Value;

use super::items;

/// The data of an object. What is `binaryData` can not be a variable.
#[derive(Default)]
struct Data {
    texts: BTreeMap<String, Vec<u8>>,
    binaries: BTreeMap<String, Vec<u8>>,
}

/// The objects of one namespace.
pub(super) struct Api<'n> {
    namespace: &'n str,
    objects: BTreeMap<ObjectKey, Data>,
}

pub(super) type Environment = BTreeMap<String, String>;

/// Mode and content by path. Of what only the kubelet knows there is no content.
pub(super) type Files = BTreeMap<String, (u32, Option<Vec<u8>>)>;

impl<'n> Api<'n> {
    pub(super) fn new(namespace: &'n str, objects: &Objects) -> Self {
        let data = |value: &Value, field: &str, is_text: bool| -> BTreeMap<String, Vec<u8>> {
            let entries = value[field].as_object().into_iter().flatten();
            entries
                .map(|(key, value)| {
                    let text = value.as_str().expect("a text");
                    let bytes = if is_text {
                        text.as_bytes().to_vec()
                    } else {
                        BASE64_STANDARD.decode(text).expect("Base64")
                    };
                    (key.clone(), bytes)
                })
                .collect()
        };
        let objects = objects.iter().map(|object| {
            let value = object.to_manifest_value(Secrets::Shown);
            assert!(value["stringData"].is_null(), "{value}");
            let is_text = object.key().kind == ObjectKind::ConfigMap;
            let data = Data {
                texts: data(&value, "data", is_text),
                binaries: data(&value, "binaryData", false),
            };
            (object.key().clone(), data)
        });
        Self {
            namespace,
            objects: objects.collect(),
        }
    }

    /// An object that a field refers to by this name. `None` when it is missing, which it may be.
    fn get(&self, kind: ObjectKind, reference: &Value, name_field: &str) -> Option<&Data> {
        let name = reference[name_field].as_str().expect("a name");
        let data = self.objects.get(&ObjectKey {
            kind,
            namespace: self.namespace.to_owned(),
            name: name.to_owned(),
        });
        assert!(
            data.is_some() || reference["optional"] == true,
            "missing: {reference}"
        );
        data
    }

    /// The variables of a container, but for those of services.
    pub(super) fn environment(&self, container: &Value) -> Environment {
        let mut environment = Environment::new();
        for source in items(&container["envFrom"]) {
            let data = match (&source["configMapRef"], &source["secretRef"]) {
                (Value::Null, secret) => self.get(ObjectKind::Secret, secret, "name"),
                (config_map, _) => self.get(ObjectKind::ConfigMap, config_map, "name"),
            };
            let prefix = source["prefix"].as_str().unwrap_or_default();
            for (key, bytes) in data.into_iter().flat_map(|data| &data.texts) {
                environment.insert(format!("{prefix}{key}"), text(bytes));
            }
        }
        for variable in items(&container["env"]) {
            let value = variable["value"].as_str().unwrap_or_default();
            let source = &variable["valueFrom"];
            let value = if !value.is_empty() {
                expand(value, &environment)
            } else if source.is_null() {
                String::new()
            } else {
                let (kind, reference) = match (&source["configMapKeyRef"], &source["secretKeyRef"])
                {
                    (Value::Null, Value::Null) => (None, source),
                    (Value::Null, secret) => (Some(ObjectKind::Secret), secret),
                    (config_map, _) => (Some(ObjectKind::ConfigMap), config_map),
                };
                match kind {
                    // The kubelet will know, from the same field.
                    None => format!("<{source}>"),
                    Some(kind) => match self.variable(kind, reference) {
                        Some(value) => value,
                        None => continue,
                    },
                }
            };
            let name = variable["name"].as_str().expect("a name");
            environment.insert(name.to_owned(), value);
        }
        environment
    }

    fn variable(&self, kind: ObjectKind, reference: &Value) -> Option<String> {
        let key = reference["key"].as_str().expect("a key");
        let value = self.get(kind, reference, "name")?.texts.get(key);
        assert!(
            value.is_some() || reference["optional"] == true,
            "no such key: {reference}"
        );
        value.map(|bytes| text(bytes))
    }

    /// The files of a volume that takes from objects; `None` for any other.
    pub(super) fn files(&self, volume: &Value, uid: &str) -> Option<Files> {
        let mut files = Files::new();
        if !volume["secret"].is_null() {
            self.take(
                ObjectKind::Secret,
                &volume["secret"],
                "secretName",
                None,
                &mut files,
            );
        } else if !volume["configMap"].is_null() {
            self.take(
                ObjectKind::ConfigMap,
                &volume["configMap"],
                "name",
                None,
                &mut files,
            );
        } else {
            let projected = &volume["projected"];
            let mode = Some(&projected["defaultMode"]);
            let mut takes = false;
            for source in items(&projected["sources"]) {
                for item in items(&source["downwardAPI"]["items"]) {
                    let content = match item["fieldRef"]["fieldPath"].as_str() {
                        Some("metadata.uid") => Some(uid.as_bytes().to_vec()),
                        Some("metadata.namespace") => Some(self.namespace.as_bytes().to_vec()),
                        _ => None,
                    };
                    let mode = number(&[&item["mode"], &projected["defaultMode"]]);
                    files.insert(clean(&item["path"]), (mode, content));
                }
                for (kind, field) in [
                    (ObjectKind::Secret, "secret"),
                    (ObjectKind::ConfigMap, "configMap"),
                ] {
                    if !source[field].is_null() {
                        takes = true;
                        self.take(kind, &source[field], "name", mode, &mut files);
                    }
                }
            }
            takes.then_some(())?;
        }
        Some(files)
    }

    fn take(
        &self,
        kind: ObjectKind,
        source: &Value,
        name_field: &str,
        default_mode: Option<&Value>,
        files: &mut Files,
    ) {
        let Some(data) = self.get(kind, source, name_field) else {
            return;
        };
        let default_mode = default_mode.unwrap_or(&source["defaultMode"]);
        if items(&source["items"]).next().is_none() {
            for (key, bytes) in data.texts.iter().chain(&data.binaries) {
                files.insert(key.clone(), (number(&[default_mode]), Some(bytes.clone())));
            }
        }
        for item in items(&source["items"]) {
            let key = item["key"].as_str().expect("a key");
            let bytes = data.texts.get(key).or_else(|| data.binaries.get(key));
            assert!(
                bytes.is_some() || source["optional"] == true,
                "no such key: {source}"
            );
            if let Some(bytes) = bytes {
                let mode = number(&[&item["mode"], default_mode]);
                files.insert(clean(&item["path"]), (mode, Some(bytes.clone())));
            }
        }
    }
}

/// The first mode that is given, or the API's default.
fn number(modes: &[&Value]) -> u32 {
    let mode = modes.iter().find_map(|mode| mode.as_u64());
    mode.map_or(0o644, |mode| u32::try_from(mode).expect("a mode"))
}

fn clean(path: &Value) -> String {
    let path = path.as_str().expect("a path");
    let names: Vec<&str> = path
        .split('/')
        .filter(|name| !matches!(*name, "" | "."))
        .collect();
    names.join("/")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("a variable is UTF-8")
}

fn expand(input: &str, environment: &Environment) -> String {
    let mut output = String::new();
    let mut rest = input;
    while let Some((before, after)) = rest.split_once('$') {
        output.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            output.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|it| it.split_once(')'))
        {
            match environment.get(name) {
                Some(value) => output.push_str(value),
                None => output.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            output.push('$');
        }
    }
    output + rest
}
