//! The seam between the daemon and the node: everything that `daemon` does not know of the node is here.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::Started;
use crate::{
    config::Configuration,
    fs::{Disk, FileSystem},
    grpc, handoff,
    host::Host,
    http::Observed,
    kubelet,
    metrics::Metrics,
    node::{self, NodeHandle, Problem},
    projection::Settings,
    runtime_cri::CriRuntime,
    store::{EncryptionKeys, KeyFileError},
};

/// Opens the store, starts the actor and the projection, and gives their services.
pub(super) async fn start(
    configuration: &Configuration,
    metrics: Metrics,
    stop: CancellationToken,
) -> anyhow::Result<Started<NodeView>> {
    let runtime = configuration
        .container_runtime_endpoint
        .as_ref()
        .map(|socket| CriRuntime::new(&format!("unix://{}", socket.display())))
        .transpose()
        .context("containerRuntimeEndpoint")?;
    let settings = Settings {
        directory: configuration.static_pod_path.clone(),
        node: configuration.node_name.clone(),
        nudge_for: configuration.projection.nudge_for,
        repair_drift: configuration.projection.repair_drift,
        kubelet_restart: configuration.kubelet_restart.clone(),
    };
    let rules = node::Rules {
        wave_timeout: configuration.readiness.wave_timeout,
        refused_after: configuration.readiness.refused_after,
        max_crashes: configuration.trial_max_crashes,
        history: configuration.revision_history_limit,
        max_events: configuration.max_events,
        node_ip: configuration.node_ip,
    };
    let encryption_keys = encryption_keys(configuration)?;
    let encryption_key = encryption_keys
        .as_ref()
        .and_then(|keys| keys.name().map(str::to_owned));
    let disk: Arc<dyn FileSystem> = Arc::new(Disk::new(metrics.clone()));
    let host = Host::new(
        Arc::clone(&disk),
        configuration.kubelet_files.clone(),
        configuration.reset_directories.clone(),
        configuration.kubelet_root_directory.clone(),
    );
    let (kubelet, asking) = kubelet::start(&configuration.kubelet_root_directory, stop.clone());
    let setup = node::Setup {
        fs: disk,
        state_directory: configuration.state_directory.clone(),
        encryption_keys,
        volumes_directory: configuration.volumes_directory.clone(),
        projection: settings,
        runtime: runtime.clone(),
        kubelet,
        rules,
        clock: node::clock::BootClock::of_system(),
        metrics: metrics.clone(),
    };
    let (handle, mut tasks) = node::start(setup, stop.clone())?;
    tasks.push(asking);
    tasks.push(handoff::start(
        handle.clone(),
        runtime.clone(),
        handoff::Settings {
            standby_after_start: configuration.handoff.standby_after_start,
            standby_after: configuration.handoff.standby_after,
        },
        stop.clone(),
    ));
    let info = grpc::NodeInfo {
        node: configuration.node_name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        start_time: Timestamp::now(),
        static_pod_path: configuration.static_pod_path.clone(),
        state_directory: configuration.state_directory.clone(),
        volumes_directory: configuration.volumes_directory.clone(),
        encryption_key,
        kubelet_root_directory: configuration.kubelet_root_directory.clone(),
        max_pods_per_bundle: configuration.limits.max_pods_per_bundle,
        max_bundle_bytes: configuration.limits.max_bundle_bytes,
        request_timeout: configuration.limits.request_timeout,
        max_message_bytes: configuration.limits.max_message_bytes(),
        host,
    };
    let serving = handle.serving();
    let routes = grpc::routes(handle.clone(), runtime, info, metrics);
    Ok(Started {
        routes: reflection(routes)?,
        observed: NodeView { handle },
        serving,
        ended: Box::pin(async move {
            let mut tasks: FuturesUnordered<_> = tasks.into_iter().collect();
            while let Some(ended) = tasks.next().await {
                ended.context("a task of the node failed")?;
                anyhow::ensure!(stop.is_cancelled(), "a task of the node ended by itself");
            }
            Ok(())
        }),
    })
}

/// Reads the key file, if there is to be one.
pub(super) fn encryption_keys(
    configuration: &Configuration,
) -> Result<Option<EncryptionKeys>, KeyFileError> {
    let file = configuration.encryption_key_file.as_deref();
    file.map(EncryptionKeys::load).transpose()
}

/// The node for metrics, probes and the watchdog.
#[derive(Debug, Clone)]
pub(super) struct NodeView {
    handle: NodeHandle,
}

impl Observed for NodeView {
    async fn alive(&self) {
        self.handle.alive().await;
    }

    fn problems(&self) -> Vec<Problem> {
        self.handle.problems()
    }

    async fn pods_by_state(&self) -> Option<BTreeMap<&'static str, u64>> {
        let mut counts = BTreeMap::new();
        for pod in self.handle.statuses().borrow().iter() {
            *counts.entry(pod.state.as_str()).or_default() += 1;
        }
        Some(counts)
    }
}

/// Adds both versions of the reflection service.
pub(super) fn reflection(routes: Routes) -> anyhow::Result<Routes> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(seedpod_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // The details of errors, which `grpcurl` shows as base64 otherwise.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let describes_itself = "the built-in descriptors are readable";
    Ok(routes
        .add_service(builder().build_v1().context(describes_itself)?)
        .add_service(builder().build_v1alpha().context(describes_itself)?))
}
