//! Probes and lifecycle hooks.

use k8s_openapi::{
    api::core::v1::{ExecAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    names::{in_range, not_negative, one_of, one_of_strictly, port_name, port_number},
    report::Report,
};
use crate::{Reason, field::Path};

/// Checks a probe. `only_once` says that one success is enough for it, and that no other number is allowed.
pub(crate) fn check(report: &mut Report<'_>, path: &Path<'_>, probe: &Probe, only_once: bool) {
    let handlers = [
        ("exec", probe.exec.is_some()),
        ("httpGet", probe.http_get.is_some()),
        ("tcpSocket", probe.tcp_socket.is_some()),
        ("grpc", probe.grpc.is_some()),
    ];
    check_single(report, path, &handlers);
    check_actions(
        report,
        path,
        probe.exec.as_ref(),
        probe.http_get.as_ref(),
        probe.tcp_socket.as_ref(),
    );
    if let Some(grpc) = &probe.grpc {
        let path = path.key("grpc");
        check_port(report, &path.key("port"), &IntOrString::Int(grpc.port));
        one_of_strictly(
            report,
            &path.key("mode"),
            grpc.mode.as_deref(),
            &["Plaintext", "TLS"],
        );
    }
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        not_negative(report, &path.key(field), value.map(i64::from));
    }
    // 0 stands for the default, which is 1.
    if only_once
        && probe
            .success_threshold
            .is_some_and(|threshold| threshold > 1)
    {
        let description = "it must be 1 for a liveness or startup probe";
        report.refuse(
            &path.key("successThreshold"),
            Reason::InvalidValue,
            description,
        );
    }
    let grace = path.key("terminationGracePeriodSeconds");
    in_range(
        report,
        &grace,
        probe.termination_grace_period_seconds,
        1,
        i64::MAX,
    );
}

/// Checks a lifecycle hook.
pub(crate) fn check_hook(
    report: &mut Report<'_>,
    path: &Path<'_>,
    hook: &LifecycleHandler,
    grace_period: i64,
) {
    let handlers = [
        ("exec", hook.exec.is_some()),
        ("httpGet", hook.http_get.is_some()),
        ("tcpSocket", hook.tcp_socket.is_some()),
        ("sleep", hook.sleep.is_some()),
    ];
    check_single(report, path, &handlers);
    check_actions(
        report,
        path,
        hook.exec.as_ref(),
        hook.http_get.as_ref(),
        hook.tcp_socket.as_ref(),
    );
    if let Some(sleep) = &hook.sleep
        && !(0..=grace_period.max(0)).contains(&sleep.seconds)
    {
        let description = format!(
            "it must lie between 0 and terminationGracePeriodSeconds, which is {grace_period}"
        );
        report.refuse(
            &path.key("sleep").key("seconds"),
            Reason::InvalidValue,
            description,
        );
    }
}

fn check_single(report: &mut Report<'_>, path: &Path<'_>, handlers: &[(&str, bool)]) {
    let mut set = handlers.iter().filter(|(_, is_set)| *is_set);
    if set.next().is_none() {
        let names: Vec<_> = handlers.iter().map(|(name, _)| *name).collect();
        report.refuse(
            path,
            Reason::MissingField,
            format!("one of {} is required", names.join(", ")),
        );
    }
    for (name, _) in set {
        let description = "there can be one way only: remove the others";
        report.refuse_key(&path.key(name), Reason::ConflictingFields, description);
    }
}

fn check_actions(
    report: &mut Report<'_>,
    path: &Path<'_>,
    exec: Option<&ExecAction>,
    http: Option<&HTTPGetAction>,
    tcp: Option<&TCPSocketAction>,
) {
    if exec.is_some_and(|exec| exec.command.as_ref().is_none_or(Vec::is_empty)) {
        report.refuse(
            &path.key("exec").key("command"),
            Reason::MissingField,
            "a command is required",
        );
    }
    if let Some(http) = http {
        let path = path.key("httpGet");
        check_port(report, &path.key("port"), &http.port);
        one_of(
            report,
            &path.key("scheme"),
            http.scheme.as_deref(),
            &["HTTP", "HTTPS"],
        );
        let protocol = http.protocol.as_deref();
        one_of_strictly(report, &path.key("protocol"), protocol, &["HTTP1", "HTTP2"]);
        if protocol == Some("HTTP2")
            && (http.scheme.as_deref() == Some("HTTPS")
                || http.host.as_deref().is_some_and(|host| !host.is_empty()))
        {
            let description = "HTTP2 goes with the scheme HTTP and without a host only";
            report.refuse(
                &path.key("protocol"),
                Reason::ConflictingFields,
                description,
            );
        }
        let headers = path.key("httpHeaders");
        for (index, header) in http.http_headers.iter().flatten().enumerate() {
            let is_valid = !header.name.is_empty()
                && header
                    .name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-'));
            if !is_valid {
                let description = "the name of a header must be letters, digits and \"-\"";
                report.refuse(
                    &headers.index(index).key("name"),
                    Reason::InvalidName,
                    description,
                );
            }
        }
    }
    if let Some(tcp) = tcp {
        check_port(report, &path.key("tcpSocket").key("port"), &tcp.port);
    }
}

fn check_port(report: &mut Report<'_>, path: &Path<'_>, port: &IntOrString) {
    if !report.has(path) {
        report.refuse(path, Reason::MissingField, "a port is required");
        return;
    }
    match port {
        IntOrString::Int(number) => port_number(report, path, i64::from(*number)),
        IntOrString::String(name) => port_name(report, path, name),
    }
}
