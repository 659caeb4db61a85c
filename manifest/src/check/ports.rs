//! The ports of containers, and which of them are taken on the host.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::Container;
use serde_json::Value;

use super::{
    names::{one_of, port_name, port_number},
    report::Report,
    spec::is_repeated,
};
use crate::{HostPort, Protocol, Reason, field::Path};

/// Checks the ports of one container.
pub(crate) fn check(report: &mut Report<'_>, path: &Path<'_>, container: &Container) {
    let list = path.key("ports");
    let mut names = HashSet::new();
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let path = list.index(index);
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            port_name(report, &path.key("name"), name);
            if is_repeated(&mut names, name) {
                let description = "another port of the container has this name";
                report.refuse(&path.key("name"), Reason::DuplicateName, description);
            }
        }
        let number = path.key("containerPort");
        if report.has(&number) {
            port_number(report, &number, i64::from(port.container_port));
        } else {
            report.refuse(
                &number,
                Reason::MissingField,
                "the container's port is required",
            );
        }
        if let Some(host_port) = port.host_port.filter(|port| *port != 0) {
            port_number(report, &path.key("hostPort"), i64::from(host_port));
        }
        one_of(
            report,
            &path.key("protocol"),
            port.protocol.as_deref(),
            &["TCP", "UDP", "SCTP"],
        );
    }
}

/// Checks that no two containers, which run side by side, take the same port of the host; with `must_match`, also that
/// the ports of a pod in the host's network are the host's.
pub(crate) fn check_host_ports(
    report: &mut Report<'_>,
    containers: &[(Path<'_>, &Container)],
    host_network: bool,
    must_match: bool,
) {
    let mut taken = HashSet::new();
    for (path, container) in containers {
        let ports = path.key("ports");
        for (index, port) in container.ports.iter().flatten().enumerate() {
            let path = ports.index(index);
            let mut host_port = port.host_port.unwrap_or_default();
            if host_network && host_port == 0 {
                host_port = port.container_port;
            } else if host_network && host_port != port.container_port && must_match {
                let description =
                    "with hostNetwork it must equal containerPort: make them equal or remove it";
                report.refuse(&path.key("hostPort"), Reason::InvalidValue, description);
            }
            if host_port == 0 {
                continue;
            }
            let protocol = port
                .protocol
                .as_deref()
                .filter(|protocol| !protocol.is_empty())
                .unwrap_or("TCP");
            if !taken.insert((
                host_port,
                protocol,
                port.host_ip.as_deref().unwrap_or_default(),
            )) {
                let field = if port.host_port.is_some() {
                    "hostPort"
                } else {
                    "containerPort"
                };
                let description =
                    format!("port {host_port}/{protocol} of the host is already taken by the pod");
                report.refuse(&path.key(field), Reason::HostPortConflict, description);
            }
        }
    }
}

/// The host's ports that a pod takes while it runs, read from any object that may be a pod.
///
/// As the kubelet's admission counts them: those of containers and of init containers that keep running.
pub(crate) fn of_value(pod: &Value) -> Vec<HostPort> {
    let spec = &pod["spec"];
    let host_network = spec["hostNetwork"].as_bool().unwrap_or_default();
    let mut found = Vec::new();
    for list in ["initContainers", "containers"] {
        for (container_index, container) in spec[list].as_array().into_iter().flatten().enumerate()
        {
            if list == "initContainers" && container["restartPolicy"] != "Always" {
                continue;
            }
            for (index, port) in container["ports"]
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
            {
                let number = |field: &str| {
                    port[field]
                        .as_i64()
                        .and_then(|n| u16::try_from(n).ok())
                        .filter(|n| *n > 0)
                };
                let taken = match number("hostPort") {
                    Some(number) => Some(("hostPort", number)),
                    None if host_network => {
                        number("containerPort").map(|number| ("containerPort", number))
                    }
                    None => None,
                };
                let Some((field, port_number)) = taken else {
                    continue;
                };
                found.push(HostPort {
                    port: port_number,
                    protocol: match port["protocol"].as_str() {
                        Some("UDP") => Protocol::Udp,
                        Some("SCTP") => Protocol::Sctp,
                        _ => Protocol::Tcp,
                    },
                    host_ip: port["hostIP"]
                        .as_str()
                        .filter(|ip| !matches!(*ip, "" | "0.0.0.0" | "::"))
                        .map(str::to_owned),
                    field: format!("spec.{list}[{container_index}].ports[{index}].{field}"),
                });
            }
        }
    }
    found
}
