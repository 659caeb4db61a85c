//! `seedpod describe`.

use std::fmt::Write as _;

use anstream::eprintln;
use futures_util::TryStreamExt as _;
use seedpod_client::{Client, Container, ContainerState, Event, EventOptions, Pod};

use super::{
    args::{ConnectionArgs, DescribeArgs, DescribeWhat},
    connection, events, output,
    pods::{PodName, full_name},
    time::{age, ago, rfc3339},
};

/// How many of the pod's events are shown: the last ones.
const EVENTS: usize = 10;

pub(crate) async fn run(args: DescribeArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let DescribeWhat::Pod(pod) = args.what;
    let wanted = PodName::new(pod)?;
    let client = connection::connect(connection).await?;
    let Some(pod) = wanted.find(&client).await? else {
        anyhow::bail!(
            "there is no pod {:?}; `seedpod get pods` lists all of them",
            wanted.name
        );
    };
    let mut text = describe(&pod);
    match last_events(&client, &pod).await {
        Ok(events) if events.is_empty() => text.push_str("Events:       none\n"),
        Ok(events) => {
            text.push_str("Events:\n");
            for event in &events {
                let _ = write!(text, "{}", events::line(event, 0));
            }
        }
        // What is known about the pod is worth showing all the same.
        Err(error) => eprintln!("Its events are not known: {:#}", anyhow::Error::from(error)),
    }
    output::print(&text)
}

async fn last_events(client: &Client, pod: &Pod) -> Result<Vec<Event>, seedpod_client::Error> {
    let options = EventOptions::default().bundle(&pod.bundle).until_now();
    let mut events: Vec<Event> = client
        .watch_events(options)
        .try_filter(|event| {
            let is_its = event.namespace == pod.namespace && event.name == pod.name;
            std::future::ready(is_its)
        })
        .try_collect()
        .await?;
    Ok(events.split_off(events.len().saturating_sub(EVENTS)))
}

fn describe(pod: &Pod) -> String {
    let mut text = String::new();
    let mut row = |label: &str, value: String| {
        let _ = writeln!(text, "{:<13} {value}", format!("{label}:"));
    };
    row("Pod", full_name(pod));
    row("Node's name", pod.node_pod_name.clone());
    let wave = match pod.wave {
        0 => String::new(),
        wave => format!(", wave {wave}"),
    };
    row("Bundle", format!("{}{wave}", pod.bundle));
    let runs = match pod.running_revision {
        0 => ", and none runs".to_owned(),
        running if running == pod.revision => String::new(),
        running => format!(", and {running} runs"),
    };
    row("Revision", format!("{}{runs}", pod.revision));
    let since = match pod.state_time {
        Some(_) => format!(" for {}", age(pod.state_time)),
        None => String::new(),
    };
    row("State", format!("{}{since}", pod.state));
    if !pod.message.is_empty() {
        row("Message", pod.message.clone());
    }
    row("UID", pod.uid.clone());
    row("Sandbox", or_none(&pod.sandbox_id));
    let ips = if pod.pod_ips.is_empty() && !pod.sandbox_id.is_empty() {
        "the host's".to_owned()
    } else {
        or_none(&pod.pod_ips.join(", "))
    };
    row("IP", ips);
    if pod.containers.is_empty() {
        row("Containers", "none yet".to_owned());
    } else {
        text.push_str("Containers:\n");
    }
    for container in &pod.containers {
        push_container(&mut text, container);
    }
    text
}

fn push_container(text: &mut String, container: &Container) {
    let _ = writeln!(text, "  {}:", container.name);
    let mut row = |label: &str, value: String| {
        let _ = writeln!(text, "    {:<11} {value}", format!("{label}:"));
    };
    row("State", state(container));
    row(
        "Ready",
        if container.ready { "yes" } else { "no" }.to_owned(),
    );
    if !container.probe_message.is_empty() {
        row("Probe", container.probe_message.clone());
    }
    row("Restarts", container.restart_count.to_string());
    if let Some(last) = &container.last_termination {
        row(
            "Last end",
            end(last.exit_code, &last.reason, last.finish_time),
        );
    }
    if !container.message.is_empty() {
        row("Message", container.message.clone());
    }
    row("Image", container.image.clone());
    row("Image ID", or_none(&container.image_id));
    row("ID", or_none(&container.id));
}

fn state(container: &Container) -> String {
    match container.state {
        ContainerState::Exited => format!(
            "{}: {}",
            container.state,
            end(
                container.exit_code.unwrap_or_default(),
                &container.reason,
                container.finish_time
            )
        ),
        state if container.start_time.is_some() => format!(
            "{state} since {} ({})",
            rfc3339(container.start_time, 0),
            ago(container.start_time)
        ),
        state => state.to_string(),
    }
}

/// `exit code 137, OOMKilled, 5m ago`.
fn end(code: i32, reason: &str, time: Option<std::time::SystemTime>) -> String {
    let mut text = format!("exit code {code}");
    if !reason.is_empty() {
        let _ = write!(text, ", {reason}");
    }
    if time.is_some() {
        let _ = write!(text, ", {}", ago(time));
    }
    text
}

fn or_none(text: &str) -> String {
    if text.is_empty() {
        "none".to_owned()
    } else {
        text.to_owned()
    }
}
