//! The task that watches the runtime.
//!
//! The runtime's events only say that something has changed; what is then is asked, since a list is whole and a
//! stream of events may have holes. Where a runtime tells of no events, it is asked each second, as the kubelet does it.

mod details;
#[cfg(test)]
mod tests;

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, StreamExt as _, stream::BoxStream};
use jiff::Timestamp;
use tokio::{sync::watch, task::JoinHandle, time::sleep_until};
use tokio_util::sync::CancellationToken;

use self::details::Cache;
use super::{Observation, ObservationWatch, Runtime, RuntimeError, Sandbox, Seen};

/// How long an event waits for others: a pod that starts makes several at once.
const SETTLE: Duration = Duration::from_millis(3);

/// The least time from one list to the next, so that a storm of events does not become one of lists.
const SPACING: Duration = Duration::from_millis(25);

/// How often the runtime is asked without events, and for a while after one: an event may come before its effect.
const POLL: Duration = Duration::from_secs(1);

/// For how long after an event it is asked that often.
const WARM: Duration = Duration::from_secs(3);

/// How often it is asked all the same while it tells of events.
const SAFETY: Duration = Duration::from_secs(10);

/// How soon a runtime that is away is asked again: at first, and at last.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), POLL);

/// Starts watching. The task ends when `shutdown` is cancelled. `disown` takes away the bundle of sandboxes that only
/// look like Seedpod's; details are asked of the others alone.
pub(crate) fn observe<R: Runtime>(
    runtime: Option<R>,
    disown: impl Fn(&mut [Sandbox]) + Send + 'static,
    shutdown: CancellationToken,
) -> (ObservationWatch, JoinHandle<()>) {
    let mut first = Observation::not_yet();
    if runtime.is_none() {
        first.seen = Seen::NotConfigured;
    }
    let (publish, observation) = watch::channel(Arc::new(first));
    let task = tokio::spawn(async move {
        match runtime {
            Some(runtime) => {
                let observer = Observer {
                    runtime,
                    disown,
                    publish,
                    details: Cache::default(),
                    complete: true,
                };
                shutdown.run_until_cancelled_owned(observer.run()).await;
            }
            None => shutdown.cancelled_owned().await,
        }
    });
    (observation, task)
}

struct Observer<R, D> {
    runtime: R,
    disown: D,
    publish: watch::Sender<Arc<Observation>>,
    details: Cache,
    /// Whether all details could be had.
    complete: bool,
}

/// What is known of the runtime's events.
enum Events {
    /// There are none now.
    None,
    /// The runtime has been asked for them, and has not told of any. A runtime may take the call and never say
    /// anything, so that does not count.
    Awaited(BoxStream<'static, ()>),
    /// It tells of them, and has told of the last one then.
    Told(BoxStream<'static, ()>, Instant),
}

impl<R: Runtime, D: Fn(&mut [Sandbox]) + Send> Observer<R, D> {
    async fn run(mut self) {
        let mut events = Events::None;
        let mut retry = RETRY.0;
        loop {
            // Before it is asked what there is: what changes between the two is told.
            if let Events::None = events
                && let Ok(stream) = self.runtime.events().await
            {
                events = Events::Awaited(stream);
            }
            let asked = Instant::now();
            let wait = match self.look(asked).await {
                Ok(()) => {
                    retry = RETRY.0;
                    match &events {
                        Events::Told(_, last) if self.complete && last.elapsed() > WARM => SAFETY,
                        _ => POLL,
                    }
                }
                Err(error) => {
                    self.away(asked, &error);
                    retry = (retry * 2).min(RETRY.1);
                    retry
                }
            };
            events = next(events, asked, wait).await;
        }
    }

    /// Asks what there is, and publishes it.
    async fn look(&mut self, asked: Instant) -> Result<(), RuntimeError> {
        let mut listing = self.runtime.listing().await?;
        (self.disown)(&mut listing.sandboxes);
        self.complete = self.details.fill(&self.runtime, &mut listing).await;
        let sandboxes = listing.sandboxes;
        self.publish.send_if_modified(|observation| {
            let (sandboxes, is_new) = match &observation.seen {
                Seen::Sandboxes(before) if **before == sandboxes => (Arc::clone(before), false),
                _ => (Arc::new(sandboxes), true),
            };
            // Who looks finds when it was asked last; who waits is not woken for that.
            *observation = Arc::new(Observation {
                asked,
                seen: Seen::Sandboxes(sandboxes),
            });
            is_new
        });
        Ok(())
    }

    fn away(&self, asked: Instant, error: &RuntimeError) {
        let cause = error.root_cause();
        self.publish.send_if_modified(|observation| {
            let (since, is_new) = match &observation.seen {
                Seen::Away {
                    cause: before,
                    since,
                } => (*since, *before != cause),
                _ => (Timestamp::now(), true),
            };
            if is_new {
                tracing::debug!(cause, "the container runtime does not answer");
            }
            *observation = Arc::new(Observation {
                asked,
                seen: Seen::Away { cause, since },
            });
            is_new
        });
    }
}

/// Waits until it is time to ask again: `wait` after it was `asked`, or shortly after an event, or when events end.
async fn next(events: Events, asked: Instant, wait: Duration) -> Events {
    let mut timer = pin!(sleep_until((asked + wait).into()));
    let (mut stream, last) = match events {
        Events::None => {
            timer.await;
            return Events::None;
        }
        Events::Awaited(stream) => (stream, None),
        Events::Told(stream, last) => (stream, Some(last)),
    };
    let event = tokio::select! {
        event = stream.next() => event,
        () = &mut timer => {
            return match last {
                None => Events::Awaited(stream),
                Some(last) => Events::Told(stream, last),
            };
        }
    };
    if event.is_none() {
        // A runtime that has told of events may be gone. One that never did is not hurried, or it would be asked
        // without a pause.
        if last.is_none() {
            timer.await;
        }
        return Events::None;
    }
    let told = Instant::now();
    sleep_until((asked + SPACING).max(told + SETTLE).into()).await;
    // What has come meanwhile is answered by the same list.
    loop {
        match stream.next().now_or_never() {
            Some(Some(())) => {}
            Some(None) => return Events::None,
            None => return Events::Told(stream, told),
        }
    }
}
