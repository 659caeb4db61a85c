//! The injected scheduler and controller manager stop, and their leases go over.

use tokio::time::sleep;

use super::{LOOK, Verdict, Work};
use crate::handoff::{
    reason::Reason,
    world::{Who, World},
};

impl<W: World> Work<'_, W> {
    /// Until all are drained.
    pub(super) async fn drain(&mut self) -> Result<(), Verdict> {
        let record = self.record;
        for (component, lease) in record.spec.leader_elected() {
            let pod = &component.injected;
            if self.memory.drained.contains(pod) {
                continue;
            }
            if !record.withheld.contains(pod) {
                return Err(Verdict::Note(record.withholding(pod)));
            }
            let who = Who::Injected(pod.clone());
            loop {
                let message = match self.world.runs(&who).await {
                    Ok(false) => break,
                    Ok(true) => format!("waiting for the injected {pod} to stop"),
                    Err(trouble) => format!("waiting to hear whether {pod} has stopped: {trouble}"),
                };
                self.live.waits(Reason::PodNotStopped, message);
                sleep(LOOK).await;
            }
            self.wait_for_lease(lease).await;
            self.memory.drained.insert(pod.clone());
        }
        Ok(())
    }

    /// Waits until somebody renews a lease from now on.
    async fn wait_for_lease(&self, lease: &str) {
        // No clocks are compared: the holder may be on another node.
        let mut before = None;
        loop {
            let message = match self.world.lease(lease).await {
                Ok(Some(seen)) if seen.holder.is_empty() => {
                    before = Some(seen.renewed);
                    format!("waiting for somebody to take the lease {lease}")
                }
                Ok(Some(seen)) => {
                    let before = before.get_or_insert_with(|| seen.renewed.clone());
                    if *before != seen.renewed {
                        return;
                    }
                    format!("waiting for {} to renew the lease {lease}", seen.holder)
                }
                Ok(None) => {
                    before = Some(String::new());
                    format!("waiting for somebody to make the lease {lease}")
                }
                Err(trouble) => format!("waiting for an answer about the lease {lease}: {trouble}"),
            };
            self.live.waits(Reason::LeaseNotTaken, message);
            sleep(2 * LOOK).await;
        }
    }
}
