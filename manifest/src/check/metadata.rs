//! The pod's metadata.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};

use super::{
    names::{dns_label, dns_subdomain, is_label_value, is_qualified_name},
    report::Report,
};
use crate::{
    NodeName, Reason,
    field::{Path, shorten},
    name::is_dns_subdomain,
    stamp::{self, ANNOTATION_DOMAIN, WAVE},
};

/// Names of Linux files and directories.
const MAX_FILE_NAME: usize = 255;
const MAX_NAME: usize = 253;
const UID_LENGTH: usize = 36;
/// What the annotations of one object may hold, keys and values together.
const MAX_ANNOTATIONS: usize = 256 << 10;

/// Set by the kubelet on each static pod, whatever the file says.
const KUBELET_ANNOTATIONS: [&str; 3] = [
    "kubernetes.io/config.hash",
    "kubernetes.io/config.seen",
    "kubernetes.io/config.source",
];
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// What `kubectl apply` keeps of an object: all of it, with its data.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Fields of `metadata` that an API server writes.
const SERVER_FIELDS: [&str; 10] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Takes away what only a server or the kubelet writes, with a warning where it said something.
pub(crate) fn drop_server_fields(report: &mut Report<'_>, pod: &mut Map<String, Value>) {
    let root = Path::ROOT;
    if let Some(status) = pod.remove("status")
        && !is_empty(&status)
    {
        report.warn(
            &root.key("status"),
            Reason::FieldDropped,
            "the kubelet writes the status; it was left out",
        );
    }
    let Some(Value::Object(metadata)) = pod.get_mut("metadata") else {
        return;
    };
    let path = root.key("metadata");
    for field in SERVER_FIELDS {
        if let Some(value) = metadata.remove(field)
            && !is_empty(&value)
        {
            let description =
                "only an API server writes it, and it means nothing on a node; it was left out";
            report.warn(&path.key(field), Reason::FieldDropped, description);
        }
    }
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        let path = path.key("annotations");
        for key in KUBELET_ANNOTATIONS {
            if annotations.remove(key).is_some() {
                report.warn(
                    &path.key(key),
                    Reason::FieldDropped,
                    "the kubelet sets it; it was left out",
                );
            }
        }
    }
}

/// As [`drop_server_fields`], for a Secret or ConfigMap: the data must not stand in an annotation too, which is shown.
pub(crate) fn drop_server_fields_of_object(
    report: &mut Report<'_>,
    object: &mut Map<String, Value>,
) {
    drop_server_fields(report, object);
    let annotations = object
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("annotations"))
        .and_then(Value::as_object_mut);
    if annotations.is_some_and(|annotations| annotations.remove(LAST_APPLIED).is_some()) {
        let metadata = Path::ROOT.key("metadata");
        let annotations = metadata.key("annotations");
        report.warn(
            &annotations.key(LAST_APPLIED),
            Reason::FieldDropped,
            "it repeats the object's data, and only kubectl reads it; it was left out",
        );
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(object) => object.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// Checks the metadata of a static pod on this node.
pub(crate) fn check(report: &mut Report<'_>, metadata: &ObjectMeta, node: &NodeName) {
    let root = Path::ROOT;
    let path = root.key("metadata");
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    if !namespace.is_empty() {
        dns_label(report, &path.key("namespace"), namespace);
    }
    let name = metadata.name.as_deref().unwrap_or_default();
    if metadata
        .generate_name
        .as_deref()
        .is_some_and(|name| !name.is_empty())
    {
        let description = "a static pod has no generated name: set metadata.name instead";
        report.refuse_key(
            &path.key("generateName"),
            Reason::ForbiddenField,
            description,
        );
    } else if name.is_empty() {
        report.refuse(
            &path.key("name"),
            Reason::MissingField,
            "a name is required",
        );
    }
    if !name.is_empty() {
        check_name(report, &path.key("name"), namespace, name, node);
    }
    check_labels(report, &path, metadata);
    check_annotations(report, &path.key("annotations"), metadata);
}

/// Checks the metadata of a Secret or ConfigMap.
pub(crate) fn check_object(report: &mut Report<'_>, metadata: &ObjectMeta) {
    let root = Path::ROOT;
    let path = root.key("metadata");
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    if !namespace.is_empty() {
        dns_label(report, &path.key("namespace"), namespace);
    }
    let name = metadata.name.as_deref().unwrap_or_default();
    if metadata
        .generate_name
        .as_deref()
        .is_some_and(|name| !name.is_empty())
    {
        let description =
            "pods refer to an object by its name, so none is generated: set metadata.name instead";
        report.refuse_key(
            &path.key("generateName"),
            Reason::ForbiddenField,
            description,
        );
    } else if name.is_empty() {
        report.refuse(
            &path.key("name"),
            Reason::MissingField,
            "a name is required",
        );
    }
    if !name.is_empty() {
        dns_subdomain(report, &path.key("name"), name);
    }
    check_labels(report, &path, metadata);
    let list = path.key("annotations");
    if metadata
        .annotations
        .as_ref()
        .is_some_and(|it| it.contains_key(WAVE))
    {
        let description =
            "only pods have a wave; what they refer to is there before them: remove the annotation";
        report.refuse_key(&list.key(WAVE), Reason::ReservedAnnotation, description);
    } else {
        check_annotations(report, &list, metadata);
    }
}

fn check_labels(report: &mut Report<'_>, path: &Path<'_>, metadata: &ObjectMeta) {
    for (key, value) in metadata.labels.iter().flatten() {
        let path = path.key("labels");
        check_key(report, &path.key(key), key);
        if !is_label_value(value) {
            let description = "the value of a label must be at most 63 letters, digits, \"-\", \"_\" or \".\", \
                               and begin and end with a letter or digit";
            report.refuse(&path.key(key), Reason::InvalidValue, description);
        }
    }
}

fn check_name(
    report: &mut Report<'_>,
    path: &Path<'_>,
    namespace: &str,
    name: &str,
    node: &NodeName,
) {
    let suffixed = name.len() + 1 + node.as_str().len();
    let namespace = if namespace.is_empty() {
        stamp::DEFAULT_NAMESPACE
    } else {
        namespace
    };
    let log_directory = namespace.len() + 1 + suffixed + 1 + UID_LENGTH;
    if suffixed > MAX_NAME {
        let description = format!(
            "the kubelet appends \"-{node}\", and the name would have {suffixed} characters; at most {MAX_NAME} are \
             allowed: shorten it by {}",
            suffixed - MAX_NAME
        );
        report.refuse(path, Reason::NameTooLong, description);
    } else if !is_dns_subdomain(name) {
        let description = format!(
            "\"{}\" is no valid name: it must be lower-case letters, digits, \"-\" or \".\", each part beginning and \
             ending with a letter or digit",
            shorten(name)
        );
        report.refuse(path, Reason::InvalidName, description);
    } else if log_directory > MAX_FILE_NAME {
        let description = format!(
            "the pod's log directory would be called <namespace>_<name>-{node}_<uid>, with {log_directory} characters; \
             a file name has at most {MAX_FILE_NAME}: shorten the name by {}",
            log_directory - MAX_FILE_NAME
        );
        report.refuse(path, Reason::NameTooLong, description);
    }
}

fn check_key(report: &mut Report<'_>, path: &Path<'_>, key: &str) {
    if !is_qualified_name(key) {
        let description = "the key must be a name of at most 63 letters, digits, \"-\", \"_\" or \".\", \
                           with or without a domain and \"/\" before it";
        report.refuse_key(path, Reason::InvalidKey, description);
    }
}

fn check_annotations(report: &mut Report<'_>, path: &Path<'_>, metadata: &ObjectMeta) {
    let mut size = 0;
    for (key, value) in metadata.annotations.iter().flatten() {
        let path = path.key(key);
        size += key.len() + value.len();
        check_key(report, &path, &key.to_lowercase());
        if key == MIRROR_ANNOTATION {
            let description = "the kubelet takes a pod with this annotation for the mirror of another and does not \
                               run it: remove the annotation";
            report.refuse_key(&path, Reason::ReservedAnnotation, description);
        } else if key == WAVE {
            if value.parse::<u16>().is_err() {
                report.refuse(
                    &path,
                    Reason::InvalidValue,
                    "a wave is a whole number from 0 to 65535 in quotes, such as \"1\"",
                );
            }
        } else if key
            .strip_prefix(ANNOTATION_DOMAIN)
            .is_some_and(|rest| rest.starts_with('/'))
        {
            let description =
                format!("only Seedpod sets annotations of {ANNOTATION_DOMAIN}: remove it");
            report.refuse_key(&path, Reason::ReservedAnnotation, description);
        }
    }
    if size > MAX_ANNOTATIONS {
        let description =
            format!("the annotations have {size} bytes; at most {MAX_ANNOTATIONS} are allowed");
        report.refuse(path, Reason::InvalidValue, description);
    }
}
