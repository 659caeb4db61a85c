//! The one writer: gathers what is recorded, and has it written.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    catch_up::{Commit, catch_up},
    log::{Log, Size},
    queue::{Queue, Waiting},
    shared::Shared,
};
use crate::error::chain;

/// How long more events are waited for, so that what comes together takes one sync, and the files of the pods, which
/// are written at the same time, do not wait for that of the events.
const GATHER: Duration = Duration::from_millis(25);
/// How often a failing disk is tried.
const RETRY: Duration = Duration::from_secs(1);
/// How long the others may take to end, once they are told to.
const LAST_WORDS: Duration = Duration::from_secs(3);

pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    size: Size,
    /// What was committed when the daemon started, until it has been compared with the log.
    committed: Option<Vec<Commit>>,
    /// `None` when it could not be opened yet.
    log: Option<Log>,
    /// Taken from the queue and not written.
    held: Vec<Waiting>,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        queue: Arc<Queue>,
        max_events: usize,
        committed: Vec<Commit>,
    ) -> Self {
        Self {
            shared,
            queue,
            size: Size::new(max_events),
            committed: Some(committed),
            log: None,
            held: Vec::new(),
        }
    }

    /// Ends when `shutdown` is cancelled, all producers have ended, and everything is written.
    pub(super) async fn run(
        mut self,
        shutdown: CancellationToken,
        mut producers: mpsc::Receiver<Infallible>,
    ) {
        let mut ending = false;
        let mut ended = std::pin::pin!(async move {
            shutdown.cancelled().await;
            let _ = tokio::time::timeout(LAST_WORDS, producers.recv()).await;
        });
        loop {
            let written = self.write().await;
            let (may_be_more, failed) = (matches!(written, Ok(true)), written.is_err());
            let queue = Arc::clone(&self.queue);
            let wait = async {
                if failed {
                    tokio::time::sleep(RETRY).await;
                } else if !may_be_more {
                    queue.filled.notified().await;
                    tokio::time::sleep(GATHER).await;
                }
            };
            if ending {
                // A disk that takes none now will not before the end.
                if !may_be_more {
                    return;
                }
                continue;
            }
            tokio::select! {
                () = wait => {}
                () = &mut ended => ending = true,
            }
        }
    }

    /// Writes a batch. Tells whether there may be more.
    async fn write(&mut self) -> io::Result<bool> {
        let mut log = self.log.take();
        let mut batch = std::mem::take(&mut self.held);
        let committed = self.committed.take();
        let (shared, queue, size) = (Arc::clone(&self.shared), Arc::clone(&self.queue), self.size);
        if log.is_some() && batch.is_empty() && queue.len() == 0 {
            self.log = log;
            return Ok(false);
        }
        // All of it comes back, whatever happens.
        let work = move || {
            let mut committed = committed;
            let result = (|| {
                let log = match &mut log {
                    Some(log) => log,
                    None => log.insert(Log::open(shared, size)?),
                };
                if let Some(committed) = committed.take() {
                    let missing = catch_up(&committed, log.recorded());
                    batch.extend(missing.into_iter().map(|event| (Timestamp::now(), event)));
                }
                if batch.is_empty() {
                    batch = queue.take(size.batch);
                }
                while !batch.is_empty() {
                    let count = batch.len().min(size.batch);
                    log.append(&batch[..count])?;
                    batch.drain(..count);
                }
                Ok(())
            })();
            (log, batch, committed, result)
        };
        let (log, held, committed, result) = tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| {
                // A fault of ours. The log is opened anew, and tells what was written.
                tracing::error!(%error, "writing events failed");
                (None, Vec::new(), None, Err(io::Error::other(error)))
            });
        (self.log, self.held, self.committed) = (log, held, committed);
        match &result {
            Ok(()) => self.shared.written(),
            Err(error) => {
                let waiting = self.held.len() + self.queue.len();
                self.shared
                    .not_written(&chain(error), waiting, self.log.is_some());
            }
        }
        result.map(|()| true)
    }
}
