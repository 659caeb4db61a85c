//! From documents to pods, Secrets and ConfigMaps: kinds and lists.

use super::report::{Findings, Report};
use crate::{
    FieldValidation, ObjectKind, Reason,
    decode::tree::{Kind, Node},
    field::{Path, shorten},
};

/// A pod, Secret or ConfigMap as it stands in a manifest.
pub(crate) struct Item<'n> {
    pub(crate) manifest: usize,
    pub(crate) origin: String,
    pub(crate) node: &'n Node,
    pub(crate) kind: ItemKind,
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemKind {
    Pod,
    Object(ObjectKind),
}

/// The kinds that a bundle takes. All of them are of `v1`.
const KINDS: [&str; 7] = [
    "Pod",
    "Secret",
    "ConfigMap",
    "List",
    "PodList",
    "SecretList",
    "ConfigMapList",
];

/// Finds the pods, Secrets and ConfigMaps of a document, also in lists.
pub(crate) fn expand<'n>(
    findings: &mut Findings,
    manifest: usize,
    origin: String,
    node: &'n Node,
    validation: FieldValidation,
    items: &mut Vec<Item<'n>>,
) {
    expand_as(
        findings,
        Item {
            manifest,
            origin,
            node,
            kind: ItemKind::Pod,
        },
        None,
        validation,
        items,
    );
}

/// `implied` is the kind of an item that names none, as in a PodList.
fn expand_as<'n>(
    findings: &mut Findings,
    item: Item<'n>,
    implied: Option<&'static str>,
    validation: FieldValidation,
    items: &mut Vec<Item<'n>>,
) {
    let report = &mut Report {
        manifest: item.manifest,
        prefix: item.origin.clone(),
        tree: item.node,
        findings,
    };
    let Some(kind) = read_kind(report, implied) else {
        return;
    };
    let single = match kind {
        "Pod" => Some(ItemKind::Pod),
        "Secret" => Some(ItemKind::Object(ObjectKind::Secret)),
        "ConfigMap" => Some(ItemKind::Object(ObjectKind::ConfigMap)),
        _ => None,
    };
    if let Some(kind) = single {
        items.push(Item { kind, ..item });
        return;
    }
    let item_kind = match kind {
        "PodList" => Some("Pod"),
        "SecretList" => Some("Secret"),
        "ConfigMapList" => Some("ConfigMap"),
        _ => None,
    };
    let root = Path::ROOT;
    if let Kind::Map(entries) = &item.node.kind
        && validation == FieldValidation::Strict
    {
        for entry in entries {
            if !matches!(
                entry.key.as_str(),
                "apiVersion" | "kind" | "metadata" | "items"
            ) {
                report.refuse_key(
                    &root.key(&entry.key),
                    Reason::UnknownField,
                    format!("a {kind} has no such field"),
                );
            }
        }
    }
    match item.node.get("items").map(|items| &items.kind) {
        None | Some(Kind::Null) => {}
        Some(Kind::List(nodes)) => {
            for (index, node) in nodes.iter().enumerate() {
                let origin = format!("{}.items[{index}]", item.origin);
                let nested = Item {
                    manifest: item.manifest,
                    origin,
                    node,
                    kind: ItemKind::Pod,
                };
                expand_as(findings, nested, item_kind, validation, items);
            }
        }
        Some(_) => report.refuse(&root.key("items"), Reason::WrongType, "it must be a list"),
    }
}

/// Reads `apiVersion` and `kind`; `None` when it is nothing that a bundle can have.
fn read_kind<'n>(report: &mut Report<'n>, implied: Option<&'n str>) -> Option<&'n str> {
    let root = Path::ROOT;
    if !report.is_object() {
        return None;
    }
    let kind = read_text(report, "kind", implied)?;
    let version = read_text(report, "apiVersion", implied.map(|_| "v1"))?;
    let workloads = [
        "Deployment",
        "DaemonSet",
        "StatefulSet",
        "ReplicaSet",
        "ReplicationController",
        "Job",
        "CronJob",
    ];
    let description = if KINDS.contains(&kind) {
        if version == "v1" {
            return Some(kind);
        }
        let description = format!(
            "the apiVersion of a {kind} is v1, not \"{}\"",
            shorten(version)
        );
        report.refuse(
            &root.key("apiVersion"),
            Reason::UnsupportedKind,
            description,
        );
        return None;
    } else if workloads.contains(&kind) {
        format!("the kubelet runs no {kind}: write the pod of its template as a Pod of its own")
    } else {
        let near = KINDS
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(kind));
        let remedy = near.map_or_else(
            || "leave it out".to_owned(),
            |known| format!("did you mean {known}?"),
        );
        format!(
            "a bundle takes Pods, Secrets, ConfigMaps, and Lists of them, but no \"{}\": {remedy}",
            shorten(kind)
        )
    };
    report.refuse(&root.key("kind"), Reason::UnsupportedKind, description);
    None
}

fn read_text<'n>(
    report: &mut Report<'n>,
    field: &str,
    implied: Option<&'n str>,
) -> Option<&'n str> {
    let tree = report.tree;
    let missing = || {
        let own = pods_own(field);
        format!("each document names its {field}; that of a pod is {own}")
    };
    report.text(tree, &Path::ROOT, field, implied, missing)
}

fn pods_own(field: &str) -> &'static str {
    if field == "kind" { "Pod" } else { "v1" }
}
