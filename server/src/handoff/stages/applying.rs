//! The objects are applied, with the injected control plane serving alone.

use tokio::time::sleep;

use super::{LOOK, Verdict, Work};
use crate::handoff::{
    reason::Reason,
    world::{NotApplied, World},
};

impl<W: World> Work<'_, W> {
    pub(super) async fn apply(&mut self) -> Verdict {
        if self.record.steering.is_none() {
            return self.note_what_is_there().await;
        }
        // Before anything can start that listens on the port.
        while let Err(trouble) = self.memory.lead.split(self.world, &self.newcomer()) {
            let message = format!("steering new connections: {trouble}");
            self.live.waits(Reason::SteeringFailed, message);
            sleep(LOOK).await;
        }
        let labels = &self.record.spec.node_labels;
        let labels = labels.iter();
        let labels = labels.map(|(key, value)| (key.clone(), Some(value.clone())));
        let labels = labels.collect();
        while let Err(trouble) = self.world.set_labels(&labels).await {
            let message = format!("setting labels of the Node: {trouble}");
            self.live.waits(Reason::ApplyFailed, message);
            sleep(4 * LOOK).await;
        }
        let waits = |trouble| self.live.waits(Reason::ApplyFailed, trouble);
        match self.world.apply(waits).await {
            Ok(count) => Verdict::Done(format!("{count} objects are applied")),
            Err(NotApplied { reason, message }) => Self::failed(reason, message),
        }
    }

    /// What was there before is known before anything is made: after a crash, one could not tell.
    async fn note_what_is_there(&self) -> Verdict {
        let mut next = self.record.successor();
        next.steering = Some(self.world.steering());
        loop {
            match self.world.absent().await {
                Ok(absent) => {
                    next.created = absent;
                    return Verdict::Note(next);
                }
                Err(NotApplied {
                    reason: Reason::ApplyFailed,
                    message,
                }) => {
                    let message = format!("looking for what is there already: {message}");
                    self.live.waits(Reason::ApplyFailed, message);
                    sleep(4 * LOOK).await;
                }
                Err(NotApplied { reason, message }) => return Self::failed(reason, message),
            }
        }
    }
}
