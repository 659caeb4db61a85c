//! `WatchPods`.

use std::{cmp::Ordering, time::Duration};

use futures_util::{StreamExt as _, stream};
use seedpod_manifest::BundleName;
use seedpod_proto::v1::{PodReference, WatchPodsRequest, WatchPodsResponse};
use tokio::time::timeout;
use tonic::Status;

use super::{Api, convert, injection::Answers, status};
use crate::node::{NodeHandle, StatusWatch, status::PodStatus};

/// When to look again without being told to.
const SOON: Duration = Duration::from_millis(100);

impl Api {
    pub(super) fn watch_pods(
        &self,
        request: &WatchPodsRequest,
    ) -> Result<Answers<WatchPodsResponse>, Status> {
        let only = match request.bundle.as_str() {
            "" => None,
            name => Some(status::bundle_name("bundle", name)?),
        };
        let watcher = Watcher {
            changes: self.handle.statuses(),
            handle: self.handle.clone(),
            only,
            sent: None,
        };
        let answers = stream::unfold(Some(watcher), |watcher| async {
            let mut watcher = watcher?;
            match watcher.next().await {
                Ok(answer) => Some((Ok(answer), Some(watcher))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(answers.boxed())
    }
}

/// One client that watches. It computes an answer only when the connection has room for one, and from what is so then:
/// a slow client costs no more than what it was sent last.
struct Watcher {
    handle: NodeHandle,
    changes: StatusWatch,
    only: Option<BundleName>,
    sent: Option<Vec<PodStatus>>,
}

impl Watcher {
    async fn next(&mut self) -> Result<WatchPodsResponse, Status> {
        loop {
            if self.sent.is_some() {
                self.changed().await?;
            }
            // Not what is published: that may be behind what was committed before the client has called.
            let now = self.handle.judge(self.only.as_ref()).await;
            let answer = match &self.sent {
                None => Some(WatchPodsResponse {
                    whole: true,
                    pods: now.iter().map(convert::pod).collect(),
                    removed: Vec::new(),
                }),
                Some(sent) => difference(sent, &now),
            };
            self.sent = Some(now);
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
    }

    /// Waits until there may be something to tell.
    async fn changed(&mut self) -> Result<(), Status> {
        let ended = |_| status::shutting_down();
        if self.changes.has_changed().map_err(ended)? {
            self.changes.mark_unchanged();
            return Ok(());
        }
        // What was judged here may have been over before it was published, and then nobody tells of its end.
        let is_ahead = {
            let published = self.changes.borrow();
            let only = self.only.as_ref();
            let of_interest = published
                .iter()
                .filter(|pod| only.is_none_or(|only| *only == pod.bundle));
            !of_interest.eq(self.sent.iter().flatten())
        };
        let changed = self.changes.changed();
        let changed = if is_ahead {
            timeout(SOON, changed).await.unwrap_or(Ok(()))
        } else {
            changed.await
        };
        changed.map_err(ended)
    }
}

/// What has changed from one ordered list to the other. `None`: nothing.
fn difference(before: &[PodStatus], now: &[PodStatus]) -> Option<WatchPodsResponse> {
    let (mut before, mut now) = (before.iter().peekable(), now.iter().peekable());
    let mut answer = WatchPodsResponse::default();
    loop {
        let order = match (before.peek(), now.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(now)) => before.place().cmp(&now.place()),
        };
        let old = before.next_if(|_| order.is_le());
        let new = now.next_if(|_| order.is_ge());
        match (old, new) {
            (Some(gone), None) => answer.removed.push(PodReference {
                bundle: gone.bundle.to_string(),
                namespace: gone.key.namespace.clone(),
                name: gone.key.name.clone(),
            }),
            (old, Some(new)) => {
                let pod = convert::pod(new);
                if old.is_none_or(|old| convert::pod(old) != pod) {
                    answer.pods.push(pod);
                }
            }
            (None, None) => break,
        }
    }
    (!answer.pods.is_empty() || !answer.removed.is_empty()).then_some(answer)
}
