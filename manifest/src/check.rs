//! From text to checked pods.
//!
//! decode -> find the pods and objects in the documents -> check the objects -> check each pod with them -> check the
//! set. The rules are the kubelet's own for static
//! pods, since a refusal of the kubelet shows nowhere but in its log.

pub(crate) mod cluster;
mod containers;
mod documents;
mod env;
mod metadata;
mod names;
mod objects;
pub(crate) mod ports;
mod probes;
mod references;
mod report;
mod resources;
mod security;
mod set;
mod spec;
mod volumes;

pub use self::{
    names::{is_label_value, is_qualified_name},
    volumes::HOST_PATH_TYPES,
};
use std::{cell::Cell, collections::BTreeSet};

use serde_json::{Value, map::Entry};

use self::{
    documents::{Item, ItemKind},
    references::Scope,
    report::{Findings, Report, position},
};
use crate::{
    Checked, FieldValidation, ObjectKey, Objects, Options, Pod, Position, Reason, Violation,
    decode::{
        self, Budget, Outcome,
        tree::{Kind, Node},
        typed::{self, UnknownField, WrongType},
    },
    field::OwnedSegment,
    name::is_data_key,
    render, stamp,
};

/// The largest file that the kubelet reads.
const MAX_FILE: usize = 10 << 20;
/// What the stamp adds to a pod at most, with room to spare.
const MAX_STAMP: usize = 1 << 10;
/// Indenting makes a file larger, but never by more than this factor at the depth that is allowed.
const MAX_INDENT_FACTOR: usize = 2 * 66 + 2;

/// The most Secrets and ConfigMaps of one bundle.
const MAX_OBJECTS: usize = 1000;

/// What was read. What is no pod may hold values of Secrets, which are wiped in the end; a pod lives on as it is.
struct Wiped(Vec<Outcome>);

impl Drop for Wiped {
    fn drop(&mut self) {
        for outcome in &mut self.0 {
            let documents = outcome.documents.iter_mut();
            documents
                .filter(|it| it.get("kind").and_then(Node::text) != Some("Pod"))
                .for_each(Node::wipe);
        }
    }
}

/// Decodes the manifests, which may have so many bytes together.
fn read_all<S: AsRef<str>>(manifests: &[S], max_bytes: usize) -> Result<Wiped, Vec<Violation>> {
    let bytes = manifests
        .iter()
        .map(|manifest| manifest.as_ref().len())
        .fold(0_usize, usize::saturating_add);
    if bytes > max_bytes {
        let description =
            format!("the manifests have {bytes} bytes together; at most {max_bytes} are allowed");
        return Err(vec![of_bundle(Reason::BundleTooLarge, description)]);
    }
    let mut budget = Budget::default();
    let outcomes = manifests
        .iter()
        .map(|manifest| decode::read(manifest.as_ref(), &mut budget));
    Ok(Wiped(outcomes.collect()))
}

/// Decodes and checks the manifests of one bundle.
pub(crate) fn check<S: AsRef<str>>(
    manifests: &[S],
    options: &Options,
) -> Result<Checked, Vec<Violation>> {
    let outcomes = read_all(manifests, options.max_bytes)?;
    let mut findings = Findings::default();
    let mut items = Vec::new();
    for (manifest, outcome) in outcomes.0.iter().enumerate() {
        report_outcome(&mut findings, manifest, outcome);
        for (index, node) in outcome.documents.iter().enumerate() {
            let origin = document_path(manifest, outcome, index);
            documents::expand(
                &mut findings,
                manifest,
                origin,
                node,
                options.field_validation,
                &mut items,
            );
        }
    }
    let (items, objects): (Vec<_>, Vec<_>) = items
        .into_iter()
        .partition(|item| item.kind == ItemKind::Pod);
    for (count, what, most, reason) in [
        (items.len(), "pods", options.max_pods, Reason::TooManyPods),
        (
            objects.len(),
            "Secrets and ConfigMaps",
            MAX_OBJECTS,
            Reason::TooManyObjects,
        ),
    ] {
        if count > most {
            let description = format!("the bundle has {count} {what}; at most {most} are allowed");
            findings.violate(|| of_bundle(reason, description));
            return Err(in_order(findings));
        }
    }
    let (objects, faulty) = objects::check(&mut findings, objects, options);
    if items.is_empty() && !findings.has_violations() {
        let description =
            "the bundle has no pod: send at least one, or remove the bundle".to_owned();
        return Err(vec![of_bundle(Reason::NoPods, description)]);
    }
    let used = Cell::new(0);
    let pods: Vec<(Pod, &Node)> = items
        .into_iter()
        .filter_map(|item| {
            let node = item.node;
            let pod = check_pod(&mut findings, item, options, &objects, &faulty, &used)?;
            Some((pod, node))
        })
        .collect();
    set::check(&mut findings, &pods);
    if findings.has_violations() {
        return Err(in_order(findings));
    }
    let mut pods: Vec<Pod> = pods.into_iter().map(|(pod, _)| pod).collect();
    pods.sort_by(|a, b| a.key().cmp(b.key()));
    let references = pods.iter().flat_map(Pod::references).collect();
    objects::warn_of_unused(&mut findings, &objects, &references);
    Ok(Checked {
        pods,
        objects,
        warnings: findings.into_parts().1,
    })
}

fn of_bundle(reason: Reason, description: String) -> Violation {
    Violation {
        field: "manifests".to_owned(),
        reason,
        description,
        position: None,
    }
}

/// Faults in the order of the input; those of the whole bundle come last.
fn in_order(findings: Findings) -> Vec<Violation> {
    let (mut violations, _) = findings.into_parts();
    let key = |position: &Option<Position>| {
        position.map_or((usize::MAX, 0, 0), |p| (p.manifest, p.line, p.column))
    };
    violations.sort_by_key(|violation| key(&violation.position));
    violations
}

fn document_path(manifest: usize, outcome: &Outcome, index: usize) -> String {
    // When the text broke off, nobody knows how many documents there are.
    if outcome.documents.len() == 1 && outcome.stop.is_none() {
        format!("manifests[{manifest}]")
    } else {
        format!("manifests[{manifest}].documents[{index}]")
    }
}

fn report_outcome(findings: &mut Findings, manifest: usize, outcome: &Outcome) {
    let field = format!("manifests[{manifest}]");
    if let Some(stop) = &outcome.stop {
        findings.violate(|| Violation {
            field: field.clone(),
            reason: stop.reason,
            description: stop.description.clone(),
            position: Some(position(manifest, stop.mark)),
        });
    } else if outcome.documents.is_empty() {
        findings.violate(|| Violation {
            field,
            reason: Reason::EmptyManifest,
            description: "the manifest holds no document: leave it out, or write a pod into it"
                .to_owned(),
            position: Some(Position {
                manifest,
                line: 1,
                column: 1,
            }),
        });
    }
    for fault in &outcome.faults {
        let prefix = document_path(manifest, outcome, fault.document);
        let path = told_path(&fault.path);
        let field = crate::field::join(&prefix, path.iter().map(OwnedSegment::as_segment));
        findings.violate(|| Violation {
            field,
            reason: fault.reason,
            description: fault.description.clone(),
            position: Some(position(manifest, fault.mark)),
        });
    }
}

/// The part of a path that may be told: what stands below a key of a Secret is its value, whatever YAML reads into it.
fn told_path(path: &[OwnedSegment]) -> &[OwnedSegment] {
    let is_key = |segment: &OwnedSegment, names: &[&str]| matches!(segment, OwnedSegment::Key(key) if names.contains(&key.as_str()));
    let mut field = 0;
    while let Some([list, OwnedSegment::Index(_)]) = path.get(field..field + 2)
        && is_key(list, &["items"])
    {
        field += 2;
    }
    match path.get(field..field + 2) {
        Some([data, key]) if is_key(data, &["data", "stringData", "binaryData"]) => {
            let may_be_told = matches!(key, OwnedSegment::Key(key) if is_data_key(key));
            &path[..field + 1 + usize::from(may_be_told)]
        }
        _ => path,
    }
}

/// Checks one pod; `None` when a wrong type or a refused name leaves nothing to go on with.
fn check_pod(
    findings: &mut Findings,
    item: Item<'_>,
    options: &Options,
    objects: &Objects,
    faulty: &BTreeSet<ObjectKey>,
    used: &Cell<u64>,
) -> Option<Pod> {
    let Item {
        manifest,
        origin,
        node,
        kind: _,
    } = item;
    let report = &mut Report {
        manifest,
        prefix: origin,
        tree: node,
        findings,
    };
    let Value::Object(mut object) = node.to_value() else {
        return None;
    };
    // An item of a PodList may leave these out.
    object.insert("apiVersion".to_owned(), Value::from("v1"));
    object.insert("kind".to_owned(), Value::from("Pod"));
    metadata::drop_server_fields(report, &mut object);
    let mut value = Value::Object(object);
    let typed = typed::decode(&value);
    report_unknown(report, &typed.unknown, options.field_validation);
    report_wrong(report, &typed.wrong);
    let pod = typed.pod?;
    metadata::check(report, &pod.metadata, &options.node);
    canonicalise(&mut value);
    let scope = Scope {
        node: &options.node,
        objects,
        faulty,
        namespace: value["metadata"]["namespace"].as_str().unwrap_or_default(),
        allow_secret_env: options.allow_secret_env,
        used,
    };
    spec::check(report, &pod.spec.unwrap_or_default(), &scope);
    let position = report.position();
    let pod = Pod::from_canonical(value, std::mem::take(&mut report.prefix), Some(position))?;
    check_size(findings, &pod);
    Some(pod)
}

fn report_unknown(report: &mut Report<'_>, fields: &[UnknownField], validation: FieldValidation) {
    for unknown in fields {
        let suggestion = unknown
            .suggestion()
            .map(|field| format!("; did you mean {field}?"))
            .unwrap_or_default();
        match validation {
            FieldValidation::Strict => {
                let description = format!("Kubernetes has no such field{suggestion}");
                report.refuse_key_owned(&unknown.path, Reason::UnknownField, description);
            }
            FieldValidation::Warn => {
                let description = format!(
                    "Kubernetes 1.37 has no such field; the kubelet ignores it{suggestion}"
                );
                report.warn_owned(&unknown.path, Reason::UnknownField, description);
            }
        }
    }
}

fn report_wrong(report: &mut Report<'_>, values: &[WrongType]) {
    for wrong in values {
        let path = wrong.path.iter().map(OwnedSegment::as_segment);
        let description = describe_wrong_type(report.tree.find(path), wrong);
        report.refuse_owned(&wrong.path, Reason::WrongType, description);
    }
}

fn describe_wrong_type(node: Option<&Node>, wrong: &WrongType) -> String {
    let Some(node) = node else {
        return format!("it must be {}", wrong.expected);
    };
    let sort = node.sort();
    match &node.kind {
        Kind::Bool(_) | Kind::Number(_) if wrong.wants_text && node.plain => {
            format!(
                "it must be a string, but without quotes YAML reads it as {sort}: put it in quotes"
            )
        }
        Kind::Bool(_) | Kind::Number(_) if wrong.wants_text => {
            format!("it must be a string, not {sort}: put it in quotes")
        }
        Kind::Number(_) if wrong.expected.starts_with("a whole number") => {
            format!(
                "it must be {}; this one is too large or has a fraction",
                wrong.expected
            )
        }
        Kind::Text(_)
            if wrong.expected.starts_with("a whole number")
                || wrong.expected.starts_with("true") =>
        {
            format!(
                "it must be {}, not a string: remove the quotes or write another value",
                wrong.expected
            )
        }
        _ => format!("it must be {}, not {sort}", wrong.expected),
    }
}

/// Makes equal what means the same: the namespace is filled in, and empty annotations go.
fn canonicalise(pod: &mut Value) {
    let Some(Value::Object(metadata)) = pod.get_mut("metadata") else {
        return;
    };
    if metadata
        .get("namespace")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        metadata.insert(
            "namespace".to_owned(),
            Value::from(stamp::DEFAULT_NAMESPACE),
        );
    }
    if let Entry::Occupied(annotations) = metadata.entry("annotations")
        && annotations
            .get()
            .as_object()
            .is_none_or(serde_json::Map::is_empty)
    {
        annotations.remove();
    }
}

fn check_size(findings: &mut Findings, pod: &Pod) {
    let compact = pod.value.to_string().len();
    let most = MAX_FILE - MAX_STAMP;
    if compact > most / MAX_INDENT_FACTOR && render::pretty(&pod.value).len() > most {
        findings.violate(|| Violation {
            field: pod.origin.clone(),
            reason: Reason::PodTooLarge,
            description: format!(
                "the pod's file would have more than the {MAX_FILE} bytes that the kubelet reads"
            ),
            position: pod.position,
        });
    }
}
