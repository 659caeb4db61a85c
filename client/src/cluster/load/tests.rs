#![allow(
    clippy::disallowed_methods,
    reason = "tests write their own scratch files"
)]

mod fields;

use super::*;
use crate::cluster::{Level, NodeConfiguration};

/// Three nodes of the control plane and a worker.
const CLUSTER: &str = "\
apiVersion: seedpod.dev/v1alpha1
kind: ClusterConfiguration
name: demo
kubernetesVersion: v1.37.2
controlPlaneEndpoint: https://API.example:6443
nodes:
- {name: a, address: 192.0.2.1, controlPlane: true}
- {name: b, address: 192.0.2.2, controlPlane: true}
- {name: c, address: 192.0.2.3, controlPlane: true}
- {name: w, address: 192.0.2.4}
";

const EXTERNAL: &str = "\
level: 2-4
etcd:
  external: {endpoints: ['https://192.0.2.9:2379'], caFile: ca.crt, certFile: c.crt, keyFile: /etc/c.key}
";

fn load(text: &str) -> Result<Loaded, ConfigurationError> {
    let path = Path::new("cluster.yaml");
    let folder = Path::new("/home/me/demo");
    ClusterConfiguration::parse(path, text)?.check(path, folder, Places::of(text).as_ref())
}

fn good(text: &str) -> Loaded {
    load(text).unwrap_or_else(|error| panic!("{error}"))
}

fn faults(text: &str) -> Vec<Fault> {
    match load(text) {
        Err(ConfigurationError::Invalid { faults, .. }) => faults,
        other => panic!("{other:?}"),
    }
}

/// The cluster with more lines; those that are there already are replaced.
fn with(lines: &str) -> String {
    let key = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let replaced: Vec<String> = lines.lines().map(key).collect();
    let kept = CLUSTER
        .lines()
        .filter(|line| line.starts_with('-') || !replaced.contains(&key(line)));
    kept.map(|line| format!("{line}\n")).collect::<String>() + lines
}

/// The one fault of the cluster with these lines.
fn fault(lines: &str) -> (String, String) {
    let faults = faults(&with(lines));
    match faults.as_slice() {
        [Fault { field, message, .. }] => (field.clone(), message.clone()),
        other => panic!("{lines}: {other:?}"),
    }
}

#[test]
fn the_example_loads_as_it_is_and_without_warnings() {
    let loaded = good(ClusterConfiguration::EXAMPLE);
    assert_eq!(loaded.warnings, []);
    // What is commented out is right too: with it, it still loads.
    let shown: String = ClusterConfiguration::EXAMPLE
        .lines()
        .map(|line| {
            let bare = line.trim_start();
            let indent = &line[..line.len() - bare.len()];
            match bare.strip_prefix('#') {
                Some(shown) if !shown.starts_with(' ') || shown.starts_with("  ") => {
                    format!("{indent}{shown}\n")
                }
                _ => format!("{line}\n"),
            }
        })
        .collect();
    let shown = shown
        .replace("\naddons: addons", "")
        .replace("  directory: own-pki", "");
    let faults = faults(&shown);
    let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["etcd.external"], "{faults:?}");
}

#[test]
fn what_follows_from_the_rest_is_filled_in() {
    let loaded = good(CLUSTER);
    assert_eq!(loaded.endpoint.to_string(), "https://api.example:6443");
    let names = |nodes: Vec<&NodeConfiguration>| {
        nodes
            .iter()
            .map(|node| node.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(loaded.control_plane().collect()), ["a", "b", "c"]);
    assert_eq!(names(loaded.etcd_members().collect()), ["a", "b", "c"]);
    let configuration = &loaded.configuration;
    assert_eq!(
        configuration.nodes[3].endpoint.as_deref(),
        Some("https://192.0.2.4:10290")
    );
    assert_eq!(configuration.nodes[3].etcd, Some(false));
    assert_eq!(configuration.scheduler.replicas, Some(3));
    assert_eq!(loaded.port(Program::ControllerManager), 10257);
    assert_eq!(
        loaded.image(Program::ApiServer),
        "registry.k8s.io/kube-apiserver:v1.37.2"
    );
    assert_eq!(loaded.image(Program::Etcd), "registry.k8s.io/etcd:3.7.0-0");
    assert_eq!(
        loaded.service_addresses(),
        ["10.96.0.1".parse::<IpAddr>().expect("an address")]
    );

    let loaded = good(&with(EXTERNAL));
    assert_eq!(loaded.configuration.level, Level::TwoToFour);
    assert_eq!(loaded.etcd_members().count(), 0);
    let external = loaded.configuration.etcd.external.expect("there");
    assert_eq!(
        external.ca_file.as_deref(),
        Some(Path::new("/home/me/demo/ca.crt"))
    );
    assert_eq!(external.key_file.as_deref(), Some(Path::new("/etc/c.key")));
}

#[test]
fn without_an_endpoint_it_is_the_first_node_s_address() {
    let one = |address: &str| {
        let text = CLUSTER.replace("controlPlaneEndpoint: https://API.example:6443\n", "");
        text.replace("192.0.2.1,", &format!("{address},"))
    };
    let loaded = good(&one("192.0.2.1"));
    assert_eq!(loaded.endpoint.to_string(), "https://192.0.2.1:6443");
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(loaded.warnings[0].field, "controlPlaneEndpoint");

    let text = "\
apiVersion: seedpod.dev/v1alpha1
kind: ClusterConfiguration
name: demo
kubernetesVersion: v1.37.2
networking: {serviceSubnet: 'fd00:96::/112,10.96.0.0/12', podSubnet: 'fd00:244::/48,10.244.0.0/16'}
nodes: [{name: a, address: 'fd00::1', controlPlane: true}]
";
    let loaded = good(text);
    assert_eq!(loaded.endpoint.to_string(), "https://[fd00::1]:6443");
    assert_eq!(
        loaded.configuration.nodes[0].endpoint.as_deref(),
        Some("https://[fd00::1]:10290")
    );
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.service_addresses().len(), 2);
}

#[test]
fn the_digest_is_of_what_is_said_and_not_of_how() {
    let reordered = with("name: demo\n") + "# a comment\n";
    assert_eq!(good(CLUSTER).digest, good(&reordered).digest);
    assert_ne!(good(CLUSTER).digest, good(&with("name: other\n")).digest);
}

#[test]
fn what_is_no_such_file_is_told_with_its_place() {
    for (text, place) in [
        ("", ""),
        ("# nothing\n", ""),
        ("kind: [\n", ":"),
        (&with("surprise: 1\n"), ":11:1"),
        (&with("name: demo\nname: demo\n"), ":11:1"),
        (&CLUSTER.replace("192.0.2.4", "nowhere"), ":10:"),
        (&with("level: 3-4\n"), ":11:8"),
    ] {
        match load(text) {
            Err(ConfigurationError::Syntax {
                place: found,
                message,
            }) => {
                assert!(
                    found.starts_with(&format!("cluster.yaml{place}")) && !message.is_empty(),
                    "{text}: {found}: {message}"
                );
                assert!(!message.contains(" at line "), "{message}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn each_fault_names_its_field_and_a_remedy() {
    for (lines, field, remedy) in [
        (
            "apiVersion: v1\n",
            "apiVersion",
            "write seedpod.dev/v1alpha1",
        ),
        ("kind: Pod\n", "kind", "write ClusterConfiguration"),
        ("name: Demo\n", "name", "lower-case"),
        (
            "kubernetesVersion: 1.37.2\n",
            "kubernetesVersion",
            "v1.37.2",
        ),
        ("level: 0-4\n", "level", "comes later"),
        ("level: 2-4\n", "etcd.external", "level: 1-4"),
        (
            "etcd: {external: {endpoints: ['http://a:1']}}\n",
            "etcd.external",
            "level: 2-4",
        ),
        (
            "etcd: {dataDirectory: var/etcd}\n",
            "etcd.dataDirectory",
            "absolute",
        ),
        (
            "etcd: {metricsPort: 2380}\n",
            "etcd.metricsPort",
            "etcd.peerPort",
        ),
        (
            "apiServer: {port: 10250}\n",
            "apiServer.port",
            "the kubelet's",
        ),
        ("apiServer: {port: 0}\n", "apiServer.port", "65535"),
        (
            "scheduler: {port: 10257}\n",
            "scheduler.port",
            "controllerManager.port",
        ),
        (
            "scheduler: {replicas: 4}\n",
            "scheduler.replicas",
            "lower it",
        ),
        (
            "controllerManager: {replicas: 0}\n",
            "controllerManager.replicas",
            "at least 1",
        ),
        (
            "apiServer: {certSANs: [ok.example, 'a b']}\n",
            "apiServer.certSANs[1]",
            "DNS name",
        ),
        (
            "controlPlaneEndpoint: http://api.example:6443\n",
            "controlPlaneEndpoint",
            "https://api.example:6443",
        ),
        (
            "controlPlaneEndpoint: https://api.example\n",
            "controlPlaneEndpoint",
            "with the port",
        ),
        (
            "controlPlaneEndpoint: https://api.example:6443/x\n",
            "controlPlaneEndpoint",
            "nothing behind",
        ),
        (
            "controlPlaneEndpoint: https://me@api.example:6443\n",
            "controlPlaneEndpoint",
            "https://api",
        ),
        (
            "controlPlaneEndpoint: https://127.0.0.1:6443\n",
            "controlPlaneEndpoint",
            "all can reach",
        ),
        (
            "controlPlaneEndpoint: https://10.96.0.7:6443\n",
            "controlPlaneEndpoint",
            "networking.serviceSubnet",
        ),
        (
            "networking: {dnsDomain: 'a b'}\n",
            "networking.dnsDomain",
            "cluster.local",
        ),
        (
            "networking: {serviceSubnet: 10.96.0.0}\n",
            "networking.serviceSubnet",
            "10.96.0.0/12",
        ),
        (
            "networking: {serviceSubnet: 10.96.0.1/12}\n",
            "networking.serviceSubnet",
            "10.96.0.0/12",
        ),
        (
            "networking: {serviceSubnet: 10.0.0.0/8}\n",
            "networking.serviceSubnet",
            "/12",
        ),
        (
            "networking: {serviceSubnet: 10.0.0.0/30}\n",
            "networking.serviceSubnet",
            "/28",
        ),
        (
            "networking: {serviceSubnet: '10.0.0.0/16,10.1.0.0/16'}\n",
            "networking.serviceSubnet",
            "one of IPv6",
        ),
        (
            "networking: {podSubnet: 10.100.0.0/16}\n",
            "networking.podSubnet",
            "overlaps",
        ),
        (
            "networking: {podSubnet: 10.244.0.0/25}\n",
            "networking.podSubnet",
            "node-cidr-mask-size-ipv4",
        ),
        (
            "networking: {podSubnet: 10.244.0.0/23}\n",
            "networking.podSubnet",
            "2 nodes",
        ),
        (
            "networking: {podSubnet: 'fd00::/40'}\n",
            "networking.podSubnet",
            "/48",
        ),
        (
            "images: {pullPolicy: Sometimes}\n",
            "images.pullPolicy",
            "Never",
        ),
        (
            "images: {repository: 'https://registry.k8s.io'}\n",
            "images.repository",
            "without a scheme",
        ),
        ("images: {etcd: ''}\n", "images.etcd", "etcd:3"),
        (
            "certificates: {days: 0}\n",
            "certificates.days",
            "between 1",
        ),
        (
            "certificates: {directory: nowhere}\n",
            "certificates.directory",
            "/home/me/demo/nowhere",
        ),
        ("addons: nowhere\n", "addons", "/home/me/demo/nowhere"),
        ("seedpod: {certFile: a.crt}\n", "seedpod.keyFile", "both"),
    ] {
        let (found, message) = fault(lines);
        assert_eq!(found, field, "{lines}: {message}");
        assert!(message.contains(remedy), "{lines}: {message}");
    }
}

#[test]
fn each_fault_of_a_node_names_the_node() {
    for (given, instead, field, remedy) in [
        ("name: w", "name: a", "nodes[3].name", "nodes[0]"),
        ("name: w", "name: W", "nodes[3].name", "kubelet"),
        ("192.0.2.4", "192.0.2.2", "nodes[3].address", "nodes[1]"),
        (
            "192.0.2.4",
            "127.0.0.1",
            "nodes[3].address",
            "cannot be reached",
        ),
        (
            "192.0.2.4",
            "169.254.1.1",
            "nodes[3].address",
            "cannot be reached",
        ),
        ("192.0.2.4", "0.0.0.0", "nodes[3].address", "no address"),
        (
            "192.0.2.4",
            "10.97.0.1",
            "nodes[3].address",
            "networking.serviceSubnet",
        ),
        ("192.0.2.3", "'fd00::3'", "nodes[2].address", "IP family"),
        (
            "192.0.2.4",
            "192.0.2.4, endpoint: 'http://w'",
            "nodes[3].endpoint",
            "https://",
        ),
        (
            "192.0.2.4",
            "192.0.2.4, endpoint: '192.0.2.1:10290'",
            "nodes[3].endpoint",
            "nodes[0]",
        ),
        (
            "192.0.2.4",
            "192.0.2.4, labels: {'a b': c}",
            "nodes[3].labels[\"a b\"]",
            "DOMAIN/NAME",
        ),
        (
            "192.0.2.4",
            "192.0.2.4, labels: {seedpod.dev/self-hosted: control-plane}",
            "nodes[3].labels[\"seedpod.dev/self-hosted\"]",
            "leave it out",
        ),
        (
            "192.0.2.4",
            "192.0.2.4, labels: {zone: a/b}",
            "nodes[3].labels[\"zone\"]",
            "63",
        ),
    ] {
        let found = faults(&CLUSTER.replace(given, instead));
        let [
            Fault {
                field: found,
                message,
                ..
            },
        ] = found.as_slice()
        else {
            panic!("{instead}: {found:?}");
        };
        assert_eq!(found, field, "{message}");
        assert!(message.contains(remedy), "{instead}: {message}");
    }
    let nobody = faults(&CLUSTER.replace(", controlPlane: true", ""));
    let fields: Vec<&str> = nobody.iter().map(|fault| fault.field.as_str()).collect();
    assert!(fields.contains(&"nodes"), "{nobody:?}");
    let no_etcd = faults(&CLUSTER.replace("controlPlane: true", "controlPlane: true, etcd: false"));
    assert!(no_etcd[0].message.contains("etcd: true"), "{no_etcd:?}");
}

#[test]
fn an_external_etcd_is_checked() {
    let fault = |given: &str, instead: &str| {
        let text = with(&EXTERNAL.replace(given, instead));
        let faults = faults(&text);
        assert_eq!(faults.len(), 1, "{instead}: {faults:?}");
        faults[0].field.clone()
    };
    assert_eq!(fault(", keyFile: /etc/c.key", ""), "etcd.external.keyFile");
    assert_eq!(
        fault("'https://192.0.2.9:2379'", ""),
        "etcd.external.endpoints"
    );
    assert_eq!(
        fault("https://192.0.2.9:2379", "https://192.0.2.9"),
        "etcd.external.endpoints[0]"
    );
    assert_eq!(
        fault("'https://192.0.2.9:2379'", "'https://a:1', 'https://a:1'"),
        "etcd.external.endpoints[1]"
    );
    assert_eq!(
        fault("'https://192.0.2.9:2379'", "'https://a:1', 'http://b:1'"),
        "etcd.external.endpoints"
    );
    let plain = "level: 2-4\netcd: {external: {endpoints: ['http://192.0.2.9:2379']}}\n";
    assert_eq!(good(&with(plain)).warnings.len(), 1);
    let member = with(EXTERNAL).replace("192.0.2.4}", "192.0.2.4, etcd: true}");
    assert_eq!(faults(&member)[0].field, "nodes[3].etcd");
}

#[test]
fn flags_that_are_seedpod_s_own_are_refused_with_the_reason() {
    for (program, flag, value, reason) in [
        ("apiServer", "permit-port-sharing", "false", "handoff"),
        ("apiServer", "permit_port_sharing", "false", "handoff"),
        ("apiServer", "secure-port", "1", "apiServer.port"),
        ("apiServer", "advertise-address", "192.0.2.1", "nodes"),
        ("apiServer", "etcd-servers", "http://a:1", "etcd"),
        ("apiServer", "bind-address", "127.0.0.1", "0.0.0.0"),
        ("apiServer", "authorization-mode", "AlwaysAllow", "RBAC"),
        ("apiServer", "anonymous-auth", "false", "probes"),
        ("apiServer", "tls-cert-file", "/a", "certificates.directory"),
        ("apiServer", "--v", "4", "without the dashes: v"),
        ("apiServer", "a b", "4", "no flag"),
        ("controllerManager", "leader-elect", "false", "lease"),
        (
            "controllerManager",
            "secure-port",
            "1",
            "controllerManager.port",
        ),
        (
            "controllerManager",
            "cluster-cidr",
            "10.0.0.0/8",
            "networking.podSubnet",
        ),
        ("scheduler", "bind-address", "0.0.0.0", "127.0.0.1"),
        ("scheduler", "config", "/a", "leader election"),
        ("etcd", "name", "a", "nodes"),
        ("etcd", "data-dir", "/a", "etcd.dataDirectory"),
    ] {
        let (field, message) = fault(&format!(
            "{program}: {{extraArgs: {{'{flag}': '{value}'}}}}\n"
        ));
        assert_eq!(field, format!("{program}.extraArgs.{flag}"), "{message}");
        assert!(message.contains(reason), "{flag}: {message}");
    }
    for allowed in [
        "apiServer: {extraArgs: {v: '4', bind-address: '::', authorization-mode: 'Webhook,Node,RBAC'}}\n",
        "controllerManager: {extraArgs: {feature-gates: A=true, node-cidr-mask-size: '26'}}\n",
        "scheduler: {extraArgs: {profiling: 'false'}}\n",
        "etcd: {extraArgs: {quota-backend-bytes: '1'}}\n",
    ] {
        good(&with(allowed));
    }
    let (field, _) = fault(
        "kubelet: {admission: bootstrapToken}\napiServer: {extraArgs: {enable-bootstrap-token-auth: 'false'}}\n",
    );
    assert_eq!(field, "apiServer.extraArgs.enable-bootstrap-token-auth");
    let (field, _) = fault(&format!("{EXTERNAL}  extraArgs: {{a: b}}\n"));
    assert_eq!(field, "etcd.extraArgs");
}

#[test]
fn all_faults_are_told_at_once() {
    let text = with(
        "name: Demo\nlevel: 0-4\naddons: nowhere\napiServer: {extraArgs: {secure-port: '1'}}\n",
    );
    let error = load(&text).expect_err("four faults");
    let message = error.to_string();
    assert!(
        message.starts_with("cluster.yaml: 4 faults:\n  cluster.yaml:10:7: name: "),
        "{message}"
    );
    assert_eq!(message.lines().count(), 5, "{message}");
}

#[test]
fn what_is_seldom_meant_is_warned_about() {
    let warned = |text: &str| {
        let loaded = good(text);
        let fields = loaded.warnings.iter().map(|warning| warning.field.clone());
        fields.collect::<Vec<_>>()
    };
    assert_eq!(warned(CLUSTER), [""; 0]);
    let two = CLUSTER.replace("192.0.2.3, controlPlane: true", "192.0.2.3");
    assert_eq!(warned(&two), ["nodes"]);
    assert_eq!(
        warned(&with("kubernetesVersion: v1.99.0\n")),
        ["kubernetesVersion"]
    );
    assert_eq!(
        warned(&with("certificates: {caDays: 10, days: 20}\n")),
        ["certificates.days"]
    );
}

#[test]
fn a_file_is_read_from_its_folder_on() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    fs::create_dir(folder.path().join("mine")).expect("made");
    let file = folder.path().join("cluster.yaml");
    fs::write(&file, with("addons: ./mine\n")).expect("written");
    let loaded = ClusterConfiguration::load(&file).expect("loaded");
    assert_eq!(loaded.folder, folder.path());
    assert_eq!(
        loaded.configuration.addons,
        Some(folder.path().join("mine"))
    );
    let missing = ClusterConfiguration::load(folder.path().join("none.yaml"));
    assert!(matches!(missing, Err(ConfigurationError::Read { .. })));
}
