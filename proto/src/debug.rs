//! `Debug` of the messages that may hold what is secret: without their manifests.

use std::fmt;

use crate::{
    cri::ContainerStatusResponse,
    v1::{
        ApplyObjectsRequest, ConfigureKubeletRequest, InjectPodsRequest, Revision,
        StartHandoffRequest,
    },
};

/// How many texts, in place of the texts.
fn hidden(manifests: &[String]) -> String {
    let bytes: usize = manifests.iter().map(String::len).sum();
    format!("{} of {bytes} bytes", manifests.len())
}

impl fmt::Debug for InjectPodsRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bundle,
            manifests,
            validate_only,
            request_id,
            expected_revision,
            field_validation,
            trial,
            allow_secret_env,
        } = self;
        f.debug_struct("InjectPodsRequest")
            .field("bundle", bundle)
            .field("manifests", &format_args!("{}", hidden(manifests)))
            .field("validate_only", validate_only)
            .field("request_id", request_id)
            .field("expected_revision", expected_revision)
            .field("field_validation", field_validation)
            .field("trial", trial)
            .field("allow_secret_env", allow_secret_env)
            .finish()
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bundle,
            revision,
            digest,
            create_time,
            origin,
            source_revision,
            reason,
            active,
            good,
            trial,
            pods,
            manifests,
            objects,
            object_manifests,
        } = self;
        f.debug_struct("Revision")
            .field("bundle", bundle)
            .field("revision", revision)
            .field("digest", digest)
            .field("create_time", create_time)
            .field("origin", origin)
            .field("source_revision", source_revision)
            .field("reason", reason)
            .field("active", active)
            .field("good", good)
            .field("trial", trial)
            .field("pods", pods)
            .field("manifests", &format_args!("{}", hidden(manifests)))
            .field("objects", objects)
            .field(
                "object_manifests",
                &format_args!("{}", hidden(object_manifests)),
            )
            .finish()
    }
}

impl fmt::Debug for ApplyObjectsRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            manifests,
            kubeconfig: _,
            timeout,
            validate_only,
        } = self;
        f.debug_struct("ApplyObjectsRequest")
            .field("manifests", &format_args!("{}", hidden(manifests)))
            .field("timeout", timeout)
            .field("validate_only", validate_only)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for StartHandoffRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bundle,
            manifests,
            kubeconfig: _,
            components,
            node_labels,
            deadlines,
            stable_for,
            request_id,
            validate_only,
        } = self;
        f.debug_struct("StartHandoffRequest")
            .field("bundle", bundle)
            .field("manifests", &format_args!("{}", hidden(manifests)))
            .field("components", components)
            .field("node_labels", node_labels)
            .field("deadlines", deadlines)
            .field("stable_for", stable_for)
            .field("request_id", request_id)
            .field("validate_only", validate_only)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ContainerStatusResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The information has the container's environment.
        let Self { status, info: _ } = self;
        f.debug_struct("ContainerStatusResponse")
            .field("status", status)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ConfigureKubeletRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kubeconfig,
            bootstrap_kubeconfig,
            client_ca,
            validate_only,
            restart_unsynced,
        } = self;
        f.debug_struct("ConfigureKubeletRequest")
            .field("kubeconfig", &kubeconfig.as_ref().map(String::len))
            .field(
                "bootstrap_kubeconfig",
                &bootstrap_kubeconfig.as_ref().map(String::len),
            )
            .field("client_ca", client_ca)
            .field("validate_only", validate_only)
            .field("restart_unsynced", restart_unsynced)
            .finish()
    }
}
