//! Watching pods.

use std::{collections::BTreeMap, mem};

use seedpod_proto::v1;
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use super::Call;
use crate::{Pod, PodReference, client::injection};

/// The pods after a change, and what has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct PodsUpdate {
    /// All pods as they are now, ordered by bundle, namespace and name.
    pub pods: Vec<Pod>,
    /// Those of them that are new or different since the last update; all of them in the first one.
    pub changed: Vec<Pod>,
    /// The pods that are gone since the last update.
    pub removed: Vec<PodReference>,
}

/// The call, with the pods as they were delivered last.
pub(crate) struct WatchPods {
    bundle: String,
    /// `None` until the first answer.
    pods: Option<BTreeMap<PodReference, Pod>>,
}

impl WatchPods {
    pub(crate) fn new(bundle: Option<&str>) -> Self {
        Self {
            bundle: bundle.unwrap_or_default().to_owned(),
            pods: None,
        }
    }
}

impl Call for WatchPods {
    type Request = v1::WatchPodsRequest;
    type Answer = v1::WatchPodsResponse;
    type Item = PodsUpdate;

    const METHOD: &'static str = "WatchPods";

    fn request(&mut self) -> Self::Request {
        v1::WatchPodsRequest {
            bundle: self.bundle.clone(),
        }
    }

    async fn open(
        channel: Channel,
        request: Request<Self::Request>,
    ) -> Result<Response<Streaming<Self::Answer>>, Status> {
        injection(channel).watch_pods(request).await
    }

    fn take(&mut self, answer: Self::Answer) -> Vec<PodsUpdate> {
        let is_first = self.pods.is_none();
        let pods = self.pods.get_or_insert_default();
        // After a reconnection the whole comes again; only what differs from before is a change.
        let mut before = if answer.whole {
            mem::take(pods)
        } else {
            BTreeMap::new()
        };
        let mut changed = Vec::new();
        for pod in answer.pods.into_iter().map(Pod::from) {
            let key = PodReference::from(&pod);
            let old = before.remove(&key).or_else(|| pods.remove(&key));
            if old.as_ref() != Some(&pod) {
                changed.push(pod.clone());
            }
            pods.insert(key, pod);
        }
        let mut removed: Vec<PodReference> = before.into_keys().collect();
        for key in answer.removed.into_iter().map(PodReference::from) {
            if pods.remove(&key).is_some() {
                removed.push(key);
            }
        }
        if !is_first && changed.is_empty() && removed.is_empty() {
            return Vec::new();
        }
        vec![PodsUpdate {
            pods: pods.values().cloned().collect(),
            changed,
            removed,
        }]
    }

    fn ends(&self) -> bool {
        false
    }
}
