//! References to objects of the API.
//!
//! The kubelet looks at each of these since Kubernetes 1.34 and refuses the whole pod. Before, it ran such a pod and let it
//! wait for an API server. So those to Secrets and ConfigMaps must lead to objects of the bundle, which Seedpod puts in
//! their place, and all others are refused.

use std::{cell::Cell, collections::BTreeSet};

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume, VolumeProjection};

use super::report::Report;
use crate::{NodeName, ObjectKey, Objects, Reason, field::Path};

mod materials;

pub(crate) use materials::check as check_materials;

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
    /// What the files of the bundle's volumes take so far, in bytes.
    pub(crate) used: &'a Cell<u64>,
}

const FILES: &str = "put the certificates into a ConfigMap of the bundle";

fn refuse(report: &mut Report<'_>, path: &Path<'_>, what: &str, remedy: &str) {
    let description =
        format!("a static pod can not refer to {what}, which only an API server has: {remedy}");
    report.refuse_key(path, Reason::ApiReference, description);
}

/// Checks the pod, but for its containers.
pub(crate) fn check_pod(report: &mut Report<'_>, path: &Path<'_>, spec: &PodSpec) {
    let remedy =
        "remove it and give the pod's client a kubeconfig by a volume of a Secret of the bundle";
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
    let token_remedy = "put a token or a kubeconfig into a Secret of the bundle";
    for (field, is_set, what, remedy) in [
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
            "put the key and the certificates into a Secret of the bundle",
        ),
    ] {
        if is_set {
            refuse(report, &path.key(field), what, remedy);
        }
    }
}

/// Checks one container.
pub(crate) fn check_container(report: &mut Report<'_>, path: &Path<'_>, container: &Container) {
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
