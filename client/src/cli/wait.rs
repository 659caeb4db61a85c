//! `--wait`: progress while it lasts, and the truth at its end, with what the containers at fault have written last.

use std::time::Duration;

use anstream::eprintln;
use futures_util::TryStreamExt as _;
use seedpod_client::{
    Bundle, Client, Container, ContainerState, LogOptions, Pod, PodState, TrialConfirmation,
    TrialState, Wait, WaitError,
};

use super::{
    args::WaitArgs,
    lint::count,
    output::style::{BOLD, DIM, GOOD, RESET},
    progress::Progress,
};

/// How long to wait when nothing else is said.
const DEFAULT: Duration = Duration::from_secs(120);

/// How much longer than its trial a revision is waited for: the node needs a moment to go back.
const AFTER_TRIAL: Duration = Duration::from_secs(30);

/// How many lines of a log are shown.
const LINES: u32 = 10;

/// Of how many pods logs are shown: the first ones say why, the others mostly suffer from it.
const PODS: usize = 3;

/// How long reading one log may take.
const LOG_TIMEOUT: Duration = Duration::from_secs(5);

/// Waits until the pods of the bundle's revision are ready, or its trial has ended well, if that is asked for.
pub(crate) async fn if_asked(
    client: &Client,
    bundle: &Bundle,
    args: WaitArgs,
) -> anyhow::Result<()> {
    let WaitArgs {
        wait,
        timeout,
        patience,
        stable_for,
    } = args;
    if !wait {
        return Ok(());
    }
    let trial = bundle
        .trial
        .as_ref()
        .filter(|trial| trial.state == TrialState::Pending);
    let time = trial.and_then(|trial| trial.remaining.or(trial.timeout));
    let timeout = timeout.unwrap_or_else(|| time.map_or(DEFAULT, |time| time + AFTER_TRIAL));
    let mut by_hand = trial.is_some_and(|trial| trial.confirmation == TrialConfirmation::Explicit);

    let (name, revision) = (&bundle.name, bundle.revision);
    let mut progress = Progress::new();
    let show = |pods: &[Pod]| {
        progress.show(pods);
        let ready = pods.iter().filter(|pod| pod.state == PodState::Ready);
        if by_hand && ready.count() == bundle.pods.len() {
            by_hand = false;
            progress.note(&format!(
                "All pods are ready; `seedpod confirm {name} --revision {revision}` makes the revision stay."
            ));
        }
    };
    let wait = Wait::new(timeout)
        .patience(patience)
        .stable_for(stable_for.unwrap_or_default())
        .on_progress(show);
    let result = match trial {
        Some(_) => client.wait_confirmed(name, revision, wait).await,
        None => client.wait_ready(name, revision, wait).await,
    };
    progress.finish();
    match result {
        Ok(_) if trial.is_some() => {
            eprintln!("{GOOD}revision {revision} of bundle {name} is confirmed{RESET}");
            Ok(())
        }
        Ok(pods) => {
            let pods = count(pods.len(), "pod");
            eprintln!("{GOOD}{pods} of bundle {name} ready{RESET}");
            Ok(())
        }
        Err(error) => {
            for pod in at_fault(&error).into_iter().take(PODS) {
                last_words(client, pod).await;
            }
            Err(error.into())
        }
    }
}

/// The pods whose containers may have written why it went wrong.
fn at_fault(error: &WaitError) -> Vec<&Pod> {
    match error {
        WaitError::Failed { pod, .. } => vec![pod.as_ref()],
        WaitError::Wave { pods, .. } | WaitError::Deadline { pods, .. } => pods
            .iter()
            .filter(|pod| matches!(pod.state, PodState::Failed | PodState::NotReady))
            .collect(),
        _ => Vec::new(),
    }
}

/// Shows what the container at fault has written last.
async fn last_words(client: &Client, pod: &Pod) {
    let Some(container) = pod.failing_container() else {
        return;
    };
    // One that runs again has not written yet why it ended.
    let ended_before =
        container.state != ContainerState::Exited && container.last_termination.is_some();
    let mut shown = Vec::new();
    for previous in [ended_before, !ended_before] {
        if previous && container.restart_count == 0 {
            continue;
        }
        let options = LogOptions::new(&pod.name)
            .namespace(&pod.namespace)
            .container(&container.name)
            .tail_lines(LINES)
            .previous(previous);
        let lines = client.get_pod_logs(options).try_collect::<Vec<_>>();
        // The error that is on its way is the one that matters; that there is no log, too, is no news then.
        if let Ok(Ok(lines)) = tokio::time::timeout(LOG_TIMEOUT, lines).await {
            shown = lines;
        }
        if !shown.is_empty() {
            break;
        }
    }
    let what = summary(container);
    if shown.is_empty() {
        eprintln!(
            "{BOLD}{}/{}: container {what} has written nothing{RESET}",
            pod.namespace, pod.name
        );
        return;
    }
    eprintln!(
        "{BOLD}{}/{}: container {what} has written last:{RESET}",
        pod.namespace, pod.name
    );
    for line in shown {
        eprintln!("{DIM}  |{RESET} {}", line.text);
    }
}

/// The container and how it ended: `app (exit code 1, OOMKilled, 3 restarts)`.
fn summary(container: &Container) -> String {
    let mut facts = Vec::new();
    let last = container.last_termination.as_ref();
    let end = container
        .exit_code
        .map(|code| (code, &container.reason))
        .or(last.map(|last| (last.exit_code, &last.reason)));
    if let Some((code, reason)) = end {
        facts.push(format!("exit code {code}"));
        if !reason.is_empty() && reason != "Error" {
            facts.push(reason.clone());
        }
    }
    if !container.probe_message.is_empty() {
        facts.push(format!("probe: {}", container.probe_message));
    }
    if container.restart_count > 0 {
        let restarts = usize::try_from(container.restart_count).unwrap_or(usize::MAX);
        facts.push(count(restarts, "restart"));
    }
    if facts.is_empty() {
        return container.name.clone();
    }
    format!("{} ({})", container.name, facts.join(", "))
}
