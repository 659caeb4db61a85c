//! What `ListPods` and the status of bundles tell: the node's own judgement, in pages and sums.

use std::collections::BTreeMap;

use seedpod_manifest::BundleName;
use seedpod_proto::v1;

use super::{
    convert,
    page::{List, Page},
};
use crate::node::{
    NodeHandle,
    status::{PodStatus, summary},
};

/// A pod's place in the list: bundle, namespace, name.
type Key = (String, String, String);

pub(super) type PodPage = Page<Key>;

/// One page of pods and the token of the next one.
pub(super) async fn list(
    handle: &NodeHandle,
    only: Option<&BundleName>,
    page: &PodPage,
) -> (Vec<v1::Pod>, String) {
    let all = handle.judge(only).await;
    let filter = List::Pods(only.map_or("", BundleName::as_str));
    let (pods, token) = page.take(filter, all, key);
    (pods.iter().map(convert::pod).collect(), token)
}

fn key(pod: &PodStatus) -> Key {
    (
        pod.bundle.to_string(),
        pod.key.namespace.clone(),
        pod.key.name.clone(),
    )
}

/// What runs of a bundle, with its pods.
pub(super) async fn bundle_status(handle: &NodeHandle, bundle: &BundleName) -> v1::BundleStatus {
    let pods = handle.judge(Some(bundle)).await;
    v1::BundleStatus {
        pods: pods.iter().map(convert::pod).collect(),
        ..convert::bundle_status(&summary(&pods))
    }
}

/// What runs of each bundle, by name.
pub(super) async fn bundle_statuses(handle: &NodeHandle) -> BTreeMap<String, v1::BundleStatus> {
    let pods = handle.judge(None).await;
    pods.chunk_by(|a, b| a.bundle == b.bundle)
        .map(|pods| {
            let name = pods[0].bundle.to_string();
            (name, convert::bundle_status(&summary(pods)))
        })
        .collect()
}
