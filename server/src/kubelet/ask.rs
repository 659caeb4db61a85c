//! Asks the kubelet over its socket, for as long as the daemon runs.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use seedpod_proto::kubelet::{
    EventType, ListPodsRequest, WatchPodsEvent, WatchPodsRequest, pods_client::PodsClient,
};
use tokio::{sync::watch, time::timeout};
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};

use super::{KubeletPod, KubeletView, Sync, decode};

/// How long the kubelet may take for an answer. A healthy one takes milliseconds.
const QUESTION: Duration = Duration::from_secs(2);
/// The largest answer: the kubelet's own limit for what it lists over CRI.
const MAX_ANSWER: usize = 16 << 20;

/// How often it is asked when it is not followed. Each costs the kubelet a line in its log.
fn interval(sync: Sync) -> Duration {
    Duration::from_millis(match sync {
        // One that starts decides within a moment about what is in the directory.
        Sync::Down => 200,
        Sync::Unsynced => 500,
        Sync::Synced | Sync::Unknown => 2000,
    })
}

/// How an attempt to follow the kubelet ended.
enum End {
    /// It answered, and then no more; or it does not tell of changes.
    Heard,
    Not(Sync),
}

/// Whoever asks, and publishes the answers.
pub(super) struct Asker {
    socket: PathBuf,
    publish: watch::Sender<Arc<KubeletView>>,
    /// Whether anything was published.
    has_published: bool,
    /// Whether there was a socket once: one that is gone then is that of a kubelet that has ended.
    has_been: bool,
}

impl Asker {
    pub(super) fn new(socket: PathBuf, publish: watch::Sender<Arc<KubeletView>>) -> Self {
        Self {
            socket,
            publish,
            has_published: false,
            has_been: false,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let wait = match self.follow().await {
                // At once: it may have ended, and its successor begins anew.
                End::Heard => Duration::from_millis(20),
                End::Not(sync) => {
                    self.tell(sync, HashMap::new());
                    interval(sync)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Publishes, if it is news.
    fn tell(&mut self, sync: Sync, pods: HashMap<String, KubeletPod>) {
        let view = KubeletView { sync, pods };
        let first = !std::mem::replace(&mut self.has_published, true);
        self.publish.send_if_modified(|old| {
            let is_news = first || **old != view;
            if is_news {
                if first || old.sync != sync {
                    tracing::info!(?sync, "the kubelet");
                }
                *old = Arc::new(view);
            }
            is_news
        });
    }

    /// Follows the kubelet's pods until that ends.
    async fn follow(&mut self) -> End {
        match tokio::fs::try_exists(&self.socket).await {
            Ok(true) => self.has_been = true,
            _ if self.has_been => return End::Not(Sync::Down),
            _ => return End::Not(Sync::Unknown),
        }
        let mut client = match self.connect().await {
            Ok(client) => client,
            Err(error) => {
                tracing::debug!(error = %crate::error::chain(&error), "the kubelet does not answer");
                return End::Not(Sync::Down);
            }
        };
        let begun = timeout(QUESTION, client.watch_pods(WatchPodsRequest {})).await;
        let followed = match begun {
            Err(_) => return End::Not(Sync::Down),
            Ok(Ok(events)) => self.listen(events.into_inner()).await,
            Ok(Err(status)) => Err(status),
        };
        match followed {
            Ok(()) => End::Heard,
            Err(status) if status.code() == Code::Unimplemented => self.list(client).await,
            Err(status) => self.judge(&status),
        }
    }

    async fn connect(&self) -> Result<PodsClient<Channel>, tonic::transport::Error> {
        let address = format!("unix://{}", self.socket.display());
        let endpoint = Endpoint::from_shared(address)?.connect_timeout(QUESTION);
        let channel = timeout(QUESTION, endpoint.connect());
        // The connection's own limit comes first, and is an error of the right kind.
        let channel = match channel.await {
            Ok(channel) => channel?,
            Err(_) => endpoint.connect_lazy(),
        };
        Ok(PodsClient::new(channel).max_decoding_message_size(MAX_ANSWER))
    }

    fn judge(&self, status: &Status) -> End {
        tracing::debug!(code = ?status.code(), message = status.message(), "the kubelet tells no pods");
        match status.code() {
            Code::FailedPrecondition => End::Not(Sync::Unsynced),
            // Too many questions, or changes faster than they were taken: it is there.
            Code::ResourceExhausted => End::Heard,
            _ => End::Not(Sync::Down),
        }
    }

    /// Takes the pods that there are, and then each change.
    async fn listen(&mut self, mut events: Streaming<WatchPodsEvent>) -> Result<(), Status> {
        let mut pods = HashMap::new();
        let mut is_whole = false;
        loop {
            let next = if is_whole {
                events.message().await
            } else {
                let next = timeout(QUESTION, events.message()).await;
                next.map_err(|_| Status::deadline_exceeded("no first answer"))?
            };
            let event = match next {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(()),
                // What was heard before is of a kubelet that may have ended since.
                Err(_) if is_whole => return Ok(()),
                Err(status) => return Err(status),
            };
            let kind = event.r#type();
            if kind == EventType::InitialSyncComplete {
                is_whole = true;
            } else {
                take(&mut pods, kind, &event.pod);
            }
            if is_whole {
                self.tell(Sync::Synced, pods.clone());
            }
        }
    }

    /// Of a kubelet that does not tell of changes.
    async fn list(&mut self, mut client: PodsClient<Channel>) -> End {
        match timeout(QUESTION, client.list_pods(ListPodsRequest {})).await {
            Err(_) => End::Not(Sync::Down),
            Ok(Err(status)) => self.judge(&status),
            Ok(Ok(answer)) => {
                let mut pods = HashMap::new();
                for bytes in answer.into_inner().pods {
                    take(&mut pods, EventType::Added, &bytes);
                }
                self.tell(Sync::Synced, pods);
                tokio::time::sleep(interval(Sync::Synced)).await;
                End::Heard
            }
        }
    }
}

fn take(pods: &mut HashMap<String, KubeletPod>, kind: EventType, bytes: &[u8]) {
    match decode::pod(bytes) {
        Ok((uid, _)) if kind == EventType::Deleted => {
            pods.remove(&uid);
        }
        Ok((uid, pod)) => {
            pods.insert(uid, pod);
        }
        Err(error) => tracing::debug!(%error, "the kubelet tells of a pod that cannot be read"),
    }
}
