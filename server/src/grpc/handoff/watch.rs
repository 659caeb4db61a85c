//! `WatchHandoff`.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use seedpod_proto::v1::{Handoff, WatchHandoffResponse};
use tokio::sync::watch;
use tonic::Status;

use super::Answers;
use crate::{
    grpc::{Api, status},
    node::State,
};

impl Api {
    pub(super) fn watch_handoff(&self) -> Result<Answers<WatchHandoffResponse>, Status> {
        let watcher = Watcher {
            states: self.handle.states(),
            messages: self.handle.handoff_message().subscribe(),
            api: self.clone(),
            sent: None,
        };
        if watcher.states.borrow().handoff.is_none() {
            return Err(status::no_handoff(None));
        }
        let answers = stream::unfold(Some(watcher), |watcher| async {
            let mut watcher = watcher?;
            match watcher.next().await {
                Ok(handoff) => {
                    let handoff = Some(handoff);
                    Some((Ok(WatchHandoffResponse { handoff }), Some(watcher)))
                }
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(answers.boxed())
    }
}

/// One client that watches. What it is sent is how the handoff is when the connection has room for it.
struct Watcher {
    states: watch::Receiver<Arc<State>>,
    messages: watch::Receiver<String>,
    api: Api,
    sent: Option<Handoff>,
}

impl Watcher {
    async fn next(&mut self) -> Result<Handoff, Status> {
        loop {
            if self.sent.is_some() {
                let changed = tokio::select! {
                    changed = self.states.changed() => changed,
                    changed = self.messages.changed() => changed,
                };
                changed.map_err(|_| status::shutting_down())?;
            }
            let state = Arc::clone(&self.states.borrow_and_update());
            self.messages.mark_unchanged();
            // It is forgotten with its bundle.
            let record = state.handoff.as_ref();
            let record = record.ok_or_else(|| status::no_handoff(None))?;
            let now = self.api.shown(record);
            if self.sent.as_ref() != Some(&now) {
                self.sent = Some(now.clone());
                return Ok(now);
            }
        }
    }
}
