//! Objects of any kind, for an API server: only what it takes to send them is checked, and what each kind demands is
//! left to the server.

use std::collections::{BTreeMap, btree_map::Entry};

use serde_json::{Map, Value};

use super::{
    Wiped, document_path, in_order, of_bundle, read_all,
    report::{Findings, Report},
    report_outcome,
};
use crate::{
    ClusterObject, Reason, Violation,
    decode::{
        self, Budget,
        tree::{Kind, Mark, Node},
    },
    field::{OwnedSegment, Path, join, shorten},
};

/// The most objects of one set.
const MAX_OBJECTS: usize = 1000;

/// Reads all objects of the manifests, in their order.
pub(crate) fn read<S: AsRef<str>>(
    manifests: &[S],
    max_bytes: usize,
) -> Result<Vec<ClusterObject>, Vec<Violation>> {
    let outcomes = read_all(manifests, max_bytes)?;
    let mut findings = Findings::default();
    let mut objects = Vec::new();
    for (manifest, outcome) in outcomes.0.iter().enumerate() {
        report_outcome(&mut findings, manifest, outcome);
        for (index, node) in outcome.documents.iter().enumerate() {
            let origin = document_path(manifest, outcome, index);
            let report = Report {
                manifest,
                prefix: origin,
                tree: node,
                findings: &mut findings,
            };
            expand(report, None, &mut objects);
        }
    }
    refuse_duplicates(&mut findings, &objects);
    if objects.len() > MAX_OBJECTS {
        let description = format!(
            "the manifests have {} objects; at most {MAX_OBJECTS} are allowed",
            objects.len()
        );
        findings.violate(|| of_bundle(Reason::TooManyObjects, description));
    }
    if findings.has_violations() {
        return Err(in_order(findings));
    }
    Ok(objects)
}

/// Reads a text that is one document of anything. The field of a fault has no prefix.
pub(crate) fn read_document(text: &str) -> Result<Value, Violation> {
    let mut outcomes = Wiped(vec![decode::read(text, &mut Budget::default())]);
    let outcome = &mut outcomes.0[0];
    let violation = |field: String, reason, description: String, mark: Option<Mark>| Violation {
        field,
        reason,
        description,
        position: mark.map(|mark| super::position(0, mark)),
    };
    if let Some(stop) = outcome.stop.take() {
        return Err(violation(
            String::new(),
            stop.reason,
            stop.description,
            Some(stop.mark),
        ));
    }
    if let Some(fault) = outcome.faults.first() {
        let path = fault.path.iter().map(OwnedSegment::as_segment);
        return Err(violation(
            join("", path),
            fault.reason,
            fault.description.clone(),
            Some(fault.mark),
        ));
    }
    match outcome.documents.as_slice() {
        [document] => Ok(document.to_value()),
        [] => Err(violation(
            String::new(),
            Reason::EmptyManifest,
            "it holds no document".to_owned(),
            None,
        )),
        [_, second, ..] => Err(violation(
            String::new(),
            Reason::InvalidValue,
            "it must be one document".to_owned(),
            Some(second.mark),
        )),
    }
}

/// `implied` are the apiVersion and kind of an item that names none, as in a DaemonSetList.
fn expand(mut report: Report<'_>, implied: Option<(&str, &str)>, objects: &mut Vec<ClusterObject>) {
    let root = Path::ROOT;
    let tree = report.tree;
    if !report.is_object() {
        return;
    }
    let kind = text(
        &mut report,
        tree,
        &root,
        "kind",
        implied.map(|(_, kind)| kind),
    );
    let version = text(
        &mut report,
        tree,
        &root,
        "apiVersion",
        implied.map(|(version, _)| version),
    );
    let (Some(kind), Some(version)) = (kind, version) else {
        return;
    };
    if !is_api_version(version) {
        let description = format!(
            "\"{}\" is no apiVersion; they look like v1 or apps/v1",
            shorten(version)
        );
        report.refuse(&root.key("apiVersion"), Reason::InvalidValue, description);
        return;
    }
    if !is_kind(kind) {
        let description = format!("\"{}\" is no kind; they look like DaemonSet", shorten(kind));
        report.refuse(&root.key("kind"), Reason::InvalidValue, description);
        return;
    }
    if let Some(single) = kind.strip_suffix("List")
        && let Some(items) = tree.get("items")
    {
        let implied = Some((version, single)).filter(|_| !single.is_empty());
        expand_list(report, items, implied, objects);
        return;
    }
    let Some((namespace, name)) = metadata(&mut report, tree) else {
        return;
    };
    // Whatever else is in it is for the API server to judge.
    let Value::Object(mut value) = tree.to_value() else {
        return;
    };
    if implied.is_some() {
        value.insert("apiVersion".to_owned(), Value::from(version));
        value.insert("kind".to_owned(), Value::from(kind));
    }
    objects.push(ClusterObject {
        field: std::mem::take(&mut report.prefix),
        position: tree_position(report.manifest, tree),
        api_version: version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        value,
    });
}

fn expand_list(
    mut report: Report<'_>,
    items: &Node,
    implied: Option<(&str, &str)>,
    objects: &mut Vec<ClusterObject>,
) {
    let root = Path::ROOT;
    if let Kind::Map(entries) = &report.tree.kind {
        let foreign: Vec<&str> = entries
            .iter()
            .map(|entry| entry.key.as_str())
            .filter(|key| !matches!(*key, "apiVersion" | "kind" | "metadata" | "items"))
            .collect();
        for key in foreign {
            report.refuse_key(
                &root.key(key),
                Reason::UnknownField,
                "a list has no such field",
            );
        }
    }
    match &items.kind {
        Kind::Null => {}
        Kind::List(nodes) => {
            for (index, node) in nodes.iter().enumerate() {
                let nested = Report {
                    manifest: report.manifest,
                    prefix: format!("{}.items[{index}]", report.prefix),
                    tree: node,
                    findings: &mut *report.findings,
                };
                expand(nested, implied, objects);
            }
        }
        _ => report.refuse(&root.key("items"), Reason::WrongType, "it must be a list"),
    }
}

/// The namespace, which may be empty, and the name.
fn metadata<'n>(report: &mut Report<'_>, tree: &'n Node) -> Option<(&'n str, &'n str)> {
    let root = Path::ROOT;
    let path = root.key("metadata");
    let Some(metadata) = tree.get("metadata") else {
        let description = "each object has metadata with a name";
        report.refuse(&path, Reason::MissingField, description);
        return None;
    };
    if !matches!(metadata.kind, Kind::Map(_)) {
        let description = format!("it must be an object, not {}", metadata.sort());
        report.refuse(&path, Reason::WrongType, description);
        return None;
    }
    if metadata.get("generateName").is_some() && metadata.get("name").is_none() {
        let description =
            "an object that is applied needs a name of its own: replace generateName by name";
        report.refuse(&path.key("name"), Reason::MissingField, description);
        return None;
    }
    let name = text(report, metadata, &path, "name", None)?;
    let namespace = match metadata.get("namespace") {
        None => "",
        Some(_) => text(report, metadata, &path, "namespace", Some(""))?,
    };
    for (field, given) in [("name", name), ("namespace", namespace)] {
        if !is_path_segment(given) {
            let description = format!(
                "\"{}\" can be no name: it may not be . or .., nor have / or % in it",
                shorten(given)
            );
            report.refuse(&path.key(field), Reason::InvalidName, description);
            return None;
        }
    }
    Some((namespace, name))
}

fn text<'n>(
    report: &mut Report<'_>,
    node: &'n Node,
    path: &Path<'_>,
    field: &str,
    implied: Option<&'n str>,
) -> Option<&'n str> {
    let missing = || format!("each object names its {field}");
    report.text(node, path, field, implied, missing)
}

/// Two documents of one object would fight for it. The API's version does not matter: it is the same object.
fn refuse_duplicates(findings: &mut Findings, objects: &[ClusterObject]) {
    let mut first = BTreeMap::new();
    for object in objects {
        let group = object.api_version.rsplit_once('/').map_or("", |it| it.0);
        let key = (
            group,
            object.kind.as_str(),
            object.namespace.as_str(),
            object.name.as_str(),
        );
        match first.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(object.field.as_str());
            }
            Entry::Occupied(occupied) => findings.violate(|| Violation {
                field: object.field.clone(),
                reason: Reason::DuplicateObject,
                description: format!(
                    "{} {} stands at {} already: keep one of them",
                    object.kind,
                    shorten(&object.name),
                    occupied.get()
                ),
                position: object.position,
            }),
        }
    }
}

fn tree_position(manifest: usize, tree: &Node) -> Option<crate::Position> {
    Some(super::position(manifest, tree.mark))
}

fn is_api_version(text: &str) -> bool {
    let (group, version) = text.rsplit_once('/').unwrap_or(("a", text));
    let is_word = |text: &str, more: &[u8]| {
        text.len() <= 253
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || more.contains(&b))
    };
    is_word(group, b"-.") && is_word(version, b"-")
}

fn is_kind(text: &str) -> bool {
    text.len() <= 63 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// As the API server demands of every name, since names stand in its paths.
fn is_path_segment(text: &str) -> bool {
    text.len() <= 253 && text != "." && text != ".." && !text.contains(['/', '%'])
}

/// Wipes all texts of a value but the keys.
pub(crate) fn wipe(value: &mut Map<String, Value>) {
    value.values_mut().for_each(wipe_value);
}

fn wipe_value(value: &mut Value) {
    match value {
        Value::String(text) => zeroize::Zeroize::zeroize(text),
        Value::Array(items) => items.iter_mut().for_each(wipe_value),
        Value::Object(map) => wipe(map),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests;
