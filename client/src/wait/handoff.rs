//! Waiting until a handoff is at its end.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;

use crate::{Client, Error, Handoff, HandoffState};

/// How long after a silence the node is asked again.
const PAUSE: Duration = Duration::from_millis(500);

impl Client {
    /// Watches the node's handoff until it is committed or handed back, or, with an `id`, until it is another one, and
    /// returns it. `tell` hears of each change, and of each error that is waited out: the handoff goes on without us, and
    /// the daemon may be restarting. There is no other deadline.
    ///
    /// # Errors
    /// Those of [`Error`], when the node has not answered for `silence`, or it is of no use to ask again.
    ///
    /// # Cancel safety
    /// Dropping the future only ends the watching; the handoff goes on.
    pub async fn wait_handoff(
        &self,
        id: Option<&str>,
        silence: Duration,
        mut tell: impl FnMut(Result<&Handoff, &Error>),
    ) -> Result<Handoff, Error> {
        let mut heard = Instant::now();
        loop {
            let mut changes = self.watch_handoff();
            let error = loop {
                match changes.try_next().await {
                    Ok(Some(handoff)) if id.is_some_and(|id| handoff.id != id) => {
                        return Ok(handoff);
                    }
                    Ok(Some(handoff)) => {
                        heard = Instant::now();
                        tell(Ok(&handoff));
                        if matches!(
                            handoff.state,
                            HandoffState::Committed | HandoffState::Reverted
                        ) {
                            return Ok(handoff);
                        }
                    }
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            if let Some(error) = error {
                let passes = error.is_transient() || matches!(error, Error::Deadline { .. });
                if !passes || heard.elapsed() >= silence {
                    return Err(error);
                }
                tell(Err(&error));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
