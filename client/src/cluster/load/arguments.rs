//! Which flags of the programs are Seedpod's own.

use std::collections::BTreeMap;

use super::Findings;
use crate::cluster::{AdmittedKubelet, ClusterConfiguration, Level};

/// Flags of kube-apiserver that are not to be set, and why.
const API_SERVER: &[(&[&str], &str)] = &[
    (&["secure-port"], "set apiServer.port"),
    (
        &["advertise-address"],
        "each node's is the address in nodes",
    ),
    (
        &["permit-port-sharing"],
        "the injected and the self-hosted API server share the port during a handoff",
    ),
    (
        &["endpoint-reconciler-type"],
        "the injected API server has another one than the self-hosted one, so that none takes the other's endpoint away",
    ),
    (
        &[
            "etcd-servers",
            "etcd-cafile",
            "etcd-certfile",
            "etcd-keyfile",
        ],
        "they follow from etcd and its members",
    ),
    (
        &["service-cluster-ip-range"],
        "set networking.serviceSubnet",
    ),
    (
        &[
            "tls-cert-file",
            "tls-private-key-file",
            "tls-sni-cert-key",
            "cert-dir",
            "client-ca-file",
            "kubelet-certificate-authority",
            "kubelet-client-certificate",
            "kubelet-client-key",
            "proxy-client-cert-file",
            "proxy-client-key-file",
            "requestheader-client-ca-file",
            "service-account-key-file",
            "service-account-signing-key-file",
        ],
        "keys and certificates are the rendered ones; bring your own with certificates.directory",
    ),
];

/// Flags of kube-controller-manager and kube-scheduler.
const LEADER_ELECTED: &[(&[&str], &str)] = &[
    (
        &["permit-port-sharing"],
        "the injected and the self-hosted pod share the port during a handoff",
    ),
    (
        &["bind-address"],
        "probes reach it on 127.0.0.1, and nobody else has to",
    ),
    (
        &[
            "leader-elect",
            "leader-elect-resource-lock",
            "leader-elect-resource-name",
            "leader-elect-resource-namespace",
        ],
        "the handoff watches the lease go over",
    ),
    (
        &[
            "kubeconfig",
            "master",
            "authentication-kubeconfig",
            "authorization-kubeconfig",
        ],
        "the kubeconfig is the rendered one",
    ),
    (
        &[
            "client-ca-file",
            "requestheader-client-ca-file",
            "cert-dir",
            "tls-cert-file",
            "tls-private-key-file",
        ],
        "keys and certificates are the rendered ones",
    ),
];

const CONTROLLER_MANAGER: &[(&[&str], &str)] = &[
    (&["secure-port"], "set controllerManager.port"),
    (
        &["service-cluster-ip-range"],
        "set networking.serviceSubnet",
    ),
    (
        &["cluster-cidr", "allocate-node-cidrs"],
        "set networking.podSubnet",
    ),
    (
        &[
            "root-ca-file",
            "service-account-private-key-file",
            "cluster-signing-cert-file",
            "cluster-signing-key-file",
        ],
        "keys and certificates are the rendered ones; bring your own with certificates.directory",
    ),
];

const SCHEDULER: &[(&[&str], &str)] = &[
    (&["secure-port"], "set scheduler.port"),
    (
        &["config"],
        "it would override the flags of the leader election, and the kubeconfig",
    ),
];

const ETCD: &[(&[&str], &str)] = &[
    (&["data-dir", "wal-dir"], "set etcd.dataDirectory"),
    (
        &[
            "listen-client-urls",
            "listen-client-http-urls",
            "advertise-client-urls",
            "listen-peer-urls",
            "initial-advertise-peer-urls",
            "listen-metrics-urls",
        ],
        "set etcd.clientPort, etcd.peerPort and etcd.metricsPort",
    ),
    (
        &[
            "name",
            "initial-cluster",
            "initial-cluster-state",
            "initial-cluster-token",
            "discovery",
            "discovery-srv",
            "force-new-cluster",
        ],
        "the members follow from nodes",
    ),
    (
        &["config-file"],
        "it would override every flag, and no file of yours is in the pod",
    ),
    (
        &[
            "cert-file",
            "key-file",
            "trusted-ca-file",
            "client-cert-auth",
            "client-crl-file",
            "auto-tls",
            "peer-cert-file",
            "peer-key-file",
            "peer-trusted-ca-file",
            "peer-client-cert-auth",
            "peer-crl-file",
            "peer-auto-tls",
        ],
        "keys and certificates are the rendered ones; bring your own with certificates.directory",
    ),
];

pub(super) fn check(configuration: &ClusterConfiguration, findings: &mut Findings) {
    let ClusterConfiguration {
        etcd,
        api_server,
        controller_manager,
        scheduler,
        ..
    } = configuration;
    if configuration.level == Level::OneToFour {
        refuse("etcd", &etcd.extra_args, &[ETCD], findings);
    } else if !etcd.extra_args.is_empty() {
        findings.fault(
            "etcd.extraArgs",
            "at level 2-4 Seedpod starts no etcd; leave it out",
        );
    }
    refuse("apiServer", &api_server.extra_args, &[API_SERVER], findings);
    self::api_server(configuration, findings);
    refuse(
        "controllerManager",
        &controller_manager.extra_args,
        &[CONTROLLER_MANAGER, LEADER_ELECTED],
        findings,
    );
    refuse(
        "scheduler",
        &scheduler.extra_args,
        &[SCHEDULER, LEADER_ELECTED],
        findings,
    );
}

fn field(program: &str, flag: &str) -> String {
    format!("{program}.extraArgs.{flag}")
}

fn refuse(
    program: &str,
    given: &BTreeMap<String, String>,
    tables: &[&[(&[&str], &str)]],
    findings: &mut Findings,
) {
    for (flag, value) in given {
        let field = field(program, flag);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if flag.starts_with('-') {
            findings.fault(
                field,
                format!(
                    "write it without the dashes: {}",
                    flag.trim_start_matches('-')
                ),
            );
            continue;
        }
        if flag.is_empty() || !flag.bytes().all(plain) {
            findings.fault(
                field,
                "is no flag; write its name as the key and its value as the value",
            );
            continue;
        }
        if value.contains(['\n', '\0']) {
            findings.fault(field.clone(), "must be a single line");
        }
        // The programs take "_" for "-".
        let flag = flag.replace('_', "-");
        let mut rules = tables.iter().flat_map(|table| table.iter());
        if let Some((_, reason)) = rules.find(|(flags, _)| flags.contains(&flag.as_str())) {
            findings.fault(field, format!("cannot be set here: {reason}"));
        }
    }
}

/// Flags whose values matter.
fn api_server(configuration: &ClusterConfiguration, findings: &mut Findings) {
    let arguments = &configuration.api_server.extra_args;
    let value = |flag: &str| {
        let mut given = arguments.iter();
        given
            .find(|(key, _)| key.replace('_', "-") == flag)
            .map(|(_, value)| value.as_str())
    };
    let is_false = |value: &str| matches!(value, "false" | "False" | "FALSE" | "f" | "F" | "0");
    let mut refuse = |flag: &str, reason: &str| findings.fault(field("apiServer", flag), reason);
    if value("bind-address").is_some_and(|address| !matches!(address, "0.0.0.0" | "::")) {
        refuse(
            "bind-address",
            "must be 0.0.0.0 or ::, as the node itself uses 127.0.0.1 and everybody else the node's address",
        );
    }
    if value("authorization-mode").is_some_and(|modes| {
        !["Node", "RBAC"]
            .iter()
            .all(|needed| modes.split(',').any(|mode| mode.trim() == *needed))
    }) {
        refuse(
            "authorization-mode",
            "must have Node and RBAC among them: kubelets and the control plane's own programs are allowed what they do by \
             these",
        );
    }
    if value("authorization-config").is_some() {
        refuse(
            "authorization-config",
            "it would take the place of authorization-mode, which must have Node and RBAC among its modes; use that one",
        );
    }
    if value("anonymous-auth").is_some_and(is_false) {
        refuse(
            "anonymous-auth",
            "must not be false: probes ask /livez and /readyz without a certificate",
        );
    }
    if value("enable-bootstrap-token-auth").is_some_and(is_false)
        && configuration.kubelet.admission == AdmittedKubelet::BootstrapToken
    {
        refuse(
            "enable-bootstrap-token-auth",
            "must not be false with kubelet.admission: bootstrapToken",
        );
    }
}
