//! What each stage does and waits for. Each can be dropped at any await and begun anew.

mod applying;
mod back;
mod draining;
mod handing_over;
mod ready;
mod standby;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use seedpod_manifest::PodKey;
use tokio::time::Instant;

use super::{
    Component, Record, Stage, SteeringUsed,
    lead::Lead,
    machine::Live,
    reason::Reason,
    world::{Settings, Who, World},
};

/// How often something is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// After a failed standing down, as often as it failed: 10 s, 20 s, … up to this.
const MOST_PAUSE: Duration = Duration::from_secs(300);
const LEAST_PAUSE: Duration = Duration::from_secs(10);

/// What has come of a stage.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum Verdict {
    /// What it is for, in words.
    Done(String),
    /// Something is to be durable before it goes on.
    Note(Record),
    Failed {
        reason: Reason,
        message: String,
    },
}

/// What helps and need not survive.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Of which handoff.
    id: String,
    pub(super) lead: Lead,
    /// Whether the daemon has found this handoff committed before the node's present boot.
    pub(super) after_boot: bool,
    /// The injected pods of which the leases have gone over.
    drained: BTreeSet<PodKey>,
    /// The uid of the self-hosted API server's pod.
    hosted: Option<String>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Memory {
    pub(super) fn begin(&mut self, record: &Record) {
        if self.id != record.id {
            *self = Self {
                id: record.id.clone(),
                ..Self::default()
            };
        }
        self.lead.off = matches!(record.steering, Some(SteeringUsed::None { .. }));
        // They are drained only as long as they are withheld.
        self.drained.retain(|pod| record.withheld.contains(pod));
        if record.stage == Stage::Committed {
            (self.failures, self.not_before) = (0, None);
        }
    }

    pub(super) fn failed_standing_down(&mut self, record: &Record) {
        if record.stage == Stage::StandingDown {
            let pause = LEAST_PAUSE.saturating_mul(1 << self.failures.min(10));
            self.not_before = Some(Instant::now() + pause.min(MOST_PAUSE));
            self.failures += 1;
        }
    }
}

/// Whose connections to itself tell the newcomer, by the record alone.
pub(super) fn newcomer(record: &Record) -> Option<Who> {
    let (component, _) = record.spec.api_server()?;
    Some(match record.stage {
        // The injected one may come back beside the self-hosted one.
        Stage::Committed | Stage::Reverting => Who::Injected(component.injected.clone()),
        // The uid does not matter for that.
        _ => Who::Hosted(String::new()),
    })
}

/// One stage of one record.
pub(super) struct Work<'a, W> {
    pub(super) record: &'a Arc<Record>,
    pub(super) world: &'a W,
    pub(super) settings: Settings,
    pub(super) memory: &'a mut Memory,
    pub(super) live: &'a Live<'a>,
}

impl<W: World> Work<'_, W> {
    pub(super) async fn carry_out(&mut self) -> Verdict {
        let done = |ended: Result<(), Verdict>, came: &str| match ended {
            Ok(()) => Verdict::Done(came.to_owned()),
            Err(verdict) => verdict,
        };
        match self.record.stage {
            Stage::Applying => self.apply().await,
            Stage::WaitingForReady => self.wait_for_ready().await,
            Stage::WaitingForKubelet => self.wait_for_kubelet().await,
            Stage::Draining => done(self.drain().await, "the self-hosted pods hold the leases"),
            Stage::HandingOver => done(
                self.hand_over().await,
                "the injected API server has stopped",
            ),
            Stage::Verifying => done(
                self.verify().await,
                "a write and a read went through the self-hosted API server, and the leases are renewed",
            ),
            Stage::Committed => self.stand_by().await,
            Stage::Reverting => self.revert().await,
            // It stays so.
            Stage::Reverted => std::future::pending().await,
            Stage::StandingIn => self.stand_in().await,
            Stage::StandingDown => done(
                self.stand_down().await,
                "the self-hosted control plane serves",
            ),
        }
    }

    async fn stand_down(&mut self) -> Result<(), Verdict> {
        self.drain().await?;
        self.hand_over().await?;
        self.verify().await
    }

    /// The API server. A record without one is never made.
    fn api_server(&self) -> Option<&Component> {
        self.record
            .spec
            .api_server()
            .map(|(component, _)| component)
    }

    fn injected(&self) -> Who {
        match self.api_server() {
            Some(component) => Who::Injected(component.injected.clone()),
            None => Who::Hosted(String::new()),
        }
    }

    fn newcomer(&self) -> Who {
        newcomer(self.record).unwrap_or_else(|| Who::Hosted(String::new()))
    }

    fn failed(reason: Reason, message: impl Into<String>) -> Verdict {
        Verdict::Failed {
            reason,
            message: message.into(),
        }
    }
}
