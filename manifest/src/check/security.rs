//! Security contexts.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{
    AppArmorProfile, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext,
};

use super::{
    names::{descending_path, in_range, one_of, one_of_strictly, required},
    report::Report,
    spec::is_repeated,
};
use crate::{Reason, field::Path};

/// User and group ids fit 31 bits.
const MAX_ID: i64 = i32::MAX as i64;

/// Checks the security context of the pod.
pub(crate) fn check_pod(report: &mut Report<'_>, path: &Path<'_>, spec: &PodSpec) {
    let Some(context) = &spec.security_context else {
        return;
    };
    let path = &path.key("securityContext");
    for (field, id) in [
        ("fsGroup", context.fs_group),
        ("runAsUser", context.run_as_user),
        ("runAsGroup", context.run_as_group),
    ] {
        in_range(report, &path.key(field), id, 0, MAX_ID);
    }
    let list = path.key("supplementalGroups");
    for (index, id) in context.supplemental_groups.iter().flatten().enumerate() {
        in_range(report, &list.index(index), Some(*id), 0, MAX_ID);
    }
    let policies = ["OnRootMismatch", "Always"];
    one_of_strictly(
        report,
        &path.key("fsGroupChangePolicy"),
        context.fs_group_change_policy.as_deref(),
        &policies,
    );
    let policies = ["Merge", "Strict"];
    one_of_strictly(
        report,
        &path.key("supplementalGroupsPolicy"),
        context.supplemental_groups_policy.as_deref(),
        &policies,
    );
    check_profiles(
        report,
        path,
        context.seccomp_profile.as_ref(),
        context.app_armor_profile.as_ref(),
    );
    check_sysctls(report, path, context, spec);
}

/// Checks the security context of a container.
pub(crate) fn check_container(
    report: &mut Report<'_>,
    path: &Path<'_>,
    context: &SecurityContext,
    spec: &PodSpec,
) {
    for (field, id) in [
        ("runAsUser", context.run_as_user),
        ("runAsGroup", context.run_as_group),
    ] {
        in_range(report, &path.key(field), id, 0, MAX_ID);
    }
    one_of_strictly(
        report,
        &path.key("procMount"),
        context.proc_mount.as_deref(),
        &["Default", "Unmasked"],
    );
    if context.proc_mount.as_deref() == Some("Unmasked") && spec.host_users != Some(false) {
        let description = "Unmasked wants spec.hostUsers to be false";
        report.refuse(
            &path.key("procMount"),
            Reason::ConflictingFields,
            description,
        );
    }
    if context.allow_privilege_escalation == Some(false) {
        let escalation = path.key("allowPrivilegeEscalation");
        if context.privileged == Some(true) {
            let description = "it can not be false for a privileged container";
            report.refuse(&escalation, Reason::ConflictingFields, description);
        }
        let adds_admin = context.capabilities.as_ref().is_some_and(|capabilities| {
            capabilities
                .add
                .iter()
                .flatten()
                .any(|name| name == "CAP_SYS_ADMIN")
        });
        if adds_admin {
            let description = "it can not be false for a container with CAP_SYS_ADMIN";
            report.refuse(&escalation, Reason::ConflictingFields, description);
        }
    }
    check_profiles(
        report,
        path,
        context.seccomp_profile.as_ref(),
        context.app_armor_profile.as_ref(),
    );
}

fn check_profiles(
    report: &mut Report<'_>,
    path: &Path<'_>,
    seccomp: Option<&SeccompProfile>,
    app_armor: Option<&AppArmorProfile>,
) {
    if let Some(profile) = seccomp {
        let path = path.key("seccompProfile");
        check_profile(
            report,
            &path,
            &profile.type_,
            profile.localhost_profile.as_deref(),
        );
        if let Some(file) = &profile.localhost_profile {
            descending_path(report, &path.key("localhostProfile"), file);
        }
    }
    if let Some(profile) = app_armor {
        let path = path.key("appArmorProfile");
        check_profile(
            report,
            &path,
            &profile.type_,
            profile.localhost_profile.as_deref(),
        );
    }
}

fn check_profile(report: &mut Report<'_>, path: &Path<'_>, sort: &str, file: Option<&str>) {
    if required(
        report,
        &path.key("type"),
        Some(sort),
        "the type of the profile",
    ) {
        one_of(
            report,
            &path.key("type"),
            Some(sort),
            &["RuntimeDefault", "Localhost", "Unconfined"],
        );
    }
    let file_path = path.key("localhostProfile");
    if sort == "Localhost" {
        required(
            report,
            &file_path,
            file.map(str::trim),
            "with the type Localhost the name of a profile",
        );
    } else if file.is_some() {
        let description = "it can only stand with the type Localhost";
        report.refuse_key(&file_path, Reason::ConflictingFields, description);
    }
}

fn check_sysctls(
    report: &mut Report<'_>,
    path: &Path<'_>,
    context: &PodSecurityContext,
    spec: &PodSpec,
) {
    let list = path.key("sysctls");
    let mut seen = HashSet::new();
    for (index, sysctl) in context.sysctls.iter().flatten().enumerate() {
        let item = list.index(index);
        let path = item.key("name");
        if !required(
            report,
            &path,
            Some(&sysctl.name),
            "the name of a kernel parameter",
        ) {
            continue;
        }
        if sysctl.name.len() > 253 || !sysctl.name.split(['.', '/']).all(is_sysctl_part) {
            let description =
                "a kernel parameter is named by lower-case words joined by \".\" or \"/\"";
            report.refuse(&path, Reason::InvalidName, description);
        } else if is_repeated(&mut seen, &sysctl.name) {
            report.refuse(&path, Reason::DuplicateName, "the parameter is set twice");
        }
        let name = sysctl.name.replace('/', ".");
        let of_ipc = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."];
        if spec.host_network == Some(true) && name.starts_with("net.") {
            report.refuse(
                &path,
                Reason::ConflictingFields,
                "it can not be set for a pod with hostNetwork",
            );
        } else if spec.host_ipc == Some(true)
            && of_ipc.iter().any(|prefix| name.starts_with(prefix))
        {
            report.refuse(
                &path,
                Reason::ConflictingFields,
                "it can not be set for a pod with hostIPC",
            );
        }
    }
}

fn is_sysctl_part(part: &str) -> bool {
    let is_edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    is_edge(part.bytes().next())
        && is_edge(part.bytes().last())
        && part
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}
