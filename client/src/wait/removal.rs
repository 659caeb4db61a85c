//! Waiting until a bundle's pods are gone.

use std::time::{Duration, Instant};

use super::{SHORTEST_LOOK, Wait, WaitError};
use crate::{Client, Pod, PodState};

/// The first pause between two looks; each further one is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Looks again and again rather than watches: a bundle that is removed is one that there is no watching for much longer.
pub(super) async fn wait(
    client: &Client,
    bundle: &str,
    mut wait: Wait<'_>,
) -> Result<(), WaitError> {
    let end = Instant::now() + wait.deadline;
    let mut pause = FIRST_PAUSE;
    let mut told: Option<Vec<Pod>> = None;
    loop {
        let left = end
            .saturating_duration_since(Instant::now())
            .max(SHORTEST_LOOK);
        let asked = client
            .with_deadline(left.min(client.deadline()))
            .list_pods(Some(bundle))
            .await;
        let over = Instant::now() >= end;
        match asked {
            Ok(pods) => {
                if told.as_ref() != Some(&pods) {
                    wait.tell(&pods);
                }
                if pods.is_empty() {
                    return Ok(());
                }
                // While the runtime cannot be asked, a pod that is being removed is listed as Unknown too.
                if pods
                    .iter()
                    .any(|pod| !matches!(pod.state, PodState::Removing | PodState::Unknown))
                {
                    return Err(WaitError::InjectedAgain {
                        bundle: bundle.to_owned(),
                    });
                }
                if over {
                    return Err(WaitError::Deadline {
                        after: wait.deadline,
                        pods,
                    });
                }
                told = Some(pods);
            }
            Err(error) if over || !may_pass(&error) => return Err(error.into()),
            Err(_) => {}
        }
        let left = end.saturating_duration_since(Instant::now());
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause + pause / 2).min(LONGEST_PAUSE);
    }
}

/// Whether a wait goes on after this error.
pub(super) fn may_pass(error: &crate::Error) -> bool {
    error.is_transient() || matches!(error, crate::Error::Deadline { .. })
}
