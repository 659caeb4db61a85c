//! References to objects of the API, which the kubelet refuses on static pods.
//!
//! The kubelet looks at each of these since Kubernetes 1.34 and refuses the whole pod. Before, it ran such a pod and let it
//! wait for an API server.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume, VolumeProjection};

use super::report::Report;
use crate::{NodeName, ObjectKey, Objects, Reason, field::Path};

/// What a pod may refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) node: &'a NodeName,
    /// The objects of the bundle that are right.
    pub(crate) objects: &'a Objects,
    /// Those that have faults of their own: that a key is not found there tells nothing.
    pub(crate) faulty: &'a BTreeSet<ObjectKey>,
    /// The namespace of the pod, and so of what it refers to.
    pub(crate) namespace: &'a str,
    /// Whether variables may take their values from Secrets.
    pub(crate) allow_secret_env: bool,
}

const FILES: &str = "put the files on the node and mount them with a hostPath volume";

fn refuse(report: &mut Report<'_>, path: &Path<'_>, what: &str, remedy: &str) {
    let description =
        format!("a static pod can not refer to {what}, which only an API server has: {remedy}");
    report.refuse_key(path, Reason::ApiReference, description);
}

/// Checks the pod, but for its containers.
pub(crate) fn check_pod(
    report: &mut Report<'_>,
    path: &Path<'_>,
    spec: &PodSpec,
    scope: &Scope<'_>,
) {
    let _ = scope;
    let remedy = "remove it and give the pod's client a kubeconfig by a hostPath volume";
    for (field, name) in [
        ("serviceAccountName", &spec.service_account_name),
        ("serviceAccount", &spec.service_account),
    ] {
        if name.as_deref().is_some_and(|name| !name.is_empty()) {
            refuse(report, &path.key(field), "a service account", remedy);
        }
    }
    let list = path.key("imagePullSecrets");
    for (index, _) in spec.image_pull_secrets.iter().flatten().enumerate() {
        let remedy = "configure the registry's credentials in the container runtime or in the kubelet's credential provider";
        refuse(report, &list.index(index), "a Secret", remedy);
    }
    if spec
        .resource_claims
        .as_ref()
        .is_some_and(|claims| !claims.is_empty())
    {
        refuse(
            report,
            &path.key("resourceClaims"),
            "ResourceClaims",
            "remove them",
        );
    }
    let list = path.key("volumes");
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        check_volume(report, &list.index(index), volume);
    }
}

fn check_volume(report: &mut Report<'_>, path: &Path<'_>, volume: &Volume) {
    if let Some(projected) = &volume.projected {
        let projected_path = path.key("projected");
        let list = projected_path.key("sources");
        for (index, source) in projected.sources.iter().flatten().enumerate() {
            check_projection(report, &list.index(index), source);
        }
    }
    let claim_remedy = "use a hostPath volume instead";
    for (field, is_set, what, remedy) in [
        ("secret", volume.secret.is_some(), "a Secret", FILES),
        (
            "configMap",
            volume.config_map.is_some(),
            "a ConfigMap",
            FILES,
        ),
        (
            "persistentVolumeClaim",
            volume.persistent_volume_claim.is_some(),
            "a PersistentVolumeClaim",
            claim_remedy,
        ),
        (
            "ephemeral",
            volume.ephemeral.is_some(),
            "a PersistentVolumeClaim",
            "use an emptyDir or hostPath volume instead",
        ),
        ("csi", volume.csi.is_some(), "a CSIDriver", claim_remedy),
        (
            "glusterfs",
            volume.glusterfs.is_some(),
            "Endpoints",
            claim_remedy,
        ),
        (
            "azureFile",
            volume.azure_file.is_some(),
            "a Secret",
            claim_remedy,
        ),
    ] {
        if is_set {
            refuse(report, &path.key(field), what, remedy);
        }
    }
    for (field, has_secret) in [
        (
            "cephfs",
            volume
                .cephfs
                .as_ref()
                .is_some_and(|v| v.secret_ref.is_some()),
        ),
        (
            "cinder",
            volume
                .cinder
                .as_ref()
                .is_some_and(|v| v.secret_ref.is_some()),
        ),
        (
            "flexVolume",
            volume
                .flex_volume
                .as_ref()
                .is_some_and(|v| v.secret_ref.is_some()),
        ),
        (
            "iscsi",
            volume
                .iscsi
                .as_ref()
                .is_some_and(|v| v.secret_ref.is_some()),
        ),
        (
            "rbd",
            volume.rbd.as_ref().is_some_and(|v| v.secret_ref.is_some()),
        ),
        (
            "scaleIO",
            volume
                .scale_io
                .as_ref()
                .is_some_and(|v| !v.secret_ref.name.is_empty()),
        ),
        (
            "storageos",
            volume
                .storageos
                .as_ref()
                .is_some_and(|v| v.secret_ref.is_some()),
        ),
    ] {
        if has_secret {
            refuse(
                report,
                &path.key(field).key("secretRef"),
                "a Secret",
                "use a hostPath volume instead",
            );
        }
    }
}

fn check_projection(report: &mut Report<'_>, path: &Path<'_>, source: &VolumeProjection) {
    let token_remedy =
        "put a token or a kubeconfig on the node and mount it with a hostPath volume";
    for (field, is_set, what, remedy) in [
        ("secret", source.secret.is_some(), "a Secret", FILES),
        (
            "configMap",
            source.config_map.is_some(),
            "a ConfigMap",
            FILES,
        ),
        (
            "serviceAccountToken",
            source.service_account_token.is_some(),
            "a service account",
            token_remedy,
        ),
        (
            "clusterTrustBundle",
            source.cluster_trust_bundle.is_some(),
            "a ClusterTrustBundle",
            FILES,
        ),
        (
            "podCertificate",
            source.pod_certificate.is_some(),
            "a PodCertificateRequest",
            FILES,
        ),
    ] {
        if is_set {
            refuse(report, &path.key(field), what, remedy);
        }
    }
}

/// Checks one container.
pub(crate) fn check_container(
    report: &mut Report<'_>,
    path: &Path<'_>,
    container: &Container,
    scope: &Scope<'_>,
) {
    let _ = scope;
    let literal = "write the value into `value`, or mount a file with a hostPath volume";
    let list = path.key("env");
    for (index, variable) in container.env.iter().flatten().enumerate() {
        let Some(source) = &variable.value_from else {
            continue;
        };
        let item = list.index(index);
        let path = item.key("valueFrom");
        if source.secret_key_ref.is_some() {
            refuse(report, &path.key("secretKeyRef"), "a Secret", literal);
        }
        if source.config_map_key_ref.is_some() {
            refuse(report, &path.key("configMapKeyRef"), "a ConfigMap", literal);
        }
    }
    let list = path.key("envFrom");
    for (index, source) in container.env_from.iter().flatten().enumerate() {
        let item = list.index(index);
        let remedy = "write the variables into `env`";
        if source.secret_ref.is_some() {
            refuse(report, &item.key("secretRef"), "a Secret", remedy);
        }
        if source.config_map_ref.is_some() {
            refuse(report, &item.key("configMapRef"), "a ConfigMap", remedy);
        }
        if source.secret_ref.is_none() && source.config_map_ref.is_none() {
            report.refuse(
                &item,
                Reason::MissingField,
                "a source of variables is required; a static pod can have none",
            );
        }
    }
    if container
        .resources
        .as_ref()
        .is_some_and(|r| r.claims.as_ref().is_some_and(|claims| !claims.is_empty()))
    {
        refuse(
            report,
            &path.key("resources").key("claims"),
            "ResourceClaims",
            "remove them",
        );
    }
}
