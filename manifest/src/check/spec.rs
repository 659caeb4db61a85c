//! The pod's spec, but for what has a module of its own.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{PodDNSConfig, PodSpec, Toleration};

use super::{
    containers,
    names::{
        dns_label, dns_subdomain, in_range, ip_address, is_label_value, is_qualified_name, one_of,
        one_of_strictly, required,
    },
    references::{self, Scope},
    report::Report,
    resources, security, volumes,
};
use crate::{NodeName, Reason, field::Path, name::is_dns_subdomain};

/// The kubelet's own default.
const DEFAULT_GRACE_PERIOD: i64 = 30;

/// Checks the spec of a static pod on this node.
pub(crate) fn check(report: &mut Report<'_>, spec: &PodSpec, scope: &Scope<'_>) {
    let node = scope.node;
    let root = Path::ROOT;
    let path = &root.key("spec");
    references::check_pod(report, path, spec);
    let volume_names = volumes::check(report, path, spec);
    containers::check(report, path, spec, &volume_names);
    references::check_materials(report, spec, scope);
    security::check_pod(report, path, spec);
    if let Some(overhead) = &spec.overhead {
        resources::check_list(report, &path.key("overhead"), overhead);
    }
    if let Some(pod_resources) = &spec.resources {
        resources::check(report, &path.key("resources"), pod_resources);
        resources::check_pod(report, path, spec, pod_resources);
    }
    check_forbidden(report, path, spec);
    check_values(report, path, spec);
    check_placement(report, path, spec, node);
    check_dns(
        report,
        path,
        spec.dns_config.as_ref(),
        spec.dns_policy.as_deref(),
    );
    check_host_aliases(report, path, spec);
    let list = path.key("tolerations");
    for (index, toleration) in spec.tolerations.iter().flatten().enumerate() {
        check_toleration(report, &list.index(index), toleration);
    }
    warn_of_surprises(report, path, spec);
}

/// How long the pod may take to stop.
pub(crate) fn grace_period(spec: &PodSpec) -> i64 {
    spec.termination_grace_period_seconds
        .unwrap_or(DEFAULT_GRACE_PERIOD)
}

fn check_forbidden(report: &mut Report<'_>, path: &Path<'_>, spec: &PodSpec) {
    if spec
        .ephemeral_containers
        .as_ref()
        .is_some_and(|list| !list.is_empty())
    {
        let description = "ephemeral containers can only be added to a running pod through an API server: remove them";
        report.refuse_key(
            &path.key("ephemeralContainers"),
            Reason::ForbiddenField,
            description,
        );
    }
    if spec
        .scheduling_gates
        .as_ref()
        .is_some_and(|list| !list.is_empty())
    {
        let description = "a static pod already has its node, so nothing would open its scheduling gates: remove them";
        report.refuse_key(
            &path.key("schedulingGates"),
            Reason::ForbiddenField,
            description,
        );
    }
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        let description = "shareProcessNamespace and hostPID can not both be true";
        report.refuse(
            &path.key("shareProcessNamespace"),
            Reason::ConflictingFields,
            description,
        );
    }
    if spec.host_users == Some(false) {
        for (field, is_set) in [
            ("hostNetwork", spec.host_network),
            ("hostPID", spec.host_pid),
            ("hostIPC", spec.host_ipc),
        ] {
            if is_set == Some(true) {
                let description = format!("{field} can not be true when hostUsers is false");
                report.refuse(&path.key(field), Reason::ConflictingFields, description);
            }
        }
    }
    if let Some(name) = &spec.hostname_override {
        let path = path.key("hostnameOverride");
        if spec.host_network == Some(true) || spec.set_hostname_as_fqdn == Some(true) {
            let description =
                "hostnameOverride can not stand with hostNetwork or setHostnameAsFQDN";
            report.refuse(&path, Reason::ConflictingFields, description);
        }
        if name.len() > 64 {
            report.refuse(
                &path,
                Reason::NameTooLong,
                "a host name has at most 64 characters",
            );
        } else {
            dns_subdomain(report, &path, name);
        }
    }
}

fn check_values(report: &mut Report<'_>, path: &Path<'_>, spec: &PodSpec) {
    one_of(
        report,
        &path.key("restartPolicy"),
        spec.restart_policy.as_deref(),
        &["Always", "OnFailure", "Never"],
    );
    let policies = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    one_of(
        report,
        &path.key("dnsPolicy"),
        spec.dns_policy.as_deref(),
        &policies,
    );
    let policies = ["PreemptLowerPriority", "Never"];
    one_of_strictly(
        report,
        &path.key("preemptionPolicy"),
        spec.preemption_policy.as_deref(),
        &policies,
    );
    let deadline = path.key("activeDeadlineSeconds");
    in_range(
        report,
        &deadline,
        spec.active_deadline_seconds,
        1,
        i64::from(i32::MAX),
    );
    for (field, name) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
        if let Some(name) = name.as_deref().filter(|name| !name.is_empty()) {
            dns_label(report, &path.key(field), name);
        }
    }
    if let Some(name) = spec
        .priority_class_name
        .as_deref()
        .filter(|name| !name.is_empty())
    {
        dns_subdomain(report, &path.key("priorityClassName"), name);
    }
    if let Some(name) = &spec.runtime_class_name {
        dns_subdomain(report, &path.key("runtimeClassName"), name);
    }
    if let Some(os) = &spec.os {
        let path = path.key("os");
        let path = path.key("name");
        if required(
            report,
            &path,
            Some(&os.name),
            "the name of the operating system",
        ) && os.name != "linux"
        {
            report.refuse(
                &path,
                Reason::InvalidValue,
                "the node runs linux, and the kubelet refuses a pod for another system",
            );
        }
    }
    let list = path.key("readinessGates");
    for (index, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        if !is_qualified_name(&gate.condition_type) {
            let description =
                "the condition's type must be a name with or without a domain and \"/\" before it";
            report.refuse(
                &list.index(index).key("conditionType"),
                Reason::InvalidValue,
                description,
            );
        }
    }
}

fn check_placement(report: &mut Report<'_>, path: &Path<'_>, spec: &PodSpec, node: &NodeName) {
    if let Some(name) = spec.node_name.as_deref().filter(|name| !name.is_empty())
        && name.to_lowercase() != node.as_str()
    {
        let description = format!(
            "the pods of this node run on {node}: remove nodeName, or send the pod to its own node"
        );
        report.refuse(&path.key("nodeName"), Reason::WrongNode, description);
    }
    let selector = path.key("nodeSelector");
    for (key, value) in spec.node_selector.iter().flatten() {
        if !is_qualified_name(key) || !is_label_value(value) {
            report.refuse(
                &selector.key(key),
                Reason::InvalidValue,
                "this can be no label of a node",
            );
        }
    }
    let description = "the kubelet refuses the pod for good when its node does not have these labels at that moment; \
                       without an API server it knows only those that it was started with: better leave it out";
    if spec
        .node_selector
        .as_ref()
        .is_some_and(|selector| !selector.is_empty())
    {
        report.warn(&selector, Reason::NodeSelection, description);
    }
    let Some(affinity) = &spec.affinity else {
        return;
    };
    let affinity_path = path.key("affinity");
    if affinity.node_affinity.as_ref().is_some_and(|a| {
        a.required_during_scheduling_ignored_during_execution
            .is_some()
    }) {
        report.warn(
            &affinity_path.key("nodeAffinity"),
            Reason::NodeSelection,
            description,
        );
    }
}

fn check_dns(
    report: &mut Report<'_>,
    path: &Path<'_>,
    config: Option<&PodDNSConfig>,
    policy: Option<&str>,
) {
    let path = path.key("dnsConfig");
    let servers: &[String] = config
        .and_then(|config| config.nameservers.as_deref())
        .unwrap_or_default();
    if policy == Some("None") && servers.is_empty() {
        let description = "with dnsPolicy None at least one name server is required";
        report.refuse(&path.key("nameservers"), Reason::MissingField, description);
    }
    let Some(config) = config else { return };
    let list = path.key("nameservers");
    if servers.len() > 3 {
        report.refuse(
            &list,
            Reason::InvalidValue,
            "at most 3 name servers are allowed",
        );
    }
    for (index, server) in servers.iter().enumerate() {
        ip_address(report, &list.index(index), server);
    }
    let list = path.key("searches");
    let searches: &[String] = config.searches.as_deref().unwrap_or_default();
    let length = searches.iter().map(String::len).sum::<usize>() + searches.len().saturating_sub(1);
    if searches.len() > 32 || length > 2048 {
        report.refuse(
            &list,
            Reason::InvalidValue,
            "at most 32 search domains with 2048 characters in all are allowed",
        );
    }
    for (index, search) in searches.iter().enumerate() {
        // Underscores occur in the names of services.
        let plain = search.strip_suffix('.').unwrap_or(search).replace('_', "a");
        if search != "." && !is_dns_subdomain(&plain) {
            report.refuse(
                &list.index(index),
                Reason::InvalidValue,
                "this is no domain name",
            );
        }
    }
    let list = path.key("options");
    for (index, option) in config.options.iter().flatten().enumerate() {
        required(
            report,
            &list.index(index).key("name"),
            option.name.as_deref(),
            "the option's name",
        );
    }
}

fn check_host_aliases(report: &mut Report<'_>, path: &Path<'_>, spec: &PodSpec) {
    let list = path.key("hostAliases");
    for (index, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let item = list.index(index);
        ip_address(report, &item.key("ip"), &alias.ip);
        let names = item.key("hostnames");
        for (index, name) in alias.hostnames.iter().flatten().enumerate() {
            dns_subdomain(report, &names.index(index), name);
        }
    }
}

fn check_toleration(report: &mut Report<'_>, path: &Path<'_>, toleration: &Toleration) {
    let key = toleration.key.as_deref().unwrap_or_default();
    let operator = toleration.operator.as_deref().unwrap_or_default();
    let value = toleration.value.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    if !key.is_empty() && !is_qualified_name(key) {
        report.refuse(
            &path.key("key"),
            Reason::InvalidValue,
            "this can be no key of a taint",
        );
    }
    one_of(
        report,
        &path.key("operator"),
        Some(operator),
        &["Equal", "Exists", "Lt", "Gt"],
    );
    one_of(
        report,
        &path.key("effect"),
        Some(effect),
        &["NoSchedule", "PreferNoSchedule", "NoExecute"],
    );
    if key.is_empty() && operator != "Exists" {
        let description =
            "a toleration without a key tolerates all taints and wants the operator Exists";
        report.refuse(&path.key("operator"), Reason::InvalidValue, description);
    }
    if operator == "Exists" && !value.is_empty() {
        report.refuse(
            &path.key("value"),
            Reason::ConflictingFields,
            "with the operator Exists there can be no value",
        );
    } else if matches!(operator, "" | "Equal") && !is_label_value(value) {
        report.refuse(
            &path.key("value"),
            Reason::InvalidValue,
            "this can be no value of a taint",
        );
    }
    if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
        let description = "tolerationSeconds wants the effect NoExecute";
        report.refuse(&path.key("effect"), Reason::ConflictingFields, description);
    }
}

fn warn_of_surprises(report: &mut Report<'_>, path: &Path<'_>, spec: &PodSpec) {
    if spec
        .termination_grace_period_seconds
        .is_some_and(|seconds| seconds < 0)
    {
        let description = "the kubelet takes a negative grace period for 1 second";
        let path = path.key("terminationGracePeriodSeconds");
        report.warn(&path, Reason::DefaultApplied, description);
    }
    if spec
        .priority_class_name
        .as_deref()
        .is_some_and(|name| !name.is_empty())
        && spec.priority.is_none()
    {
        let description = "the kubelet does not look up a priority class: without a number in spec.priority it ends this \
                           pod first when the node shuts down; for system-node-critical set priority to 2000001000";
        report.warn(
            &path.key("priorityClassName"),
            Reason::PriorityNotSet,
            description,
        );
    }
    if let Some(policy @ ("OnFailure" | "Never")) = spec.restart_policy.as_deref() {
        let description = format!(
            "the kubelet remembers no result of a static pod: with {policy} it runs the pod again after a restart"
        );
        report.warn(
            &path.key("restartPolicy"),
            Reason::RestartPolicyIgnored,
            description,
        );
    }
    if spec.runtime_class_name.is_some() {
        let description = "a kubelet with a kubeconfig looks the class up in the API server and can not start the pod before \
                           that answers; a kubelet without one ignores the field";
        report.warn(
            &path.key("runtimeClassName"),
            Reason::FieldIgnored,
            description,
        );
    }
    let has_spread = spec
        .topology_spread_constraints
        .as_ref()
        .is_some_and(|list| !list.is_empty());
    let (affine, averse) = spec.affinity.as_ref().map_or((false, false), |a| {
        (a.pod_affinity.is_some(), a.pod_anti_affinity.is_some())
    });
    let affinity = path.key("affinity");
    for (field, is_set) in [
        (path.key("topologySpreadConstraints"), has_spread),
        (affinity.key("podAffinity"), affine),
        (affinity.key("podAntiAffinity"), averse),
    ] {
        if is_set {
            report.warn(
                &field,
                Reason::FieldIgnored,
                "only a scheduler heeds it; a static pod runs on its node anyway",
            );
        }
    }
}

/// Whether the names that were seen have this one already; notes it.
pub(crate) fn is_repeated<'n>(seen: &mut HashSet<&'n str>, name: &'n str) -> bool {
    !name.is_empty() && !seen.insert(name)
}
