//! The probes in a pod's spec, with the kubelet's defaults filled in.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::Deserialize;

use super::{expand::expand, machine::Pace};

/// What is to be probed in a pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PodProbes {
    /// The pod has the host's addresses.
    pub(super) host_network: bool,
    /// Only those that have any, by name.
    pub(super) containers: HashMap<String, Arc<ContainerProbes>>,
}

/// The probes of one container.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ContainerProbes {
    pub(super) startup: Option<Arc<Probe>>,
    pub(super) readiness: Option<Arc<Probe>>,
}

/// A probe.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) pace: Pace,
    pub(super) ask: Ask,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    Http(HttpAsk),
    Tcp {
        host: Option<String>,
        port: u16,
    },
    Grpc {
        port: u16,
        service: String,
    },
    Exec {
        command: Vec<String>,
    },
    /// Nothing that can be asked, for this reason.
    Nothing(String),
}

/// A GET request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpAsk {
    pub(super) https: bool,
    /// `None`: the pod's address.
    pub(super) host: Option<String>,
    pub(super) port: u16,
    /// As in the manifest.
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
}

impl PodProbes {
    /// Reads a rendered file. `None` when there is nothing to probe. We rendered it, so it is readable.
    pub(super) fn read(rendered: &str) -> Option<Self> {
        let pod: Pod = serde_json::from_str(rendered).ok()?;
        let sidecars = pod
            .spec
            .init_containers
            .into_iter()
            // The kubelet does not probe the others, which end by themselves.
            .filter(|container| container.restart_policy.as_deref() == Some("Always"));
        let containers: HashMap<_, _> = pod
            .spec
            .containers
            .into_iter()
            .chain(sidecars)
            .filter_map(|container| {
                let read = |probe: &Option<ProbeSpec>| {
                    let probe = probe.as_ref()?;
                    Some(Arc::new(probe.read(&container)))
                };
                let probes = ContainerProbes {
                    startup: read(&container.startup_probe),
                    readiness: read(&container.readiness_probe),
                };
                let any = probes.startup.is_some() || probes.readiness.is_some();
                any.then_some((container.name, Arc::new(probes)))
            })
            .collect();
        (!containers.is_empty()).then_some(Self {
            host_network: pod.spec.host_network,
            containers,
        })
    }
}

#[derive(Debug, Deserialize)]
struct Pod {
    spec: PodSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    host_network: bool,
    init_containers: Vec<Container>,
    containers: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    restart_policy: Option<String>,
    ports: Vec<ContainerPort>,
    env: Vec<EnvVar>,
    startup_probe: Option<ProbeSpec>,
    readiness_probe: Option<ProbeSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerPort {
    name: String,
    container_port: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EnvVar {
    name: String,
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ProbeSpec {
    exec: Option<ExecAction>,
    http_get: Option<HttpGetAction>,
    tcp_socket: Option<TcpSocketAction>,
    grpc: Option<GrpcAction>,
    initial_delay_seconds: u32,
    timeout_seconds: u32,
    period_seconds: u32,
    success_threshold: u32,
    failure_threshold: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ExecAction {
    command: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HttpGetAction {
    scheme: String,
    host: String,
    port: Port,
    path: String,
    http_headers: Vec<HttpHeader>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HttpHeader {
    name: String,
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TcpSocketAction {
    host: String,
    port: Port,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GrpcAction {
    port: i64,
    service: Option<String>,
}

/// A port's number, or its name among the container's ports.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Port {
    Number(i64),
    Name(String),
}

impl Default for Port {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl ProbeSpec {
    fn read(&self, container: &Container) -> Probe {
        let or = |value: u32, default: u32| if value == 0 { default } else { value };
        let seconds = |value: u32| Duration::from_secs(value.into());
        Probe {
            pace: Pace {
                initial_delay: seconds(self.initial_delay_seconds),
                timeout: seconds(or(self.timeout_seconds, 1)),
                period: seconds(or(self.period_seconds, 10)),
                successes: or(self.success_threshold, 1),
                failures: or(self.failure_threshold, 3),
            },
            ask: self.ask(container).unwrap_or_else(Ask::Nothing),
        }
    }

    fn ask(&self, container: &Container) -> Result<Ask, String> {
        let given = |host: &str| (!host.is_empty()).then(|| host.to_owned());
        // The order of the kubelet, though validation lets only one pass.
        if let Some(exec) = &self.exec {
            // The kubelet knows only the values that stand in the manifest here: not `valueFrom`, and not `envFrom`.
            let env = |name: &str| {
                let mut named = container.env.iter().rev().filter(|it| it.name == name);
                named.next().map(|it| it.value.as_str())
            };
            return Ok(Ask::Exec {
                command: exec.command.iter().map(|it| expand(it, env)).collect(),
            });
        }
        if let Some(get) = &self.http_get {
            return Ok(Ask::Http(HttpAsk {
                https: get.scheme.eq_ignore_ascii_case("https"),
                host: given(&get.host),
                port: get.port.number(container)?,
                path: if get.path.is_empty() {
                    "/".to_owned()
                } else {
                    get.path.clone()
                },
                headers: get
                    .http_headers
                    .iter()
                    .map(|header| (header.name.clone(), header.value.clone()))
                    .collect(),
            }));
        }
        if let Some(tcp) = &self.tcp_socket {
            return Ok(Ask::Tcp {
                host: given(&tcp.host),
                port: tcp.port.number(container)?,
            });
        }
        if let Some(grpc) = &self.grpc {
            return Ok(Ask::Grpc {
                port: valid(grpc.port)?,
                service: grpc.service.clone().unwrap_or_default(),
            });
        }
        Err("it has none of exec, httpGet, tcpSocket and grpc".to_owned())
    }
}

impl Port {
    fn number(&self, container: &Container) -> Result<u16, String> {
        match self {
            Self::Number(number) => valid(*number),
            // "8080" is a name, too: so it is for the kubelet.
            Self::Name(name) => {
                let port = container.ports.iter().find(|port| port.name == *name);
                let port = port.ok_or_else(|| {
                    format!("it names the port {name:?}, which the container's ports do not have")
                })?;
                valid(port.container_port)
            }
        }
    }
}

fn valid(port: i64) -> Result<u16, String> {
    u16::try_from(port)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("{port} is not a port: use 1 to 65535"))
}

#[cfg(test)]
mod tests;
