//! A set of objects to apply, in the order in which it is done.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use seedpod_manifest::{ClusterObject, Violation, read_cluster_objects};
use serde_json::{Value, json};

use crate::handoff::ObjectReference;

/// Objects of any kind. Nothing of their content is ever printed, and it is wiped when they are dropped.
#[derive(Clone)]
pub(crate) struct Objects(Vec<Object>);

/// One object.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) reference: ObjectReference,
    pub(super) rank: Rank,
    document: ClusterObject,
}

/// When an object's turn comes. Those of one rank stay in the order of the manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Namespace,
    /// What comes later may be of the kind that it defines.
    Definition,
    /// What other objects refer to, and what says who may do what.
    Used,
    Other,
    /// It has the API server ask a pod, which should be there first.
    Webhook,
}

/// Why manifests are no objects: each fault with its field, as `manifests[0].documents[2].metadata.name`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", First(.0))]
pub(crate) struct ManifestError(pub(crate) Vec<Violation>);

struct First<'a>(&'a [Violation]);

impl fmt::Display for First<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("the manifests were refused"),
            [first] => write!(f, "{}: {}", first.field, first.description),
            [first, others @ ..] => write!(
                f,
                "{}: {} (and {} more faults)",
                first.field,
                first.description,
                others.len()
            ),
        }
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|object| &object.reference))
            .finish()
    }
}

impl Objects {
    /// Reads YAML or JSON, one or several documents each, with lists flattened.
    pub(crate) fn parse<S: AsRef<str>>(
        manifests: &[S],
        max_bytes: usize,
    ) -> Result<Self, ManifestError> {
        let documents = read_cluster_objects(manifests, max_bytes).map_err(ManifestError)?;
        let mut objects: Vec<_> = documents.into_iter().map(Object::new).collect();
        objects.sort_by_key(|object| object.rank);
        Ok(Self(objects))
    }

    /// What they are, in the order in which they are applied. The namespace is as it was written.
    #[cfg(test)]
    pub(crate) fn references(&self) -> impl Iterator<Item = &ObjectReference> {
        self.0.iter().map(|object| &object.reference)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The group that the processes of the workload's pods have which has these labels on its pods, if it says so.
    pub(crate) fn group_of(&self, selector: &BTreeMap<String, String>) -> Option<u32> {
        self.0.iter().find_map(|object| {
            let template = object.document.value.get("spec")?.get("template")?;
            let labels = template.get("metadata")?.get("labels")?;
            let has = |(key, value): (&String, &String)| labels.get(key) == Some(&json!(value));
            selector.iter().all(has).then_some(())?;
            group_of_pod(template.get("spec")?)
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Object> {
        self.0.iter()
    }

    pub(super) fn into_vec(self) -> Vec<Object> {
        self.0
    }

    /// The names of the namespaces in the set.
    pub(super) fn namespaces(&self) -> BTreeSet<String> {
        let namespaces = self.0.iter().filter(|it| it.rank == Rank::Namespace);
        namespaces.map(|it| it.reference.name.clone()).collect()
    }

    /// Group and kind of what the CustomResourceDefinitions of the set define.
    pub(super) fn defined(&self) -> BTreeSet<(String, String)> {
        let definitions = self.0.iter().filter(|it| it.rank == Rank::Definition);
        definitions
            .filter_map(|it| {
                let spec = it.document.value.get("spec")?;
                let group = spec.get("group")?.as_str()?;
                let kind = spec.get("names")?.get("kind")?.as_str()?;
                Some((group.to_owned(), kind.to_owned()))
            })
            .collect()
    }
}

impl Object {
    fn new(document: ClusterObject) -> Self {
        let group = group(&document.api_version);
        Self {
            reference: ObjectReference {
                api_version: document.api_version.clone(),
                kind: document.kind.clone(),
                namespace: document.namespace.clone(),
                name: document.name.clone(),
            },
            rank: rank(group, &document.kind),
            document,
        }
    }

    /// Where it stands in the request.
    pub(super) fn field(&self) -> &str {
        &self.document.field
    }

    /// Whether its values are never to be shown, whoever quotes them.
    pub(super) fn is_secret(&self) -> bool {
        self.reference.kind == "Secret" && group(&self.reference.api_version).is_empty()
    }

    /// Its JSON.
    pub(super) fn to_json(&self) -> String {
        Value::Object(self.document.value.clone()).to_string()
    }
}

/// The group that the processes of a pod have, if its spec says so: for the first container, and else for all.
pub(crate) fn group_of_pod(spec: &Value) -> Option<u32> {
    let of_container = spec.get("containers").and_then(|it| it.get(0));
    let mut places = [of_container, Some(spec)].into_iter().flatten();
    let group = places.find_map(|it| it.get("securityContext")?.get("runAsGroup")?.as_u64());
    u32::try_from(group?).ok()
}

/// The group of an apiVersion; empty for the core group.
pub(super) fn group(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

fn rank(group: &str, kind: &str) -> Rank {
    match (group, kind) {
        ("", "Namespace") => Rank::Namespace,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Rank::Definition,
        ("", "ServiceAccount" | "Secret" | "ConfigMap" | "LimitRange" | "ResourceQuota")
        | ("rbac.authorization.k8s.io", _)
        | ("scheduling.k8s.io", "PriorityClass")
        | ("node.k8s.io", "RuntimeClass")
        | ("storage.k8s.io", "StorageClass" | "CSIDriver") => Rank::Used,
        ("admissionregistration.k8s.io", kind) if kind.ends_with("WebhookConfiguration") => {
            Rank::Webhook
        }
        _ => Rank::Other,
    }
}
