//! What is wrong with subnets and with the endpoint.

use std::net::{IpAddr, SocketAddr};

use super::{ApiEndpoint, Findings};
use crate::cluster::{ClusterConfiguration, names, subnet::Subnet};

/// The most bits that services' addresses may differ in: the API server keeps a map of them.
const SERVICE_BITS: u8 = 20;

/// The least: `kubernetes`, DNS, and some room.
const LEAST_SERVICE_BITS: u8 = 4;

/// The most bits between the pods' subnet and a node's share, for the controller manager's own map.
const NODE_BITS: u8 = 16;

type Network = (ApiEndpoint, Vec<Subnet>, Vec<Subnet>);

pub(super) fn check(
    configuration: &ClusterConfiguration,
    findings: &mut Findings,
) -> Option<Network> {
    let networking = &configuration.networking;
    if !names::is_dns_subdomain(&networking.dns_domain) {
        findings.fault(
            "networking.dnsDomain",
            "must be a domain of lower-case letters, digits, \"-\" and \".\", as in cluster.local",
        );
    }
    let services = subnets(
        "networking.serviceSubnet",
        &networking.service_subnet,
        findings,
    );
    let pods = match &networking.pod_subnet {
        None => Some(Vec::new()),
        Some(given) => subnets("networking.podSubnet", given, findings),
    };
    if let Some(services) = &services {
        self::services(services, configuration, findings);
    }
    if let Some(pods) = &pods {
        self::pods(pods, configuration, findings);
    }
    if let (Some(services), Some(pods)) = (&services, &pods) {
        for pods in pods {
            for services in services.iter().filter(|services| services.overlaps(pods)) {
                findings.fault(
                    "networking.podSubnet",
                    format!("{pods} overlaps with the services' {services}; change one"),
                );
            }
        }
    }
    let endpoint = endpoint(configuration, findings);
    // One that is not given is a node's, of which it is told below.
    if let Some(endpoint) = &endpoint
        && configuration.control_plane_endpoint.is_some()
        && let Ok(address) = endpoint.host.parse()
    {
        inside(
            "controlPlaneEndpoint",
            address,
            services.as_deref().unwrap_or_default(),
            pods.as_deref().unwrap_or_default(),
            findings,
        );
    }
    for (index, node) in configuration.nodes.iter().enumerate() {
        inside(
            &format!("nodes[{index}].address"),
            node.address,
            services.as_deref().unwrap_or_default(),
            pods.as_deref().unwrap_or_default(),
            findings,
        );
    }
    Some((endpoint?, services?, pods?))
}

/// A subnet, or one of each IP family.
fn subnets(field: &str, given: &str, findings: &mut Findings) -> Option<Vec<Subnet>> {
    let parsed: Result<Vec<Subnet>, String> =
        given.split(',').map(|part| part.trim().parse()).collect();
    let subnets = match parsed {
        Ok(subnets) => subnets,
        Err(message) => {
            findings.fault(field, message);
            return None;
        }
    };
    let family = |subnet: &Subnet| subnet.network().is_ipv4();
    match subnets.as_slice() {
        [_] => Some(subnets),
        [one, other] if family(one) != family(other) => Some(subnets),
        _ => {
            findings.fault(
                field,
                "must be one subnet, or one of IPv4 and one of IPv6 with a comma between them",
            );
            None
        }
    }
}

fn services(subnets: &[Subnet], configuration: &ClusterConfiguration, findings: &mut Findings) {
    let field = "networking.serviceSubnet";
    for subnet in subnets {
        let bits = subnet.host_bits();
        if bits > SERVICE_BITS {
            findings.fault(
                field,
                format!(
                    "{subnet} is larger than kube-apiserver takes; make the prefix /{}",
                    subnet.prefix() + bits - SERVICE_BITS
                ),
            );
        } else if bits < LEAST_SERVICE_BITS {
            findings.fault(
                field,
                format!(
                    "{subnet} is too small for a cluster's services; make the prefix /{} or less",
                    subnet.prefix() + bits - LEAST_SERVICE_BITS
                ),
            );
        }
    }
    // kube-apiserver does not start when its address is of the other family.
    for (index, node) in configuration.nodes.iter().enumerate() {
        let differs = subnets[0].network().is_ipv4() != node.address.is_ipv4();
        if node.control_plane && differs {
            findings.fault(
                format!("nodes[{index}].address"),
                format!(
                    "must be of the IP family of {field}'s first subnet, {}: change one of them",
                    subnets[0]
                ),
            );
        }
    }
}

fn pods(subnets: &[Subnet], configuration: &ClusterConfiguration, findings: &mut Findings) {
    let field = "networking.podSubnet";
    let arguments = &configuration.controller_manager.extra_args;
    if arguments
        .keys()
        .any(|key| key.starts_with("node-cidr-mask-size"))
    {
        return;
    }
    for subnet in subnets {
        let (share, flag): (u8, _) = if subnet.network().is_ipv4() {
            (24, "node-cidr-mask-size-ipv4")
        } else {
            (64, "node-cidr-mask-size-ipv6")
        };
        let Some(bits) = share.checked_sub(subnet.prefix()) else {
            findings.fault(
                field,
                format!(
                    "{subnet} is smaller than the /{share} that each node gets of it; make it larger, or set \
                     controllerManager.extraArgs.{flag}"
                ),
            );
            continue;
        };
        let nodes = 1_usize.checked_shl(bits.into()).unwrap_or(usize::MAX);
        if bits > NODE_BITS {
            findings.fault(
                field,
                format!(
                    "{subnet} is larger than the controller manager takes when each node gets a /{share}; make the prefix \
                     /{} or more, or set controllerManager.extraArgs.{flag}",
                    share - NODE_BITS
                ),
            );
        } else if configuration.nodes.len() > nodes {
            findings.fault(
                field,
                format!(
                    "{subnet} is enough for {nodes} nodes, as each gets a /{share}; make it larger, or set \
                     controllerManager.extraArgs.{flag}"
                ),
            );
        }
    }
}

/// What is of the nodes' network must not be of the cluster's.
fn inside(
    field: &str,
    address: IpAddr,
    services: &[Subnet],
    pods: &[Subnet],
    findings: &mut Findings,
) {
    for (subnets, name) in [
        (services, "networking.serviceSubnet"),
        (pods, "networking.podSubnet"),
    ] {
        for subnet in subnets.iter().filter(|subnet| subnet.contains(address)) {
            findings.fault(
                field,
                format!("{address} is within {name}, {subnet}; change one of them"),
            );
        }
    }
}

fn endpoint(configuration: &ClusterConfiguration, findings: &mut Findings) -> Option<ApiEndpoint> {
    let field = "controlPlaneEndpoint";
    let mut masters = configuration.nodes.iter().filter(|node| node.control_plane);
    let Some(given) = &configuration.control_plane_endpoint else {
        let first = masters.next()?;
        if masters.next().is_some() {
            findings.warning(
                field,
                format!(
                    "without it everybody depends on {}; give the address of a load balancer or a name of all nodes of \
                     the control plane",
                    first.name
                ),
            );
        }
        return Some(ApiEndpoint {
            host: first.address.to_string(),
            port: configuration.api_server.port,
        });
    };
    let form = "must be as in https://api.example:6443";
    let Some(rest) = given.strip_prefix("https://") else {
        findings.fault(field, form);
        return None;
    };
    let Some((host, port)) = host_and_port(rest.strip_suffix('/').unwrap_or(rest)) else {
        findings.fault(
            field,
            format!("{form}, with the port and nothing behind it"),
        );
        return None;
    };
    if let Ok(address) = host.parse::<IpAddr>()
        && (address.is_unspecified() || (address.is_loopback() && configuration.nodes.len() > 1))
    {
        findings.fault(
            field,
            format!(
                "{address} is another machine on each node; give an address that all can reach"
            ),
        );
    }
    Some(ApiEndpoint { host, port })
}

/// `HOST:PORT`, `ADDRESS:PORT` or `[ADDRESS]:PORT`.
pub(super) fn host_and_port(given: &str) -> Option<(String, u16)> {
    if let Ok(address) = given.parse::<SocketAddr>() {
        return (address.port() != 0).then(|| (address.ip().to_string(), address.port()));
    }
    let (host, port) = given.rsplit_once(':')?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port: u16 = port.parse().ok().filter(|port| digits && *port != 0)?;
    // Capitals are allowed in what is typed; certificates and clients compare without them.
    let host = host.to_ascii_lowercase();
    names::is_dns_subdomain(&host).then_some((host, port))
}
