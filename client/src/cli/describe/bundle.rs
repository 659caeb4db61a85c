//! `seedpod describe bundle`.

use std::fmt::Write as _;

use anstream::eprintln;
use seedpod_client::{Bundle, Client, Object, Pod};

use super::push_events;
use crate::cli::{
    history::trial,
    objects::{full_name, used_by, word},
    output, pods,
    time::{age, ago},
};

pub(crate) async fn run(client: &Client, name: &str) -> anyhow::Result<()> {
    let bundle = client.get_bundle(name).await?;
    let mut text = describe(&bundle);
    match client.list_objects(Some(name), None).await {
        Ok(objects) => push_objects(&mut text, &objects),
        // What else is known is worth showing all the same.
        Err(error) => eprintln!(
            "Its Secrets and ConfigMaps are not known: {:#}",
            anyhow::Error::from(error)
        ),
    }
    push_events(&mut text, client, name, |_| true).await;
    output::print(&text)
}

fn describe(bundle: &Bundle) -> String {
    let mut text = String::new();
    let mut row = |label: &str, value: String| {
        let _ = writeln!(text, "{:<13} {value}", format!("{label}:"));
    };
    row("Bundle", bundle.name.clone());
    row(
        "Revision",
        format!("{}, made {}", bundle.revision, ago(bundle.update_time)),
    );
    row(
        "Last good",
        match bundle.last_good_revision {
            0 => "none".to_owned(),
            revision => revision.to_string(),
        },
    );
    if bundle.trial.is_some() {
        row("Trial", trial(bundle.trial.as_ref()));
    }
    let pods: &[Pod] = match &bundle.status {
        Some(status) => {
            row("State", status.state.to_string());
            if !status.message.is_empty() {
                row("Message", status.message.clone());
            }
            &status.pods
        }
        None => &[],
    };
    row("Age", age(bundle.create_time));
    row("Digest", bundle.digest.clone());
    text.push_str("Pods:\n");
    for pod in &bundle.pods {
        let runs = pods.iter().find(|running| running.uid == pod.uid);
        let state = runs.map_or_else(String::new, |pod| format!(": {}", pod.state));
        let _ = writeln!(text, "  {}/{}{state}", pod.namespace, pod.name);
    }
    // Those that are still stopping, and no part of the revision any more.
    for pod in pods {
        if !bundle.pods.iter().any(|kept| kept.uid == pod.uid) {
            let _ = writeln!(text, "  {}: {}", pods::full_name(pod), pod.state);
        }
    }
    text
}

fn push_objects(text: &mut String, objects: &[Object]) {
    if objects.is_empty() {
        return;
    }
    text.push_str("Secrets and ConfigMaps:\n");
    for object in objects {
        let keys: Vec<&str> = object.keys.iter().map(|key| key.key.as_str()).collect();
        let keys = if keys.is_empty() {
            "no keys".to_owned()
        } else {
            keys.join(", ")
        };
        let user = match used_by(object).as_str() {
            "-" => "used by no pod".to_owned(),
            pods => format!("used by {pods}"),
        };
        let _ = writeln!(
            text,
            "  {} {}: {keys}; {user}",
            word(object.kind),
            full_name(object)
        );
    }
}
