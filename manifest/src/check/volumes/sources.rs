//! Volumes whose files the kubelet makes: `secret`, `configMap`, `downwardAPI` and `projected`.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Volume, VolumeProjection};

use crate::{
    Reason,
    check::{
        env::{FILE_FIELDS, check_field, check_resource_field},
        names::{in_range, required},
        report::Report,
    },
    field::Path,
    materials::{paths::clean, volumes::is_materialised},
};

const MAX_MODE: i64 = 0o777;

pub(super) fn check(
    report: &mut Report<'_>,
    path: &Path<'_>,
    volume: &Volume,
    containers: &HashSet<&str>,
) {
    if let Some(secret) = &volume.secret {
        let path = path.key("secret");
        let name = secret.secret_name.as_deref();
        required(report, &path.key("secretName"), name, "the Secret's name");
        check_defaults(report, &path, secret.default_mode, secret.default_user);
        check_items(report, &path, secret.items.as_deref());
    }
    if let Some(config_map) = &volume.config_map {
        let path = path.key("configMap");
        let name = Some(config_map.name.as_str());
        required(report, &path.key("name"), name, "the ConfigMap's name");
        check_defaults(
            report,
            &path,
            config_map.default_mode,
            config_map.default_user,
        );
        check_items(report, &path, config_map.items.as_deref());
    }
    if let Some(downward) = &volume.downward_api {
        let path = path.key("downwardAPI");
        let mode = path.key("defaultMode");
        in_range(
            report,
            &mode,
            downward.default_mode.map(i64::from),
            0,
            MAX_MODE,
        );
        let items = downward.items.as_deref();
        check_files(report, &path.key("items"), items, Some(containers));
    }
    if let Some(projected) = &volume.projected {
        let path = path.key("projected");
        // The kubelet makes one without Secrets and ConfigMaps itself, and knows what it does with a user.
        let user = projected.default_user.filter(|_| is_materialised(volume));
        check_defaults(report, &path, projected.default_mode, user);
        let list = path.key("sources");
        let mut paths = HashSet::new();
        // Of the others it is found when they are resolved.
        let containers = Some(containers).filter(|_| !is_materialised(volume));
        for (index, source) in projected.sources.iter().flatten().enumerate() {
            check_projection(report, &list.index(index), source, &mut paths, containers);
        }
    }
}

/// What a volume says of all its files.
fn check_defaults(report: &mut Report<'_>, path: &Path<'_>, mode: Option<i32>, user: Option<i64>) {
    let default_mode = path.key("defaultMode");
    in_range(report, &default_mode, mode.map(i64::from), 0, MAX_MODE);
    check_user(report, &path.key("defaultUser"), user);
}

/// Checks a file's owner, which Kubernetes 1.37 only heeds behind the feature gate `AtomicWriteVolumeUserFields`.
fn check_user(report: &mut Report<'_>, path: &Path<'_>, user: Option<i64>) {
    in_range(report, path, user, 0, i64::from(i32::MAX));
    if user.is_some_and(|user| user != 0) {
        let description = "the files belong to root, as without the feature gate AtomicWriteVolumeUserFields of \
                           Kubernetes: set fsGroup in the pod's securityContext instead";
        report.warn(path, Reason::FieldIgnored, description);
    }
}

fn check_items(report: &mut Report<'_>, path: &Path<'_>, items: Option<&[KeyToPath]>) {
    let list = path.key("items");
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let path = list.index(index);
        required(report, &path.key("key"), Some(&item.key), "the key");
        check_path(report, &path.key("path"), &item.path);
        let mode = path.key("mode");
        in_range(report, &mode, item.mode.map(i64::from), 0, MAX_MODE);
        check_user(report, &path.key("user"), item.user);
    }
}

fn check_path(report: &mut Report<'_>, path: &Path<'_>, file: &str) {
    if required(report, path, Some(file), "the path of the file")
        && let Err(description) = clean(file)
    {
        report.refuse(path, Reason::InvalidValue, description);
    }
}

fn check_projection(
    report: &mut Report<'_>,
    path: &Path<'_>,
    source: &VolumeProjection,
    paths: &mut HashSet<String>,
    containers: Option<&HashSet<&str>>,
) {
    let kinds = [
        ("secret", source.secret.is_some()),
        ("configMap", source.config_map.is_some()),
        ("downwardAPI", source.downward_api.is_some()),
        (
            "serviceAccountToken",
            source.service_account_token.is_some(),
        ),
        ("clusterTrustBundle", source.cluster_trust_bundle.is_some()),
        ("podCertificate", source.pod_certificate.is_some()),
    ];
    let mut given = kinds.into_iter().filter(|(_, is_given)| *is_given);
    if given.next().is_none() {
        let description = "a source is required: secret, configMap or downwardAPI";
        report.refuse(path, Reason::MissingField, description);
    }
    for (field, _) in given {
        let description = "a source is of one kind only: make it a source of its own";
        report.refuse_key(&path.key(field), Reason::ConflictingFields, description);
    }
    for (field, name, items) in [
        (
            "secret",
            source.secret.as_ref().map(|it| &it.name),
            source.secret.as_ref().and_then(|it| it.items.as_deref()),
        ),
        (
            "configMap",
            source.config_map.as_ref().map(|it| &it.name),
            source
                .config_map
                .as_ref()
                .and_then(|it| it.items.as_deref()),
        ),
    ] {
        let Some(name) = name else { continue };
        let path = path.key(field);
        required(report, &path.key("name"), Some(name), "the object's name");
        check_items(report, &path, items);
        let files = items.unwrap_or_default().iter().map(|item| &item.path);
        check_repeated(report, &path.key("items"), files, paths);
    }
    if let Some(downward) = &source.downward_api {
        let path = path.key("downwardAPI");
        let items = downward.items.as_deref();
        check_files(report, &path.key("items"), items, containers);
        let files = items.unwrap_or_default().iter().map(|item| &item.path);
        check_repeated(report, &path.key("items"), files, paths);
    }
}

/// Refuses paths that another file of the volume has.
fn check_repeated<'f>(
    report: &mut Report<'_>,
    list: &Path<'_>,
    files: impl Iterator<Item = &'f String>,
    paths: &mut HashSet<String>,
) {
    for (index, file) in files.enumerate() {
        if let Ok(file) = clean(file)
            && !paths.insert(file)
        {
            let item = list.index(index);
            let description = "another file of the volume has this path";
            report.refuse(&item.key("path"), Reason::DuplicateName, description);
        }
    }
}

/// Checks what the downward API gives; with the containers' names also that these are there, without which the kubelet
/// does not start the pod.
fn check_files(
    report: &mut Report<'_>,
    list: &Path<'_>,
    files: Option<&[DownwardAPIVolumeFile]>,
    containers: Option<&HashSet<&str>>,
) {
    for (index, file) in files.unwrap_or_default().iter().enumerate() {
        let path = list.index(index);
        check_path(report, &path.key("path"), &file.path);
        let mode = path.key("mode");
        in_range(report, &mode, file.mode.map(i64::from), 0, MAX_MODE);
        match (&file.field_ref, &file.resource_field_ref) {
            (None, None) => {
                report.refuse(
                    &path,
                    Reason::MissingField,
                    "one of fieldRef and resourceFieldRef is required",
                );
            }
            (Some(_), Some(_)) => {
                let description = "fieldRef and resourceFieldRef can not both be given";
                report.refuse_key(
                    &path.key("resourceFieldRef"),
                    Reason::ConflictingFields,
                    description,
                );
            }
            (Some(field), None) => check_field(report, &path.key("fieldRef"), field, &FILE_FIELDS),
            (None, Some(field)) => {
                let path = path.key("resourceFieldRef");
                check_resource_field(report, &path, field, true);
                let name = field.container_name.as_deref().unwrap_or_default();
                if !name.is_empty() && containers.is_some_and(|names| !names.contains(name)) {
                    let description = "the pod has no container of this name";
                    report.refuse(
                        &path.key("containerName"),
                        Reason::InvalidValue,
                        description,
                    );
                }
            }
        }
    }
}
