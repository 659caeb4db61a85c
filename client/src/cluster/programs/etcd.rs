//! A member of etcd.

use serde_json::json;

use super::{Endpoint, Parts, SecretFiles, container, joined, secret, secret_volume, url};
use crate::cluster::{Loaded, NodeConfiguration, Pki, flags::Flags, load::Program};

const CA: &str = "ca.crt";
const SERVER: [&str; 2] = ["server.crt", "server.key"];
const PEER: [&str; 2] = ["peer.crt", "peer.key"];

pub(in crate::cluster) fn parts(loaded: &Loaded, node: &NodeConfiguration) -> Parts {
    let etcd = &loaded.configuration.etcd;
    let health = Endpoint {
        host: "127.0.0.1",
        port: etcd.metrics_port,
        scheme: "HTTP",
    };
    let container = container(
        loaded,
        Program::Etcd,
        &flags(loaded, node),
        joined(
            json!({
                "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}},
                "securityContext": {"allowPrivilegeEscalation": false},
                "volumeMounts": [
                    {"name": "secrets", "mountPath": super::SECRETS, "readOnly": true},
                    {"name": "data", "mountPath": etcd.data_directory},
                ],
            }),
            health.probes("/livez", "/readyz"),
        ),
    );
    let data = json!({
        "name": "data",
        "hostPath": {"path": etcd.data_directory, "type": "DirectoryOrCreate"},
    });
    Parts {
        container,
        volumes: vec![data, secret_volume(Program::Etcd)],
        security: json!({"seccompProfile": {"type": "RuntimeDefault"}}),
    }
}

/// What the member reads.
pub(in crate::cluster) fn files(pki: &Pki, node: &str) -> SecretFiles {
    let mut files = SecretFiles::new();
    if let Some(ca) = &pki.etcd {
        files.insert(CA.to_owned(), ca.certificate.clone().into());
    }
    if let Some(member) = pki.etcd_members.get(node) {
        for (names, pair) in [(SERVER, &member.server), (PEER, &member.peer)] {
            files.insert(names[0].to_owned(), pair.certificate.clone().into());
            files.insert(names[1].to_owned(), pair.key.clone());
        }
    }
    files
}

fn flags(loaded: &Loaded, node: &NodeConfiguration) -> Flags {
    let etcd = &loaded.configuration.etcd;
    let client = url("https", node.address, etcd.client_port);
    let peer = url("https", node.address, etcd.peer_port);
    let members: Vec<String> = loaded
        .etcd_members()
        .map(|member| {
            let peer = url("https", member.address, etcd.peer_port);
            format!("{}={peer}", member.name)
        })
        .collect();
    let mut clients = vec![client.clone()];
    if !node.address.is_loopback() {
        clients.insert(0, format!("https://127.0.0.1:{}", etcd.client_port));
    }

    let mut flags = Flags::new("etcd");
    flags
        .set("name", &node.name)
        .set("data-dir", etcd.data_directory.display().to_string())
        .set_because(
            "initial-cluster",
            members.join(","),
            "All members from the beginning. Only an empty data directory makes etcd look at this.",
        )
        .set("initial-cluster-state", "new")
        .set("initial-cluster-token", &loaded.configuration.name)
        .set("listen-client-urls", clients.join(","))
        .set("advertise-client-urls", client)
        .set("listen-peer-urls", &peer)
        .set("initial-advertise-peer-urls", peer)
        .set_because(
            "listen-metrics-urls",
            format!("http://127.0.0.1:{}", etcd.metrics_port),
            "Health and metrics without certificates, for this node alone.",
        )
        .set("client-cert-auth", "true")
        .set("trusted-ca-file", secret(CA))
        .set("cert-file", secret(SERVER[0]))
        .set("key-file", secret(SERVER[1]))
        .set("peer-client-cert-auth", "true")
        .set("peer-trusted-ca-file", secret(CA))
        .set("peer-cert-file", secret(PEER[0]))
        .set("peer-key-file", secret(PEER[1]))
        .set("snapshot-count", "10000")
        .set("watch-progress-notify-interval", "5s")
        .set("feature-gates", "InitialCorruptCheck=true")
        .extra(&etcd.extra_args);
    flags
}
