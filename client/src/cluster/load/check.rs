//! What is wrong with the values of a configuration.

use std::{collections::BTreeMap, path::Path};

use super::{
    ApiEndpoint, CONTROLLER_MANAGER_PORT, Findings, SCHEDULER_PORT, arguments, network, nodes,
    parse, resolve::within, volumes,
};
use crate::cluster::{
    Certificates, ClusterConfiguration, Component, Etcd, ExternalEtcd, Images, Level,
    SeedpodAccess, names, subnet::Subnet, version::Version,
};

/// What `seedpodd` listens on when nothing else is configured.
pub(super) const SEEDPOD_PORT: u16 = 10290;

/// Ports of a node that are others' already: of seedpodd's metrics, the kubelet and its health.
const TAKEN: [(u16, &str); 4] = [
    (SEEDPOD_PORT, "seedpodd"),
    (10291, "seedpodd's metrics"),
    (10250, "the kubelet"),
    (10248, "the kubelet's health"),
];

/// The releases that Seedpod is tried with.
const TRIED: std::ops::RangeInclusive<u32> = 33..=37;

/// What the checks have read.
pub(super) struct Checked {
    pub(super) version: Version,
    pub(super) endpoint: ApiEndpoint,
    pub(super) service_subnets: Vec<Subnet>,
    pub(super) pod_subnets: Vec<Subnet>,
}

/// `None` when something of it cannot be read, which is then among the faults.
pub(super) fn check(
    configuration: &ClusterConfiguration,
    folder: &Path,
    findings: &mut Findings,
) -> Option<Checked> {
    let ClusterConfiguration {
        api_version,
        kind,
        name,
        level,
        kubernetes_version,
        control_plane_endpoint: _,
        nodes: _,
        seedpod,
        networking: _,
        images,
        etcd,
        api_server,
        controller_manager,
        scheduler,
        kubelet: _,
        certificates,
        addons,
    } = configuration;
    if api_version != parse::API_VERSION {
        findings.fault(
            "apiVersion",
            format!("it is not known; write {}", parse::API_VERSION),
        );
    }
    if kind != parse::KIND {
        findings.fault("kind", format!("it is not known; write {}", parse::KIND));
    }
    if !names::is_dns_label(name) {
        findings.fault(
            "name",
            "must be 1 to 63 lower-case letters, digits and \"-\", with a letter or digit at both ends",
        );
    }
    let version = version(kubernetes_version, findings);
    self::level(*level, etcd, findings);
    nodes::check(configuration, findings);
    access(seedpod, findings);
    self::images(images, findings);
    if let Some(external) = &etcd.external {
        self::external(external, findings);
    }
    if !etcd.data_directory.is_absolute() || etcd.data_directory.parent().is_none() {
        findings.fault(
            "etcd.dataDirectory",
            "must be an absolute path of a folder on the nodes",
        );
    }
    for (index, given) in api_server.cert_sans.iter().enumerate() {
        if !names::is_subject(given) {
            findings.fault(
                format!("apiServer.certSANs[{index}]"),
                format!("{given:?} is neither a DNS name nor an IP address"),
            );
        }
    }
    let masters = configuration.nodes.iter().filter(|node| node.control_plane);
    let masters = masters.count();
    for (field, component) in [
        ("controllerManager", controller_manager),
        ("scheduler", scheduler),
    ] {
        replicas(field, component, masters, findings);
    }
    ports(configuration, findings);
    arguments::check(configuration, findings);
    volumes::check(configuration, findings);
    self::certificates(certificates, folder, findings);
    if let Some(addons) = addons
        && !within(folder, addons).is_dir()
    {
        let shown = within(folder, addons);
        findings.fault(
            "addons",
            format!(
                "there is no folder {}; paths start at the folder of this file",
                shown.display()
            ),
        );
    }
    let network = network::check(configuration, findings);
    let (endpoint, service_subnets, pod_subnets) = network?;
    Some(Checked {
        version: version?,
        endpoint,
        service_subnets,
        pod_subnets,
    })
}

fn version(given: &str, findings: &mut Findings) -> Option<Version> {
    let field = "kubernetesVersion";
    let version: Version = match given.parse() {
        Ok(version) => version,
        Err(message) => {
            findings.fault(field, message);
            return None;
        }
    };
    if version.major != 1 {
        findings.fault(field, "must be a version 1.x of Kubernetes");
    } else if !TRIED.contains(&version.minor) {
        findings.warning(
            field,
            format!(
                "Seedpod is tried with 1.{} to 1.{}",
                TRIED.start(),
                TRIED.end()
            ),
        );
    }
    Some(version)
}

fn level(level: Level, etcd: &Etcd, findings: &mut Findings) {
    match (level, &etcd.external) {
        (Level::TwoToFour, None) => findings.fault(
            "etcd.external",
            "required at level 2-4: give the endpoints of an etcd that is there, or write level: 1-4 to have one injected",
        ),
        (Level::OneToFour, Some(_)) => findings.fault(
            "etcd.external",
            "at level 1-4 etcd is injected; write level: 2-4, or leave this out",
        ),
        (Level::ZeroToFour, _) => findings.fault(
            "level",
            "0-4, where the kubelet itself is self-hosted, comes later; write 1-4, or 2-4 with an external etcd",
        ),
        _ => {}
    }
}

fn access(access: &SeedpodAccess, findings: &mut Findings) {
    let SeedpodAccess {
        ca_file: _,
        cert_file,
        key_file,
    } = access;
    let message = "a client certificate needs both seedpod.certFile and seedpod.keyFile";
    match (cert_file, key_file) {
        (Some(_), None) => findings.fault("seedpod.keyFile", message),
        (None, Some(_)) => findings.fault("seedpod.certFile", message),
        _ => {}
    }
}

fn images(images: &Images, findings: &mut Findings) {
    let Images {
        repository,
        pull_policy,
        etcd,
        kube_apiserver,
        kube_controller_manager,
        kube_scheduler,
    } = images;
    let plain = |text: &str| {
        !text.is_empty()
            && !text.contains("://")
            && !text.contains(|c: char| c.is_whitespace() || c.is_control())
            && !text.starts_with('/')
            && !text.ends_with(['/', ':', '@'])
    };
    if !plain(repository) {
        findings.fault(
            "images.repository",
            "must be as in registry.k8s.io or registry.example:5000/kubernetes, without a scheme",
        );
    }
    if !["Always", "IfNotPresent", "Never"].contains(&pull_policy.as_str()) {
        findings.fault("images.pullPolicy", "must be Always, IfNotPresent or Never");
    }
    for (field, image) in [
        ("etcd", etcd),
        ("kubeApiserver", kube_apiserver),
        ("kubeControllerManager", kube_controller_manager),
        ("kubeScheduler", kube_scheduler),
    ] {
        if image.as_ref().is_some_and(|image| !plain(image)) {
            findings.fault(
                format!("images.{field}"),
                "must be an image as in registry.example/etcd:3.7.0-0",
            );
        }
    }
}

fn external(external: &ExternalEtcd, findings: &mut Findings) {
    let ExternalEtcd {
        endpoints,
        ca_file,
        cert_file,
        key_file,
    } = external;
    if endpoints.is_empty() {
        findings.fault(
            "etcd.external.endpoints",
            "must have at least one, as in https://10.0.0.7:2379",
        );
    }
    let mut secure = 0;
    for (index, endpoint) in endpoints.iter().enumerate() {
        let field = format!("etcd.external.endpoints[{index}]");
        let rest = match (
            endpoint.strip_prefix("https://"),
            endpoint.strip_prefix("http://"),
        ) {
            (Some(rest), _) => {
                secure += 1;
                Some(rest)
            }
            (None, rest) => rest,
        };
        if rest.and_then(network::host_and_port).is_none() {
            findings.fault(field, "must be as in https://10.0.0.7:2379");
        } else if endpoints[..index].contains(endpoint) {
            findings.fault(field, format!("{endpoint} is there twice; remove one"));
        }
    }
    let files = [
        ("caFile", ca_file),
        ("certFile", cert_file),
        ("keyFile", key_file),
    ];
    if secure == endpoints.len() {
        for (name, _) in files.iter().filter(|(_, file)| file.is_none()) {
            findings.fault(
                format!("etcd.external.{name}"),
                "required for https: the API servers show a certificate to etcd and check etcd's",
            );
        }
    } else if secure > 0 {
        findings.fault(
            "etcd.external.endpoints",
            "must all be https, or all be http",
        );
    } else {
        for (name, _) in files.iter().filter(|(_, file)| file.is_some()) {
            findings.fault(
                format!("etcd.external.{name}"),
                "is of no use for http; write the endpoints with https, or leave it out",
            );
        }
        findings.warning(
            "etcd.external.endpoints",
            "without TLS everybody on the network can read and change the whole cluster; use https",
        );
    }
}

fn replicas(field: &str, component: &Component, masters: usize, findings: &mut Findings) {
    let Some(replicas) = component.replicas else {
        return;
    };
    let field = format!("{field}.replicas");
    if replicas == 0 {
        findings.fault(field, "must be at least 1");
    } else if usize::try_from(replicas).is_ok_and(|replicas| replicas > masters) {
        findings.fault(
            field,
            format!(
                "each node of the control plane runs at most one, and there are {masters}: the others would wait for ever; \
                 lower it, or leave it out"
            ),
        );
    }
}

/// All are on the network of the host.
fn ports(configuration: &ClusterConfiguration, findings: &mut Findings) {
    let etcd = &configuration.etcd;
    let mut ports = vec![
        ("apiServer.port", configuration.api_server.port),
        (
            "controllerManager.port",
            (configuration.controller_manager.port).unwrap_or(CONTROLLER_MANAGER_PORT),
        ),
        (
            "scheduler.port",
            configuration.scheduler.port.unwrap_or(SCHEDULER_PORT),
        ),
    ];
    if configuration.level == Level::OneToFour {
        ports.extend([
            ("etcd.clientPort", etcd.client_port),
            ("etcd.peerPort", etcd.peer_port),
            ("etcd.metricsPort", etcd.metrics_port),
        ]);
    }
    let mut seen = BTreeMap::new();
    for (field, port) in ports {
        if port == 0 {
            findings.fault(field, "must be between 1 and 65535");
        } else if let Some((_, owner)) = TAKEN.iter().find(|(taken, _)| *taken == port) {
            findings.fault(field, format!("{port} is {owner}'s port; choose another"));
        } else if let Some(other) = seen.insert(port, field) {
            findings.fault(
                field,
                format!("{port} is also {other}, on the same nodes; choose another"),
            );
        }
    }
}

fn certificates(certificates: &Certificates, folder: &Path, findings: &mut Findings) {
    const MOST: u32 = 36_500;
    let Certificates {
        directory,
        ca_days,
        days,
    } = certificates;
    for (field, days) in [("caDays", ca_days), ("days", days)] {
        if !(1..=MOST).contains(days) {
            findings.fault(
                format!("certificates.{field}"),
                format!("must be between 1 and {MOST}"),
            );
        }
    }
    if days > ca_days {
        findings.warning(
            "certificates.days",
            format!("no certificate outlives its authority, which is valid for {ca_days} days"),
        );
    }
    if let Some(directory) = directory {
        let directory = within(folder, directory);
        if !directory.is_dir() {
            findings.fault(
                "certificates.directory",
                format!(
                    "there is no folder {}; paths start at the folder of this file",
                    directory.display()
                ),
            );
        }
    }
}
