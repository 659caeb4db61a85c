//! The containers and init containers.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{Container, Lifecycle, PodSpec};

use super::{
    env,
    names::{no_backsteps, one_of, one_of_strictly, required, required_dns_label},
    ports, probes, references,
    report::Report,
    resources, security,
    spec::{grace_period, is_repeated},
    volumes::{self, VolumeNames},
};
use crate::{Reason, field::Path};

/// Checks all containers.
pub(crate) fn check(
    report: &mut Report<'_>,
    path: &Path<'_>,
    spec: &PodSpec,
    volumes: &VolumeNames<'_>,
) {
    if spec.containers.is_empty() {
        report.refuse(
            &path.key("containers"),
            Reason::MissingField,
            "a pod has at least one container",
        );
    }
    let mut names = HashSet::new();
    let list = path.key("containers");
    for (index, container) in spec.containers.iter().enumerate() {
        let path = list.index(index);
        check_common(report, &path, container, spec, volumes, &mut names);
        check_running(report, &path, container, spec);
    }
    let side_by_side: Vec<_> = spec
        .containers
        .iter()
        .enumerate()
        .map(|(index, one)| (list.index(index), one))
        .collect();
    let host_network = spec.host_network == Some(true);
    ports::check_host_ports(report, &side_by_side, host_network, true);
    let list = path.key("initContainers");
    for (index, container) in spec.init_containers.iter().flatten().enumerate() {
        let path = list.index(index);
        check_common(report, &path, container, spec, volumes, &mut names);
        ports::check_host_ports(report, &[(path, container)], host_network, false);
        if container.restart_policy.as_deref() == Some("Always") {
            check_running(report, &path, container, spec);
        } else {
            check_finishing(report, &path, container);
        }
    }
}

fn check_common<'s>(
    report: &mut Report<'_>,
    path: &Path<'_>,
    container: &'s Container,
    spec: &PodSpec,
    volumes: &VolumeNames<'_>,
    names: &mut HashSet<&'s str>,
) {
    required_dns_label(report, &path.key("name"), &container.name);
    if is_repeated(names, &container.name) {
        let description = "another container of the pod has this name: each needs its own";
        report.refuse(&path.key("name"), Reason::DuplicateName, description);
    }
    let image = container.image.as_deref();
    if required(report, &path.key("image"), image, "an image")
        && image.is_some_and(|image| image.trim() != image)
    {
        let description = "the image begins or ends with white space: remove it";
        report.refuse(&path.key("image"), Reason::InvalidValue, description);
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    one_of(
        report,
        &path.key("imagePullPolicy"),
        container.image_pull_policy.as_deref(),
        &policies,
    );
    let policies = ["File", "FallbackToLogsOnError"];
    let policy = container.termination_message_policy.as_deref();
    one_of(
        report,
        &path.key("terminationMessagePolicy"),
        policy,
        &policies,
    );
    references::check_container(report, path, container);
    ports::check(report, path, container);
    env::check(report, path, container, spec);
    volumes::check_mounts(report, path, container, volumes);
    if let Some(requirements) = &container.resources {
        resources::check(report, &path.key("resources"), requirements);
    }
    check_resize_policy(report, path, container, spec);
    if let Some(context) = &container.security_context {
        security::check_container(report, &path.key("securityContext"), context, spec);
    }
    check_restart_rules(report, path, container);
}

/// What a container that keeps running may have.
fn check_running(report: &mut Report<'_>, path: &Path<'_>, container: &Container, spec: &PodSpec) {
    if let Some(lifecycle) = &container.lifecycle {
        check_lifecycle(report, &path.key("lifecycle"), lifecycle, spec);
    }
    for (field, probe, only_once) in [
        ("livenessProbe", &container.liveness_probe, true),
        ("readinessProbe", &container.readiness_probe, false),
        ("startupProbe", &container.startup_probe, true),
    ] {
        if let Some(probe) = probe {
            probes::check(report, &path.key(field), probe, only_once);
        }
    }
    if container
        .readiness_probe
        .as_ref()
        .is_some_and(|p| p.termination_grace_period_seconds.is_some())
    {
        let description =
            "a readiness probe ends no container, so it has no grace period: remove it";
        let probe = path.key("readinessProbe");
        report.refuse_key(
            &probe.key("terminationGracePeriodSeconds"),
            Reason::ForbiddenField,
            description,
        );
    }
}

/// What an init container that runs to its end may not have.
fn check_finishing(report: &mut Report<'_>, path: &Path<'_>, container: &Container) {
    for (field, is_set) in [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ] {
        if is_set {
            let description = "an init container can only have it with restartPolicy Always";
            report.refuse_key(&path.key(field), Reason::ForbiddenField, description);
        }
    }
}

fn check_lifecycle(
    report: &mut Report<'_>,
    path: &Path<'_>,
    lifecycle: &Lifecycle,
    spec: &PodSpec,
) {
    for (field, handler) in [
        ("postStart", &lifecycle.post_start),
        ("preStop", &lifecycle.pre_stop),
    ] {
        if let Some(handler) = handler {
            probes::check_hook(report, &path.key(field), handler, grace_period(spec));
        }
    }
    let Some(signal) = lifecycle.stop_signal.as_deref() else {
        return;
    };
    let path = path.key("stopSignal");
    if spec.os.is_none() {
        let description = "a stop signal wants spec.os.name to be set: set it to linux";
        report.refuse_key(&path, Reason::ForbiddenField, description);
    } else if !is_signal(signal) {
        let description = "it is no signal of Linux; write its name, such as SIGTERM";
        report.refuse(&path, Reason::InvalidValue, description);
    }
}

fn is_signal(name: &str) -> bool {
    const SIGNALS: [&str; 36] = [
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT",
        "KILL", "PIPE", "POLL", "PROF", "PWR", "QUIT", "RTMAX", "RTMIN", "SEGV", "STKFLT", "STOP",
        "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH",
        "XCPU", "XFSZ",
    ];
    let Some(name) = name.strip_prefix("SIG") else {
        return false;
    };
    let real_time = |number: &str, most: u8| {
        !number.starts_with(['0', '+'])
            && number
                .parse::<u8>()
                .is_ok_and(|number| (1..=most).contains(&number))
    };
    SIGNALS.contains(&name)
        || name
            .strip_prefix("RTMIN+")
            .is_some_and(|number| real_time(number, 15))
        || name
            .strip_prefix("RTMAX-")
            .is_some_and(|number| real_time(number, 14))
}

fn check_resize_policy(
    report: &mut Report<'_>,
    path: &Path<'_>,
    container: &Container,
    spec: &PodSpec,
) {
    let list = path.key("resizePolicy");
    let mut seen = HashSet::new();
    for (index, policy) in container.resize_policy.iter().flatten().enumerate() {
        let item = list.index(index);
        if required(
            report,
            &item.key("resourceName"),
            Some(&policy.resource_name),
            "the resource",
        ) {
            one_of(
                report,
                &item.key("resourceName"),
                Some(&policy.resource_name),
                &["cpu", "memory"],
            );
        }
        if is_repeated(&mut seen, &policy.resource_name) {
            report.refuse(
                &item.key("resourceName"),
                Reason::DuplicateName,
                "the resource has a policy already",
            );
        }
        if required(
            report,
            &item.key("restartPolicy"),
            Some(&policy.restart_policy),
            "the policy",
        ) {
            let policies = ["NotRequired", "RestartContainer"];
            one_of(
                report,
                &item.key("restartPolicy"),
                Some(&policy.restart_policy),
                &policies,
            );
        }
        if spec.restart_policy.as_deref() == Some("Never")
            && policy.restart_policy == "RestartContainer"
        {
            let description = "with the pod's restartPolicy Never it must be NotRequired";
            report.refuse(
                &item.key("restartPolicy"),
                Reason::ConflictingFields,
                description,
            );
        }
    }
}

fn check_restart_rules(report: &mut Report<'_>, path: &Path<'_>, container: &Container) {
    let policies = ["Always", "OnFailure", "Never"];
    one_of_strictly(
        report,
        &path.key("restartPolicy"),
        container.restart_policy.as_deref(),
        &policies,
    );
    let rules = container
        .restart_policy_rules
        .as_deref()
        .unwrap_or_default();
    if !rules.is_empty() && container.restart_policy.is_none() {
        let description = "restartPolicyRules want the container's own restartPolicy to be set";
        report.refuse(
            &path.key("restartPolicy"),
            Reason::MissingField,
            description,
        );
    }
    if rules.len() > 20 {
        let description = "at most 20 rules are allowed";
        report.refuse(
            &path.key("restartPolicyRules"),
            Reason::InvalidValue,
            description,
        );
    }
    let list = path.key("restartPolicyRules");
    for (index, rule) in rules.iter().enumerate() {
        let item = list.index(index);
        if required(
            report,
            &item.key("action"),
            Some(&rule.action),
            "the action",
        ) {
            one_of(
                report,
                &item.key("action"),
                Some(&rule.action),
                &["Restart", "RestartAllContainers"],
            );
        }
        match &rule.exit_codes {
            Some(codes) => {
                let path = item.key("exitCodes");
                if required(
                    report,
                    &path.key("operator"),
                    Some(&codes.operator),
                    "the operator",
                ) {
                    one_of(
                        report,
                        &path.key("operator"),
                        Some(&codes.operator),
                        &["In", "NotIn"],
                    );
                }
            }
            None => {
                required(
                    report,
                    &item.key("exitCodes"),
                    None,
                    "a condition on the exit code",
                );
            }
        }
    }
}

/// Checks the path of a file below a volume.
pub(crate) fn file_below_volume(report: &mut Report<'_>, path: &Path<'_>, value: &str) {
    if required(report, path, Some(value), "a path") {
        no_backsteps(report, path, value);
    }
}
