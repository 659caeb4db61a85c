//! `CheckNode`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path},
};

use futures_util::future::join_all;
use jiff::Timestamp;
use seedpod_manifest::{BundleName, PodKey};
use seedpod_proto::v1::{
    CheckNodeRequest, CheckNodeResponse, ImageCheck, PathCheck, PodReference, PortCheck, Steering,
};
use tonic::Status;

use super::POD_RESOURCES;
use crate::{
    grpc::{
        Api, convert,
        reason::Reason,
        status::{self, Fault},
    },
    handoff::SteeringUsed,
    host::{self, Holder},
    node::State,
    runtime_cri::{Observation, Sandbox},
    steer::Steerer,
};

/// The most of each kind in one request. A control plane has a handful.
const MOST: usize = 64;

/// The port whose steering is tried when none is asked for. What is found out is the same for all.
const API_SERVER: u16 = 6443;

impl Api {
    pub(super) async fn check_node(
        &self,
        request: CheckNodeRequest,
    ) -> Result<CheckNodeResponse, Status> {
        let ports = check(&request)?;
        let port = ports.first().copied().unwrap_or(API_SERVER);
        let wanted: BTreeSet<u16> = ports.iter().copied().collect();
        let paths = request.paths;
        let looking = tokio::task::spawn_blocking(move || Looked {
            holders: host::holders(&wanted).unwrap_or_else(|error| {
                // What is not known is not free.
                tracing::warn!(%error, "cannot find out who listens");
                wanted.iter().map(|port| (*port, Vec::new())).collect()
            }),
            paths: paths.into_iter().map(path_check).collect(),
            steering: steering(port),
            addresses: host::addresses(),
            cgroup_version: host::cgroup_version(),
            memory: host::memory(),
            cpu_count: host::cpu_count(),
        });
        let socket = self.info.kubelet_root_directory.join(POD_RESOURCES);
        let (looked, images, kubelet_version) = tokio::join!(
            looking,
            join_all(request.images.into_iter().map(|image| self.image(image))),
            host::kubelet_version(&socket),
        );
        let looked = looked.map_err(|_| status::internal("the daemon failed to look around"))?;
        let files = self.info.host.files();
        Ok(CheckNodeResponse {
            ports: self.port_checks(&ports, &looked.holders),
            images,
            paths: looked.paths,
            cgroup_version: looked.cgroup_version.unwrap_or_default(),
            memory_bytes: looked.memory,
            cpu_count: super::saturate(looked.cpu_count),
            kubelet_version: kubelet_version.unwrap_or_default(),
            steering: Some(looked.steering),
            kubelet_configurable: (files.kubeconfig.is_some()
                || files.bootstrap_kubeconfig.is_some())
                && self.handle.restarter().is_allowed(),
            addresses: looked.addresses.iter().map(ToString::to_string).collect(),
            // Last, so that it is as fresh as it can be.
            time: Some(convert::timestamp(Timestamp::now())),
        })
    }

    async fn image(&self, image: String) -> ImageCheck {
        let (present, message) = match &self.runtime {
            None => (
                false,
                "no containerRuntimeEndpoint is configured, so that it is not known which images \
                 there are"
                    .to_owned(),
            ),
            Some(runtime) => match runtime.has_image(&image).await {
                Ok(present) => (present, String::new()),
                Err(error) => (
                    false,
                    format!(
                        "the container runtime does not answer: {}",
                        error.root_cause()
                    ),
                ),
            },
        };
        ImageCheck {
            image,
            present,
            message,
        }
    }

    fn port_checks(&self, ports: &[u16], holders: &BTreeMap<u16, Vec<Holder>>) -> Vec<PortCheck> {
        let observation = self.handle.observation();
        let observation = observation.borrow().clone();
        let sandboxes = match &*observation {
            Observation::Sandboxes(sandboxes) => sandboxes.as_slice(),
            _ => &[],
        };
        let state = self.handle.state();
        let check = |port: &u16| {
            let listening = holders.get(port);
            let pod = match listening {
                Some(holders) => self.pod_of(holders, sandboxes),
                None => in_manifest(&state, *port),
            };
            PortCheck {
                port: u32::from(*port),
                free: listening.is_none(),
                pod: pod.map(|(bundle, key)| reference(&bundle, &key)),
                holder: listening.map(|it| describe(it)).unwrap_or_default(),
            }
        };
        ports.iter().map(check).collect()
    }

    fn pod_of(&self, holders: &[Holder], sandboxes: &[Sandbox]) -> Option<(BundleName, PodKey)> {
        let sandbox = sandboxes
            .iter()
            .find(|sandbox| holders.iter().any(|it| it.is_of_pod(&sandbox.kubelet_uid)))?;
        self.handle.owner_of(sandbox)
    }
}

/// What is read from the machine.
struct Looked {
    holders: BTreeMap<u16, Vec<Holder>>,
    paths: Vec<PathCheck>,
    steering: Steering,
    addresses: Vec<std::net::IpAddr>,
    cgroup_version: Option<u32>,
    memory: u64,
    cpu_count: usize,
}

/// The ports, with everything else checked.
fn check(request: &CheckNodeRequest) -> Result<Vec<u16>, Fault> {
    let counts = [
        ("ports", request.ports.len()),
        ("images", request.images.len()),
        ("paths", request.paths.len()),
    ];
    if let Some((field, count)) = counts.into_iter().find(|(_, count)| *count > MOST) {
        let description = format!("has {count} entries; ask for at most {MOST} at a time");
        return Err(Fault::field(Reason::InvalidCheck, field, description));
    }
    for (index, path) in request.paths.iter().enumerate() {
        let path = Path::new(path);
        let plain = path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !path.is_absolute() || !plain {
            let field = format!("paths[{index}]");
            let description = "must be an absolute path without \"..\"";
            return Err(Fault::field(Reason::InvalidCheck, &field, description));
        }
    }
    let port = |(index, port): (usize, &u32)| {
        u16::try_from(*port)
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| {
                let field = format!("ports[{index}]");
                let description = format!("{port} is no TCP port; those are 1 to 65535");
                Fault::field(Reason::InvalidCheck, &field, description)
            })
    };
    request.ports.iter().enumerate().map(port).collect()
}

fn path_check(path: String) -> PathCheck {
    let space = host::space(Path::new(&path)).unwrap_or_else(|error| {
        tracing::warn!(path, %error, "cannot look at a path");
        // What cannot be looked at will hardly do.
        host::Space {
            free: 0,
            in_use: true,
        }
    });
    PathCheck {
        path,
        free_bytes: space.free,
        in_use: space.in_use,
    }
}

fn steering(port: u16) -> Steering {
    let used = match Steerer::probe(port) {
        Ok(steerer) => steerer.used(),
        Err(unsupported) => SteeringUsed::None {
            why: unsupported.to_string(),
        },
    };
    convert::steering(&used)
}

fn describe(holders: &[Holder]) -> String {
    let all: Vec<String> = holders
        .iter()
        .map(|it| format!("{} (pid {})", it.name, it.pid))
        .collect();
    all.join(", ")
}

fn reference(bundle: &BundleName, key: &PodKey) -> PodReference {
    PodReference {
        bundle: bundle.to_string(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    }
}

/// A committed pod that says that it takes a port of the host.
fn in_manifest(state: &State, port: u16) -> Option<(BundleName, PodKey)> {
    state
        .pods()
        .find(|(_, pod)| pod.host_ports.iter().any(|taken| taken.port == port))
        .map(|(bundle, pod)| (bundle.name.clone(), pod.key.clone()))
}
