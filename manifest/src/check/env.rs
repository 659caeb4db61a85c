//! Environment variables. No sentence here repeats a value, which may be secret.

use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, FileKeySelector, ObjectFieldSelector, PodSpec,
    ResourceFieldSelector,
};

use super::{
    containers::file_below_volume,
    names::{dns_subdomain, is_qualified_name, required},
    report::Report,
    volumes,
};
use crate::{
    Reason,
    field::{Path, shorten},
    name::is_data_key,
    quantity::Quantity,
};

/// Fields of the pod that a variable can have.
const VARIABLE_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields of the pod that a file can have.
pub(crate) const FILE_FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];

/// Checks the variables of a container.
pub(crate) fn check(
    report: &mut Report<'_>,
    path: &Path<'_>,
    container: &Container,
    spec: &PodSpec,
) {
    let list = path.key("env");
    for (index, variable) in container.env.iter().flatten().enumerate() {
        check_variable(report, &list.index(index), variable, spec);
    }
    let list = path.key("envFrom");
    for (index, source) in container.env_from.iter().flatten().enumerate() {
        let path = list.index(index);
        if let Some(prefix) = source.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
            check_name(report, &path.key("prefix"), prefix);
        }
        if let Some(source) = &source.config_map_ref {
            let path = path.key("configMapRef");
            check_object_name(report, &path.key("name"), &source.name, source.optional);
        }
        if let Some(secret) = &source.secret_ref {
            let path = path.key("secretRef");
            check_object_name(report, &path.key("name"), &secret.name, secret.optional);
            if source.config_map_ref.is_some() {
                let description = "an item has one source only: make it an item of its own";
                report.refuse_key(&path, Reason::ConflictingFields, description);
            }
        } else if source.config_map_ref.is_none() {
            let description = "one of configMapRef and secretRef is required";
            report.refuse(&path, Reason::MissingField, description);
        }
    }
}

/// Checks the name of an object. That one with a wrong name is not there is told anyhow, unless it is optional.
fn check_object_name(report: &mut Report<'_>, path: &Path<'_>, name: &str, optional: Option<bool>) {
    if required(report, path, Some(name), "the object's name") && optional == Some(true) {
        dns_subdomain(report, path, name);
    }
}

/// Checks a reference to a key of an object.
fn check_key(
    report: &mut Report<'_>,
    path: &Path<'_>,
    name: &str,
    key: &str,
    optional: Option<bool>,
) {
    check_object_name(report, &path.key("name"), name, optional);
    let path = path.key("key");
    let is_given = required(report, &path, Some(key), "the key");
    if is_given && optional == Some(true) && !is_data_key(key) {
        let description = format!(
            "\"{}\" can be no key of a Secret or ConfigMap: these have letters, digits, \"-\", \"_\" and \".\" only, at \
             most 253",
            shorten(key)
        );
        report.refuse(&path, Reason::InvalidValue, description);
    }
}

fn check_variable(report: &mut Report<'_>, path: &Path<'_>, variable: &EnvVar, spec: &PodSpec) {
    if required(
        report,
        &path.key("name"),
        Some(&variable.name),
        "the variable's name",
    ) {
        check_name(report, &path.key("name"), &variable.name);
    }
    let Some(source) = &variable.value_from else {
        return;
    };
    let source_path = path.key("valueFrom");
    match sources(source) {
        0 => {
            let description = "one of configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef or fileKeyRef is required";
            report.refuse(&source_path, Reason::MissingField, description);
        }
        1 if variable
            .value
            .as_deref()
            .is_some_and(|value| !value.is_empty()) =>
        {
            let description = "a variable can not have both `value` and `valueFrom`: remove one";
            report.refuse(&source_path, Reason::ConflictingFields, description);
        }
        1 => {}
        _ => {
            let description = "a variable has one source only: remove the others";
            report.refuse(&source_path, Reason::ConflictingFields, description);
        }
    }
    if let Some(reference) = &source.config_map_key_ref {
        let path = source_path.key("configMapKeyRef");
        check_key(
            report,
            &path,
            &reference.name,
            &reference.key,
            reference.optional,
        );
    }
    if let Some(reference) = &source.secret_key_ref {
        let path = source_path.key("secretKeyRef");
        check_key(
            report,
            &path,
            &reference.name,
            &reference.key,
            reference.optional,
        );
    }
    if let Some(field) = &source.field_ref {
        check_field(
            report,
            &source_path.key("fieldRef"),
            field,
            &VARIABLE_FIELDS,
        );
    }
    if let Some(field) = &source.resource_field_ref {
        check_resource_field(report, &source_path.key("resourceFieldRef"), field, false);
    }
    if let Some(file) = &source.file_key_ref {
        check_file(report, &source_path.key("fileKeyRef"), file, spec);
    }
}

fn sources(source: &EnvVarSource) -> usize {
    [
        source.config_map_key_ref.is_some(),
        source.field_ref.is_some(),
        source.file_key_ref.is_some(),
        source.resource_field_ref.is_some(),
        source.secret_key_ref.is_some(),
    ]
    .into_iter()
    .filter(|is_set| *is_set)
    .count()
}

/// Any printable ASCII but `=`, as Kubernetes has it since names need not be C identifiers.
fn check_name(report: &mut Report<'_>, path: &Path<'_>, name: &str) {
    if !name
        .bytes()
        .all(|b| (b' '..=b'~').contains(&b) && b != b'=')
    {
        let description = format!(
            "\"{}\" is no valid name of a variable: use printable ASCII characters without \"=\"",
            shorten(name)
        );
        report.refuse(path, Reason::InvalidName, description);
    }
}

/// Checks a reference to a field of the pod.
pub(crate) fn check_field(
    report: &mut Report<'_>,
    path: &Path<'_>,
    field: &ObjectFieldSelector,
    allowed: &[&str],
) {
    let version = field.api_version.as_deref().unwrap_or_default();
    if !matches!(version, "" | "v1") {
        report.refuse(
            &path.key("apiVersion"),
            Reason::InvalidValue,
            "the only apiVersion here is v1",
        );
        return;
    }
    let name = field.field_path.as_str();
    let path = path.key("fieldPath");
    if !required(report, &path, Some(name), "the path of a field of the pod") {
        return;
    }
    let subscript = name
        .strip_suffix("']")
        .and_then(|name| name.split_once("['"));
    let is_valid = match subscript {
        Some(("metadata.annotations", key)) => is_qualified_name(&key.to_lowercase()),
        Some(("metadata.labels", key)) => is_qualified_name(key),
        Some(_) => false,
        // The older name of spec.nodeName.
        None => {
            allowed.contains(&name) || (name == "spec.host" && allowed.contains(&"spec.nodeName"))
        }
    };
    if !is_valid {
        let description = format!(
            "\"{}\" is not one of {}, metadata.labels['<key>'], metadata.annotations['<key>']",
            shorten(name),
            allowed.join(", ")
        );
        report.refuse(&path, Reason::InvalidValue, description);
    }
}

/// Checks a reference to a container's resource.
pub(crate) fn check_resource_field(
    report: &mut Report<'_>,
    path: &Path<'_>,
    field: &ResourceFieldSelector,
    needs_container: bool,
) {
    if needs_container
        && !required(
            report,
            &path.key("containerName"),
            field.container_name.as_deref(),
            "the container",
        )
    {
        return;
    }
    let resource = field.resource.as_str();
    if !required(
        report,
        &path.key("resource"),
        Some(resource),
        "the resource",
    ) {
        return;
    }
    let name = resource
        .strip_prefix("limits.")
        .or_else(|| resource.strip_prefix("requests."));
    let divisors: &[&str] = match name {
        Some("cpu") => &["1m", "1"],
        Some("memory" | "ephemeral-storage") => &[
            "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei",
        ],
        Some(name) if name.starts_with("hugepages-") => &[
            "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei",
        ],
        _ => {
            let description = "it is not one of limits.cpu, limits.memory, limits.ephemeral-storage, limits.hugepages-*, \
                               or the same with requests";
            report.refuse(&path.key("resource"), Reason::InvalidValue, description);
            return;
        }
    };
    if let Some(divisor) = &field.divisor {
        let equals = |text: &str| match (Quantity::parse(&divisor.0), Quantity::parse(text)) {
            (Some(given), Some(allowed)) => given
                .compare(&allowed)
                .is_some_and(std::cmp::Ordering::is_eq),
            _ => false,
        };
        // A divisor of 0 stands for the default.
        if !equals("0") && !divisors.iter().any(|divisor| equals(divisor)) {
            let description = format!("it is not one of {}", divisors.join(", "));
            report.refuse(&path.key("divisor"), Reason::InvalidValue, description);
        }
    }
}

fn check_file(report: &mut Report<'_>, path: &Path<'_>, file: &FileKeySelector, spec: &PodSpec) {
    if required(
        report,
        &path.key("key"),
        Some(&file.key),
        "the key in the file",
    ) {
        check_name(report, &path.key("key"), &file.key);
    }
    file_below_volume(report, &path.key("path"), &file.path);
    let name = path.key("volumeName");
    if !required(report, &name, Some(&file.volume_name), "the volume") {
        return;
    }
    let mut named = spec
        .volumes
        .iter()
        .flatten()
        .filter(|volume| volume.name == file.volume_name)
        .peekable();
    if named.peek().is_none() {
        report.refuse(
            &name,
            Reason::UnknownVolume,
            "the pod has no volume of this name",
        );
    } else if !named.any(volumes::is_empty_dir) {
        report.refuse(
            &name,
            Reason::InvalidValue,
            "the volume must be an emptyDir",
        );
    }
}
