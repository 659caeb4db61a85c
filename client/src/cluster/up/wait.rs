//! Waiting for conditions, and doing the same on many nodes.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::{UpError, api::ApiError, progress::Scope};
use crate::Error;

/// How long to pause between two looks, at first and in the end.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// The least that a node is given for something.
pub(super) const SHORTEST: Duration = Duration::from_secs(5);

/// What a look has shown.
pub(super) enum Look<T> {
    /// It is as it should be.
    Done(T),
    /// Not yet, and this is why.
    NotYet(String),
}

/// Looks until it is as it should be.
pub(super) async fn until<T, F, Fut>(
    scope: &Scope,
    limit: Duration,
    mut look: F,
) -> Result<T, UpError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Look<T>, UpError>>,
{
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let waiting = match look().await? {
            Look::Done(value) => return Ok(value),
            Look::NotYet(waiting) => waiting,
        };
        if start.elapsed() + pause > limit {
            return Err(UpError::Deadline {
                phase: scope.phase(),
                node: scope.node().map(str::to_owned),
                after: limit,
                waiting,
            });
        }
        scope.waiting(&waiting);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE);
    }
}

/// An answer of the API, of which a failure that may pass is waited out.
pub(super) fn patient<T>(
    answer: Result<T, ApiError>,
    doing: &'static str,
) -> Result<Look<T>, UpError> {
    match answer {
        Ok(value) => Ok(Look::Done(value)),
        Err(error) if error.is_transient() => Ok(Look::NotYet(error.message)),
        Err(source) => Err(UpError::Api { doing, source }),
    }
}

/// Whether a node's Seedpod may do a little later what it could not do now.
pub(super) fn passes(error: &Error) -> bool {
    error.is_transient() || matches!(error, Error::Deadline { .. })
}

/// Waits for all of them, and returns what each has come to, or all that went wrong.
pub(super) async fn all<T, Fut>(futures: impl IntoIterator<Item = Fut>) -> Result<Vec<T>, UpError>
where
    Fut: Future<Output = Result<T, UpError>>,
{
    let mut done = Vec::new();
    let mut failed = Vec::new();
    for result in join_all(futures).await {
        match result {
            Ok(value) => done.push(value),
            Err(error) => failed.push(error),
        }
    }
    match UpError::of(failed) {
        Some(error) => Err(error),
        None => Ok(done),
    }
}
