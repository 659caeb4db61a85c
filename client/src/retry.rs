//! When a call is sent again.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use backon::{ExponentialBuilder, Retryable};

use crate::Error;

/// How often, and after which pauses, a call that is safe to repeat is repeated.
///
/// The pauses double from the first to the longest, with jitter so that many clients do not come back at once. A longer
/// pause that the node asks for (`google.rpc.RetryInfo`) is kept. No retry starts after the call's deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    max_retries: usize,
    first_pause: Duration,
    longest_pause: Duration,
}

impl RetryPolicy {
    /// At most `max_retries` retries, after pauses that grow from `first_pause` to `longest_pause`.
    pub fn new(max_retries: usize, first_pause: Duration, longest_pause: Duration) -> Self {
        Self {
            max_retries,
            first_pause,
            longest_pause,
        }
    }

    /// Every call is sent once.
    pub fn none() -> Self {
        Self::new(0, Duration::ZERO, Duration::ZERO)
    }

    pub(crate) fn backoff(self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(self.first_pause)
            .with_max_delay(self.longest_pause)
            .with_max_times(self.max_retries)
            .with_jitter()
    }
}

impl Default for RetryPolicy {
    /// Four retries within about two seconds: enough for a restart of the daemon, too short to bore a person.
    fn default() -> Self {
        Self::new(4, Duration::from_millis(100), Duration::from_secs(2))
    }
}

/// Whether a call may be sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    Safe,
    Unsafe,
}

/// Runs `attempt` until it succeeds, fails for good, or no further attempt may begin before `end`.
pub(crate) async fn run<T, F, Fut>(
    policy: RetryPolicy,
    repeat: Repeat,
    end: Instant,
    attempt: F,
) -> Result<T, Error>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Error>>,
{
    attempt
        .retry(policy.backoff())
        .when(|error: &Error| repeat == Repeat::Safe && error.is_transient())
        .adjust(|error, pause| {
            let pause = pause?.max(error.retry_delay().unwrap_or_default());
            (Instant::now() + pause < end).then_some(pause)
        })
        .await
}
