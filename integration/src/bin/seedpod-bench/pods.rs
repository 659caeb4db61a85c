//! The pods that are measured with.

use std::fmt::Write as _;

use serde_json::{Value, json};

use seedpod_integration::images::BUSYBOX;

/// The name of the container whose first line is waited for.
pub(crate) const CONTAINER: &str = "main";

/// Prints a line at once, runs on, and on SIGTERM prints another one and ends at once.
const SCRIPT: &str = "trap 'echo down; exit 0' TERM; echo up; sleep 2147483647 & wait";

/// A small pod that says when it runs. With another `generation` it is another pod under the same name.
pub(crate) fn small(name: &str, generation: usize) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "hostNetwork": true,
            "enableServiceLinks": false,
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 10,
            "containers": [{
                "name": CONTAINER,
                "image": BUSYBOX,
                "imagePullPolicy": "Never",
                "command": ["/bin/sh", "-c", SCRIPT],
                "env": [{"name": "GENERATION", "value": generation.to_string()}],
            }],
        },
    })
}

/// A new random uid.
pub(crate) fn new_uid() -> std::io::Result<String> {
    let uid = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(uid.trim().to_owned())
}

/// How a control plane's pods are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As an installer sends them: images, probes and host paths that this machine need not have.
    Sent,
    /// With the same flags, but such that they run here: busybox, no probes, no host paths, hardly any requests.
    Running,
}

struct Component {
    name: &'static str,
    image: &'static str,
    port: usize,
    flags: &'static [&'static str],
    host_paths: &'static [&'static str],
}

/// The pods of control plane number `plane` as YAML manifests of 2 to 4 kB. Each flag set holds the `generation`, so
/// that another one changes every pod.
pub(crate) fn control_plane(kind: Kind, plane: usize, generation: usize) -> Vec<String> {
    COMPONENTS
        .iter()
        .map(|component| manifest(component, kind, plane, generation))
        .collect()
}

fn manifest(component: &Component, kind: Kind, plane: usize, generation: usize) -> String {
    let Component {
        name,
        image,
        port,
        flags,
        host_paths,
    } = component;
    // Host ports are the node's: the planes must not clash.
    let port = port + 100 * plane;
    let mut text = format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {name}-{plane}
  namespace: kube-system
  labels:
    app.kubernetes.io/name: {name}
    app.kubernetes.io/part-of: control-plane-{plane}
    component: {name}
    tier: control-plane
  annotations:
    installer.example/description: The {name} of control plane {plane}, made by the installer's template
spec:
  hostNetwork: true
  priority: 2000001000
  priorityClassName: system-node-critical
  terminationGracePeriodSeconds: 30
  enableServiceLinks: false
  securityContext:
    seccompProfile:
      type: RuntimeDefault
  containers:
  - name: {CONTAINER}
"
    );
    // The flags of a running pod are arguments that its script does not look at.
    text.push_str(&match kind {
        Kind::Sent => format!(
            "    image: {image}\n    imagePullPolicy: IfNotPresent\n    command:\n    - {name}\n"
        ),
        Kind::Running => format!(
            "    image: {BUSYBOX}\n    imagePullPolicy: Never\n    command:\n    - /bin/sh\n    - -c\n    - {SCRIPT:?}\n    \
             - {name}\n"
        ),
    });
    let address = format!("--bind-address=10.{plane}.0.10");
    let generation = format!("--configuration-generation={generation}");
    let own = [address.as_str(), generation.as_str()];
    for flag in flags.iter().chain(&own) {
        list_item(&mut text, "    ", flag);
    }
    text.push_str(
        "    env:
    - name: GOMEMLIMIT
      value: 2GiB
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    - name: HOST_IP
      valueFrom:
        fieldRef:
          fieldPath: status.hostIP
",
    );
    let _ = write!(
        text,
        "    ports:\n    - name: https\n      containerPort: {port}\n      hostPort: {port}\n      protocol: TCP\n"
    );
    let (cpu, memory) = match kind {
        Kind::Sent => ("100m", "256Mi"),
        Kind::Running => ("1m", "1Mi"),
    };
    let _ = write!(
        text,
        "    resources:\n      requests:\n        cpu: {cpu}\n        memory: {memory}\n"
    );
    if kind == Kind::Sent {
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let _ = write!(
                text,
                "    {probe}:
      httpGet:
        host: 127.0.0.1
        path: /healthz
        port: {port}
        scheme: HTTPS
      failureThreshold: 8
      initialDelaySeconds: 10
      periodSeconds: 10
      timeoutSeconds: 15
"
            );
        }
        volumes(&mut text, host_paths);
    }
    text
}

fn volumes(text: &mut String, host_paths: &[&str]) {
    text.push_str("    volumeMounts:\n");
    for (index, path) in host_paths.iter().enumerate() {
        let _ = write!(
            text,
            "    - name: volume-{index}\n      mountPath: {path}\n      readOnly: true\n"
        );
    }
    text.push_str("  volumes:\n");
    for (index, path) in host_paths.iter().enumerate() {
        let _ = write!(
            text,
            "  - name: volume-{index}\n    hostPath:\n      path: {path}\n      type: DirectoryOrCreate\n"
        );
    }
}

fn list_item(text: &mut String, indent: &str, item: &str) {
    text.push_str(indent);
    text.push_str("- ");
    text.push_str(item);
    text.push('\n');
}

const COMPONENTS: [Component; 7] = [
    Component {
        name: "etcd",
        image: "registry.example/etcd:3.7.3-0",
        port: 20_000,
        flags: &[
            "--advertise-client-urls=https://10.0.0.10:2379",
            "--cert-file=/etc/kubernetes/pki/etcd/server.crt",
            "--client-cert-auth=true",
            "--data-dir=/var/lib/etcd",
            "--experimental-initial-corrupt-check=true",
            "--feature-gates=InitialCorruptCheck=true",
            "--initial-advertise-peer-urls=https://10.0.0.10:2380",
            "--initial-cluster=node-1=https://10.0.0.10:2380,node-2=https://10.0.0.11:2380",
            "--key-file=/etc/kubernetes/pki/etcd/server.key",
            "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.10:2379",
            "--listen-metrics-urls=http://127.0.0.1:2381",
            "--listen-peer-urls=https://10.0.0.10:2380",
            "--name=node-1",
            "--peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt",
            "--peer-client-cert-auth=true",
            "--peer-key-file=/etc/kubernetes/pki/etcd/peer.key",
            "--peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
            "--snapshot-count=10000",
            "--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
        ],
        host_paths: &["/var/lib/etcd", "/etc/kubernetes/pki/etcd"],
    },
    Component {
        name: "kube-apiserver",
        image: "registry.example/kube-apiserver:v1.37.2",
        port: 20_001,
        flags: &[
            "--advertise-address=10.0.0.10",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            "--client-ca-file=/etc/kubernetes/pki/ca.crt",
            "--enable-admission-plugins=NodeRestriction",
            "--enable-bootstrap-token-auth=true",
            "--etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt",
            "--etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt",
            "--etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key",
            "--etcd-servers=https://127.0.0.1:2379",
            "--kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt",
            "--kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
            "--proxy-client-cert-file=/etc/kubernetes/pki/front-proxy-client.crt",
            "--proxy-client-key-file=/etc/kubernetes/pki/front-proxy-client.key",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            "--secure-port=6443",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--service-account-key-file=/etc/kubernetes/pki/sa.pub",
            "--service-account-signing-key-file=/etc/kubernetes/pki/sa.key",
            "--service-cluster-ip-range=10.96.0.0/12",
            "--tls-cert-file=/etc/kubernetes/pki/apiserver.crt",
            "--tls-private-key-file=/etc/kubernetes/pki/apiserver.key",
        ],
        host_paths: &[
            "/etc/ssl/certs",
            "/etc/ca-certificates",
            "/etc/kubernetes/pki",
        ],
    },
    Component {
        name: "kube-controller-manager",
        image: "registry.example/kube-controller-manager:v1.37.2",
        port: 20_002,
        flags: &[
            "--allocate-node-cidrs=true",
            "--authentication-kubeconfig=/etc/kubernetes/controller-manager.conf",
            "--authorization-kubeconfig=/etc/kubernetes/controller-manager.conf",
            "--client-ca-file=/etc/kubernetes/pki/ca.crt",
            "--cluster-cidr=10.244.0.0/16",
            "--cluster-name=kubernetes",
            "--cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt",
            "--cluster-signing-key-file=/etc/kubernetes/pki/ca.key",
            "--controllers=*,bootstrapsigner,tokencleaner",
            "--kubeconfig=/etc/kubernetes/controller-manager.conf",
            "--leader-elect=true",
            "--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt",
            "--root-ca-file=/etc/kubernetes/pki/ca.crt",
            "--service-account-private-key-file=/etc/kubernetes/pki/sa.key",
            "--service-cluster-ip-range=10.96.0.0/12",
            "--use-service-account-credentials=true",
        ],
        host_paths: &[
            "/etc/ssl/certs",
            "/etc/kubernetes/pki",
            "/usr/share/ca-certificates",
        ],
    },
    Component {
        name: "kube-scheduler",
        image: "registry.example/kube-scheduler:v1.37.2",
        port: 20_003,
        flags: &[
            "--authentication-kubeconfig=/etc/kubernetes/scheduler.conf",
            "--authorization-kubeconfig=/etc/kubernetes/scheduler.conf",
            "--kubeconfig=/etc/kubernetes/scheduler.conf",
            "--leader-elect=true",
            "--leader-elect-lease-duration=15s",
            "--leader-elect-renew-deadline=10s",
            "--profiling=false",
        ],
        host_paths: &["/etc/kubernetes/scheduler"],
    },
    Component {
        name: "kube-proxy",
        image: "registry.example/kube-proxy:v1.37.2",
        port: 20_004,
        flags: &[
            "--cluster-cidr=10.244.0.0/16",
            "--conntrack-max-per-core=32768",
            "--healthz-bind-address=127.0.0.1:10256",
            "--hostname-override=node-1",
            "--kubeconfig=/etc/kubernetes/proxy.conf",
            "--metrics-bind-address=127.0.0.1:10249",
            "--proxy-mode=nftables",
        ],
        host_paths: &["/lib/modules", "/etc/kubernetes/proxy"],
    },
    Component {
        name: "konnectivity-agent",
        image: "registry.example/konnectivity-agent:v0.34.0",
        port: 20_005,
        flags: &[
            "--admin-server-port=8133",
            "--agent-identifiers=host=10.0.0.10",
            "--ca-cert=/etc/kubernetes/pki/konnectivity/ca.crt",
            "--health-server-port=8134",
            "--keepalive-time=30s",
            "--logtostderr=true",
            "--proxy-server-host=api.cluster.example",
            "--proxy-server-port=8132",
            "--service-account-token-path=/etc/kubernetes/konnectivity/token",
            "--sync-interval=5s",
        ],
        host_paths: &["/etc/kubernetes/pki/konnectivity"],
    },
    Component {
        name: "haproxy",
        image: "registry.example/haproxy:3.2.6",
        port: 20_006,
        flags: &[
            "-W",
            "-db",
            "-f",
            "/usr/local/etc/haproxy/haproxy.cfg",
            "-L",
            "node-1",
            "-S",
            "/run/haproxy/master.sock",
        ],
        host_paths: &["/etc/haproxy", "/run/haproxy"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_have_the_size_of_real_ones() {
        let sizes: Vec<usize> = control_plane(Kind::Sent, 0, 1)
            .iter()
            .map(String::len)
            .collect();
        assert_eq!(sizes.len(), 7);
        assert!(
            sizes.iter().all(|size| (2_000..=4_200).contains(size)),
            "{sizes:?}"
        );
    }

    #[test]
    fn another_generation_changes_every_pod() {
        for kind in [Kind::Sent, Kind::Running] {
            let (first, second) = (control_plane(kind, 0, 1), control_plane(kind, 0, 2));
            assert!(first.iter().zip(&second).all(|(a, b)| a != b));
        }
    }
}
