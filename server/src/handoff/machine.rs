//! The task that carries a handoff out. It looks at what is committed, does what that stage is for, and commits what
//! comes next: nothing that must survive is in its memory.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    Record, Stage, SteeringUsed,
    reason::Reason,
    stages::{Memory, Verdict, Work},
    transitions::Left,
    world::{Ledger, NotCommitted, Settings},
};

/// The longest time without a look at the boot clock, which goes on while the node sleeps.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(5);

/// The first and the longest pause after a failed commit.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(10)];

/// Starts the task. It ends when `shutdown` is cancelled, at once, and goes on at the next start.
pub(super) fn start<L: Ledger>(
    ledger: L,
    settings: Settings,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        shutdown
            .run_until_cancelled(async {
                loop {
                    let running = Machine::new(&ledger, settings).run();
                    // A fault here must not take the whole daemon with it: the pods need that.
                    let Err(_) = AssertUnwindSafe(running).catch_unwind().await;
                    error!(
                        "the handoff's task failed; it goes on as after a restart of the daemon"
                    );
                    sleep(Duration::from_secs(1)).await;
                }
            })
            .await;
    })
}

struct Machine<'a, L> {
    ledger: &'a L,
    settings: Settings,
    memory: Memory,
    pause: Duration,
}

impl<'a, L: Ledger> Machine<'a, L> {
    fn new(ledger: &'a L, settings: Settings) -> Self {
        Self {
            ledger,
            settings,
            memory: Memory::default(),
            pause: PAUSES[0],
        }
    }

    async fn run(mut self) -> Infallible {
        let mut starting = true;
        loop {
            let Some(record) = self.ledger.record() else {
                starting = false;
                self.memory = Memory::default();
                self.ledger.close();
                self.ledger.tell(String::new());
                self.ledger.other_than(None).await;
                continue;
            };
            let world = self.ledger.open(&record).await;
            self.memory.begin(&record);
            if starting {
                // Whatever program a daemon before this one has left there.
                if !self.leads_on(&world, &record).await {
                    self.split(&world, &record);
                }
                if let Some(next) = record.found_at_start(&self.ledger.now()) {
                    info!(
                        stage = record.stage.as_str(),
                        "going on with a handoff after a start"
                    );
                    self.memory.after_boot = record.since.boot_id != next.since.boot_id;
                    if !self.commit(&world, &record, next).await {
                        continue;
                    }
                }
                starting = false;
                continue;
            }
            let Some(verdict) = self.carry_out(&world, &record).await else {
                // Somebody else has committed something. What is done for one stage is undone by the next.
                continue;
            };
            let now = self.ledger.now();
            let next = match verdict {
                Verdict::Note(next) => next,
                Verdict::Done(came) => record.completed(&came, &now),
                Verdict::Failed { reason, message } => {
                    self.split(&world, &record);
                    self.memory.failed_standing_down(&record);
                    record.failed(reason, &message, &now)
                }
            };
            self.commit(&world, &record, next).await;
        }
    }

    /// `None`: another record is committed.
    async fn carry_out(&mut self, world: &L::World, record: &Arc<Record>) -> Option<Verdict> {
        let ledger = self.ledger;
        let live = Live::new(ledger);
        let mut work = self.work(world, record, &live);
        tokio::select! {
            biased;
            () = ledger.other_than(Some(record)) => None,
            () = deadline(ledger, record) => Some(live.late(record.stage)),
            verdict = work.carry_out() => Some(verdict),
        }
    }

    /// Tells whether it is committed. When not, some time has passed, and the stage is to be looked at again.
    async fn commit(&mut self, world: &L::World, record: &Arc<Record>, next: Record) -> bool {
        let (before, after) = (record.stage, next.stage);
        match self.ledger.advance(next).await {
            Ok(()) => {
                if before != after {
                    info!(from = before.as_str(), to = after.as_str(), "handoff");
                }
                self.pause = PAUSES[0];
                return true;
            }
            Err(NotCommitted::Stale) => sleep(Duration::from_millis(20)).await,
            Err(NotCommitted::Failed(trouble)) => {
                // Nobody looks for a while.
                self.split(world, record);
                warn!(
                    error = trouble,
                    "the handoff's next record cannot be committed"
                );
                self.ledger
                    .tell(format!("the state directory cannot be written: {trouble}"));
                tokio::select! {
                    () = self.ledger.other_than(Some(record)) => {}
                    () = sleep(self.pause) => {}
                }
                self.pause = (self.pause * 2).min(PAUSES[1]);
            }
        }
        false
    }

    /// Whether new connections still go to the self-hosted API server, because the injected one is about to close its
    /// port: whoever was sent there now would get no answer.
    async fn leads_on(&mut self, world: &L::World, record: &Arc<Record>) -> bool {
        if !record.api_server_is_withheld() {
            return false;
        }
        let live = Live::new(self.ledger);
        self.work(world, record, &live).leads_to_hosted().await
    }

    fn work<'w>(
        &'w mut self,
        world: &'w L::World,
        record: &'w Arc<Record>,
        live: &'w Live<'w>,
    ) -> Work<'w, L::World> {
        Work {
            record,
            world,
            settings: self.settings,
            memory: &mut self.memory,
            live,
        }
    }

    fn split(&mut self, world: &L::World, record: &Record) {
        // Nothing was handed over, or nothing is steered.
        if matches!(record.steering, Some(SteeringUsed::None { .. })) {
            return;
        }
        let Some(newcomer) = super::stages::newcomer(record) else {
            return;
        };
        if let Err(trouble) = self.memory.lead.split(world, &newcomer) {
            warn!(
                error = trouble,
                "new connections to the API server cannot be steered"
            );
        }
    }
}

/// Resolves when the stage's time is over.
async fn deadline(ledger: &impl Ledger, record: &Record) {
    loop {
        match record.left(&ledger.now().boot) {
            Left::Nothing => return,
            Left::Time(left) => sleep(left.min(LOOK_AT_CLOCK)).await,
            Left::Unlimited => std::future::pending().await,
        }
    }
}

/// What is waited for, for people, and what it is called should it not come.
pub(super) struct Live<'a> {
    tell: Box<dyn Fn(String) + Send + Sync + 'a>,
    waits: Mutex<Option<(Reason, String)>>,
}

impl<'a> Live<'a> {
    fn new(ledger: &'a impl Ledger) -> Self {
        ledger.tell(String::new());
        Self {
            tell: Box::new(|message| ledger.tell(message)),
            waits: Mutex::default(),
        }
    }

    pub(super) fn waits(&self, reason: Reason, message: impl Into<String>) {
        let message = message.into();
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if waits.as_ref().is_none_or(|(_, old)| *old != message) {
            (self.tell)(message.clone());
        }
        *waits = Some((reason, message));
    }

    fn late(&self, stage: Stage) -> Verdict {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let (reason, waited) = waits.take().unwrap_or_else(|| {
            let reason = match stage {
                Stage::Applying => Reason::ApplyFailed,
                Stage::WaitingForReady => Reason::PodNotReady,
                Stage::WaitingForKubelet => Reason::KubeletNotSynced,
                Stage::Draining => Reason::LeaseNotTaken,
                Stage::HandingOver => Reason::PodNotStopped,
                _ => Reason::VerificationFailed,
            };
            (
                reason,
                "the daemon was not there to go on with it".to_owned(),
            )
        });
        Verdict::Failed {
            reason,
            message: format!("the time for {} is over: {waited}", stage.as_str()),
        }
    }
}
