//! What the pods of a bundle must not do to each other.

use std::collections::{HashMap, hash_map::Entry};

use super::report::{Findings, position};
use crate::{
    HostPort, Pod, Position, Protocol, Reason, Violation, decode::tree::Node, field::Segment,
};

/// Checks that no two pods have the same name or take the same port of the host.
pub(crate) fn check(findings: &mut Findings, pods: &[(Pod, &Node)]) {
    let mut first = HashMap::with_capacity(pods.len());
    // By number, so that each port is compared with few others.
    let mut taken: HashMap<u16, Vec<(&Pod, &HostPort)>> = HashMap::new();
    for (pod, node) in pods {
        match first.entry(pod.key()) {
            Entry::Vacant(vacant) => {
                vacant.insert(pod);
            }
            Entry::Occupied(earlier) => {
                findings.violate(|| Violation {
                    field: join(pod.origin(), "metadata.name"),
                    reason: Reason::DuplicatePod,
                    description: format!(
                        "{} is also the pod of {}: give one another name",
                        pod.key(),
                        earlier.get().origin()
                    ),
                    position: locate(pod, node, "metadata.name"),
                });
                // Its ports would clash as well, which tells nothing more.
                continue;
            }
        }
        for port in pod.host_ports() {
            let users = taken.entry(port.port).or_default();
            let other = users
                .iter()
                .find(|(other, used)| other.key() != pod.key() && used.conflicts_with(port));
            if let Some((other, used)) = other {
                let protocol = match port.protocol {
                    Protocol::Tcp => "TCP",
                    Protocol::Udp => "UDP",
                    Protocol::Sctp => "SCTP",
                };
                findings.violate(|| Violation {
                    field: join(pod.origin(), &port.field),
                    reason: Reason::HostPortConflict,
                    description: format!(
                        "port {}/{protocol} of the host is taken by {} with {}: the kubelet would refuse one of the pods",
                        port.port,
                        other.key(),
                        join(other.origin(), &used.field),
                    ),
                    position: locate(pod, node, &port.field),
                });
            }
            users.push((pod, port));
        }
    }
}

fn join(origin: &str, field: &str) -> String {
    if origin.is_empty() {
        field.to_owned()
    } else {
        format!("{origin}.{field}")
    }
}

/// Where a field stands whose path is made of plain words and numbers.
fn locate(pod: &Pod, node: &Node, field: &str) -> Option<Position> {
    let steps = field.split(['.', '[', ']']).filter(|step| !step.is_empty());
    let mark =
        node.locate(steps.map(|step| step.parse().map_or(Segment::Key(step), Segment::Index)));
    pod.position()
        .map(|document| position(document.manifest, mark))
}
