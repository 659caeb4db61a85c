//! The API: from protobuf to the node and back. The only place that knows gRPC's statuses.
//!
//! `injection` and `node` are the two services; `watch_pods`, `logs`, `events` and `revisions` hold what is more than a
//! few lines of the former. `pods` is what `ListPods` finds out, `convert` and `page` are the ways
//! between the messages and our types, `reason` and `status` make errors, `bare` completes those that are not ours,
//! `audit` writes who changed what. `authorize`, `admit`, `deadline` and `streams` (which also ends the open ones when
//! the daemon stops) stand before all of it.

pub(crate) mod admit;
mod audit;
pub(crate) mod authorize;
mod bare;
mod convert;
pub(crate) mod deadline;
mod events;
mod handoff;
mod injection;
mod logs;
mod node;
mod objects;
mod page;
mod pods;
mod reason;
mod revisions;
mod status;
pub(crate) mod streams;
#[cfg(test)]
mod tests;
mod watch_pods;

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use seedpod_manifest::NodeName;
use seedpod_proto::v1::{
    handoff_service_server::HandoffServiceServer, node_service_server::NodeServiceServer,
    pod_injection_service_server::PodInjectionServiceServer,
};
use tokio::sync::Semaphore;
use tonic::service::Routes;

use crate::{host::Host, metrics::Metrics, node::NodeHandle, runtime_cri::CriRuntime};

/// How many large requests are checked at once. Checking takes processor time and a multiple of the request's size in
/// memory; the others wait for their turn.
const LARGE_CHECKS: usize = 2;

/// What the API tells of the node and the daemon that does not change while it runs.
#[derive(Debug, Clone)]
pub(crate) struct NodeInfo {
    pub(crate) node: NodeName,
    pub(crate) version: &'static str,
    pub(crate) start_time: Timestamp,
    pub(crate) static_pod_path: PathBuf,
    pub(crate) state_directory: PathBuf,
    pub(crate) volumes_directory: PathBuf,
    /// The name of the key that encrypts objects' contents; `None`: they are not encrypted.
    pub(crate) encryption_key: Option<String>,
    /// The kubelet's `--root-dir`.
    pub(crate) kubelet_root_directory: PathBuf,
    pub(crate) max_pods_per_bundle: usize,
    pub(crate) max_bundle_bytes: usize,
    /// How long a request may take.
    pub(crate) request_timeout: std::time::Duration,
    /// The most bytes of one request's message.
    pub(crate) max_message_bytes: usize,
    /// What may be changed on the node beside the pods.
    pub(crate) host: Host,
}

/// What both services work on. Cheap to clone.
#[derive(Debug, Clone)]
struct Api {
    handle: NodeHandle,
    /// `None`: no runtime is configured.
    runtime: Option<CriRuntime>,
    info: Arc<NodeInfo>,
    metrics: Metrics,
    large_checks: Arc<Semaphore>,
}

/// The services of `seedpod.v1`. Health and reflection are added by the composition, and who may call is decided
/// before, by [`authorize`].
pub(crate) fn routes(
    handle: NodeHandle,
    runtime: Option<CriRuntime>,
    info: NodeInfo,
    metrics: Metrics,
) -> Routes {
    let max_message_bytes = info.max_message_bytes;
    let api = Api {
        handle,
        runtime,
        info: Arc::new(info),
        metrics,
        large_checks: Arc::new(Semaphore::new(LARGE_CHECKS)),
    };
    let injection =
        PodInjectionServiceServer::new(api.clone()).max_decoding_message_size(max_message_bytes);
    let handoff =
        HandoffServiceServer::new(api.clone()).max_decoding_message_size(max_message_bytes);
    let routes = Routes::new(injection)
        .add_service(handoff)
        .add_service(NodeServiceServer::new(api));
    bare::complete(routes)
}
