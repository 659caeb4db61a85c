//! kube-apiserver.

use serde_json::{Value, json};

use super::{
    Endpoint, Form, Parts, SecretFiles, container, extra_volumes::mount, joined, secret,
    secret_volume, url,
};
use crate::cluster::{Loaded, Pki, flags::Flags, load::Program, pki::Pair};

/// The groups of the two forms, by which a node without IPv6 tells their packets apart. The user has to be the same, or
/// the kernel would not let them share the port.
const SELF_HOSTED_GROUP: u32 = 65_210;
const INJECTED_GROUP: u32 = 65_211;

const CLIENT_CA: &str = "ca.crt";
const KUBELET_CLIENT: [&str; 2] = [
    "apiserver-kubelet-client.crt",
    "apiserver-kubelet-client.key",
];
const FRONT_PROXY_CA: &str = "front-proxy-ca.crt";
const FRONT_PROXY_CLIENT: [&str; 2] = ["front-proxy-client.crt", "front-proxy-client.key"];
const SERVICE_ACCOUNT: [&str; 2] = ["sa.pub", "sa.key"];
const ETCD_CA: &str = "etcd-ca.crt";
const ETCD_CLIENT: [&str; 2] = ["apiserver-etcd-client.crt", "apiserver-etcd-client.key"];

pub(in crate::cluster) fn parts(loaded: &Loaded, pki: &Pki, form: Form<'_>) -> Parts {
    let (group, host) = match form {
        // With two API servers on the port, 127.0.0.1 leads to the older one, and [::1] to the younger one.
        Form::Injected(_) => (INJECTED_GROUP, "127.0.0.1"),
        Form::SelfHosted => (SELF_HOSTED_GROUP, "localhost"),
    };
    let health = Endpoint {
        host,
        port: loaded.port(Program::ApiServer),
        scheme: "HTTPS",
    };
    let mut more = joined(
        json!({
            "resources": {"requests": {"cpu": "250m"}},
            "#securityContext": "The program in the official image has the file capability NET_BIND_SERVICE, and does not start \
                                 where that is dropped.",
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
            },
        }),
        health.probes("/livez", "/readyz"),
    );
    if matches!(form, Form::SelfHosted) {
        let why = "localhost is [::1] where the node has it, which leads to the younger API server on the port: this one, as \
                   long as there are two. Otherwise the older one may answer.";
        more = joined(more, json!({"env": env(), "#startupProbe": why}));
    }
    let parts = Parts {
        container: container(loaded, Program::ApiServer, &flags(loaded, pki, form), more),
        volumes: vec![secret_volume(Program::ApiServer)],
        security: json!({
            "#runAsGroup": "Tells the injected API server (65211) and the self-hosted one (65210) apart where the node has no \
                            IPv6. The user is the same: only then may they share the port.",
            "runAsGroup": group,
            "runAsUser": 0,
            "seccompProfile": {"type": "RuntimeDefault"},
        }),
    };
    mount(parts, &loaded.configuration.api_server.extra_volumes)
}

/// Of the node that a pod of the DaemonSet is on.
fn env() -> Value {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    json!([
        field("NODE_NAME", "spec.nodeName"),
        field("HOST_IP", "status.hostIP"),
    ])
}

/// What the API server reads. The self-hosted ones have one Secret, with a serving certificate for each node.
pub(in crate::cluster) fn files(pki: &Pki, form: Form<'_>) -> SecretFiles {
    let mut files = common_files(pki);
    let mut pair = |names: [String; 2], pair: &Pair| {
        let [certificate, key] = names;
        files.insert(certificate, pair.certificate.clone().into());
        files.insert(key, pair.key.clone());
    };
    match form {
        Form::Injected(node) => {
            if let Some(serving) = pki.api_server.get(&node.name) {
                pair(serving_files(form), serving);
            }
        }
        Form::SelfHosted => {
            for (node, serving) in &pki.api_server_self_hosted {
                pair(serving_files_of(node), serving);
            }
        }
    }
    files
}

/// All but the serving certificates, of which an API server sees by itself that they have changed.
pub(in crate::cluster) fn common_files(pki: &Pki) -> SecretFiles {
    let mut files = SecretFiles::new();
    let mut text = |name: &str, text: &str| {
        files.insert(name.to_owned(), text.to_owned().into());
    };
    text(CLIENT_CA, &pki.cluster.certificate);
    text(FRONT_PROXY_CA, &pki.front_proxy.certificate);
    text(SERVICE_ACCOUNT[0], &pki.service_account.public);
    text(SERVICE_ACCOUNT[1], &pki.service_account.private);
    let mut pair = |names: [&str; 2], pair: &Pair| {
        text(names[0], &pair.certificate);
        text(names[1], &pair.key);
    };
    pair(KUBELET_CLIENT, &pki.api_server_kubelet_client);
    pair(FRONT_PROXY_CLIENT, &pki.front_proxy_client);
    if let Some(etcd) = &pki.etcd_client {
        pair(ETCD_CLIENT, &etcd.pair);
        text(ETCD_CA, &etcd.ca);
    }
    files
}

/// The serving certificate and its key, as the flags name them.
fn serving_files(form: Form<'_>) -> [String; 2] {
    match form {
        Form::Injected(_) => ["apiserver.crt".to_owned(), "apiserver.key".to_owned()],
        // The kubelet puts the node's name in.
        Form::SelfHosted => serving_files_of("$(NODE_NAME)"),
    }
}

fn serving_files_of(node: &str) -> [String; 2] {
    [
        format!("apiserver-{node}.crt"),
        format!("apiserver-{node}.key"),
    ]
}

fn flags(loaded: &Loaded, pki: &Pki, form: Form<'_>) -> Flags {
    let configuration = &loaded.configuration;
    let networking = &configuration.networking;
    let mut flags = Flags::new(Program::ApiServer.name());
    match form {
        Form::Injected(node) => {
            flags.set("advertise-address", node.address.to_string());
        }
        Form::SelfHosted => {
            flags.set("advertise-address", "$(HOST_IP)");
        }
    }
    flags
        .set("secure-port", loaded.port(Program::ApiServer).to_string())
        .set_because(
            "permit-port-sharing",
            "true",
            "The injected API server and the self-hosted one run side by side for a while.",
        )
        .set_because(
            "shutdown-delay-duration",
            "5s",
            "It goes on serving for so long after it was told to stop, and gives watches so long to end.",
        )
        .set("shutdown-watch-termination-grace-period", "3s");
    if let Form::Injected(_) = form {
        flags.set_because(
            "endpoint-reconciler-type",
            "none",
            "Both have the node's address: when this one stops, it must not take it from the endpoints of \
             default/kubernetes.",
        );
    }
    flags.set("etcd-servers", etcd_servers(loaded));
    if pki.etcd_client.is_some() {
        flags
            .set("etcd-cafile", secret(ETCD_CA))
            .set("etcd-certfile", secret(ETCD_CLIENT[0]))
            .set("etcd-keyfile", secret(ETCD_CLIENT[1]));
    }
    let [certificate, key] = serving_files(form);
    flags
        .set("tls-cert-file", secret(&certificate))
        .set("tls-private-key-file", secret(&key))
        .set("client-ca-file", secret(CLIENT_CA))
        .set("enable-bootstrap-token-auth", "true")
        .set("authorization-mode", "Node,RBAC")
        .set("enable-admission-plugins", "NodeRestriction")
        .set("allow-privileged", "true")
        .set("kubelet-client-certificate", secret(KUBELET_CLIENT[0]))
        .set("kubelet-client-key", secret(KUBELET_CLIENT[1]))
        .set(
            "kubelet-preferred-address-types",
            "InternalIP,ExternalIP,Hostname",
        )
        .set("service-cluster-ip-range", &networking.service_subnet)
        .set(
            "service-account-issuer",
            format!("https://kubernetes.default.svc.{}", networking.dns_domain),
        )
        .set("service-account-key-file", secret(SERVICE_ACCOUNT[0]))
        .set(
            "service-account-signing-key-file",
            secret(SERVICE_ACCOUNT[1]),
        )
        .set_because(
            "requestheader-client-ca-file",
            secret(FRONT_PROXY_CA),
            "The aggregation layer.",
        )
        .set("requestheader-allowed-names", "front-proxy-client")
        .set("requestheader-username-headers", "X-Remote-User")
        .set("requestheader-group-headers", "X-Remote-Group")
        .set("requestheader-extra-headers-prefix", "X-Remote-Extra-")
        .set("proxy-client-cert-file", secret(FRONT_PROXY_CLIENT[0]))
        .set("proxy-client-key-file", secret(FRONT_PROXY_CLIENT[1]))
        .extra(&configuration.api_server.extra_args);
    flags
}

/// All members, whichever node the API server is on: one of them may be away.
fn etcd_servers(loaded: &Loaded) -> String {
    let etcd = &loaded.configuration.etcd;
    let servers: Vec<String> = match &etcd.external {
        Some(external) => external.endpoints.clone(),
        None => loaded
            .etcd_members()
            .map(|member| url("https", member.address, etcd.client_port))
            .collect(),
    };
    servers.join(",")
}
