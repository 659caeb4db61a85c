//! The real node, for the machine: where the records are, and what is around one handoff (`around`).

mod around;

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::{sync::OnceCell, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::around::Around;
use super::{
    Record, machine,
    transitions::Moment,
    world::{Ledger, NotCommitted, Settings},
};
use crate::{
    error::chain,
    node::{AdvanceError, NodeHandle},
    runtime_cri::Runtime,
    steer::Steerer,
};

/// Starts the task that carries out the node's handoff. It ends when `shutdown` is cancelled.
pub(crate) fn start<R: Runtime>(
    handle: NodeHandle,
    runtime: Option<R>,
    settings: Settings,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    let node = Node {
        handle,
        runtime,
        steerer: Mutex::default(),
        groups: Arc::default(),
    };
    machine::start(node, settings, shutdown)
}

/// The node.
struct Node<R> {
    handle: NodeHandle,
    runtime: Option<R>,
    /// With its port. It looks after the port for as long as it is kept.
    steerer: Mutex<Option<(u16, Steerer)>>,
    groups: Arc<Mutex<Groups>>,
}

/// The groups that API servers' processes have. The injected one's is in its manifest.
#[derive(Debug, Default)]
struct Groups {
    hosted: Option<u32>,
}

impl<R: Runtime> Node<R> {
    /// Tries whether the port can be steered, unless that is known.
    async fn steerer(&self, port: u16) -> Result<Steerer, String> {
        let known = self
            .steerer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((_, steerer)) = known.filter(|(of, _)| *of == port) {
            return Ok(steerer);
        }
        let probed = tokio::task::spawn_blocking(move || Steerer::probe(port)).await;
        let steerer = probed
            .map_err(|_| "the trial of steering failed".to_owned())?
            .map_err(|unsupported| unsupported.to_string())?;
        *self.steerer.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((port, steerer.clone()));
        Ok(steerer)
    }
}

impl<R: Runtime> Ledger for Node<R> {
    type World = Around<R>;

    fn record(&self) -> Option<Arc<Record>> {
        self.handle.state().handoff.clone()
    }

    async fn other_than(&self, record: Option<&Record>) {
        let mut states = self.handle.states();
        let of = |record: &Record| (record.id.clone(), record.generation);
        let known = record.map(of);
        let other = states.wait_for(|state| state.handoff.as_deref().map(of) != known);
        if other.await.is_err() {
            // The node is stopping.
            std::future::pending::<()>().await;
        }
    }

    async fn advance(&self, next: Record) -> Result<(), NotCommitted> {
        match self.handle.advance_handoff(next).await {
            Ok(_) => Ok(()),
            Err(AdvanceError::Gone | AdvanceError::Stale(_)) => Err(NotCommitted::Stale),
            Err(AdvanceError::Change(error)) => Err(NotCommitted::Failed(chain(&error))),
        }
    }

    async fn open(&self, record: &Arc<Record>) -> Around<R> {
        let port = record.spec.api_server().map_or(0, |(_, port)| port);
        Around {
            handle: self.handle.clone(),
            runtime: self.runtime.clone(),
            steerer: self.steerer(port).await,
            port,
            record: Arc::clone(record),
            kube: OnceCell::new(),
            groups: Arc::clone(&self.groups),
        }
    }

    fn close(&self) {
        let steerer = self
            .steerer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((_, steerer)) = steerer
            && let Err(error) = steerer.clear()
        {
            tracing::warn!(
                error = chain(&error),
                "the API server's port is still steered"
            );
        }
    }

    fn now(&self) -> Moment {
        Moment {
            boot: self.handle.now(),
            time: Timestamp::now(),
        }
    }

    fn tell(&self, message: String) {
        self.handle.handoff_message().send_if_modified(|old| {
            let other = *old != message;
            *old = message;
            other
        });
    }
}
