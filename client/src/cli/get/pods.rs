//! `seedpod get pods`.

use std::time::SystemTime;

use anstream::eprintln;
use comfy_table::Cell;
use seedpod_client::{Client, Container, ContainerState, Pod, PodState};

use crate::cli::{
    args::Format,
    output::{self, Columns, Items, state_cell},
    pods::full_name,
    time::{age, ago},
};

/// Which pods are asked for.
pub(crate) struct Wanted {
    pub(crate) name: Option<String>,
    pub(crate) bundle: Option<String>,
}

impl Wanted {
    pub(crate) fn has(&self, pod: &Pod) -> bool {
        self.name
            .as_ref()
            .is_none_or(|name| pod.name == *name || full_name(pod) == *name)
    }

    pub(crate) async fn check_bundle(&self, client: &Client) -> anyhow::Result<()> {
        check_bundle(client, self.bundle.as_deref()).await
    }
}

/// A bundle that there is not has no pods, but whoever asks for its pods wants to be told.
pub(crate) async fn check_bundle(client: &Client, bundle: Option<&str>) -> anyhow::Result<()> {
    let Some(bundle) = bundle else {
        return Ok(());
    };
    match client.get_bundle(bundle).await {
        Err(error)
            if error.code() != Some(seedpod_client::Code::NotFound)
                || client.list_pods(Some(bundle)).await?.is_empty() =>
        {
            Err(error.into())
        }
        _ => Ok(()),
    }
}

pub(crate) async fn run(client: &Client, wanted: &Wanted, format: Format) -> anyhow::Result<()> {
    wanted.check_bundle(client).await?;
    let mut pods = client.list_pods(wanted.bundle.as_deref()).await?;
    pods.retain(|pod| wanted.has(pod));
    if let (Some(name), true) = (&wanted.name, pods.is_empty()) {
        anyhow::bail!("there is no pod {name:?}; `seedpod get pods` lists all of them");
    }
    let names = || {
        pods.iter()
            .map(|pod| format!("pod/{}", full_name(pod)))
            .collect()
    };
    if output::print_for_programs(format, &Items { items: &pods }, names)? {
        return Ok(());
    }
    if pods.is_empty() {
        eprintln!("There are no pods.");
        return Ok(());
    }
    let wide = format == Format::Wide;
    let mut table = table(if wide { &WIDE } else { &[] });
    for pod in &pods {
        table.row(row(pod, wide));
    }
    if wide {
        return table.print_whole();
    }
    table.print()?;
    // No column, as it is long and the columns are to be the same each time; and for people, hence not on stdout.
    for pod in pods
        .iter()
        .filter(|pod| pod.state != PodState::Ready && !pod.message.is_empty())
    {
        eprintln!("{} is {}: {}", full_name(pod), pod.state, pod.message);
    }
    Ok(())
}

/// Ordered by weight, since what does not fit into the terminal is cut off at the end of the line.
const HEADINGS: [&str; 8] = [
    "BUNDLE",
    "NAMESPACE",
    "NAME",
    "STATE",
    "SINCE",
    "READY",
    "RESTARTS",
    "REV",
];

/// The same for every list, but for the last columns.
pub(crate) fn table(more: &[&str]) -> Columns {
    Columns::narrow(&[HEADINGS.as_slice(), more].concat())
}

/// The further columns of `-o wide`.
pub(crate) const WIDE: [&str; 3] = ["IP", "UID", "MESSAGE"];

pub(crate) fn row(pod: &Pod, wide: bool) -> Vec<Cell> {
    let bad = matches!(pod.state, PodState::Failed | PodState::Refused);
    let mut row = vec![
        Cell::new(&pod.bundle),
        Cell::new(&pod.namespace),
        Cell::new(&pod.name),
        state_cell(pod.state.as_str(), pod.state == PodState::Ready, bad),
        Cell::new(age(pod.state_time)),
        Cell::new(ready(pod)),
        Cell::new(restarts(&pod.containers)),
        Cell::new(revision(pod)),
    ];
    if wide {
        row.push(Cell::new(if pod.pod_ips.is_empty() {
            "-".to_owned()
        } else {
            pod.pod_ips.join(",")
        }));
        row.push(Cell::new(&pod.uid));
        row.push(Cell::new(&pod.message));
    }
    row
}

/// How many of the containers are ready. Those that have ended well, as init containers do, do not count.
fn ready(pod: &Pod) -> String {
    let counted = pod.containers.iter().filter(|container| {
        container.state != ContainerState::Exited || container.exit_code != Some(0)
    });
    let (mut ready, mut all) = (0, 0);
    for container in counted {
        all += 1;
        ready += usize::from(container.ready);
    }
    format!("{ready}/{all}")
}

/// As kubectl prints it: how often, and when last.
fn restarts(containers: &[Container]) -> String {
    let count: u32 = containers
        .iter()
        .map(|container| container.restart_count)
        .sum();
    let last: Option<SystemTime> = containers
        .iter()
        .filter(|container| container.restart_count > 0)
        .filter_map(|container| container.start_time)
        .max();
    match last {
        Some(_) => format!("{count} ({})", ago(last)),
        None => count.to_string(),
    }
}

/// The demanded revision, behind the one that runs where that is another.
fn revision(pod: &Pod) -> String {
    match pod.running_revision {
        0 => pod.revision.to_string(),
        running if running == pod.revision => running.to_string(),
        running => format!("{running}→{}", pod.revision),
    }
}
