//! What is wrong with the nodes.

use std::net::IpAddr;

use super::{Findings, check::SEEDPOD_PORT};
use crate::{
    Endpoint,
    cluster::{ClusterConfiguration, Level, NodeConfiguration, names},
};

/// Labels that Seedpod sets itself.
const RESERVED: &str = "seedpod.dev/";

pub(super) fn check(configuration: &ClusterConfiguration, findings: &mut Findings) {
    let nodes = &configuration.nodes;
    if !nodes.iter().any(|node| node.control_plane) {
        findings.fault(
            "nodes",
            "at least one must be of the control plane; write controlPlane: true for it",
        );
    }
    for (index, node) in nodes.iter().enumerate() {
        let field = |name: &str| format!("nodes[{index}].{name}");
        name(&field("name"), &node.name, findings);
        address(&field("address"), node, findings);
        labels(&field("labels"), node, findings);
        for (other_index, other) in nodes[..index].iter().enumerate() {
            if other.name == node.name {
                let message = format!("nodes[{other_index}] has this name too; rename one");
                findings.fault(field("name"), message);
            }
            if other.address == node.address {
                let message = format!("nodes[{other_index}] has this address too; change one");
                findings.fault(field("address"), message);
            }
        }
        match endpoint(node) {
            Err(message) => findings.fault(field("endpoint"), message),
            Ok(endpoint) => {
                for (other_index, other) in nodes[..index].iter().enumerate() {
                    let same = self::endpoint(other).is_ok_and(|other| other == endpoint);
                    if same && other.address != node.address {
                        let message =
                            format!("nodes[{other_index}] has this endpoint too; change one");
                        findings.fault(field("endpoint"), message);
                    }
                }
            }
        }
        if node.etcd == Some(true) && configuration.level == Level::TwoToFour {
            findings.fault(
                field("etcd"),
                "at level 2-4 etcd is external; leave it out, or write level: 1-4",
            );
        }
    }
    if configuration.level == Level::OneToFour {
        members(nodes, findings);
    }
}

fn name(field: &str, name: &str, findings: &mut Findings) {
    // It becomes the value of the label kubernetes.io/hostname too, which is shorter than a name may be.
    if !names::is_dns_subdomain(name) || name.len() > 63 {
        findings.fault(
            field,
            format!(
                "{name:?} must be what the kubelet calls its node: at most 63 lower-case letters, digits, \"-\" and \".\", \
                 with a letter or digit at both ends"
            ),
        );
    }
}

fn address(field: &str, node: &NodeConfiguration, findings: &mut Findings) {
    let address = node.address;
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if address.is_unspecified() || address.is_multicast() {
        findings.fault(field, format!("{address} is no address of a node"));
    } else if address.is_loopback() || link_local {
        findings.fault(
            field,
            format!("{address} cannot be reached from other nodes and from pods; give one of the node's network"),
        );
    }
}

fn labels(field: &str, node: &NodeConfiguration, findings: &mut Findings) {
    for (key, value) in &node.labels {
        let field = format!("{field}[{key:?}]");
        if !names::is_label_key(key) {
            findings.fault(
                field,
                "is no label's key; write NAME or DOMAIN/NAME, where NAME has at most 63 letters, digits, \"-\", \"_\" and \".\"",
            );
        } else if key.starts_with(RESERVED) {
            findings.fault(field, "Seedpod sets its own labels itself; leave it out");
        } else if !names::is_label_value(value) {
            findings.fault(
                field,
                format!(
                    "{value:?} is no label's value: at most 63 letters, digits, \"-\", \"_\" and \".\", with a letter or digit \
                     at both ends"
                ),
            );
        }
    }
}

fn endpoint(node: &NodeConfiguration) -> Result<Endpoint, String> {
    match &node.endpoint {
        None => Ok(Endpoint::Tcp {
            host: node.address.to_string(),
            port: SEEDPOD_PORT,
        }),
        Some(given) => given.parse::<Endpoint>().map_err(|error| error.to_string()),
    }
}

fn members(nodes: &[NodeConfiguration], findings: &mut Findings) {
    let members = nodes
        .iter()
        .filter(|node| node.etcd.unwrap_or(node.control_plane))
        .count();
    if members == 0 {
        findings.fault(
            "nodes",
            "at least one must have a member of etcd; write etcd: true for it, or level: 2-4 with an external etcd",
        );
    } else if members.is_multiple_of(2) {
        findings.warning(
            "nodes",
            format!(
                "{members} members of etcd bear no more failures than {}; make it an odd number with etcd: true or false",
                members - 1
            ),
        );
    }
}
