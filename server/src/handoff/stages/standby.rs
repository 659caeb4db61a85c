//! After the commit: the injected bundle stands in when no API server answers, and gives way again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{LOOK, Verdict, Work, ready::Steady};
use crate::handoff::{
    ObjectReference,
    reason::Reason,
    world::{Who, World},
};

/// How often the port is asked.
const ASK: Duration = Duration::from_secs(1);

/// How long the self-hosted API server has to have served before the standby bundle gives way.
const SERVED_FOR: Duration = Duration::from_secs(10);

/// How long a self-hosted API server that does not serve may stand in the older place.
const STUCK: Duration = Duration::from_secs(20);

impl<W: World> Work<'_, W> {
    pub(super) async fn stand_by(&mut self) -> Verdict {
        let mut allowed = if self.memory.after_boot {
            self.settings.standby_after_start
        } else {
            self.settings.standby_after
        };
        let mut last = Instant::now();
        loop {
            // After a start of the node the port's sockets are new ones, which nothing steers.
            let _ = self.memory.lead.keep_split(self.world, &self.newcomer());
            match self.world.answers().await {
                Ok(()) => {
                    last = Instant::now();
                    allowed = self.settings.standby_after;
                    self.memory.after_boot = false;
                    self.live.waits(Reason::ApiServerNotServing, "");
                }
                Err(trouble) if last.elapsed() >= allowed => {
                    let _ = self.memory.lead.split(self.world, &self.newcomer());
                    let time = last.elapsed().as_secs();
                    return Verdict::Done(format!(
                        "no API server has answered on this node for {time} s: {trouble}"
                    ));
                }
                Err(trouble) => self.live.waits(
                    Reason::ApiServerNotServing,
                    format!(
                        "no API server answers on this node: {trouble}; the standby bundle stands in when that lasts \
                         for {} s",
                        allowed.as_secs()
                    ),
                ),
            }
            sleep(ASK).await;
        }
    }

    pub(super) async fn stand_in(&mut self) -> Verdict {
        let injected = self.injected();
        let _ = self.memory.lead.split(self.world, &self.newcomer());
        let mut steady = Steady::default();
        let mut stuck = None;
        loop {
            match self.look(&mut steady).await {
                Ok(()) => {
                    stuck = None;
                    let _ = self.memory.lead.keep_split(self.world, &self.newcomer());
                    let may = self
                        .memory
                        .not_before
                        .is_none_or(|time| Instant::now() >= time);
                    if may && steady.lasts(SERVED_FOR) {
                        return Verdict::Done("the self-hosted API server serves again".to_owned());
                    }
                    let message = "waiting for the self-hosted control plane to last";
                    self.live.waits(Reason::ApiServerNotServing, message);
                }
                Err((reason, message)) => {
                    self.live.waits(reason, message);
                    self.lead_to_injected(&injected, &mut stuck).await;
                }
            }
            // The self-hosted one may start anew, and be the younger one then.
            sleep(if stuck.is_some() { LOOK } else { ASK }).await;
        }
    }

    /// The self-hosted API server does not serve: clients are to be with the injected one, if that serves.
    async fn lead_to_injected(&mut self, injected: &Who, stuck: &mut Option<Instant>) {
        if self.world.serves(injected).await.is_err() {
            *stuck = None;
            let _ = self.memory.lead.keep_split(self.world, &self.newcomer());
            return;
        }
        // It fails when the port can't be looked at now; it is, again, soon.
        if self.memory.lead.to(self.world, injected).await != Ok(true) {
            *stuck = None;
            return;
        }
        // The older one can't be reached now, and can't reach itself: it would never get ready. As the younger one it
        // can.
        let since = *stuck.get_or_insert_with(Instant::now);
        if since.elapsed() >= STUCK {
            *stuck = None;
            let Some(component) = self.api_server() else {
                return;
            };
            for pod in self.world.pods(component).await.unwrap_or_default() {
                if pod.is_mirror || pod.deleting {
                    continue;
                }
                let pod = ObjectReference {
                    api_version: "v1".to_owned(),
                    kind: "Pod".to_owned(),
                    namespace: component.namespace.clone(),
                    name: pod.name,
                };
                if let Err(trouble) = self.world.delete(&pod).await {
                    self.live.waits(Reason::PodNotReady, trouble);
                }
            }
        }
    }
}
