//! The way back: the injected pods come back, then the self-hosted ones go. It never gives up.
//!
//! What brings the injected pods back was done when this stage was committed: nothing is withheld in it. Here the port
//! is looked after meanwhile, and the cluster is cleaned up behind it, as far as it answers.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{LOOK, Verdict, Work, handing_over::SETTLE};
use crate::handoff::{
    ObjectReference,
    reason::Reason,
    world::{Who, World},
};

/// How long the self-hosted API server may be looked at while the injected one is away.
const GLANCE: Duration = Duration::from_secs(2);

/// How long all connections go to the self-hosted API server while the injected one stops. It takes 5 to 6 s for that.
const MEANWHILE: Duration = Duration::from_secs(10);

/// How long the injected API server may be no newcomer and not serve.
const STUCK: Duration = Duration::from_secs(20);

/// How long the other injected pods are waited for before the self-hosted ones go.
const OTHERS: Duration = Duration::from_secs(60);

/// Between two tries of cleaning up, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(15)];

impl<W: World> Work<'_, W> {
    pub(super) async fn revert(&mut self) -> Verdict {
        let injected = self.injected();
        let begun = Instant::now();
        // Nobody is sent to an injected API server that may be about to close its port.
        while let Err(trouble) = self.world.serves(&injected).await {
            let message = format!("waiting for the injected API server to serve again: {trouble}");
            self.live.waits(Reason::ApiServerNotServing, message);
            // When the self-hosted one starts anew before the injected one is ready, that can't reach itself any more, and
            // would never be. In this order: one that only stops is no more by then.
            let lead = &self.memory.lead;
            if begun.elapsed() < STUCK || lead.let_start(self.world, &injected).await != Ok(true) {
                self.lead_meanwhile().await;
            }
            sleep(LOOK).await;
        }
        let begun = Instant::now();
        let (mut next, mut pause) = (begun, PAUSES[0]);
        if self.memory.lead.to(self.world, &injected).await == Ok(true) {
            next += SETTLE;
        }
        let mut seen = BTreeSet::new();
        loop {
            // Each time: the self-hosted one may start anew, and would be the younger one then.
            match self.memory.lead.to(self.world, &injected).await {
                Err(trouble) => self.live.waits(Reason::SteeringFailed, trouble),
                Ok(_) if Instant::now() < next => {}
                Ok(_) => match self.clean_up(begun, &mut seen).await {
                    Ok(()) => break,
                    Err(message) => {
                        self.live.waits(Reason::PodNotStopped, message);
                        next = Instant::now() + pause;
                        pause = (pause * 2).min(PAUSES[1]);
                    }
                },
            }
            sleep(LOOK).await;
        }
        while let Err(trouble) = self.memory.lead.split(self.world, &self.newcomer()) {
            self.live.waits(Reason::SteeringFailed, trouble);
            sleep(4 * LOOK).await;
        }
        Verdict::Done("the injected control plane serves alone".to_owned())
    }

    /// While the injected API server stops before it starts again, clients are better off with a self-hosted one that
    /// serves.
    async fn lead_meanwhile(&mut self) {
        let until = Instant::now() + MEANWHILE;
        if self.leads_to_hosted().await
            && let Some(hosted) = self.memory.hosted.clone().map(Who::Hosted)
        {
            while Instant::now() < until
                && self.memory.lead.to(self.world, &hosted).await == Ok(true)
            {
                sleep(LOOK).await;
            }
        }
        // Also under an error: nobody may be given what he cannot serve.
        let _ = self.memory.lead.keep_split(self.world, &self.newcomer());
    }

    /// Has new connections go to the self-hosted API server, if that serves. Tells whether they do.
    pub(in crate::handoff) async fn leads_to_hosted(&mut self) -> bool {
        let looked = timeout(GLANCE, async {
            let hosted = self.hosted().await.ok()?;
            self.world.serves(&hosted).await.ok()?;
            self.memory.lead.to(self.world, &hosted).await.ok()
        });
        matches!(looked.await, Ok(Some(true)))
    }

    /// Removes the self-hosted pods of this node. Ok: nothing of them is left.
    async fn clean_up(&self, begun: Instant, seen: &mut BTreeSet<String>) -> Result<(), String> {
        let spec = &self.record.spec;
        for (component, _) in spec.leader_elected() {
            let pod = &component.injected;
            let runs = self.world.runs(&Who::Injected(pod.clone())).await;
            if runs != Ok(true) && begun.elapsed() < OTHERS {
                return Err(format!("waiting for the injected {pod} to run again"));
            }
        }
        if !spec.node_labels.is_empty() {
            let labels = spec.node_labels.keys();
            let labels = labels.map(|key| (key.clone(), None)).collect();
            let unset = self.world.set_labels(&labels).await;
            unset.map_err(|trouble| format!("removing labels of the Node: {trouble}"))?;
        }
        for object in self
            .record
            .created
            .iter()
            .filter(|it| is_workload(&it.kind))
        {
            let deleted = self.world.delete(object).await;
            let (kind, name) = (&object.kind, &object.name);
            deleted.map_err(|trouble| format!("deleting the {kind} {name}: {trouble}"))?;
        }
        if spec.node_labels.is_empty() && self.record.created.is_empty() {
            // Whatever is there would come again.
            return Ok(());
        }
        let mut left = None;
        for component in &spec.components {
            let namespace = &component.namespace;
            let pods = self.world.pods(component).await;
            let pods =
                pods.map_err(|trouble| format!("asking for pods in {namespace}: {trouble}"))?;
            // No controller is needed for this: the one that would do it may be among them.
            for pod in pods.into_iter().filter(|pod| !pod.is_mirror) {
                left = Some(format!("waiting for {namespace}/{} to go", pod.name));
                seen.insert(pod.uid);
                if !pod.deleting {
                    let object = ObjectReference {
                        api_version: "v1".to_owned(),
                        kind: "Pod".to_owned(),
                        namespace: namespace.clone(),
                        name: pod.name,
                    };
                    let deleted = self.world.delete(&object).await;
                    deleted.map_err(|it| format!("deleting {namespace}/{}: {it}", object.name))?;
                }
            }
        }
        if let Some(left) = left {
            return Err(left);
        }
        for uid in &*seen {
            match self.world.runs(&Who::Hosted(uid.clone())).await {
                Ok(false) => {}
                Ok(true) => return Err("waiting for the self-hosted pods to stop".to_owned()),
                Err(trouble) => {
                    return Err(format!("waiting to hear what runs: {trouble}"));
                }
            }
        }
        Ok(())
    }
}

/// Whether it runs pods. The rest stays: others may use it.
fn is_workload(kind: &str) -> bool {
    matches!(
        kind,
        "DaemonSet" | "Deployment" | "StatefulSet" | "ReplicaSet" | "Job" | "CronJob" | "Pod"
    )
}
