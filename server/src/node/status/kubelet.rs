//! What the kubelet says, in words for people.

use crate::kubelet::{KubeletPod, KubeletView, Sync, Waiting};

/// The longest text of the kubelet's that is passed on.
const MAX_TEXT: usize = 300;

/// The pod as the kubelet sees it now. What it said before it lost its sync may be over.
pub(super) fn pod<'a>(view: &'a KubeletView, uid: &str) -> Option<&'a KubeletPod> {
    (view.sync == Sync::Synced).then(|| view.pods.get(uid))?
}

/// Reason and message of a pod, as the end of a sentence.
pub(super) fn why(pod: &KubeletPod) -> String {
    match (pod.reason.as_str(), pod.message.as_str()) {
        ("", "") => "; its log says why".to_owned(),
        (reason, "") => format!(" ({reason})"),
        ("", message) => format!(": {}", shorten(message)),
        (reason, message) => format!(" ({reason}): {}", shorten(message)),
    }
}

/// What the first container with something to say waits for.
pub(super) fn waits_for(pod: &KubeletPod) -> Option<String> {
    pod.waiting
        .iter()
        .find(|waiting| tells_something(waiting))
        .map(text)
}

/// What a container waits for.
pub(super) fn of_container<'a>(pod: &'a KubeletPod, container: &str) -> Option<&'a Waiting> {
    pod.waiting
        .iter()
        .find(|waiting| waiting.container == container && tells_something(waiting))
}

/// These are what every container waits for at first.
fn tells_something(waiting: &Waiting) -> bool {
    !matches!(
        waiting.reason.as_str(),
        "" | "ContainerCreating" | "PodInitializing"
    )
}

/// Reason and message of a waiting container.
pub(super) fn text(waiting: &Waiting) -> String {
    match waiting.message.as_str() {
        "" => waiting.reason.clone(),
        message => format!("{}: {}", waiting.reason, shorten(message)),
    }
}

/// How long the kubelet pauses before it starts a container again, as in "40s".
pub(super) fn back_off(waiting: &Waiting) -> Option<&str> {
    (waiting.reason == "CrashLoopBackOff").then_some(())?;
    let (pause, _) = waiting
        .message
        .strip_prefix("back-off ")?
        .split_once(" restarting failed container")?;
    Some(pause)
}

/// One line of a text, and not too much of it.
fn shorten(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    match line.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}
