//! New connections go to the self-hosted API server, the injected one stops, and what is left is verified.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, sleep};

use super::{LOOK, Verdict, Work};
use crate::handoff::{
    reason::Reason,
    world::{Who, World},
};

/// How often running the self-hosted API server has to serve before all connections go to it.
const TIMES: u32 = 5;

/// How long connections that were on their way to the injected API server get to be taken.
pub(super) const SETTLE: Duration = Duration::from_millis(1500);

/// How long what was handed over is watched.
const VERIFY_FOR: Duration = Duration::from_secs(3);

/// How long the self-hosted API server may be without a word when nothing else serves.
const PATIENCE: Duration = Duration::from_secs(5);

impl<W: World> Work<'_, W> {
    /// Until the self-hosted API server is alone.
    pub(super) async fn hand_over(&mut self) -> Result<(), Verdict> {
        let Some(component) = self.api_server() else {
            return Ok(());
        };
        let pod = component.injected.clone();
        let injected = Who::Injected(pod.clone());
        if !self.record.withheld.contains(&pod) {
            return Err(self.steer_to_hosted(&pod).await);
        }
        let hosted = self.hosted_or_fail().await?;
        let mut failed = false;
        loop {
            if let Err(trouble) = self.memory.lead.to(self.world, &hosted).await {
                self.live.waits(Reason::SteeringFailed, trouble);
            }
            let message = match self.world.runs(&injected).await {
                Ok(false) => break,
                Ok(true) => format!("waiting for the injected {pod} to stop"),
                Err(trouble) => format!("waiting to hear whether {pod} has stopped: {trouble}"),
            };
            self.live.waits(Reason::PodNotStopped, message);
            self.still_serves(&hosted, &mut failed).await?;
            sleep(LOOK).await;
        }
        // Not detached: it protects against the next newcomer.
        while let Err(trouble) = self.memory.lead.split(self.world, &self.newcomer()) {
            self.live.waits(Reason::SteeringFailed, trouble);
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Has all new connections go to the self-hosted API server, which serves, and then has the injected one stop.
    async fn steer_to_hosted(&mut self, pod: &seedpod_manifest::PodKey) -> Verdict {
        let mut times = 0;
        let hosted = loop {
            // Another pod may have come in its place.
            self.memory.hosted = None;
            let served = match self.hosted().await {
                Ok(hosted) => self.world.serves(&hosted).await.map(|_| hosted),
                Err(message) => Err(message),
            };
            match served {
                Ok(hosted) => {
                    times += 1;
                    if times == TIMES {
                        break hosted;
                    }
                }
                Err(trouble) => {
                    times = 0;
                    let message =
                        format!("waiting for the self-hosted API server to serve: {trouble}");
                    self.live.waits(Reason::ApiServerNotServing, message);
                }
            }
            sleep(LOOK).await;
        };
        while let Err(trouble) = self.memory.lead.to(self.world, &hosted).await {
            self.live.waits(Reason::SteeringFailed, trouble);
            sleep(LOOK).await;
        }
        let (since, mut failed) = (Instant::now(), false);
        while since.elapsed() < SETTLE {
            if let Err(verdict) = self.still_serves(&hosted, &mut failed).await {
                return verdict;
            }
            sleep(LOOK).await;
        }
        Verdict::Note(self.record.withholding(pod))
    }

    /// Fails when the self-hosted API server does not serve twice running.
    async fn still_serves(&self, hosted: &Who, failed: &mut bool) -> Result<(), Verdict> {
        match self.world.serves(hosted).await {
            Ok(_) => *failed = false,
            Err(trouble) if *failed => {
                let message = format!("the self-hosted API server serves no longer: {trouble}");
                return Err(Self::failed(Reason::ApiServerNotServing, message));
            }
            Err(_) => *failed = true,
        }
        Ok(())
    }

    /// Who it is, when nothing else may serve.
    async fn hosted_or_fail(&mut self) -> Result<Who, Verdict> {
        let since = Instant::now();
        loop {
            match self.hosted().await {
                Ok(hosted) => return Ok(hosted),
                Err(message) if since.elapsed() > PATIENCE => {
                    return Err(Self::failed(Reason::ApiServerNotServing, message));
                }
                Err(message) => self.live.waits(Reason::ApiServerNotServing, message),
            }
            sleep(LOOK).await;
        }
    }

    /// Until what was handed over has worked for a while.
    pub(super) async fn verify(&mut self) -> Result<(), Verdict> {
        let hosted = self.hosted_or_fail().await?;
        let since = Instant::now();
        let mut first = BTreeMap::new();
        let mut renewed = BTreeMap::new();
        loop {
            let mut checked = self.check(&hosted).await;
            if checked.is_err() {
                checked = self.check(&hosted).await;
            }
            if let Err(trouble) = checked {
                return Err(Self::failed(Reason::VerificationFailed, trouble));
            }
            for (_, lease) in self.record.spec.leader_elected() {
                if let Ok(Some(seen)) = self.world.lease(lease).await
                    && !seen.holder.is_empty()
                {
                    let before = first.entry(lease).or_insert_with(|| seen.renewed.clone());
                    if *before != seen.renewed {
                        renewed.insert(lease, ());
                    }
                }
            }
            let mut leases = self.record.spec.leader_elected();
            match leases.find(|(_, lease)| !renewed.contains_key(lease)) {
                Some((_, lease)) => {
                    let message = format!("waiting for the lease {lease} to be renewed");
                    self.live.waits(Reason::LeaseNotTaken, message);
                }
                None if since.elapsed() >= VERIFY_FOR => return Ok(()),
                None => {
                    let message = "watching the self-hosted API server".to_owned();
                    self.live.waits(Reason::VerificationFailed, message);
                }
            }
            sleep(2 * LOOK).await;
        }
    }

    async fn check(&self, hosted: &Who) -> Result<(), String> {
        let serves = self.world.serves(hosted).await;
        serves
            .map_err(|trouble| format!("the self-hosted API server does not serve: {trouble}"))?;
        let written = self.world.write_and_read(hosted).await;
        written.map_err(|trouble| {
            format!("a write and a read through the self-hosted API server failed: {trouble}")
        })
    }
}
