//! Asking a node everything that its preflight needs.

use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;

use super::{super::control_plane, CheckedNode, Installer};
use crate::{
    CheckNode, Client, Code, ConfigureKubelet, Error, Node, NodeCheck,
    cluster::{Loaded, NodeConfiguration, Program, up::error::chain},
};

/// A node, as it was seen.
#[derive(Debug)]
pub(super) struct Look<'a> {
    pub(super) node: &'a NodeConfiguration,
    pub(super) seen: Result<Box<Seen>, Unseen>,
}

/// What a node has answered.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) node: Node,
    pub(super) check: NodeCheck,
    /// By how many seconds its clock is before ours.
    pub(super) ahead: Option<f64>,
    /// The bundles that it has.
    pub(super) bundles: Vec<String>,
    /// Whether it has handed over, or is about to.
    pub(super) has_handoff: bool,
    /// Why we may not do with its kubelet what has to be done.
    pub(super) not_admin: Option<String>,
}

/// Why a node has not answered.
#[derive(Debug, Clone)]
pub(super) struct Unseen {
    pub(super) check: &'static str,
    pub(super) message: String,
    pub(super) remedy: &'static str,
}

impl Look<'_> {
    pub(super) fn checked(&self) -> Option<CheckedNode> {
        let seen = self.seen.as_ref().ok()?;
        Some(CheckedNode {
            node: self.node.name.clone(),
            seedpod_version: seen.node.seedpod_version.clone(),
            kubelet_version: seen.check.kubelet_version.clone(),
        })
    }
}

impl Installer {
    /// All nodes at the same time.
    pub(super) async fn look_at_nodes(&self) -> Vec<Look<'_>> {
        let nodes = self.loaded.configuration.nodes.iter();
        join_all(nodes.map(|node| async move {
            let scope = self
                .reporter
                .scope(super::Phase::Preflight, Some(&node.name));
            scope.waiting("the node is looked at");
            let seen = match self.options_of(node).and_then(Client::connect_lazy) {
                Ok(client) => look(&self.loaded, node, &client).await,
                Err(error) => Err(error),
            };
            let seen = seen.map(Box::new).map_err(|error| unseen(&error));
            match &seen {
                Ok(_) => scope.done("the node answers"),
                Err(unseen) => scope.failed(&unseen.message),
            }
            Look { node, seen }
        }))
        .await
    }
}

async fn look(loaded: &Loaded, node: &NodeConfiguration, client: &Client) -> Result<Seen, Error> {
    // The first call makes the connection; the second one tells how long the way takes.
    client.get_node().await?;
    let start = Instant::now();
    let seen = client.get_node().await?;
    let way = start.elapsed() / 2;
    let check = client.check_node(&request(loaded, node)).await?;
    let ahead = check.time.map(|time| ahead(time, SystemTime::now(), way));
    let bundles = client.list_bundles().await?;
    let has_handoff = control_plane::get(client).await?.is_some();
    let asked = ConfigureKubelet::new().validate_only(true);
    let not_admin = match client.configure_kubelet(&asked).await {
        Err(error) if error.code() == Some(Code::PermissionDenied) => Some(error.to_string()),
        _ => None,
    };
    Ok(Seen {
        node: seen,
        check,
        ahead,
        bundles: bundles.into_iter().map(|bundle| bundle.name).collect(),
        has_handoff,
        not_admin,
    })
}

/// By how many seconds a clock that showed `time` one `way` before `now` is before ours.
fn ahead(time: SystemTime, now: SystemTime, way: Duration) -> f64 {
    let there = time + way;
    match there.duration_since(now) {
        Ok(ahead) => ahead.as_secs_f64(),
        Err(behind) => -behind.duration().as_secs_f64(),
    }
}

/// What the node needs for what it is to be.
fn request(loaded: &Loaded, node: &NodeConfiguration) -> CheckNode {
    let (mut ports, mut images, mut paths) = (Vec::new(), Vec::new(), Vec::new());
    if node.etcd == Some(true) {
        let etcd = &loaded.configuration.etcd;
        ports.extend([etcd.client_port, etcd.peer_port, etcd.metrics_port]);
        images.push(loaded.image(Program::Etcd));
        paths.push(etcd.data_directory.display().to_string());
    }
    if node.control_plane {
        for program in [
            Program::ApiServer,
            Program::ControllerManager,
            Program::Scheduler,
        ] {
            ports.push(loaded.port(program));
            images.push(loaded.image(program));
        }
    }
    CheckNode::new().ports(ports).images(images).paths(paths)
}

fn unseen(error: &Error) -> Unseen {
    let (check, remedy) = match error {
        Error::Connect { .. } => (
            "Reachable",
            "start seedpodd on the node, and open its port (listenAddress) for this machine",
        ),
        Error::Tls { .. } => (
            "Certificate",
            "the node's certificate must come from seedpod.caFile and be for its address, and ours from \
             the node's tls.clientCAFile; compare the clocks too",
        ),
        Error::Options { .. } => (
            "Certificate",
            "give seedpod.caFile, certFile and keyFile in the configuration, or --ca-file, --cert-file \
             and --key-file",
        ),
        Error::Server(server) if server.code == Code::Unimplemented => (
            "SeedpodVersion",
            "the node's seedpodd is too old for this: install the version of this tool there",
        ),
        Error::Server(server)
            if matches!(server.code, Code::PermissionDenied | Code::Unauthenticated) =>
        {
            (
                "Role",
                "use a certificate with the role seedpod:admin (`seedpod pki issue --role admin`)",
            )
        }
        _ => ("Reachable", "see the log of seedpodd on the node"),
    };
    Unseen {
        check,
        message: format!("it does not answer: {}", chain(error)),
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_held_against_ours_with_the_way_of_the_answer() {
        let now = SystemTime::now();
        let second = Duration::from_secs(1);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(near(ahead(now, now, Duration::ZERO), 0.0));
        assert!(near(ahead(now - second, now, second), 0.0));
        assert!(near(ahead(now + second, now, Duration::ZERO), 1.0));
        assert!(near(ahead(now - 3 * second, now, second), -2.0));
    }
}
