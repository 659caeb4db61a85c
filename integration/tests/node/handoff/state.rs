//! Whether everything is as it is to be at the end of a handoff: who serves, who works, and what is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use seedpod_client::cluster::{HandoffKind, Pair};
use seedpod_integration::ContainerKind;
use serde_json::Value;

use super::arena::Arena;
use crate::rendered::{NAMESPACE, is_ready};

/// How often the API is asked who it is.
const TIMES: usize = 8;

/// The pod that is handed over never, and stays.
const ETCD: &str = "etcd";

/// Whose control plane it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    Injected,
    SelfHosted,
}

/// What was seen of the leases: by name, the holder and when it was renewed first.
#[derive(Debug, Default)]
pub(super) struct Held {
    seen: BTreeMap<String, (String, String)>,
    renewed: BTreeSet<String>,
}

impl Arena<'_> {
    /// Whether this party has everything, and the other one nothing. To be called again until it is so.
    pub(super) fn serves(&self, party: Party, held: &mut Held) -> Result<(), String> {
        let told = self
            .answers(party)
            .and_then(|()| self.files(party))
            .and_then(|()| self.objects(party))
            .and_then(|()| self.runs(party));
        if told.is_err() {
            // What was renewed was so before.
            *held = Held::default();
            return told;
        }
        self.leases(held)
    }

    /// The API server of this party is the only one that answers, at both addresses.
    fn answers(&self, party: Party) -> Result<(), String> {
        let pki = &self.cluster.rendered.pki;
        let pairs = match party {
            Party::Injected => &pki.api_server,
            Party::SelfHosted => &pki.api_server_self_hosted,
        };
        let wanted = der(&pairs[&self.cluster.node.name()]);
        for _ in 0..TIMES {
            let shown = self.cluster.client.certificate();
            let shown = shown.map_err(|error| format!("{error:#}"))?;
            if shown != wanted {
                return Err(format!("another API server than {party:?} answers"));
            }
        }
        let listeners = self.listeners();
        if listeners != 1 {
            return Err(format!("{listeners} listen on the API server's port"));
        }
        let ready = self.cluster.client.get("/readyz");
        match ready.map_err(|error| format!("{error:#}"))?.status {
            200 => Ok(()),
            status => Err(format!("/readyz says {status}")),
        }
    }

    /// How many sockets listen on the API server's port in the node's network.
    fn listeners(&self) -> usize {
        let namespace = self.cluster.node.network_namespace();
        let process = namespace.and_then(|path| Some(path.parent()?.parent()?.to_owned()));
        let folder = process.map_or_else(|| "/proc/self".into(), |it| it.display().to_string());
        let mut listeners = 0;
        for table in ["tcp", "tcp6"] {
            let text = fs::read_to_string(format!("{folder}/net/{table}")).unwrap_or_default();
            listeners += text
                .lines()
                .filter(|line| {
                    let mut fields = line.split_whitespace().skip(1);
                    let local = fields.next().unwrap_or_default();
                    // 6443, and LISTEN.
                    local.ends_with(":192B") && fields.nth(1) == Some("0A")
                })
                .count();
        }
        listeners
    }

    /// Static pods are those of this party.
    fn files(&self, party: Party) -> Result<(), String> {
        let files = fs::read_dir(self.cluster.node.manifests()).map_err(|it| it.to_string())?;
        let found: BTreeSet<String> = files
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        let file = |pod: &str| format!("seedpod_{NAMESPACE}_{pod}.json");
        let wanted: BTreeSet<String> = self.static_pods(party).map(|it| file(&it)).collect();
        if found == wanted {
            return Ok(());
        }
        Err(format!("static pods are {found:?} instead of {wanted:?}"))
    }

    fn static_pods(&self, party: Party) -> impl Iterator<Item = String> {
        let components = self.cluster.rendered.handoff[0].components.iter();
        let injected = components
            .map(|component| component.injected_pod.clone())
            .filter(move |_| party == Party::Injected);
        injected.chain([ETCD.to_owned()])
    }

    /// The pods of the control plane that the cluster has made.
    pub(super) fn hosted_pods(&self) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        let pods = self.cluster.get(&path).unwrap_or_default();
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let mirror = "kubernetes.io/config.mirror";
        let is_mirror = |pod: &Value| pod["metadata"]["annotations"][mirror].is_string();
        pods.into_iter().filter(|pod| !is_mirror(pod)).collect()
    }

    /// The cluster has the objects of a party, and none of the other one.
    fn objects(&self, party: Party) -> Result<(), String> {
        let plan = &self.cluster.rendered.handoff[0];
        let path = format!("/api/v1/nodes/{}", plan.node);
        let node = self.cluster.get(&path).ok_or("the node can't be read")?;
        for (key, value) in &plan.node_labels {
            let wanted = match party {
                Party::Injected => Value::Null,
                Party::SelfHosted => value.as_str().into(),
            };
            if node["metadata"]["labels"][key] != wanted {
                return Err(format!("the node's label {key} is not {wanted}"));
            }
        }
        let count = |kind: &str| -> Result<usize, String> {
            let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/{kind}");
            let list = self.cluster.get(&path);
            let list = list.ok_or_else(|| format!("{kind} can't be read"))?;
            Ok(list["items"].as_array().map_or(0, Vec::len))
        };
        let there = [
            count("daemonsets")?,
            count("deployments")?,
            count("replicasets")?,
        ];
        let pods = self.hosted_pods();
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let wanted = match party {
            Party::Injected => ([0, 0, 0], 0),
            Party::SelfHosted => ([1, 2, 2], 3),
        };
        if (there, pods.len()) == wanted && ready == pods.len() {
            return self.mirrors(party);
        }
        Err(format!(
            "{there:?} DaemonSets, Deployments and ReplicaSets, {} pods, {ready} Ready",
            pods.len()
        ))
    }

    /// No mirror is left of a static pod that is gone.
    fn mirrors(&self, party: Party) -> Result<(), String> {
        let plan = &self.cluster.rendered.handoff[0];
        if party == Party::Injected {
            // The kubelet makes some of them more than a minute later.
            return Ok(());
        }
        for component in &plan.components {
            let name = format!("{}-{}", component.injected_pod, plan.node);
            let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}");
            if self.cluster.get(&path).is_some() {
                return Err(format!("the mirror {name} is left"));
            }
        }
        Ok(())
    }

    /// The runtime runs the pods of this party and no others.
    fn runs(&self, party: Party) -> Result<(), String> {
        let containers = self.cluster.node.containers();
        let containers = containers.map_err(|error| format!("{error:#}"))?;
        let node = self.cluster.node.name();
        let of_statics = self.static_pods(party).map(|pod| format!("{pod}-{node}"));
        let of_cluster = self.hosted_pods();
        let of_cluster = of_cluster
            .iter()
            .filter_map(|pod| pod["metadata"]["name"].as_str());
        let mut wanted: Vec<String> = of_statics.chain(of_cluster.map(str::to_owned)).collect();
        wanted.sort();
        for kind in [ContainerKind::Sandbox, ContainerKind::Container] {
            let live = containers
                .iter()
                .filter(|it| it.kind == kind && it.is_running());
            let mut live: Vec<String> = live.map(|it| it.pod.clone()).collect();
            live.sort();
            if live != wanted {
                return Err(format!("{live:?} run instead of {wanted:?}"));
            }
        }
        Ok(())
    }

    /// The leases are held, and each was renewed since the first look.
    fn leases(&self, held: &mut Held) -> Result<(), String> {
        let components = &self.cluster.rendered.handoff[0].components;
        let mut fault = Ok(());
        for component in components {
            let HandoffKind::LeaderElected { lease: name } = &component.kind else {
                continue;
            };
            let path = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{name}");
            let lease = self.cluster.get(&path).unwrap_or_default();
            let text = |key: &str| lease["spec"][key].as_str().unwrap_or_default().to_owned();
            let now = (text("holderIdentity"), text("renewTime"));
            if now.0.is_empty() {
                held.seen.remove(name);
                held.renewed.remove(name);
                fault = Err(format!("nobody holds the lease {name}"));
                continue;
            }
            let first = held.seen.entry(name.clone()).or_insert_with(|| now.clone());
            if first.0 != now.0 {
                *first = now.clone();
                held.renewed.remove(name);
            }
            if *first != now {
                held.renewed.insert(name.clone());
            }
            if !held.renewed.contains(name) {
                fault = Err(format!("{} does not renew the lease {name}", now.0));
            }
        }
        fault
    }
}

/// The certificate of a pair.
fn der(pair: &Pair) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    CertificateDer::from_pem_slice(pair.certificate.as_bytes())
        .expect("a certificate")
        .to_vec()
}
