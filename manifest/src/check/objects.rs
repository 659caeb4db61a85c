//! Secrets and ConfigMaps: what an API server would refuse, and what no pod could find.
//!
//! Their data is read from the tree itself, and not through the generated types, so that no copies of what is secret are
//! left behind.

mod data;
mod secret_types;

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

use self::data::Content;
use super::{
    describe_wrong_type,
    documents::{Item, ItemKind},
    metadata,
    report::{Findings, Report},
    report_unknown, report_wrong,
};
use crate::{
    FieldValidation, Object, ObjectKey, ObjectKind, Objects, Options, Reason, Warning,
    decode::{
        suggest,
        tree::{self, Node},
        typed::{self, WrongType},
    },
    field::Path,
    stamp,
};

/// What the values of one object may have together: Kubernetes' `MaxSecretSize`, which holds for ConfigMaps too.
const MAX_SIZE: usize = 1 << 20;

const SECRET_FIELDS: [&str; 7] = [
    "apiVersion",
    "data",
    "immutable",
    "kind",
    "metadata",
    "stringData",
    "type",
];
const CONFIG_MAP_FIELDS: [&str; 6] = [
    "apiVersion",
    "binaryData",
    "data",
    "immutable",
    "kind",
    "metadata",
];

/// Checks all objects of the bundle. Also gives those that are there but have faults.
pub(crate) fn check(
    findings: &mut Findings,
    items: Vec<Item<'_>>,
    options: &Options,
) -> (Objects, BTreeSet<ObjectKey>) {
    let mut objects: BTreeMap<ObjectKey, Object> = BTreeMap::new();
    let mut faulty = BTreeSet::new();
    for item in items {
        let ItemKind::Object(kind) = item.kind else {
            continue;
        };
        let origin = item.origin.clone();
        let report = &mut Report {
            manifest: item.manifest,
            prefix: item.origin,
            tree: item.node,
            findings,
        };
        let object = check_object(report, kind, options.field_validation);
        let Some(key) = key(item.node, kind) else {
            continue;
        };
        let entry = objects.entry(key);
        if let Entry::Occupied(earlier) = &entry {
            let description = format!(
                "{} is also the one of {}: give one another name",
                earlier.key(),
                earlier.get().origin
            );
            let root = Path::ROOT;
            report.refuse(
                &root.key("metadata").key("name"),
                Reason::DuplicateObject,
                description,
            );
        }
        // Also with a fault of the text itself, such as a key that stands there twice.
        if report.findings.concern(&origin) {
            faulty.insert(entry.key().clone());
        }
        if let (Entry::Vacant(vacant), Some(object)) = (entry, object) {
            vacant.insert(object);
        }
    }
    objects.retain(|key, _| !faulty.contains(key));
    (Objects(objects), faulty)
}

/// Warns of the objects that are not among those that pods refer to.
pub(crate) fn warn_of_unused(
    findings: &mut Findings,
    objects: &Objects,
    references: &BTreeSet<ObjectKey>,
) {
    for object in objects.iter().filter(|it| !references.contains(it.key())) {
        findings.warn(|| Warning {
            field: object.origin.clone(),
            reason: Reason::UnusedObject,
            description: format!(
                "no pod of the namespace {} refers to the {} {}: remove it, or correct the name or namespace",
                object.key.namespace, object.key.kind, object.key.name
            ),
            position: object.position,
        });
    }
}

/// What the pods' references call it; `None` without a name.
fn key(tree: &Node, kind: ObjectKind) -> Option<ObjectKey> {
    let metadata = tree.get("metadata")?;
    let text = |field: &str| {
        metadata
            .get(field)
            .and_then(Node::text)
            .filter(|text| !text.is_empty())
    };
    Some(ObjectKey {
        kind,
        namespace: text("namespace")
            .unwrap_or(stamp::DEFAULT_NAMESPACE)
            .to_owned(),
        name: text("name")?.to_owned(),
    })
}

/// Checks one object; `None` when there is nothing to go on with.
fn check_object(
    report: &mut Report<'_>,
    kind: ObjectKind,
    validation: FieldValidation,
) -> Option<Object> {
    check_fields(report, kind, validation);
    let metadata = check_metadata(report, validation);
    let immutable = read_immutable(report);
    let mut data = BTreeMap::new();
    let (object_type, is_whole) = match kind {
        ObjectKind::Secret => {
            let encoded = data::read(report, "data", Content::Base64, &mut data);
            // What stands there wins over `data`.
            let plain = data::read(report, "stringData", Content::Text, &mut data);
            (read_type(report), encoded && plain)
        }
        ObjectKind::ConfigMap => {
            let plain = data::read(report, "data", Content::Text, &mut data);
            let binary = data::read(report, "binaryData", Content::Binary, &mut data);
            (None, plain && binary)
        }
    };
    if is_whole && let Some(object_type) = object_type {
        secret_types::check(report, object_type, &data, metadata.as_ref());
    }
    let size = data
        .values()
        .fold(0_usize, |sum, datum| sum.saturating_add(datum.bytes.len()));
    if size > MAX_SIZE {
        let description = format!(
            "the values of this {kind} have {size} bytes together; Kubernetes allows {MAX_SIZE}"
        );
        report.refuse(&Path::ROOT, Reason::ObjectTooLarge, description);
    }
    Some(Object {
        key: key(report.tree, kind)?,
        head: head(kind, &metadata?, object_type, immutable),
        data,
        origin: report.prefix.clone(),
        position: Some(report.position()),
    })
}

/// Refuses fields that the kind does not have, or warns of them: they are left out.
fn check_fields(report: &mut Report<'_>, kind: ObjectKind, validation: FieldValidation) {
    let fields = match kind {
        ObjectKind::Secret => &SECRET_FIELDS[..],
        ObjectKind::ConfigMap => &CONFIG_MAP_FIELDS[..],
    };
    let tree::Kind::Map(entries) = &report.tree.kind else {
        return;
    };
    let root = Path::ROOT;
    for entry in entries {
        let name = entry.key.as_str();
        if fields.contains(&name) {
            continue;
        }
        let suggestion = suggest::nearest(name, fields)
            .map(|field| format!("; did you mean {field}?"))
            .unwrap_or_default();
        let path = root.key(name);
        match validation {
            FieldValidation::Strict => {
                let description = format!("a {kind} has no such field{suggestion}");
                report.refuse_key(&path, Reason::UnknownField, description);
            }
            FieldValidation::Warn => {
                let description =
                    format!("a {kind} has no such field; it was left out{suggestion}");
                report.warn(&path, Reason::UnknownField, description);
            }
        }
    }
}

/// Checks the metadata by the generated types, as that of a pod: it is of the same type.
fn check_metadata(report: &mut Report<'_>, validation: FieldValidation) -> Option<ObjectMeta> {
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), Value::from("v1"));
    object.insert("kind".to_owned(), Value::from("Pod"));
    if let Some(metadata) = report.tree.get("metadata") {
        object.insert("metadata".to_owned(), metadata.to_value());
    }
    metadata::drop_server_fields_of_object(report, &mut object);
    let typed = typed::decode(&Value::Object(object));
    report_unknown(report, &typed.unknown, validation);
    report_wrong(report, &typed.wrong);
    let metadata = typed.pod?.metadata;
    metadata::check_object(report, &metadata);
    Some(metadata)
}

fn read_immutable(report: &mut Report<'_>) -> bool {
    let Some(node) = report.tree.get("immutable") else {
        return false;
    };
    match node.kind {
        tree::Kind::Bool(immutable) => return immutable,
        tree::Kind::Null => {}
        _ => refuse_type(
            report,
            &Path::ROOT.key("immutable"),
            node,
            "true or false",
            false,
        ),
    }
    false
}

/// A Secret's type; `None` when it is none.
fn read_type<'n>(report: &mut Report<'n>) -> Option<&'n str> {
    let tree = report.tree;
    let Some(node) = tree.get("type") else {
        return Some(secret_types::OPAQUE);
    };
    match &node.kind {
        tree::Kind::Null => Some(secret_types::OPAQUE),
        tree::Kind::Text(text) if text.is_empty() => Some(secret_types::OPAQUE),
        tree::Kind::Text(text) => Some(text),
        _ => {
            refuse_type(report, &Path::ROOT.key("type"), node, "a string", true);
            None
        }
    }
}

/// The node has another type than is expected. Says nothing of its value.
fn refuse_type(
    report: &mut Report<'_>,
    path: &Path<'_>,
    node: &Node,
    expected: &'static str,
    wants_text: bool,
) {
    let wrong = WrongType {
        path: Vec::new(),
        expected,
        wants_text,
    };
    let description = describe_wrong_type(Some(node), &wrong);
    report.refuse(path, Reason::WrongType, description);
}

/// The object without its data, with equal texts for what means the same.
fn head(
    kind: ObjectKind,
    metadata: &ObjectMeta,
    object_type: Option<&str>,
    immutable: bool,
) -> Value {
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let namespace = if namespace.is_empty() {
        stamp::DEFAULT_NAMESPACE
    } else {
        namespace
    };
    let mut kept = Map::new();
    kept.insert("name".to_owned(), json!(metadata.name));
    kept.insert("namespace".to_owned(), Value::from(namespace));
    for (field, pairs) in [
        ("labels", &metadata.labels),
        ("annotations", &metadata.annotations),
    ] {
        if let Some(pairs) = pairs.as_ref().filter(|pairs| !pairs.is_empty()) {
            kept.insert(field.to_owned(), json!(pairs));
        }
    }
    let mut head = Map::new();
    head.insert("apiVersion".to_owned(), Value::from("v1"));
    head.insert("kind".to_owned(), Value::from(kind.as_str()));
    head.insert("metadata".to_owned(), Value::Object(kept));
    if let Some(object_type) = object_type {
        head.insert("type".to_owned(), Value::from(object_type));
    }
    if immutable {
        head.insert("immutable".to_owned(), Value::from(true));
    }
    Value::Object(head)
}

#[cfg(test)]
mod tests;
