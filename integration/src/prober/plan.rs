//! Who asks a node's own API server in a handoff.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use super::{Plan, User};
use crate::node::Node;
use crate::pki::Identity;

impl Plan {
    /// An administrator, somebody who may only what RBAC says, and a writer, who is watched, on the node's loopback
    /// and at its address. Each reader and the writer ask once in this time. The certificates are in a folder, as
    /// `seedpod render` names them.
    #[must_use]
    pub fn of_node(node: &Node, pki: &Path, port: u16, read: Duration, write: Duration) -> Self {
        let identity = |name: &str| Identity {
            certificate: pki.join(format!("{name}.crt")),
            key: pki.join(format!("{name}.key")),
        };
        let (admin, scheduler) = (identity("admin"), identity("scheduler"));
        let mut users = vec![
            User::reader("admin", &admin, "/api/v1/namespaces/default"),
            User::reader("by-rbac", &scheduler, "/api/v1/nodes?limit=1"),
            User::writer("writer", &admin),
        ];
        for (user, every) in users.iter_mut().zip([read, read, write]) {
            user.every = every;
        }
        Self {
            network: node.network_namespace(),
            addresses: vec![Ipv4Addr::LOCALHOST.into(), node.address().into()],
            port,
            ca: pki.join("ca.crt"),
            server_name: Ipv4Addr::LOCALHOST.to_string(),
            users,
            watcher: Some(admin),
        }
    }
}
