//! `seedpod describe`.

mod bundle;

use std::fmt::Write as _;

use anstream::eprintln;
use futures_util::TryStreamExt as _;
use seedpod_client::{
    Client, Container, ContainerState, Event, EventOptions, Object, ObjectKind, Pod,
};

use super::{
    args::{ConnectionArgs, DescribeArgs, DescribeWhat, NamedArgs, PodArgs},
    connection, events, objects, output,
    pods::{PodName, full_name},
    time::{age, ago, rfc3339},
};

/// How many of the pod's events are shown: the last ones.
const EVENTS: usize = 10;

pub(crate) async fn run(args: DescribeArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    match args.what {
        DescribeWhat::Pod(args) => pod(args, connection).await,
        DescribeWhat::Bundle { bundle: name } => {
            bundle::run(&connection::connect(connection).await?, &name).await
        }
        DescribeWhat::Secret(NamedArgs { name }) => {
            object(ObjectKind::Secret, &name, connection).await
        }
        DescribeWhat::ConfigMap(NamedArgs { name }) => {
            object(ObjectKind::ConfigMap, &name, connection).await
        }
    }
}

async fn pod(args: PodArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let wanted = PodName::new(args)?;
    let client = connection::connect(connection).await?;
    let Some(pod) = wanted.find(&client).await? else {
        anyhow::bail!(
            "there is no pod {:?}; `seedpod get pods` lists all of them",
            wanted.name
        );
    };
    let mut text = describe(&pod);
    let is_its = |event: &Event| event.namespace == pod.namespace && event.name == pod.name;
    push_events(&mut text, &client, &pod.bundle, is_its).await;
    output::print(&text)
}

/// The last events of a bundle that are wanted.
async fn push_events(
    text: &mut String,
    client: &Client,
    bundle: &str,
    is_wanted: impl Fn(&Event) -> bool,
) {
    match last_events(client, bundle, is_wanted).await {
        Ok(events) if events.is_empty() => text.push_str("Events:       none\n"),
        Ok(events) => {
            text.push_str("Events:\n");
            for event in &events {
                let _ = write!(text, "{}", events::line(event, 0));
            }
        }
        // What else is known is worth showing all the same.
        Err(error) => eprintln!("Its events are not known: {:#}", anyhow::Error::from(error)),
    }
}

async fn last_events(
    client: &Client,
    bundle: &str,
    is_wanted: impl Fn(&Event) -> bool,
) -> Result<Vec<Event>, seedpod_client::Error> {
    let options = EventOptions::default().bundle(bundle).until_now();
    let mut events: Vec<Event> = client
        .watch_events(options)
        .try_filter(|event| std::future::ready(is_wanted(event)))
        .try_collect()
        .await?;
    Ok(events.split_off(events.len().saturating_sub(EVENTS)))
}

async fn object(kind: ObjectKind, name: &str, connection: ConnectionArgs) -> anyhow::Result<()> {
    let client = connection::connect(connection).await?;
    let mut found = client.list_objects(None, Some(kind)).await?;
    found.retain(|object| object.name == name || objects::full_name(object) == name);
    if found.is_empty() {
        anyhow::bail!(
            "there is no {kind} {name:?}; `seedpod get {}s` lists all of them",
            objects::word(kind)
        );
    }
    // Those of the same name in other namespaces too: nothing has to be chosen to look.
    let texts: Vec<String> = found.iter().map(describe_object).collect();
    output::print(&texts.join("\n"))
}

fn describe_object(object: &Object) -> String {
    let mut text = String::new();
    let mut row = |label: &str, value: String| {
        let _ = writeln!(text, "{:<13} {value}", format!("{label}:"));
    };
    row(object.kind.as_str(), objects::full_name(object));
    row("Bundle", object.bundle.clone());
    row("Revision", object.revision.to_string());
    row("Type", objects::type_of(object));
    row("Used by", objects::used_by(object));
    push_keys(&mut text, object);
    text
}

/// The keys with their sizes and digests.
fn push_keys(text: &mut String, object: &Object) {
    if object.keys.is_empty() {
        text.push_str("Keys:         none\n");
        return;
    }
    text.push_str("Keys:\n");
    let width = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or_default();
    let keys = width(&mut object.keys.iter().map(|key| key.key.len()));
    let sizes = width(&mut object.keys.iter().map(|key| key.size.to_string().len()));
    for key in &object.keys {
        let digest = objects::short_digest(&key.digest);
        let _ = writeln!(
            text,
            "  {:<keys$}  {:>sizes$} bytes  {digest}",
            key.key, key.size
        );
    }
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
